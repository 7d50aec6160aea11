"""Classes that travel by value, as bytecode and as source."""

import abc
import collections
import dataclasses
import enum
import gc
import sys
import typing

import pytest

from farm_common.shipping import classes, pack, rebuild_classes, unpack
from farm_common.shipping.importable import ship_by_value
from farm_common.shipping.rebuild_classes import ClassTable

PROTOCOL = 5


@pytest.fixture
def there(monkeypatch):
    """The classes of the other side."""
    table = ClassTable()
    table.at_worker = True
    return table


@pytest.fixture(params=["bytecode", "source"])
def travel(request, there, monkeypatch):
    """Has a value travel, and come out as the other side sees it."""

    def go(value):
        parcel = pack(value, PROTOCOL, "it", request.param == "bytecode")
        with monkeypatch.context() as patch:
            patch.setattr(rebuild_classes, "table", there)
            return unpack(parcel.body, parcel.buffers)

    def back(value):
        with monkeypatch.context() as patch:
            patch.setattr(rebuild_classes, "table", there)
            parcel = pack(value, PROTOCOL, "it", request.param == "bytecode")
        return unpack(parcel.body, parcel.buffers)

    go.back = back
    return go


@pytest.fixture(autouse=True, scope="module")
def by_value():
    """What this module defines travels by value, as that of a script does."""
    ship_by_value(__name__)


class Base:
    """A base."""

    kind = "base"

    def __init__(self, y):
        self.y = y
        self.__hidden = 3

    def total(self):
        return self.y + self.__hidden

    @classmethod
    def of(cls):
        return cls.kind

    @staticmethod
    def seven():
        return 7

    @property
    def double(self):
        return self.y * 2


class Derived(Base):
    def total(self):
        return super().total() + 100

    def __init_subclass__(cls, *, need):
        raise AssertionError("must not run again")


def test_a_plain_class(travel):
    """Methods of each kind, ``super()``, private names, class attributes, the doc."""
    thing = travel(Derived(2))
    cls = type(thing)
    assert cls is not Derived
    assert (thing.total(), thing.of(), thing.seven(), thing.double) == (105, "base", 7, 4)
    assert cls.__mro__[1].__doc__ == "A base."
    assert (cls.__name__, cls.__qualname__, cls.__module__) == ("Derived", "Derived", __name__)


def test_it_is_one_class(travel):
    """However often it is sent; and what was changed meanwhile is changed there."""
    first = travel(Base)
    thing = travel(Base(1))
    assert type(thing) is first
    Base.kind = "changed"
    try:
        assert travel(Base) is first
        assert first.kind == "changed"
    finally:
        Base.kind = "base"


def test_instances_come_home(travel):
    """As instances of the class that they left with, which nobody changes from there."""
    thing = travel(Derived(2))
    thing.y = 5
    type(thing).kind = "foreign"
    home = travel.back(thing)
    assert type(home) is Derived
    assert home.y == 5
    assert Derived.kind == "base"


def test_a_class_that_is_gone(travel):
    """An instance that comes home after its class: the class is kept for long."""

    def make():
        class Short:
            pass

        return travel(Short())

    thing = make()
    gc.collect()
    assert type(travel.back(thing)).__name__ == "Short"


def test_a_class_from_there(travel, there):
    """One that a task defined travels by value, and knows its origin when it returns."""
    make = travel(_class_maker)
    thing = make()
    home = travel.back(thing)
    assert home.answer() == 42
    assert type(travel(home)) is type(thing)


def _class_maker():
    class Made:
        def answer(self):
            return 42

    return Made()


class Color(enum.Enum):
    RED = 1
    GREEN = "g"
    ROUGE = 1  # noqa: PIE796

    def shout(self):
        return self.name + "!"


class Planet(enum.Enum):
    EARTH = (6, 2)
    MARS = (3, 4)

    def __init__(self, mass, radius):
        self.mass = mass
        self.radius = radius

    @property
    def density(self):
        return self.mass / self.radius


class Doubled(str, enum.Enum):
    X = "x"

    def __new__(cls, value):
        member = str.__new__(cls, value)
        member._value_ = value * 2
        member.more = 1
        return member


class Number(enum.IntEnum):
    ONE = 1
    TWO = 2


class Bits(enum.Flag):
    A = enum.auto()
    B = enum.auto()
    BOTH = A | B


class Mode(enum.IntFlag):
    R = 4
    W = 2


def test_an_enumeration(travel):
    """Members, aliases, lookup by value, methods; and a member comes home as itself."""
    color = travel(Color)
    assert list(color) == [color.RED, color.GREEN]
    assert color.ROUGE is color.RED
    assert color("g") is color.GREEN
    assert color["RED"].shout() == "RED!"
    assert repr(color.RED) == repr(Color.RED)
    assert travel.back(color.GREEN) is Color.GREEN


def test_an_enumeration_with_an_init(travel):
    """It ran where the members were made, and what it made comes along."""
    planet = travel(Planet)
    assert planet.MARS.density == 0.75
    assert planet((6, 2)) is planet.EARTH
    assert travel.back(planet.MARS) is Planet.MARS


def test_enumerations_of_numbers_and_strings(travel):
    """Members are what they are besides, with values of their own."""
    number, doubled = travel([Number, Doubled])
    assert number.ONE + 1 == 2
    assert number(2) is number.TWO
    assert (doubled.X, doubled.X.value, doubled.X.more) == ("x", "xx", 1)
    assert isinstance(doubled.X, str)


def test_flags(travel):
    """They combine there as here."""
    bits, mode = travel([Bits, Mode])
    assert bits.A | bits.B == bits.BOTH
    assert bits.BOTH & bits.A == bits.A
    assert ~bits.A == bits.B
    assert mode.R | mode.W == 6
    assert travel.back(bits.A | bits.B) is Bits.BOTH


@dataclasses.dataclass(order=True)
class Record:
    a: int
    b: list = dataclasses.field(default_factory=list)
    c: str = "k"
    d: typing.ClassVar[int] = 5

    def get(self):
        return self.a


@dataclasses.dataclass(frozen=True)
class Sub(typing.Generic[typing.TypeVar("T")]):
    x: "int"
    y: "typing.ClassVar[int]" = 3
    z: dataclasses.InitVar[int] = 4

    def __post_init__(self, z):
        object.__setattr__(self, "w", z)

    def __repr__(self):
        return "my own"


def test_a_data_class(travel):
    """Its generated methods are generated again: they have no source."""
    thing = travel(Record(1))
    cls = type(thing)
    assert repr(thing) == "Record(a=1, b=[], c='k')"
    assert thing == cls(1) < cls(2)
    assert (thing.get(), cls.d) == (1, 5)
    assert [field.name for field in dataclasses.fields(thing)] == ["a", "b", "c"]
    assert cls.__annotations__ == Record.__annotations__
    with pytest.raises(TypeError):
        hash(thing)
    assert travel.back(thing) == Record(1)


def test_a_frozen_data_class(travel):
    """Strings as annotations, what is only passed to the constructor, methods of its own."""
    thing = travel(Sub(1, 7))
    assert hash(thing) == hash(type(thing)(1))
    assert (thing.w, thing.y, repr(thing)) == (7, 3, "my own")
    with pytest.raises(dataclasses.FrozenInstanceError):
        thing.x = 2
    assert type(thing)(2).w == 4


@pytest.mark.skipif(sys.version_info < (3, 10), reason="data classes have no slots")
def test_a_data_class_with_slots(travel):
    """And with parameters that are passed by keyword only."""
    Slots = dataclasses.make_dataclass(
        "Slots", [("a", int), ("b", int, 3)], slots=True, frozen=True, kw_only=True
    )
    Slots.__module__ = __name__
    thing = travel(Slots(a=1))
    assert (thing.a, thing.b) == (1, 3)
    assert hash(thing) == hash(type(thing)(a=1))
    assert not hasattr(thing, "__dict__")
    with pytest.raises(TypeError):
        type(thing)(1)


def test_keyword_only_fields_before_they_were_there():
    """On Python 3.9 the constructor is one of ours."""
    fields = {field.name: field for field in dataclasses.fields(Record(1))}
    init = rebuild_classes._keyword_init(fields, ["a", "b"])
    thing = Record.__new__(Record)
    init(thing, "C", a=1)
    assert thing == Record(1, [], "C")
    with pytest.raises(TypeError, match="'a'"):
        init(thing, "C")


Point = collections.namedtuple("Point", "x y", defaults=[4])  # noqa: PYI024


class Typed(typing.NamedTuple):
    a: int
    b: str = "q"

    def get(self):
        return self.a


def test_named_tuples(travel):
    """Of both kinds, with defaults and methods."""
    point, typed = travel([Point(1), Typed(1)])
    assert point == (1, 4)
    assert point._replace(x=3).x == 3
    assert repr(point) == "Point(x=1, y=4)"
    assert (typed.get(), typed.b, type(typed)(2).b) == (1, "q", "q")
    assert type(travel.back(point)) is Point


class Abstract(abc.ABC):
    @abc.abstractmethod
    def get(self): ...


Abstract.register(int)


class Concrete(Abstract):
    def get(self):
        return 1


def test_abstract_classes(travel):
    """They stay abstract, and keep what was registered."""
    abstract, concrete = travel([Abstract, Concrete])
    with pytest.raises(TypeError):
        abstract()
    assert concrete().get() == 1
    assert issubclass(int, abstract)
    assert issubclass(concrete, abstract)


class Meta(type):
    def __new__(cls, name, bases, names, **options):
        assert options, "must not run again"
        return super().__new__(cls, name, bases, names)

    def __init__(cls, name, bases, names, **options):
        super().__init__(name, bases, names)

    def __call__(cls, *args):
        return ("called", super().__call__(*args))


class WithMeta(metaclass=Meta, k=3):
    pass


def test_a_metaclass(travel):
    """It goes along, and does not make the class again."""
    cls = travel(WithMeta)
    assert cls()[0] == "called"
    assert type(type(cls)) is type
    assert type(cls).__name__ == "Meta"


class Slotted:
    __slots__ = ("__b", "a")

    def __init__(self):
        self.a = 1
        self.__b = 2

    def total(self):
        return self.a + self.__b


def test_slots(travel):
    """Private ones, too."""
    thing = travel(Slotted())
    assert thing.total() == 3
    with pytest.raises(AttributeError):
        thing.c = 1


T = typing.TypeVar("T")


class Box(typing.Generic[T]):
    def __init__(self, item: T):
        self.item = item


class Named(typing.Protocol):
    def name(self): ...


@typing.runtime_checkable
class Sized(typing.Protocol):
    def size(self): ...


class HasSize(Sized):
    def size(self):
        return 4


class Options(typing.TypedDict, total=False):
    a: int


def test_types_of_typing(travel):
    """Generics, protocols and typed dicts."""
    box, named, sized, has, options = travel([Box, Named, Sized, HasSize, Options])
    assert box[int](3).item == 3
    assert has().size() == 4
    assert isinstance(has(), sized)
    assert not isinstance(3, sized)
    with pytest.raises(TypeError):
        named()
    assert options(a=3) == {"a": 3}
    assert options.__total__ is False


class Node:
    def __init__(self):
        self.kids = []

    def add(self):
        node = Node()
        self.kids.append(node)
        return node


Node.root = Node()


def test_a_class_that_refers_to_itself(travel):
    """Through its methods' globals, and through an instance that it holds."""
    node = travel(Node())
    assert type(node.add()) is type(node)
    assert type(type(node).root) is type(node)


def test_a_class_in_a_closure(travel):
    """Its methods share variables with the function around it."""
    calls = []

    class Local:
        def note(self):
            calls.append(1)

    def use():
        Local().note()
        return len(calls)

    use_there, cls = travel((use, Local))
    cls().note()
    assert use_there() == 2
    assert calls == []


def test_by_reference():
    """What can be imported is sent as its name alone."""
    for cls in (collections.OrderedDict, int, abc.ABC):
        assert classes.reduce_class(cls) is NotImplemented


def test_what_dataclasses_generated():
    """Is told from what the user wrote, also where that came as text without a file."""
    space = {"__name__": "__main__", "dataclasses": dataclasses}
    text = (
        "@dataclasses.dataclass\n"
        "class A:\n"
        "    x: int = 3\n"
        "    def __repr__(self):\n"
        "        return 'r'\n"
    )
    exec(text, space)
    names = classes._dataclass_names(space["A"])
    assert {"__init__", "__eq__"} <= names
    assert "__repr__" not in names


def test_functions_find_their_own_classes(there, monkeypatch):
    """What was loaded later changed the class; a function that is called again has its own back."""

    class Model:
        def check(self):
            return "old"

    def use():
        return Model().check()

    old = pack(use, PROTOCOL, "it").body
    Model.check = lambda self: "new"
    Model.extra = 1
    new = pack(use, PROTOCOL, "it").body
    monkeypatch.setattr(rebuild_classes, "table", there)
    first, second = rebuild_classes.Classes(), rebuild_classes.Classes()
    with first:
        use_old = unpack(old)
    with second:
        use_new = unpack(new)
    assert use_new() == "new"
    for _ in range(2):
        first.restore()
        assert use_old() == "old"
        second.restore()
        assert use_new() == "new"
    first.restore()
    assert not hasattr(use_old.__closure__[0].cell_contents, "extra")


def test_a_finaliser_is_called(travel):
    """Though PyPy asks for it when the class is made, and the class's dict comes later."""

    class Dying:
        def __init__(self, log):
            self.log = log

        def __del__(self):
            self.log.append("died")

    log = []
    travel(Dying)(log)
    gc.collect()
    gc.collect()
    assert log == ["died"]
