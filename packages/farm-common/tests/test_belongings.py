"""Modules that are sent by value, in a process that has not got them."""

import functools
import importlib
import itertools
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import farm_common
from farm_common.errors import SerializationError
from farm_common.shipping import belongings, by_value, pack, unpack
from farm_common.shipping import rebuild_belongings as rebuild
from farm_common.shipping.generated import generated_texts
from farm_common.shipping.importable import ship_by_value
from farm_common.shipping.imports import imported_modules
from farm_common.shipping.substitutes import find

PROTOCOL = 5
SECONDS = 60  # a guard against hanging
_numbers = itertools.count()

ELSEWHERE = """
import pickle, sys
from farm_common.shipping import unpack
from farm_common.shipping.rebuild_classes import table
table.at_worker = True
for body, buffers in pickle.load(sys.stdin.buffer):
    try:
        print(repr(unpack(body, buffers)()))
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Makes a package that is sent by value, of the texts of its modules; gives the package."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(by_value, "_by_value", set(by_value._by_value))

    def make(text, **others):
        name = f"by_value_{next(_numbers)}"
        folder = tmp_path / name
        folder.mkdir()
        for part, content in {"__init__": text, **others}.items():
            (folder / f"{part}.py").write_text(content)
        importlib.invalidate_caches()
        found = importlib.import_module(name)
        ship_by_value(name)
        return found

    return make


@pytest.fixture(params=["bytecode", "source"])
def elsewhere(request):
    """Calls functions in another process, and gives what they return, or raise, as text."""

    def run(*functions):
        parcels = [pack(one, PROTOCOL, "it", request.param == "bytecode") for one in functions]
        sent = pickle.dumps([(one.body, [bytes(part) for part in one.buffers]) for one in parcels])
        places = [str(Path(farm_common.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        done = subprocess.run(
            [sys.executable, "-c", ELSEWHERE],
            input=sent,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))},
            timeout=SECONDS,
            check=True,
        )
        return done.stdout.decode().splitlines()

    run.bytecode = request.param == "bytecode"
    return run


class TestMadeAnew:
    """Locks and the like, which a module made for itself."""

    TEXT = """
import contextvars, threading
lock = threading.Lock()
again = threading.RLock()
condition = threading.Condition(lock)
event = threading.Event()
event.set()
semaphore, bounded = threading.Semaphore(3), threading.BoundedSemaphore(2)
local = threading.local()
local.value = 1
variable = contextvars.ContextVar("variable", default=5)
unset = contextvars.ContextVar("unset")
class Local(threading.local):
    def __init__(self, value=0):
        self.value = value
other = Local(7)
class Owner:
    lock = threading.Lock()
    def __init__(self):
        self.own = threading.RLock()
owner = Owner()
def locks():
    with lock, again, owner.lock, owner.own:
        pass
    with condition:
        condition.notify_all()
    return lock.locked(), event.is_set(), semaphore._value, bounded._initial_value
def values():
    return hasattr(local, "value"), other.value, variable.get(), unset.get(None)
def hold():
    return lock.acquire(timeout=0), condition.acquire(timeout=0), owner.lock.acquire(timeout=0)
def is_held():
    return lock.locked(), owner.lock.locked(), Owner.lock.locked()
"""

    def test_they_work(self, module, elsewhere):
        """Nobody holds the locks; values are as they were, but those of a plain thread-local."""
        sent = module(self.TEXT)
        with sent.lock, sent.Owner.lock:
            assert elsewhere(sent.locks, sent.values) == [
                "(False, True, 3, 2)",
                "(False, 7, 5, None)",
            ]

    def test_there_is_one(self, module, elsewhere):
        """What comes later has the same lock; a condition has the lock that it was made with."""
        sent = module(self.TEXT)
        assert elsewhere(sent.hold, sent.is_held) == ["(True, False, True)", "(True, True, True)"]
        assert not sent.lock.locked()

    def test_back_again(self, module):
        """What comes back where the module is is the module's own."""
        sent = module(self.TEXT)
        for value in (sent.lock, sent.owner.own, sent.local, sent.variable, sent.event):
            assert unpack(pack(value, PROTOCOL, "it").body) is value

    def test_made_there(self, monkeypatch):
        """What was made elsewhere is sent back as its place, also where nothing goes by value."""
        monkeypatch.setattr(by_value, "_by_value", set())
        made = rebuild.belonging("nowhere", "a.lock", rebuild.make_lock, "Lock")
        assert rebuild.belonging("nowhere", "a.lock", rebuild.make_lock, "Lock") is made
        assert unpack(pack(made, PROTOCOL, "it").body) is made

    def test_another_lock(self, module):
        """A lock that is none of the module's own is refused, as is one that was replaced."""
        sent = module(self.TEXT)
        old = sent.lock
        pack(old, PROTOCOL, "it")
        sent.lock = threading.Lock()
        sent.condition = None
        for lock in (old, threading.Lock()):
            with pytest.raises(
                SerializationError, match=r"it: a _thread\.lock: a lock cannot travel"
            ):
                pack(lock, PROTOCOL, "it")

        def function():
            return old, sent.lock

        with pytest.raises(SerializationError, match="closure of function -> cell 'old'"):
            pack(function, PROTOCOL, "it")

    def test_only_of_modules_by_value(self):
        """A lock of any other module is refused."""
        with pytest.raises(SerializationError, match="a lock cannot travel"):
            pack(threading._active_limbo_lock, PROTOCOL, "it")


class TestInstances:
    """Instances of classes of modules sent by value."""

    TEXT = """
class Sentinel:
    def __repr__(self):
        return "missing"
    def __reduce__(self):
        return "missing"
missing = Sentinel()
def find(given=missing):
    return given is missing

registry = {}
def restore(name):
    return registry[name]
class Entry:
    __slots__ = ("name", "used", "__dict__")
    def __new__(cls, name):
        registry[name] = made = object.__new__(cls)
        made.name = name
        return made
    def __setattr__(self, name, value):
        registry["latest"] = value
        object.__setattr__(self, name, value)
    def __reduce__(self):
        return restore, (self.name,)
    def same(self):
        return registry[self.name] is self
first, second = Entry("first"), Entry("second")
first.other = second
def use():
    return first.same(), first.other is second, sorted(registry), hasattr(first, "used")
"""

    def test_sentinels(self, module, elsewhere):
        """What says that it is a global of its module is one object, whatever message brings it."""
        sent = module(self.TEXT)
        assert elsewhere(sent.find, sent.find, lambda: sent.find(sent.missing)) == ["True"] * 3
        assert unpack(pack(sent.missing, PROTOCOL, "it").body) is sent.missing

    def test_own_way(self, module, elsewhere):
        """A way of pickling that needs the module's globals is not taken before they are there."""
        assert elsewhere(module(self.TEXT).use) == [
            "(True, True, ['first', 'latest', 'second'], False)"
        ]

    def test_who_has_an_own_way(self, module):
        """Classes in Python that go by value; no other, and none that derives from a builtin."""
        sent = module("class A(list):\n    def __reduce__(self): return A, ()\nclass B: pass\n")
        assert not belongings.has_own_way(sent.A)
        assert not belongings.has_own_way(sent.B)
        assert not belongings.has_own_way(Path)
        assert belongings.has_own_way(module(self.TEXT).Entry)


class TestImports:
    """What functions import while they run."""

    def test_within_the_package(self, module, elsewhere):
        """Modules, members, relative names and submodules, where the package is not."""
        sent = module(
            "from . import first\ndef use():\n    from . import first\n    return first.f()\n",
            first="""
def f():
    from .inner import g, LIMIT
    from . import inner as other
    return g(3), LIMIT, other.g is g, other.unused() if hasattr(other, "unused") else None
""",
            inner="LIMIT = 5\ndef g(x):\n    return x < LIMIT\ndef unused(): return 1\n",
        )
        importlib.import_module(f"{sent.__name__}.inner")
        assert elsewhere(sent.use, sent.first.f) == ["(True, 5, True, 1)"] * 2

    def test_absolute(self, module, elsewhere):
        """``import a.b`` binds a, and what is used of b below it is there."""
        sent = module("from . import part\n", part="VALUE = 3\n")
        sent.part.VALUE = 4
        text = f"def use():\n    import {sent.__name__}.part\n"
        text += f"    return {sent.__name__}.part.VALUE\n"
        (Path(sent.__file__).parent / "user.py").write_text(text)
        user = importlib.import_module(f"{sent.__name__}.user")
        assert elsewhere(user.use) == ["4"]

    def test_what_nobody_names(self, module, elsewhere):
        """An error says why, and what helps."""
        sent = module(
            "def use():\n    from . import part\n    return getattr(part, 'NA' + 'ME')\n",
            part="NAME = 1\n",
        )
        importlib.import_module(f"{sent.__name__}.part")
        (text,) = elsewhere(sent.use)
        name = sent.__name__
        assert text == (
            f"AttributeError: module '{name}.part' has no attribute 'NAME': {name}.part was sent "
            "by value, and of it only what the code of functions names; to have all of it, "
            f"make_kernel(modules=['{name}']) rather than by value"
        )
        assert rebuild.advice("os") == ""

    def test_several_paths(self, module, elsewhere):
        """Of a module that one function has reached, another may reach more."""
        sent = module(
            "from . import part\n",
            part="from . import leaf\nONE = 1\n",
            leaf="TWO = 2\n",
        )
        one, two = (lambda: sent.part.ONE), (lambda: sent.part.leaf.TWO)
        assert elsewhere(lambda: (one(), two())) == ["(1, 2)"]

    def test_which_modules(self, module):
        """Those that go by value, of functions inside as well; too many dots are no error."""
        sent = module("def f():\n    def g():\n        from . import os\n        import sys\n")
        namespace = {"__name__": sent.__name__, "__path__": []}
        assert list(imported_modules(sent.f.__code__, namespace)) == [sent]
        assert list(imported_modules(sent.f.__code__, {"__name__": "json.tool"})) == []
        far = compile("def f():\n    from ... import x\n", "far", "exec").co_consts[0]
        assert list(imported_modules(far, {"__package__": sent.__name__})) == []

    def test_deep(self, module, elsewhere):
        """A long chain of imports is no deep pickle."""
        count = 100
        chain = "".join(
            f"def f{n}():\n    from . import f{n + 1}\n    return f{n + 1}() + 1\n"
            for n in range(count)
        )
        sent = module(f"{chain}def f{count}():\n    return 0\n")
        assert elsewhere(sent.f0) == [str(count)]


class TestGenerated:
    """Functions that a module generated."""

    ATTACHED = """
def make(name, body):
    text = "def " + name + "(self):\\n    return " + body + "\\n"
    space = {}
    exec(compile(text, "<generated>", "exec"), space)
    made = space[name]
    if body != "4":
        made.text = text
    return made
attached = make("attached", "3")
class Owner:
    lost = make("lost", "4")
def use():
    return attached(1)
def lose():
    return Owner().lost()
exec("def literal():\\n    return 5\\n")
"""

    def test_attached(self, module, elsewhere):
        """The text is among the attributes of the function."""
        assert elsewhere(module(self.ATTACHED).use) == ["3"]

    def test_literal(self, module, elsewhere):
        """The text is a string in the module."""
        assert elsewhere(module(self.ATTACHED).literal) == ["5"]

    @pytest.mark.skipif(sys.implementation.name == "pypy", reason="PyPy does not tell")
    def test_seen_by_another_import(self, module, elsewhere):
        """The text is kept nowhere; what the module compiles is seen when it is imported again."""
        sent = module(self.ATTACHED)
        assert "def lost(self):\n    return 4\n" in generated_texts(sent.__name__)
        assert elsewhere(sent.lose) == ["4"]

    def test_no_text(self, module, elsewhere, monkeypatch):
        """What nothing keeps the text of is missed by those only that call it, who hear why."""
        monkeypatch.setattr("farm_common.shipping.texts.generated_texts", lambda _: ())
        text = self.ATTACHED.replace("lose", "lose_again").replace('"4"', '"40"')
        sent = module(text + "def other():\n    return hasattr(Owner, 'lost')\n")
        lost, other = elsewhere(sent.lose_again, sent.other)
        assert other == "True"
        if elsewhere.bytecode:
            assert lost == "40"
        else:
            assert lost.startswith("SerializationError: function lost (<generated>, line 1) has no")
            with pytest.raises(SerializationError, match="function lost"):
                pack(sent.Owner.lost, PROTOCOL, "it", False)

    def test_no_such_module(self):
        """An import that fails gives no texts."""
        assert generated_texts("no_such_module_anywhere") == ()


def by_last_digit(one, other):
    return one % 10 - other % 10


@pytest.mark.skipif(
    sys.version_info < (3, 10) and sys.implementation.name == "cpython",
    reason="CPython 3.9 does not let the function be seen",
)
@pytest.mark.parametrize("bytecode", [True, False])
def test_comparison_keys(bytecode):
    """What `functools.cmp_to_key` gives still makes keys; a key keeps its object, though None."""
    make = functools.cmp_to_key(by_last_digit)
    made, five, none = unpack(pack([make, make(5), make(None)], PROTOCOL, "it", bytecode).body)
    assert sorted([12, 31, 20], key=made) == [20, 31, 12]
    assert (five.obj, none.obj) == (5, None)
    assert made(13) < five


def test_substitutes():
    """What stands for newer functions of itertools gives what they give."""
    pairwise, batched = find("itertools", "pairwise"), find("itertools", "batched")
    assert list(pairwise("abc")) == [("a", "b"), ("b", "c")]
    assert list(pairwise("a")) == []
    assert list(batched("abcde", 2)) == [("a", "b"), ("c", "d"), ("e",)]
    with pytest.raises(ValueError, match="incomplete"):
        list(batched("abc", 2, strict=True))
    with pytest.raises(ValueError, match="at least one"):
        batched("abc", 0)
