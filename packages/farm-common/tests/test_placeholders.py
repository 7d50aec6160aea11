"""What is not here passes through: state, sharing, containers, and a clear error for the rest."""

import contextlib
import copy
import importlib.machinery
import platform
import sys
import types

import pytest

from farm_common.shipping import pack, rebuild_classes, unpack
from farm_common.shipping.placeholders import (
    Placeholder,
    PlaceholderUnpickler,
    placeholder_class,
    placeholder_of,
)

SHAPES = """
import collections, dataclasses, enum

class Square:
    def __init__(self, side):
        self.side = side
    def area(self):
        return self.side ** 2
    class Corner:
        pass

class Slots:
    __slots__ = ("a", "b", "c")

class Both(Slots):
    pass

class Numbers(list):
    pass

class Table(dict):
    pass

class Ordered(collections.OrderedDict):
    pass

class Default(collections.defaultdict):
    pass

class Color(enum.Enum):
    RED = 1
    GREEN = 2

class Mode(enum.Flag):
    READ = 1
    WRITE = 2

class Count(int):
    pass

class Row(collections.namedtuple("Row", "a b")):
    __slots__ = ()

class Fixed:
    def __new__(cls, a, *, k):
        made = object.__new__(cls)
        made.key = (a, k)
        return made
    def __getnewargs_ex__(self):
        return (self.key[0],), {"k": self.key[1]}

class Opaque:
    def __init__(self, x):
        self.x = x
    def __getstate__(self):
        return ["state", self.x]
    def __setstate__(self, state):
        self.x = state[1]

class Restored:
    def __init__(self, x):
        self.x = x
    def __getstate__(self):
        return {"x": self.x}
    def __setstate__(self, state):
        self.__dict__.update(state, restored=True)

class Made:
    def __init__(self, x):
        self.x = x
    def __reduce__(self):
        return make, (self.x,), {"extra": 1}

def make(x):
    return Made(x)

@dataclasses.dataclass(frozen=True)
class Frozen:
    a: int
    b: str = "b"

class Key:
    def __init__(self, key):
        self.key = key
    def __eq__(self, other):
        return type(other) is Key and self.key == other.key
    def __hash__(self):
        return hash(self.key)

class Trouble(ValueError):
    def __init__(self, text, code):
        super().__init__(text)
        self.code = code
"""


@pytest.fixture
def shapes():
    """A module that exists at the client only, and a way to be there or at the worker."""
    module = types.ModuleType("shapes")
    module.__spec__ = importlib.machinery.ModuleSpec("shapes", None)
    sys.modules["shapes"] = module
    exec(SHAPES, vars(module))
    yield module
    del sys.modules["shapes"]


@contextlib.contextmanager
def at_worker():
    """The module is not here meanwhile."""
    module = sys.modules.pop("shapes")
    rebuild_classes.table.at_worker = True
    try:
        yield
    finally:
        rebuild_classes.table.at_worker = False
        sys.modules["shapes"] = module


@pytest.fixture
def run(shapes):
    """Sends a value to where its class is not, has a task use it there, and takes the result."""

    def run_(value, task=lambda value: value):
        sent = pack(value, 5, "the argument", bytecode=False)
        with at_worker():
            result = task(unpack(sent.body, sent.buffers))
            come = pack(result, 5, "the result", bytecode=False)
        return unpack(come.body, come.buffers)

    return run_


def with_side(square):
    square.side += 1
    square.note = "new"
    return square


def test_state_comes_back(run, shapes):
    """And attributes that the task changed and added."""
    square = run(shapes.Square(3), with_side)
    assert type(square) is shapes.Square
    assert vars(square) == {"side": 4, "note": "new"}
    assert square.area() == 16


def test_sharing(run, shapes):
    """The same object twice is the same object twice, also in a circle."""
    square = shapes.Square(1)
    square.me = square
    here, there, nested = run([square, square, {"key": (square,)}])
    assert type(here) is shapes.Square
    assert here is there is nested["key"][0] is here.me


def test_a_class_inside_a_class(run, shapes):
    """Has a dotted name."""
    assert type(run(shapes.Square.Corner())) is shapes.Square.Corner


def slotted(value):
    value.b = value.a + 1
    return value


def test_slots(run, shapes):
    """Those that were set, and those that the task sets; others stay empty."""
    value = shapes.Slots()
    value.a = 1
    come = run(value, slotted)
    assert (come.a, come.b, hasattr(come, "c")) == (1, 2, False)


def test_slots_and_a_dict(run, shapes):
    """Each attribute is what it was."""
    value = shapes.Both()
    value.a, value.z = 1, 2
    come = run(value, slotted)
    assert (come.a, come.b) == (1, 2)
    assert vars(come) == {"z": 2}


def use_list(numbers):
    numbers.append(3)
    numbers.extend([4, 5])
    numbers[0] = 9
    del numbers[1]
    assert list(numbers) == [9, 3, 4, 5]
    assert (len(numbers), 4 in numbers, numbers.index(4), numbers[-1]) == (4, True, 2, 5)
    assert list(reversed(numbers)) == [5, 4, 3, 9]
    return numbers


def test_a_list(run, shapes):
    """A subclass of list is used as a list."""
    come = run(shapes.Numbers([1, 2]), use_list)
    assert type(come) is shapes.Numbers
    assert come == [9, 3, 4, 5]


def use_dict(table):
    table["b"] = 2
    assert list(table) == ["a", "b"]
    assert (table.get("a"), table["b"], "c" in table, len(table)) == (1, 2, False, 2)
    table.update(c=3)
    del table["a"]
    return table


@pytest.mark.parametrize("name", ["Table", "Ordered"])
def test_a_dict(run, shapes, name):
    """A subclass of dict is used as a dict."""
    come = run(getattr(shapes, name)(a=1), use_dict)
    assert type(come) is getattr(shapes, name)
    assert dict(come) == {"b": 2, "c": 3}


def test_a_dict_with_a_factory(run, shapes):
    """What its class is called with comes back, too."""
    come = run(shapes.Default(list, a=1), use_dict)
    assert come.default_factory is list
    assert come["new"] == []


def test_an_empty_list(run, shapes):
    """Nothing shows that it is one; what is appended to it arrives."""
    come = run(shapes.Numbers(), lambda numbers: (numbers.append(1), numbers)[1])
    assert come == [1]


def test_enumerations(run, shapes):
    """Members are equal, have a hash, and come back as themselves; so does the class."""

    def task(values):
        red, again, mode, kind = values
        assert red == again
        assert {red: 1}[again] == 1
        assert isinstance(red, kind)
        return {red: mode, "class": kind}

    come = run([shapes.Color.RED, shapes.Color(1), shapes.Mode.READ | shapes.Mode.WRITE,
                shapes.Color], task)  # fmt: skip
    assert come == {shapes.Color.RED: shapes.Mode(3), "class": shapes.Color}


def test_members_of_two_messages_are_equal(run, shapes):
    """Two pickles of one member bring what is equal; of two members, what is not."""
    packed = [pack(color, 5, "it").body for color in (*[shapes.Color.RED] * 2, shapes.Color.GREEN)]
    with at_worker():
        red, again, green = map(unpack, packed)
        assert red == again != green
        assert len({red, again, green}) == 2
        assert red != 1


def test_keys_of_dicts(run, shapes):
    """Objects with a state are keys by identity there, and by what their class says here."""
    come = run({shapes.Key("a"): 1}, lambda table: (table[next(iter(table))], table))
    assert come == (1, {shapes.Key("a"): 1})


def test_values_made_of_arguments(run, shapes):
    """Numbers, named tuples, and objects whose ``__new__`` takes arguments."""
    count, row, fixed = run([shapes.Count(5), shapes.Row(1, "x"), shapes.Fixed(1, k=2)])
    assert type(count) is shapes.Count
    assert count == 5
    assert row == shapes.Row(1, "x")
    assert fixed.key == (1, 2)


def test_objects_with_a_state_of_their_own(run, shapes):
    """What ``__getstate__`` gave reaches ``__setstate__``, then what the task added."""

    def task(values):
        for value in values:
            value.note = "new"
        return values

    opaque, restored = run([shapes.Opaque(3), shapes.Restored(4)], task)
    assert vars(opaque) == {"x": 3, "note": "new"}
    assert vars(restored) == {"x": 4, "note": "new", "restored": True}
    assert run(shapes.Opaque(3)).x == 3


def test_an_object_that_a_function_makes(run, shapes):
    """The function is not there either; it makes the object here."""
    made = run(shapes.Made(3))
    assert type(made) is shapes.Made
    assert vars(made) == {"x": 3, "extra": 1}


def test_a_frozen_data_class(run, shapes):
    """Is given its state though it cannot be changed."""
    assert run(shapes.Frozen(1)) == shapes.Frozen(1)


def test_an_exception(run, shapes):
    """As a value: its arguments and attributes can be read, and it comes back."""

    def task(trouble):
        assert (trouble.args, trouble.code) == (("text",), 7)
        trouble.note = "seen"
        return trouble

    trouble = run(shapes.Trouble("text", 7), task)
    assert type(trouble) is shapes.Trouble
    assert (trouble.args, trouble.code, trouble.note) == (("text",), 7, "seen")


def test_names(run, shapes):
    """Classes, functions, methods and members travel though they cannot be used there."""
    square = shapes.Square(3)
    names = [shapes.Square, shapes.make, square.area, shapes.Square.Corner]
    come = run(names)
    assert come[:2] == names[:2]
    assert come[2]() == 9
    assert come[3] is shapes.Square.Corner


HERE = f"{platform.python_implementation()} {platform.python_version()} on {platform.node()}"


@pytest.mark.parametrize(
    ("task", "kind", "what"),
    [
        (
            lambda square: square.area(),
            AttributeError,
            "it has no attribute 'area', and its methods cannot run here",
        ),
        (lambda square: type(square)(3), TypeError, "it cannot be called here"),
        (lambda square: type(square).unit, AttributeError, "it has no unit here"),
        (lambda square: list(type(square)), TypeError, "it cannot be iterated over here"),
        (lambda square: square(), TypeError, "its methods cannot run here"),
        (lambda square: square + 1, TypeError, "its methods cannot run here"),
        (lambda square: square < square, TypeError, "its methods cannot run here"),
        (len, TypeError, "its methods cannot run here"),
        (list, TypeError, "its methods cannot run here"),
        (lambda square: square[0], TypeError, "its methods cannot run here"),
    ],
)
def test_what_it_cannot_do(run, shapes, task, kind, what):
    """Says which class of which module it is, where, and what to do."""
    with pytest.raises(kind) as caught:
        run(shapes.Square(3), task)
    assert str(caught.value) == (
        f"class shapes.Square exists only at the client: {what} (at the server, {HERE}: No module "
        f"named 'shapes'); install shapes there, or send what the task needs of it"
    )


def test_a_method_that_travelled(run, shapes):
    """Says so when it is called."""
    with pytest.raises(TypeError, match=r"class shapes\.Square exists only at the client"):
        run(shapes.Square(3).area, lambda area: area())


def test_what_others_ask_of_it(run, shapes):
    """It is true, has no special attributes, equals itself only, and shows what it holds."""

    def task(square):
        assert square
        assert not hasattr(square, "area")
        assert not hasattr(square, "__array__")
        assert not hasattr(type(square), "__fspath__")
        assert square == square
        assert square != copy.copy(square)
        assert {square: 1}[square] == 1
        assert repr(square) == "<stands in for shapes.Square(side=3)>"
        return True

    assert run(shapes.Square(3), task)


def test_copies(run, shapes):
    """Are independent, and come back as instances of the class."""

    def task(square):
        shallow, deep = copy.copy(square), copy.deepcopy(square)
        deep.side.append(2)
        shallow.note = 1
        return [square, shallow, deep]

    square, shallow, deep = run(shapes.Square([1]), task)
    assert vars(square) == {"side": [1]}
    assert shallow.side is square.side
    assert shallow.note == 1
    assert deep.side == [1, 2]
    assert {type(one) for one in (square, shallow, deep)} == {shapes.Square}


def test_there_is_one_class_for_a_name(shapes):
    """In a process, for ever; and it knows what it stands for."""
    cls = placeholder_class("shapes", "Square")
    assert placeholder_class("shapes", "Square") is cls
    assert placeholder_of(cls) == placeholder_of(cls.__new__(cls)) == ("shapes", "Square")
    assert placeholder_of(shapes.Square) is None
    assert placeholder_of(3) is None
    assert placeholder_of(Placeholder) is None


def test_what_is_here_is_not_stood_in_for(shapes):
    """Nor is what another version calls otherwise."""
    body = b"cpathlib._local\nPath\n."
    assert unpack(body) is __import__("pathlib").Path
    assert unpack(pack(shapes.Square, 5, "it").body) is shapes.Square


def test_a_module_that_fails(shapes, tmp_path, monkeypatch):
    """What it misses itself is what is told, instead of standing in for its classes."""
    (tmp_path / "broken_shapes.py").write_text("import missing_of_shapes\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    body = b"cbroken_shapes\nSquare\n."
    with pytest.raises(ModuleNotFoundError, match="missing_of_shapes"):
        unpack(body)


def test_farms_own_names(shapes):
    """A name of a later release is an error, which says it, and no class of the user's."""
    body = b"cfarm_common.shipping\nlater\n."
    with pytest.raises(AttributeError, match="later"):
        unpack(body)


def test_an_unpickler_that_fails(shapes):
    """Leaves classes as they are: only from a pickle are instances made."""
    cls = placeholder_class("shapes", "Circle")
    with pytest.raises(EOFError):
        PlaceholderUnpickler(__import__("io").BytesIO(b"")).load()
    with pytest.raises(TypeError, match="exists only at the server: it cannot be called here"):
        cls()
