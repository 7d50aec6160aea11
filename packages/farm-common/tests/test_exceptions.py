"""Errors become bytes and come back: the text always, the exceptions where their classes are."""

import asyncio
import builtins
import concurrent.futures
import copy
import dataclasses
import json
import pickle
import queue
import subprocess
import sys
import threading
import traceback
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm_common.errors import ProtocolError, SerializationError, TaskExecutionError
from farm_common.shipping import (
    Shared,
    pack,
    pack_exception,
    rebuild_exceptions,
    unpack,
    unpack_exception,
)
from farm_common.shipping.exceptions import fresh, reduce_traceback
from farm_common.shipping.rebuild_classes import table

PROTOCOL = 5

GROUPS = hasattr(builtins, "ExceptionGroup")
needs_groups = pytest.mark.skipif(not GROUPS, reason="ExceptionGroup came with 3.11")


def parts(body):
    """The text and the pickle of an ERROR frame's body."""
    length = int.from_bytes(body[:4], "big")
    return json.loads(body[4 : 4 + length]), body[4 + length :]


def joined(text, pickled):
    """The body of an ERROR frame."""
    encoded = json.dumps(text).encode()
    return len(encoded).to_bytes(4, "big") + encoded + pickled


def sent(error, **options):
    """What the client gets when a task raises: report, description and exception."""
    body, _ = pack_exception(error, PROTOCOL, **options)
    return unpack_exception(body, load=True)


def raised(error):
    """The exception as a task raised it."""
    return sent(error)[2]


def returned(value):
    """The value as the other side has it."""
    parcel = pack(value, PROTOCOL, "it")
    return unpack(parcel.body, [bytearray(buffer) for buffer in parcel.buffers])


def caught(function, *args):
    """What a call raises."""
    try:
        function(*args)
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


def printed(error):
    """What Python prints for an exception."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def chain(*errors):
    """The first of some exceptions, each caused by the next."""
    for error, cause in zip(errors, errors[1:]):
        error.__cause__ = cause
    return errors[0]


class Unsendable:
    """What no interpreter can pickle: some can do it with locks, generators and files."""

    def __getstate__(self):
        raise TypeError("cannot pickle it")

    def __repr__(self):
        return "<Unsendable>"


LOCK = Unsendable()


# exceptions of all sorts


class KeywordOnly(Exception):
    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.code = code


class Failing(Exception):
    def __init__(self):
        raise RuntimeError


class TwoArguments(Exception):
    def __init__(self, one, two):
        super().__init__(one)
        self.two = two


class Lying(Exception):
    def __reduce__(self):
        return str, ("no exception",)


class Refusing(Exception):
    def __reduce_ex__(self, protocol):
        raise SystemExit

    __getstate__ = __reduce_ex__


class Mute(Exception):
    def __str__(self):
        raise KeyboardInterrupt

    __repr__ = __str__


@dataclasses.dataclass
class Record(Exception):
    number: int
    items: list


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    number: int


class Several(KeyError, OSError):
    pass


class Slotted(ValueError):
    __slots__ = ("__private", "x")

    def __init__(self):
        self.x, self.__private = 1, 2

    @property
    def private(self):
        return self.__private


class OwnNew(Exception):
    def __new__(cls, *, needed):
        return super().__new__(cls, needed)

    def __init__(self, *, needed):
        self.needed = needed


class Shadowing(Exception):
    args = property(lambda self: ("shadow",))
    __traceback__ = None


class Outer:
    class Inner(ValueError):
        pass


class Quiet(BaseException):
    pass


def made_without_init(cls):
    return cls.__new__(cls)


SORTS = [
    ValueError(),
    ValueError("text", 1, None, 2.5, b"bytes", True),
    ValueError([1, {"a": (2, 3)}]),
    KeyError("k"),
    StopIteration(5),
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    MemoryError("none left"),
    OSError(2, "no such", "/f"),
    FileNotFoundError(2, "no such", "/f", None, "/g"),
    OSError("one argument"),
    BlockingIOError(11, "busy", 5),
    ImportError("m", name="n", path="p"),
    ModuleNotFoundError("No module named 'x'", name="x"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    UnicodeEncodeError("utf-8", "\udcff", 0, 1, "bad"),
    UnicodeTranslateError("\udcff", 0, 1, "bad"),
    SyntaxError("bad", ("f.py", 3, 1, "a b\n")),
    caught(compile, "  a b\n c", "f.py", "exec"),
    caught(eval, "nowhere"),
    caught(eval, "(1).nowhere"),
    caught(eval, "__import__('nowhere_at_all')"),
    caught(open, "/nowhere/at/all"),
    caught([].pop),
    json.JSONDecodeError("no", "{", 1),
    subprocess.CalledProcessError(1, ["cmd"], b"out"),
    asyncio.TimeoutError("late"),
    concurrent.futures.TimeoutError("late"),
    concurrent.futures.CancelledError(),
    asyncio.IncompleteReadError(b"par", 7),
    queue.Empty(),
    SerializationError("no"),
    TaskExecutionError("r", "d", "w"),
    KeywordOnly(code=3),
    made_without_init(Failing),
    TwoArguments(1, 2),
    Lying("a"),
    Refusing("a"),
    Record(1, [2]),
    Frozen(1),
    Several(2, "no such", "/f"),
    Slotted(),
    OwnNew(needed=3),
    Outer.Inner("x"),
    Quiet("x"),
]


def same(one, other):
    """Whether two exceptions look the same from outside."""
    fields = ("errno", "strerror", "filename", "filename2", "characters_written", "value", "code")
    fields += ("msg", "name", "path", "lineno", "offset", "text", "encoding", "object", "start")
    fields += ("end", "reason", "end_lineno", "end_offset", "x", "private", "obj")
    return (
        type(one) is type(other)
        and BaseException.args.__get__(one) == BaseException.args.__get__(other)
        and str(one) == str(other)
        and vars(one) == vars(other)
        and [getattr(one, name, "-") for name in fields]
        == [getattr(other, name, "-") for name in fields]
    )


@pytest.mark.parametrize("error", SORTS, ids=lambda error: type(error).__name__)
def test_what_a_task_raised(error):
    """Comes back as it was, whatever its constructor wants and its own ways to travel do."""
    assert same(raised(error), error)


@pytest.mark.parametrize("error", SORTS, ids=lambda error: type(error).__name__)
def test_what_a_task_returned(error):
    """The same."""
    back = returned({"errors": [error, error]})["errors"]
    assert same(back[0], error)
    assert back[0] is back[1]


def test_an_exception_without_words():
    """Its text is missing, not itself."""
    report, description, error = sent(Mute("a"))
    assert report == "Mute (its text could not be made: KeyboardInterrupt)"
    assert "Mute" in description
    assert type(error) is Mute
    assert error.args == ("a",)
    assert type(returned(Mute("a"))) is Mute


def test_a_name_that_means_something_else():
    """A class may have a property ``args``."""
    error = Shadowing("real")
    for back in (raised(error), returned(error)):
        assert BaseException.args.__get__(back) == ("real",)


def test_loading_may_be_forbidden():
    """The text is there."""
    body, _ = pack_exception(ValueError("x"), PROTOCOL)
    report, description, error = unpack_exception(body, load=False)
    assert (report, description, error) == ("ValueError: x", "ValueError: x\n", None)


# what they hold


def test_what_cannot_travel():
    """Only that becomes its repr; the rest is as it was."""
    error = ValueError(LOCK, 1)
    error.lock, error.items, error.fine = LOCK, [LOCK], {"a": [1]}
    for back in (raised(error), returned(error)):
        assert back.args == ("<Unsendable>", 1)
        assert vars(back) == {
            "lock": "<Unsendable>",
            "items": "[<Unsendable>]",
            "fine": {"a": [1]},
        }


class Evil:
    def __reduce__(self):
        raise SystemExit

    __repr__ = __reduce__


def test_what_ends_the_program_when_it_is_pickled():
    """Is a repr, too, if only of its type."""
    error = ValueError(Evil())
    assert raised(error).args == ("<Evil>",)


def test_a_shared_value():
    """Has no way back inside of an error."""
    error = ValueError()
    error.shared = Shared([1])
    assert isinstance(raised(error).shared, str)


def test_large_buffers():
    """Travel, and are writable."""
    error = ValueError()
    error.data = bytearray(b"x" * 100_000)
    assert raised(error).data == error.data
    error.data = pickle.PickleBuffer(bytearray(100_000))
    assert len(bytes(raised(error).data)) == 100_000


def test_functions_and_classes():
    """By name."""
    error = ValueError(printed, Outer.Inner)
    assert raised(error).args == (printed, Outer.Inner)


def test_the_object_of_an_attribute_error():
    """May be the user's whole data: it comes only where it weighs nothing."""
    heavy = caught(lambda: [1].nowhere)
    light = caught(lambda: json.nowhere)
    if hasattr(AttributeError, "name"):
        assert (raised(heavy).name, raised(heavy).obj) == ("nowhere", None)
        assert raised(light).obj is light.obj  # which is the module, but on PyPy
    assert str(raised(heavy)) == str(heavy)


def test_exceptions_inside_of_exceptions():
    """Attributes that are causes stay the same objects, also in circles."""
    error, cause = ValueError(), KeyError("k")
    error.__cause__ = cause
    error.orig, error.me, cause.effect = cause, error, error
    for back in (raised(error), returned(error)):
        assert back.orig is back.__cause__
        assert back.me is back
        assert back.__cause__.effect is back


# classes


def renamed(error, module, qualname):
    """The exception as from a server where its class has another name."""
    body, _ = pack_exception(error, PROTOCOL)
    text, pickled = parts(body)
    text["chain"][0]["class"] = [module, qualname]
    return unpack_exception(joined(text, pickled), load=True)[2]


@pytest.mark.parametrize(
    ("module", "qualname"),
    [
        ("nowhere_at_all", "Error"),
        ("json", "Nothing"),
        ("json.decoder", "JSONDecoder"),
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "ValueError.mro"),
        ("", ""),
        (__name__, "Outer"),
        (__name__, "Outer.Nothing"),
        ("__main__", "Nothing"),
        ("not a module", "x"),
        (1, 2),
        (None, None),
        ([], {}),
    ],
)
def test_what_is_no_exception_class_here(module, qualname):
    """Then there is no exception, and nothing takes its place."""
    assert renamed(ValueError("x"), module, qualname) is None


@pytest.mark.parametrize(
    ("module", "qualname", "cls"),
    [
        ("builtins", "KeyError", KeyError),
        ("asyncio.exceptions", "TimeoutError", asyncio.TimeoutError),
        ("queue", "Empty", queue.Empty),
        (__name__, "Outer.Inner", Outer.Inner),
    ],
)
def test_what_is_found_here(module, qualname, cls):
    """By the name that it has there."""
    assert type(renamed(ValueError("x"), module, qualname)) is cls


def test_classes_are_not_imported(tmp_path, monkeypatch):
    """A module that could be imported is not, but for some of the standard library."""
    (tmp_path / "side_effect.py").write_text("class Error(Exception): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert renamed(ValueError("x"), "side_effect", "Error") is None
    assert "side_effect" not in sys.modules
    monkeypatch.delitem(sys.modules, "netrc", raising=False)
    error = renamed(ValueError("x"), "netrc", "NetrcParseError")
    assert type(error).__name__ == "NetrcParseError"
    for name in ("antigravity", "this", "idlelib.idle", "test.regrtest"):
        assert name not in sys.modules
        assert renamed(ValueError("x"), name, "Error") is None
        assert name not in sys.modules


def test_lazy_modules_are_left_in_peace(monkeypatch):
    """One that imports what it holds when it is asked for it is not asked."""
    asked = []
    module = types.ModuleType("lazy_module")
    module.__getattr__ = asked.append
    monkeypatch.setitem(sys.modules, "lazy_module", module)
    assert renamed(ValueError("x"), "lazy_module", "Error") is None
    assert asked == []


def test_values_of_classes_that_are_not_here(monkeypatch):
    """Become what they looked like on the server; nothing is imported for them."""
    module = types.ModuleType("there_only")
    module.__spec__ = object()
    cls = type("Thing", (), {"__module__": "there_only", "__repr__": lambda self: "<Thing>"})
    module.Thing = cls
    monkeypatch.setitem(sys.modules, "there_only", module)
    error = ValueError(cls(), 1)
    error.thing = [cls()]
    body, _ = pack_exception(error, PROTOCOL)
    monkeypatch.delitem(sys.modules, "there_only")
    _, _, back = unpack_exception(body, load=True)
    assert back.args == ("<Thing>", 1)
    assert back.thing == "[<Thing>]"


def test_a_task_that_passes_on_what_it_does_not_know(monkeypatch):
    """An exception whose class the server lacks is stood in for, and is itself again here."""
    module = types.ModuleType("here_only")
    module.__spec__ = object()
    module.Error = type("Error", (TwoArguments,), {"__module__": "here_only"})
    monkeypatch.setitem(sys.modules, "here_only", module)
    error = chain(module.Error("one", "two"), KeyError("k"))
    parcel = pack([error], PROTOCOL, "it")
    monkeypatch.delitem(sys.modules, "here_only")
    (there,) = unpack(parcel.body)
    assert (there.args, there.two) == (("one",), "two")
    there.two = 2
    parcel = pack([there], PROTOCOL, "it")
    monkeypatch.setitem(sys.modules, "here_only", module)
    (back,) = unpack(parcel.body)
    assert type(back) is module.Error
    assert (back.args, back.two, type(back.__cause__)) == (("one",), 2, KeyError)


def test_values_that_import(monkeypatch):
    """What would import something when it is loaded, by whatever function, does not."""

    class Importing:
        def __init__(self, *call):
            self.call = call

        def __reduce__(self):
            return self.call[0], self.call[1:]

        def __repr__(self):
            return "<Importing>"

    import importlib

    from farm_common.shipping import aliases, rebuild

    monkeypatch.delitem(sys.modules, "this", raising=False)
    for call in (
        (aliases.resolve, "this", "s"),
        (rebuild.import_module, "this"),
        (importlib.import_module, "this"),
        (__import__, "this"),
    ):
        assert raised(ValueError(Importing(*call))).args == ("<Importing>",)
        assert "this" not in sys.modules
    assert raised(ValueError(Importing(rebuild.import_module, "json"))).args == (json,)


@pytest.fixture
def worker(monkeypatch):
    """Has this process take itself for a worker."""
    monkeypatch.setattr(table, "at_worker", True)


def test_classes_of_the_client(worker):
    """A class that came by value goes back as its id, and is the client's own."""
    mine = type("Mine", (Exception,), {"__module__": "__main__"})
    table.add("0" * 31 + "a", mine)
    error = mine("x")
    body, bytecode = pack_exception(error, PROTOCOL, bytecode=False)
    assert not bytecode
    assert parts(body)[0]["chain"][0]["id"] == "0" * 31 + "a"
    assert type(unpack_exception(body, load=True)[2]) is mine


def test_classes_that_the_client_has_no_more(worker):
    """Or never had: a class of that name is not taken for it."""
    text, pickled = parts(pack_exception(ValueError("x"), PROTOCOL).body)
    text["chain"][0]["id"] = "f" * 32
    assert unpack_exception(joined(text, pickled), load=True)[2] is None


def test_local_classes():
    """A class that a function makes exists on the server only: there is the text."""

    class Local(Exception):
        pass

    report, description, error = sent(Local("x"))
    assert error is None
    assert report.endswith("Local: x")
    assert "Local: x" in description


# causes, contexts, notes


def test_causes_and_contexts():
    """With their order, and with what is not to be shown."""

    def inner():
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second")  # noqa: B904

    def outer():
        try:
            inner()
        except ValueError as error:
            raise TypeError("third") from error

    def hidden():
        try:
            inner()
        except ValueError:
            raise TypeError("third") from None

    error = caught(outer)
    for back in (raised(error), returned(error)):
        assert type(back.__cause__) is ValueError
        assert back.__context__ is back.__cause__
        assert back.__suppress_context__
        assert type(back.__cause__.__context__) is KeyError
        assert back.__cause__.__cause__ is None
        assert not back.__cause__.__suppress_context__
        assert printed(back) == printed(error)
    assert sent(error)[1] == printed(error)
    error = caught(hidden)
    for back in (raised(error), returned(error)):
        assert back.__cause__ is None
        assert type(back.__context__) is ValueError
        assert back.__suppress_context__
        assert printed(back) == printed(error)
    assert sent(error)[1] == printed(error)


def test_circles():
    """Are cut in what a task raised, and stay in what it returned."""
    one, two = ValueError("one"), KeyError("two")
    one.__context__, two.__cause__ = two, one
    back = raised(one)
    assert back.__context__.args == ("two",)
    assert back.__context__.__cause__ is None
    back = returned(one)
    assert back.__context__.__cause__ is back


def test_an_exception_that_is_there_twice():
    """Is one, and is printed once."""
    shared = KeyError("shared")
    one, two = chain(ValueError("one"), shared), chain(TypeError("two"), shared)
    two.__context__ = one
    back = raised(two)
    assert back.__cause__ is back.__context__.__cause__
    assert sent(two)[1] == printed(two) == printed(back)


def test_a_cause_whose_class_is_not_here():
    """Something of farm's own tells of it; the exception itself is the original."""

    class Local(Exception):
        pass

    local = caught(exec, "raise error", {"error": Local("what it said")})
    back = raised(chain(ValueError("x"), local, KeyError("k")))
    assert type(back) is ValueError
    assert type(back.__cause__) is TaskExecutionError
    assert str(back.__cause__).endswith("Local: what it said")
    assert back.__cause__.__traceback__ is not None
    assert type(back.__cause__.__cause__) is KeyError


def test_notes():
    """Come back on every version; what a note should not be is its repr."""
    error = ValueError("x")
    error.__notes__ = ["one", "two\nthree"]
    error.other = 1
    for back in (raised(error), returned(error)):
        assert back.__notes__ == ["one", "two\nthree"]
        assert back.other == 1
    if hasattr(error, "add_note"):
        back.add_note("more")
        assert sent(error)[1] == "ValueError: x\none\ntwo\nthree\n"
    error.__notes__ = ["one", LOCK]
    assert raised(error).__notes__ == ["one", "<Unsendable>"]
    error.__notes__ = "no list"
    assert raised(error).__notes__ == "no list"


# groups


@needs_groups
def test_groups():
    """With message, members, their causes, tracebacks and notes, and groups inside."""

    def task():
        first = caught(eval, "1 / 0")
        first.add_note("a note")
        second = chain(KeyError("k"), first)
        inner = ExceptionGroup("inner", [OSError(2, "no such")])  # noqa: F821
        try:
            raise ExceptionGroup("outer", [first, second, inner])  # noqa: F821
        except ExceptionGroup as error:  # noqa: F821
            raise TypeError("top") from error

    error = caught(task)
    assert sent(error)[1] == printed(error)
    for back in (raised(error), returned(error)):
        group = back.__cause__
        assert type(group) is ExceptionGroup  # noqa: F821
        assert (group.message, len(group.exceptions)) == ("outer", 3)
        first, second, inner = group.exceptions
        assert first.__notes__ == ["a note"]
        assert second.__cause__ is first
        assert type(inner.exceptions[0]) is FileNotFoundError
        assert printed(back) == printed(error)


if GROUPS:

    class OwnGroup(ExceptionGroup):  # noqa: F821
        def __new__(cls, code, errors):
            self = super().__new__(cls, f"code {code}", errors)
            self.code = code
            return self

        def derive(self, errors):
            return OwnGroup(self.code, errors)


@needs_groups
def test_groups_of_other_classes():
    """One of the user's, whose constructor takes something else; one of base exceptions."""
    for back in (raised(OwnGroup(7, [ValueError(1)])), returned(OwnGroup(7, [ValueError(1)]))):
        assert type(back) is OwnGroup
        assert (back.code, back.message) == (7, "code 7")
        assert back.split(ValueError)[0].exceptions == back.exceptions
    group = BaseExceptionGroup("b", [KeyboardInterrupt()])  # noqa: F821
    assert type(raised(group)) is BaseExceptionGroup  # noqa: F821
    assert type(returned(group).exceptions[0]) is KeyboardInterrupt


@needs_groups
def test_a_group_in_a_circle():
    """Who raises a member while handling the group makes one."""

    def task():
        try:
            raise ExceptionGroup("g", [ValueError(1), KeyError(2)])  # noqa: F821
        except ExceptionGroup as group:  # noqa: F821
            raise group.exceptions[0]  # noqa: B904

    error = caught(task)
    for back in (raised(error), returned(error)):
        assert type(back.__context__.exceptions[1]) is KeyError
    for group in (raised(error.__context__), returned(error.__context__)):
        assert [type(member) for member in group.exceptions] == [ValueError, KeyError]


@needs_groups
def test_a_group_of_many():
    """Some of them, and how many there were besides."""
    group = ExceptionGroup("g", [ValueError(number) for number in range(1000)])  # noqa: F821
    back = raised(group)
    assert len(back.exceptions) == 100
    assert back.exceptions[98].args == (98,)
    assert str(back.exceptions[99]) == "901 more exceptions"
    assert len(returned(group).exceptions) == 1000


@needs_groups
def test_a_group_with_a_member_whose_class_is_not_here():
    """That is told of by something of farm's own; ``except*`` finds the others."""

    class Local(Exception):
        pass

    back = raised(ExceptionGroup("g", [Local("x"), ValueError("y")]))  # noqa: F821
    assert type(back.exceptions[0]) is TaskExecutionError
    assert back.split(ValueError)[0].exceptions == back.exceptions[1:]


def group_body():
    """What a server with groups sends."""
    records = [
        {"class": ["builtins", "ExceptionGroup"], "text": "ExceptionGroup: g", "members": [1, 2]},
        {"class": ["builtins", "ValueError"], "text": "ValueError: 1"},
        {"class": ["builtins", "KeyError"], "text": "KeyError: 'k'"},
    ]
    records[1]["frames"] = [["/srv/x.py", 3, "f", "    raise ValueError(1)", 1]]
    entries = [{"message": "g", "args": ()}, {"args": (1,)}, {"args": ("k",)}]
    text = {"report": "r", "description": "d", "chain": records}
    return joined(text, pickle.dumps(entries, PROTOCOL))


def test_a_group_at_a_client_without_groups():
    """Has message and members, and its text shows them."""
    _, _, back = unpack_exception(group_body(), load=True)
    assert back.message == "g"
    assert [type(error) for error in back.exceptions] == [ValueError, KeyError]
    assert isinstance(back, Exception)
    assert type(back).__name__ == "ExceptionGroup"
    assert str(back).startswith("g (2 sub-exceptions)")
    text = printed(back)
    assert '  File "/srv/x.py", line 3, in f\n' in text
    assert "ValueError: 1" in text
    assert "KeyError: 'k'" in text
    assert type(returned(back)) is type(back)
    assert raised(back).exceptions[0].args == (1,)
    assert parts(pack_exception(back, PROTOCOL).body)[0]["chain"][0]["class"] == [
        "builtins",
        "ExceptionGroup",
    ]


def test_stand_ins_for_groups(monkeypatch):
    """Where there are none, those of the package exceptiongroup are taken if it is in use."""
    monkeypatch.setattr(rebuild_exceptions, "builtins", types.ModuleType("builtins"))
    monkeypatch.delitem(sys.modules, "exceptiongroup", raising=False)
    _, _, back = unpack_exception(group_body(), load=True)
    assert type(back) is rebuild_exceptions.ExceptionGroup
    assert issubclass(rebuild_exceptions.ExceptionGroup, rebuild_exceptions.BaseExceptionGroup)
    text = str(back)
    assert text.startswith("g (2 sub-exceptions)\n  +---------------- 1 ----------------\n")
    assert '  |   File "/srv/x.py", line 3, in f' in text
    assert "  | KeyError: 'k'" in text
    assert type(raised(back)) is rebuild_exceptions.ExceptionGroup
    assert type(returned(back)) is rebuild_exceptions.ExceptionGroup
    package = types.ModuleType("exceptiongroup")
    package.ExceptionGroup = type(
        "ExceptionGroup", (rebuild_exceptions.ExceptionGroup,), {"__module__": "exceptiongroup"}
    )
    monkeypatch.setitem(sys.modules, "exceptiongroup", package)
    _, _, back = unpack_exception(group_body(), load=True)
    assert type(back) is package.ExceptionGroup
    assert type(raised(back)) is package.ExceptionGroup
    assert type(returned(back)) is package.ExceptionGroup


# tracebacks


def deep(n):
    return deep(n - 1) if n else 1 / 0


def test_tracebacks():
    """Show what ran there, from the user's first frame on; `traceback` prints the same."""
    error = caught(deep, 3)
    report, description, back = sent(error, skip=1)
    assert report == "ZeroDivisionError: division by zero"
    error = error.with_traceback(error.__traceback__.tb_next)
    assert description == printed(error)
    assert printed(back) == description
    names = [frame.name for frame in traceback.extract_tb(back.__traceback__)]
    assert names == ["deep"] * 4
    assert printed(returned(error)) == printed(error)


def test_frames_of_farm():
    """Are left out where the traceback begins; of a foreign error the last remains at least."""
    names = {"__name__": "farm_server.worker", "SerializationError": SerializationError}
    text = """
def run(task):
    return load(task)

def load(task):
    return task()

def refuse():
    raise SerializationError("no")

def fail():
    return [].nowhere
"""
    exec(text, names)
    run, load = names["run"], names["load"]

    def functions(task):
        error = caught(run, task)
        error = error.with_traceback(error.__traceback__.tb_next)  # without this module's
        back = raised(chain(KeyError("k"), error))
        found = traceback.extract_tb(back.__cause__.__traceback__)
        assert sent(error)[1].count(", in ") == len(found)
        return [frame.name for frame in found]

    assert functions(lambda: 1 / 0) == ["<lambda>"]
    assert functions(lambda: run(lambda: load(lambda: 1 / 0))) == [
        *("<lambda>", "run", "load", "<lambda>", "load", "<lambda>"),
    ]
    assert functions(names["refuse"]) == []
    assert functions(names["fail"]) == ["fail"]


def test_a_traceback_by_itself():
    """Travels, too."""
    tb = caught(deep, 1).__traceback__
    function, arguments = reduce_traceback(tb)
    assert traceback.format_tb(function(*arguments)) == traceback.format_tb(tb)


def test_a_recursion():
    """Is short on the wire and as long as it was here."""
    error = caught(deep, 100_000)
    assert type(error) is RecursionError
    body, _ = pack_exception(error, PROTOCOL)
    assert len(body) < 5000
    _, description, back = unpack_exception(body, load=True)
    assert description == printed(error) == printed(back)
    assert "[Previous line repeated" in description


# reports


@pytest.mark.parametrize(
    ("error", "report"),
    [
        (ValueError("one"), "ValueError: one"),
        (ValueError("one\ntwo\nthree"), "ValueError: one"),
        (ValueError("\n one \r\ntwo"), "ValueError: one"),
        (ValueError(), "ValueError"),
        (ValueError(" \n"), "ValueError"),
        (KeyError("k"), "KeyError: 'k'"),
        (Outer.Inner("x"), f"{__name__}.Outer.Inner: x"),
        (json.JSONDecodeError("no", "{", 1), "json.decoder.JSONDecodeError: no: line 1 column 2 "),
        (type("Own", (Exception,), {"__module__": "__main__"})("x"), "Own: x"),
        (SerializationError("it cannot be sent:\nthe reason"), "SerializationError: it cannot be "),
        (SyntaxError("bad", ("f.py", 3, 1, "a b\n")), "SyntaxError: bad (f.py, line 3)"),
    ],
)
def test_a_report_is_one_line(error, report):
    """The type, and the first line of the message; notes belong to the description."""
    error.__notes__ = ["a note", "another"]
    got, _, _ = sent(error)
    assert got.startswith(report)
    assert "\n" not in got
    assert "another" not in got
    assert len(got) < len(report) + 20


def test_a_report_is_short():
    """A long message is cut in the middle: a SerializationError has its reason at the end."""
    for error in (
        ValueError("x" * 1_000_000),
        SerializationError("it" + "\n-> y" * 999 + ": why"),
    ):
        report, _, _ = sent(error)
        assert report.startswith(type(error).__name__)
        assert len(report) <= 510
        assert " ... " in report
    assert report.endswith(": why")


# limits


def test_a_long_traceback_is_cut():
    """Its beginning and its end remain."""
    exec("def f(n):\n    return f(n - 1) + 1 if n else g(n)", names := {"g": lambda _: deep(300)})
    for number in range(40):
        exec(f"def f{number}(n):\n    return f(n)", names)
    error = caught(names["f"], 300)
    error.args = ("x" * 50_000,)
    _, description, back = sent(error)
    assert len(description) < 21_000
    assert "\n  ...\n" in description
    assert back.args == error.args


def test_ten_thousand_causes():
    """The nearest come; so they do to a pickler, which would not bear all."""
    error = chain(*(ValueError(number) for number in range(10_000)))
    body, _ = pack_exception(error, PROTOCOL)
    assert len(body) < 64 * 1024
    _, description, back = unpack_exception(body, load=True)
    assert len(description) < 21_000
    numbers = []
    one = back
    while one is not None:
        numbers += one.args
        one = one.__cause__
    assert numbers == list(range(100))
    assert returned(error).args == (0,)
    assert returned(error).__cause__ is None
    short = chain(*(ValueError(number) for number in range(50)))
    back = returned(short)
    for number in range(50):
        assert back.args == (number,)
        back = back.__cause__
    assert back is None
    while error is not None:  # or freeing them recurses
        error.__cause__, error = None, error.__cause__


def test_a_huge_message():
    """Comes whole while it fits into a frame, and else its beginning and its end."""
    assert raised(ValueError("x" * 5_000_000)).args == ("x" * 5_000_000,)
    body, _ = pack_exception(ValueError("x" * 5_000_000), PROTOCOL, limit=1 << 20)
    assert len(body) < 100_000
    (message,) = unpack_exception(body, load=True)[2].args
    assert message.startswith("'xxx")
    assert len(message) < 1000


@pytest.mark.parametrize("letter", ["x", "\0", "\U0001f600", "\udcff", '"'])
def test_small_frames(letter):
    """Every client can receive 64 KiB."""
    error = ValueError(letter * 20_000)
    error.__notes__ = [letter * 5_000] * 500
    for number in range(300):
        setattr(error, f"attribute_{number}", letter * 1000)
    error = chain(error, *(ValueError(letter * 10_000) for _ in range(20)))
    body, _ = pack_exception(error, PROTOCOL, limit=64 * 1024)
    assert len(body) <= 64 * 1024
    report, description, _ = unpack_exception(body, load=True)
    assert report.startswith("ValueError")
    assert len(description) > 1000


def test_nothing_that_fails_inside_gets_out():
    """Whatever the user's classes do, there is a text."""

    class Odd(Exception):
        __module__ = property(lambda self: 1 / 0)
        __class__ = property(lambda self: 1 / 0)

        def __getattribute__(self, name):
            raise SystemExit

    class Truth(Exception):
        def __bool__(self):
            raise SystemExit

    for error in (Odd("x"), Truth("x"), chain(ValueError("x"), Odd("y"))):
        report, description, _ = sent(error)
        assert report
        assert description


# malformed bodies


@pytest.mark.parametrize(
    "body",
    [b"", b"\0\0\0\1", b"\0\0\0\2{}", b"\xff\xff\xff\xff{}", b"\0\0\0\2[]", b"\0\0\0\4null"],
)
def test_malformed_errors(body):
    """Are a ProtocolError."""
    with pytest.raises(ProtocolError, match="malformed"):
        unpack_exception(body, load=True)


def test_a_pickle_that_is_something_else():
    """The text remains."""
    text = {"report": "r", "description": "d"}
    for pickled in (
        pickle.dumps("a string"),
        pickle.dumps(ValueError("an exception")),
        pickle.dumps([]),
        pickle.dumps([{}]),
        pickle.dumps([{"args": ((3, 4),)}]),
        pickle.dumps([{"args": ((1, 5),)}]),
        pickle.dumps([{"args": ("x",)}])[:-3],
        b"junk",
    ):
        assert unpack_exception(joined(text, pickled), load=True) == ("r", "d", None)
        text["chain"] = [{"class": ["builtins", "ValueError"]}]
        assert unpack_exception(joined(text, pickled), load=True) == ("r", "d", None)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["builtins", "ValueError"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
keys = st.sampled_from(
    ["class", "id", "text", "notes", "frames", "cause", "context", "suppress", "members", "omitted"]
)


@settings(deadline=None)  # the first examples compile
@given(st.lists(st.tuples(st.integers(0, 2), keys, anything), min_size=1, max_size=4))
def test_whatever_the_text_says(changes):
    """An exception, or none; never an error, and never without end."""
    body, _ = pack_exception(chain(ValueError("x"), KeyError("y"), OSError("z")), PROTOCOL)
    text, pickled = parts(body)
    for position, key, value in changes:
        text["chain"][position][key] = value
    report, description, error = unpack_exception(joined(text, pickled), load=True)
    assert (report, description) == (text["report"], text["description"])
    assert error is None or isinstance(error, BaseException)


def test_what_later_releases_add():
    """Is skipped."""
    text, pickled = parts(pack_exception(caught(deep, 0), PROTOCOL).body)
    text["later"] = text["chain"][0]["later"] = 1
    for frame in text["chain"][0]["frames"]:
        frame += ["later", "still"]
    entries = pickle.loads(pickled)
    entries[0]["later"] = 1
    body = joined(text, pickle.dumps(entries, PROTOCOL))
    _, _, back = unpack_exception(body, load=True)
    assert type(back) is ZeroDivisionError
    assert back.__traceback__.tb_frame.f_code.co_name == "caught"


# the wire


def test_the_text():
    """Has what the specification says, and leaves out what says nothing."""
    error = chain(ValueError("one\ntwo"), KeyError("k"))
    error.__notes__ = ["n"]
    error.__context__ = OSError(2, "no such")
    text, pickled = parts(pack_exception(error, PROTOCOL).body)
    assert text["report"] == "ValueError: one"
    assert text["chain"] == [
        {
            "class": ["builtins", "ValueError"],
            "text": "ValueError: one",
            "frames": [],
            "notes": ["n"],
            "cause": 1,
            "context": 2,
            "suppress": True,
        },
        {"class": ["builtins", "KeyError"], "text": "KeyError: 'k'", "frames": []},
        {
            "class": ["builtins", "FileNotFoundError"],
            "text": "FileNotFoundError: [Errno 2] no such",
            "frames": [],
        },
    ]
    assert pickle.loads(pickled) == [
        {"args": ("one\ntwo",)},
        {"args": ("k",)},
        {"args": (2, "no such"), "fields": {"errno": 2, "strerror": "no such"}},
    ]


def test_names_on_the_wire():
    """Peers of other releases call these functions of `rebuild_exceptions`, with these."""
    make, args, state, _, _, fill = pack_reduction(chain(ValueError(1), KeyError("k")))
    assert (make, fill) == ("make_exception", "fill_exception")
    assert args == (ValueError,)
    assert list(state) == ["args", "cause", "suppress"]
    stand_in = rebuild_exceptions.ExceptionGroup("g", [ValueError(1)])
    make, args, state, _, _, fill = pack_reduction(stand_in)
    assert (make, args[:2]) == ("make_group", (("builtins", "ExceptionGroup"), "g"))
    make, _ = reduce_traceback(caught(deep, 0).__traceback__)
    assert (make.__module__, make.__qualname__) == (rebuild_exceptions.__name__, "make_traceback")


def pack_reduction(error):
    from farm_common.shipping.exceptions import reduce_exception

    make, args, state, items, pairs, fill = reduce_exception(error)
    for function in (make, fill):
        assert function.__module__ == "farm_common.shipping.rebuild_exceptions"
        assert getattr(rebuild_exceptions, function.__qualname__) is function
    return make.__qualname__, args, state, items, pairs, fill.__qualname__


# raising again


def test_fresh_copies():
    """Are equal, have no traceback, and their cause has its own."""
    error = TaskExecutionError("r", "d", "w")
    error.__cause__ = raised(caught(deep, 2))
    before = printed(error.__cause__)
    for _ in range(3):
        copied = fresh(error)
        assert same(copied, error)
        again = caught(exec, "raise error", {"error": copied})
        assert again is copied
        assert len(traceback.extract_tb(copied.__traceback__)) == 2
        caught(exec, "raise error", {"error": copied.__cause__})
        assert printed(copied.__cause__) != before
    assert error.__traceback__ is None
    assert printed(error.__cause__) == before
    assert not copied.__suppress_context__ or error.__suppress_context__


def test_fresh_copies_refer_to_themselves():
    """Where the original did."""
    error = ValueError("loop")
    error.itself, error.other = error, KeyError("k")
    copied = fresh(error)
    assert copied.itself is copied
    assert copied.other is error.other


@pytest.mark.parametrize("error", SORTS, ids=lambda error: type(error).__name__)
def test_fresh_copies_of_all_sorts(error):
    """Look the same."""
    assert fresh(error) is not error
    assert same(fresh(error), error)


def test_threads_that_raise_the_same_error():
    """See their own frames only."""
    error = TaskExecutionError("r", "d", "w")
    error.__cause__ = raised(caught(deep, 2))
    lengths = set()

    def work():
        for _ in range(100):
            one = caught(exec, "raise error", {"error": fresh(error)})
            other = caught(exec, "raise error", {"error": one.__cause__})
            lengths.add(len(traceback.extract_tb(one.__traceback__)))
            lengths.add(-len(traceback.extract_tb(other.__traceback__)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lengths == {2, -6}


def failure(error):
    """What the engine makes of an error."""
    report, description, original = sent(error)
    made = TaskExecutionError(report, description, "worker 0 at h:1")
    made.__cause__ = original
    return made


def test_what_a_terminal_shows():
    """The remote traceback, once, and then where it was asked for."""
    error = caught(deep, 0)
    made = failure(error)
    assert str(made) == "ZeroDivisionError: division by zero (on worker 0 at h:1)"
    text = printed(caught(exec, "raise error", {"error": made}))
    assert text.startswith(printed(error))
    assert text.count("in deep\n") == 1
    assert text.endswith("TaskExecutionError: " + str(made) + "\n")


def test_what_a_terminal_shows_without_the_original():
    """The same, as text."""

    class Local(Exception):
        pass

    error = caught(exec, "raise error", {"error": Local("x")})
    text = printed(caught(exec, "raise error", {"error": failure(error)}))
    assert text.count(printed(error).rstrip()) == 1
    assert "Local: x (on worker 0 at h:1)\n\nTraceback (most" in text


def test_it_travels_itself():
    """By pickle and copy, which leave the original behind, and as a value, with it."""
    made = failure(caught(deep, 0))
    for back in (pickle.loads(pickle.dumps(made)), copy.copy(made), copy.deepcopy(made)):
        assert (back.report, back.description, back.worker) == (
            made.report,
            made.description,
            made.worker,
        )
        assert made.description.rstrip() in str(back)
    assert type(returned(made).__cause__) is ZeroDivisionError
    assert str(returned(made)) == str(made)
