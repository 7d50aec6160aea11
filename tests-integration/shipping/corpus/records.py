"""Named tuples, dataclasses, enumerations, typed dictionaries."""

import collections
import dataclasses
import enum
import sys
import typing
from dataclasses import dataclass, field

from harness import Skipped, case

Point = collections.namedtuple("Point", "x y", defaults=[0])
Legacy = typing.NamedTuple("Legacy", [("a", int), ("b", str)])
Movie = typing.TypedDict("Movie", {"name": str, "year": int}, total=False)
Level = enum.Enum("Level", "LOW HIGH")


class Employee(typing.NamedTuple):
    """An employee."""

    name: str
    id: int = 3

    def badge(self):
        return f"{self.name}#{self.id}"


@dataclass
class Item:
    name: str
    price: float = 0.0
    tags: list = field(default_factory=list)

    def total(self, n):
        return self.price * n


@dataclass(frozen=True, order=True)
class Version:
    major: int
    minor: int = field(default=0, compare=True)
    note: str = field(default="", compare=False, repr=False)


@dataclass
class Special(Item):
    discount: float = 0.5
    limit: typing.ClassVar[int] = 10
    code: dataclasses.InitVar[str] = None

    def __post_init__(self, code):
        self.code_length = len(code or "")


class Colour(enum.Enum):
    """A colour."""

    RED = 1
    GREEN = "g"
    CRIMSON = 1

    def pretty(self):
        return self.name.title()

    @classmethod
    def default(cls):
        return cls.GREEN

    @property
    def short(self):
        return self.name[0]


class Number(enum.IntEnum):
    ONE = 1
    TWO = enum.auto()


class Permission(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()
    BOTH = READ | WRITE


class Bits(enum.IntFlag):
    A = 1
    B = 2


class Planet(enum.Enum):
    EARTH = (5.97, 6.37)
    MARS = (0.64, 3.39)

    def __init__(self, mass, radius):
        self.mass = mass
        self.radius = radius


class Text(str, enum.Enum):
    YES = "yes"


class Movie2(typing.TypedDict):
    title: str


@enum.unique
class Auto(enum.Enum):
    def _generate_next_value_(name, start, count, last_values):
        return name.lower()

    A = enum.auto()
    B = enum.auto()


@case
def namedtuple(call):
    assert call(lambda p: p.x + p.y, Point(1, 2)) == 3
    back = call(lambda: Point(5))
    assert type(back) is Point
    assert back == (5, 0)


@case
def namedtuple_methods(call):
    assert call(lambda p: (p._replace(x=9), p._asdict(), p._fields), Point(1, 2)) == (
        *((9, 2), {"x": 1, "y": 2}),
        ("x", "y"),
    )


@case
def typed_namedtuple(call):
    assert call(lambda e: e.badge(), Employee("Ann")) == "Ann#3"
    back = call(lambda e: e._replace(id=4), Employee("Ann"))
    assert type(back) is Employee
    assert back == ("Ann", 4)


@case
def functional_namedtuple(call):
    back = call(lambda: Legacy(1, "b"))
    assert type(back) is Legacy
    assert back.b == "b"


@case
def local_namedtuple(call):
    Local = collections.namedtuple("Local", ["only"])
    back = call(lambda: [Local(i) for i in range(2)])
    assert [type(v) for v in back] == [Local, Local]


@case
def subclass_of_a_namedtuple(call):
    class Complex(collections.namedtuple("Complex", "re im")):
        __slots__ = ()

        def abs(self):
            return (self.re**2 + self.im**2) ** 0.5

    back = call(lambda c: (c.abs(), c), Complex(3, 4))
    assert back[0] == 5.0
    assert type(back[1]) is Complex


@case
def a_dataclass(call):
    assert call(lambda item: item.total(3), Item("pen", 2.5)) == 7.5
    back = call(lambda: Item("pen", 1.0, ["blue"]))
    assert type(back) is Item
    assert back == Item("pen", 1.0, ["blue"])


@case
def a_dataclass_made_there(call):
    def task():
        item = Item("a")
        item.tags.append("t")
        return Item("b").tags, item, repr(item)

    tags, item, text = call(task)
    assert tags == []
    assert item == Item("a", 0.0, ["t"])
    assert text == "Item(name='a', price=0.0, tags=['t'])"


@case
def a_dataclass_as_the_task(call):
    assert call(Item, "x", price=2.0) == Item("x", 2.0)


@case
def frozen_and_ordered(call):
    def task(versions):
        try:
            versions[0].major = 5
        except dataclasses.FrozenInstanceError:
            return sorted(versions), len(set(versions))

    versions = [Version(2), Version(1, 5, "n"), Version(1, 5, "m")]
    assert call(task, versions) == ([Version(1, 5), Version(1, 5), Version(2)], 2)


@case
def functions_of_dataclasses(call):
    def task(item):
        return (
            dataclasses.asdict(item),
            dataclasses.astuple(item),
            [f.name for f in dataclasses.fields(item)],
            dataclasses.replace(item, price=9.0),
            dataclasses.is_dataclass(Item),
        )

    got = call(task, Item("a", 1.0, [1]))
    assert got == (
        {"name": "a", "price": 1.0, "tags": [1]},
        ("a", 1.0, [1]),
        ["name", "price", "tags"],
        Item("a", 9.0, [1]),
        True,
    )


@case
def a_dataclass_that_inherits(call):
    def task(special):
        return special.total(2) * special.discount, special.limit, special.code_length

    assert call(task, Special("s", 10.0, code="abc")) == (10.0, 10, 3)
    back = call(lambda: Special("t", code="ab"))
    assert type(back) is Special
    assert back.code_length == 2


@case
def a_local_dataclass_with_a_closure(call):
    rate = 2

    @dataclass
    class Local:
        x: int
        y: int = field(default=3)

        def scaled(self):
            return (self.x + self.y) * rate

    assert call(lambda: Local(1).scaled()) == 8
    assert call(lambda: Local(4)) == Local(4)


@case
def a_dataclass_with_options(call):
    @dataclass(eq=False, repr=False, unsafe_hash=False)
    class Loose:
        x: int = 1

    back = call(lambda v: v, Loose(2))
    assert type(back) is Loose
    assert back.x == 2


@case(since=(3, 10))
def a_dataclass_with_slots_and_keywords_only(call):
    @dataclass(slots=True, kw_only=True)
    class Modern:
        x: int
        y: list = field(default_factory=list)

    assert call(lambda: Modern(x=1)) == Modern(x=1)
    assert call(lambda m: (m.x, m.y, hasattr(m, "__dict__")), Modern(x=1, y=[2])) == (1, [2], False)


@case(since=(3, 10))
def a_frozen_dataclass_with_slots(call):
    @dataclass(frozen=True, slots=True)
    class Cell:
        row: int
        column: int

    back = call(lambda c: {c: dataclasses.replace(c, row=9)}, Cell(1, 2))
    assert back == {Cell(1, 2): Cell(9, 2)}


@case
def make_dataclass(call):
    Made = dataclasses.make_dataclass("Made", [("x", int), ("y", int, 5)])
    assert call(lambda: (Made(1).y, Made(1) == Made(1))) == (5, True)
    assert call(lambda: Made(1)) == Made(1)


@case
def a_dataclass_with_string_annotations(call):
    @dataclass
    class Linked:
        value: "int"
        next: "typing.Optional[Linked]" = None

    def task(n):
        chain = None
        for i in range(n):
            chain = Linked(i, chain)
        return chain

    assert call(task, 3) == Linked(2, Linked(1, Linked(0)))


@case
def a_generic_dataclass(call):
    T = typing.TypeVar("T")

    @dataclass
    class Box(typing.Generic[T]):
        content: T

    assert call(lambda: Box[int](5)) == Box(5)


@case
def an_enum(call):
    def task(colour):
        return colour is Colour.RED, colour.pretty(), colour.short, Colour.default().name

    assert call(task, Colour.RED) == (True, "Red", "R", "GREEN")


@case
def an_enum_as_a_result(call):
    assert call(lambda: Colour.GREEN) is Colour.GREEN
    assert call(lambda: {Colour.RED: [Colour.GREEN]}) == {Colour.RED: [Colour.GREEN]}


@case
def an_enum_as_the_task(call):
    assert call(Colour, "g") is Colour.GREEN
    assert type(call.error(Colour, "none")) is ValueError


@case
def the_members_of_an_enum(call):
    def task():
        return [c.name for c in Colour], len(Colour), Colour["RED"].value, list(Colour.__members__)

    assert call(task) == (["RED", "GREEN"], 2, 1, ["RED", "GREEN", "CRIMSON"])


@case
def aliases_of_an_enum(call):
    assert call(lambda: Colour.CRIMSON is Colour.RED) is True


@case
def an_int_enum(call):
    assert call(lambda n: n + 1, Number.TWO) == 3
    assert call(lambda: max(Number)) is Number.TWO


@case
def a_flag(call):
    def task(p):
        return Permission.READ in p, p | Permission.READ, ~p & Permission.BOTH

    assert call(task, Permission.WRITE) == (False, Permission.BOTH, Permission.READ)
    assert call(lambda: Permission.READ | Permission.WRITE) is Permission.BOTH
    assert call(lambda: Permission(0)) == Permission(0)


@case
def an_int_flag(call):
    assert call(lambda b: (b & Bits.A, int(b)), Bits.A | Bits.B) == (Bits.A, 3)


@case
def an_enum_with_init(call):
    assert call(lambda p: p.mass / p.radius > 0.5, Planet.EARTH) is True
    assert call(lambda: Planet.MARS).radius == 3.39


@case
def an_enum_that_is_a_string(call):
    assert call(lambda: Text.YES) is Text.YES
    assert call(lambda t: t.upper() + t, Text.YES) == "YESyes"


@case
def an_enum_with_generated_values(call):
    assert call(lambda: [m.value for m in Auto]) == ["a", "b"]


@case
def a_functional_enum(call):
    assert call(lambda level: level is Level.HIGH, Level.HIGH) is True
    assert call(lambda: Level.LOW) is Level.LOW


@case
def a_local_enum(call):
    class State(enum.Enum):
        ON = enum.auto()
        OFF = enum.auto()

        def flipped(self):
            return State.OFF if self is State.ON else State.ON

    assert call(lambda: State.ON.flipped()) is State.OFF


@case(since=(3, 11))
def a_str_enum(call):
    class Mode(enum.StrEnum):
        FAST = enum.auto()

    assert call(lambda m: f"{m}", Mode.FAST) == "fast"
    assert call(lambda: Mode.FAST) is Mode.FAST


@case
def a_typed_dict(call):
    assert call(lambda: Movie(name="x", year=1)) == {"name": "x", "year": 1}
    assert call(lambda: sorted(Movie.__annotations__)) == ["name", "year"]
    assert call(lambda: Movie2(title="t")) == {"title": "t"}


@case
def a_mapping_of_members_to_functions(call):
    handlers = {Colour.RED: lambda: "stop", Colour.GREEN: lambda: "go"}
    assert call(lambda c: handlers[c](), Colour.GREEN) == "go"


@case
def a_simple_namespace(call):
    import types

    back = call(lambda n: types.SimpleNamespace(a=n.a, b=2), types.SimpleNamespace(a=1))
    assert back == types.SimpleNamespace(a=1, b=2)


@case
def a_record_in_a_record(call):
    @dataclass
    class Basket:
        items: typing.List[Item]
        colour: Colour
        where: Point

    basket = Basket([Item("a", 1.0)], Colour.RED, Point(1, 2))
    assert call(lambda b: b, basket) == basket


@case
def interning_of_class_names(call):
    if sys.implementation.name != "cpython":
        raise Skipped("is about CPython")
    assert call(lambda item: sorted(vars(item)), Item("a")) == ["name", "price", "tags"]
