"""Functions and what they capture, as bytecode and as source."""

import contextlib
import functools
import os.path
import sys
import types

import pytest

from farm_common.errors import SerializationError
from farm_common.shipping import Capture, load_function, pack, ship_function, unpack
from farm_common.shipping.importable import ship_by_value

PROTOCOL = 5

SCALE = 3


@pytest.fixture(params=["bytecode", "source"])
def travel(request):
    """Has a value travel, and come out as the other side sees it."""

    def go(value):
        parcel = pack(value, PROTOCOL, "it", request.param == "bytecode")
        return unpack(parcel.body, parcel.buffers)

    go.bytecode = request.param == "bytecode"
    return go


@pytest.fixture(autouse=True, scope="module")
def by_value():
    """What this module defines travels by value, as that of a script does."""
    ship_by_value(__name__)


def scaled(x):
    return x * SCALE


def twice(x):
    return scaled(scaled(x))


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and even(n - 1)


def test_globals_go_along(travel):
    """By name, those of the functions that it calls included; and nothing else."""
    function = travel(twice)
    assert function(2) == 18
    assert function is not twice
    assert set(function.__globals__) - {"__builtins__", "__name__", "__package__"} == {
        "scaled",
        "SCALE",
    }


def test_mutual_recursion(travel):
    """Two functions that call one another are two there, too."""
    assert travel(even)(10) is True
    assert travel([odd, even])[0](7) is True


def test_one_namespace(travel):
    """Functions of one module share its globals there, also what they assign."""
    space = {"__name__": "__main__"}
    source = "def put(x):\n    global kept\n    kept = x\ndef get():\n    return kept\nkept = 0\n"
    if not travel.bytecode:
        pytest.skip("made by exec, so without source")
    exec(source, space)
    put, get = travel((space["put"], space["get"]))
    put(5)
    assert get() == 5
    assert space["kept"] == 0


def counter():
    n = 0

    def add():
        nonlocal n
        n += 1
        return n

    def read():
        return n

    return add, read


def test_shared_cells_stay_shared(travel):
    """Two closures over one variable see what the other assigns."""
    add, read = travel(counter())
    add()
    add()
    assert read() == 2


def test_a_closure_over_itself(travel):
    """A local function that calls itself."""

    def factorial(n):
        return 1 if n < 2 else n * factorial(n - 1)

    assert travel(factorial)(5) == 120


def test_a_cell_alone(travel):
    """A cell keeps its content, and is the one that a function closes over."""
    add, _ = counter()
    cell = add.__closure__[0]
    cell_there, add_there = travel([cell, add])
    assert add_there() == 1
    assert cell_there.cell_contents == 1


def test_a_cell_that_is_empty(travel):
    """A variable that is assigned later is not, there either."""

    def outer():
        def inner():
            return later

        yield inner
        later = 1
        yield inner

    function = travel(next(outer()))
    with pytest.raises(NameError):
        function()


def test_attributes(travel):
    """Defaults, keyword defaults, annotations, names, the doc, and what the user put there."""

    def function(x, y=[1], *, z: int = 2) -> "str":  # noqa: B006
        """Doc."""
        return (x, y, z)

    function.mode = {"a": 1}
    function.__name__ = "renamed"
    there = travel(function)
    assert there(1) == (1, [1], 2)
    assert there.mode == {"a": 1}
    assert there.__name__ == "renamed"
    assert there.__qualname__ == function.__qualname__
    assert there.__module__ == __name__
    assert there.__doc__ == "Doc."
    assert there.__annotations__ == {"z": int, "return": "str"}


def test_wrappers(travel):
    """A decorated function goes as its chain of wrappers."""

    def loud(function):
        @functools.wraps(function)
        def wrapper(*args):
            return ("loud", function(*args))

        return wrapper

    @loud
    def quiet(x):
        return x

    there = travel(quiet)
    assert there(1) == ("loud", 1)
    assert there.__wrapped__(1) == 1
    assert there.__name__ == "quiet"


def test_modules_as_globals(travel):
    """As their names; and a submodule that is reached as an attribute is imported there."""
    import xml.dom.minidom

    def parse(text):
        return xml.dom.minidom.parseString(text).documentElement.tagName

    assert travel(parse)("<a/>") == "a"
    parcel = pack(parse, PROTOCOL, "it", travel.bytecode)
    assert b"xml.dom.minidom" in parcel.body
    assert travel(os.path) is os.path


def test_a_module_made_by_hand(travel):
    """With all that is in it."""
    module = types.ModuleType("made", "By hand.")
    module.answer = 42
    there = travel(module)
    assert there is not module
    assert (there.__name__, there.__doc__, there.answer) == ("made", "By hand.", 42)


def test_the_script_itself():
    """Cannot travel; the error says what to do instead."""
    with pytest.raises(SerializationError, match="__main__ cannot travel: refer to what you need"):
        pack(sys.modules["__main__"], PROTOCOL, "it")


def test_methods(travel):
    """Bound to their objects, also under a name that the object does not have."""

    class Thing:
        def __init__(self):
            self.x = 2

        def get(self):
            return self.x

        def secret(self):
            return self.__hidden

        def __hidden(self):
            return self.x + 1

    thing = Thing()
    assert travel(thing.get)() == 2
    assert travel(thing.secret())() == 3
    assert travel(types.MethodType(lambda self: self.x * 5, thing))() == 10


def test_code_alone():
    """Only between equal interpreters: source is found by the function."""
    code = scaled.__code__
    parcel = pack(code, PROTOCOL, "it")
    assert parcel.bytecode
    assert unpack(parcel.body).co_name == "scaled"
    with pytest.raises(SerializationError, match="a code object \\(scaled\\) travels only between"):
        pack(code, PROTOCOL, "it", False)


def test_no_source():
    """The error names the function and the ways out."""
    space = {"__name__": "__main__"}
    exec("def made(x):\n    return x\n", space)
    with pytest.raises(SerializationError, match="made"):
        ship_function(space["made"], PROTOCOL, False)
    shipped = ship_function(space["made"], PROTOCOL)
    assert shipped.bytecode
    assert load_function(shipped.body)(1) == 1


def test_equal_functions_are_sent_once(travel):
    """The content id of an unchanged function stays, and that of a changed one does not."""
    n = 1

    def function():
        return n

    first = ship_function(function, PROTOCOL, travel.bytecode)
    assert ship_function(function, PROTOCOL, travel.bytecode).ident == first.ident
    n = 2
    assert ship_function(function, PROTOCOL, travel.bytecode).ident != first.ident


def test_a_context_manager_as_a_decorator(travel):
    """What it decorates keeps one that was not entered; one that was cannot travel."""
    log = []

    @contextlib.contextmanager
    def logged(name):
        log.append(f"before {name}")
        yield
        log.append("after")

    @logged("it")
    def function():
        log.append("inside")
        return list(log)

    assert travel(function)() == ["before it", "inside"]
    entered = logged("other")
    with entered, pytest.raises(SerializationError, match="send its function"):
        pack(entered, PROTOCOL, "it")


def test_a_captured_builtin(travel):
    """Those of PyPy are functions like others, but for their code."""
    upper, size = str.upper, len
    assert travel(lambda: upper("a") * size("ab"))() == "AA"
    assert Capture(lambda: size).stable

    def function():
        return upper

    assert Capture(function).current()


def test_modules_by_value(travel, tmp_path, monkeypatch):
    """Functions bring what they name of a package that the other side has not, and no more."""
    package = tmp_path / "sent_package"
    package.mkdir()
    (package / "__init__.py").write_text("from . import inner\nLIMIT = 5\nlock = open(__file__)\n")
    under = "import sent_package\ndef under(x):\n    return x < sent_package.LIMIT\n"
    (package / "inner.py").write_text(under)
    monkeypatch.syspath_prepend(str(tmp_path))
    import sent_package

    sent_package.lock.close()
    ship_by_value("sent_package")

    def function(x):
        return sent_package.inner.under(x), sent_package.LIMIT

    there = travel(function)
    monkeypatch.delitem(sys.modules, "sent_package")
    monkeypatch.delitem(sys.modules, "sent_package.inner")
    assert there(4) == (True, 5)
    module = there.__closure__[0].cell_contents
    assert module is not sent_package
    assert not hasattr(module, "lock")
    assert travel(sent_package).__name__ == "sent_package"
