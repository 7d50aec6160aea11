"""What the pickles of modules sent by value name: the receiving side of `belongings`.

A module makes some things for itself when it is imported, and all of it uses the same ones: a
lock, a thread-local, a sentinel. The worker has not imported the module, so each of these is made
there when it is first needed, and is the same from then on.

All functions here are part of the wire format: they stay, and take what they took.
"""

from __future__ import annotations

import contextvars
import functools
import os
import sys
import threading
import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any, NoReturn, Optional, cast

from ..errors import SerializationError
from .by_value import goes_by_value

__all__ = [
    "absent_function",
    "advice",
    "belonging",
    "context_variable",
    "fill_plain",
    "is_member",
    "key_of",
    "local",
    "make_event",
    "make_lock",
    "make_plain",
    "missing_member",
    "offer_module",
    "renew_offered",
    "semaphore",
    "sent_module",
    "slots_of",
]

_lock = threading.RLock()  # making one thing may unpickle, and thereby make, others
_made: dict[tuple[str, str], Any] = {}
_keys: dict[int, tuple[str, str]] = {}

_MISSING: Any = object()


def _renew_lock() -> None:
    """In the child of a fork, nobody makes what another thread was making."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def belonging(module: str, path: str, make: Callable[..., Any], *args: Any) -> Any:
    """What a module keeps under a path: its own if it was sent from here, or the one made here.

    Args:
        module: The name of the module.
        path: Names with dots between them, the first of them a global of the module.
        make: Makes it, the first time.
        args: What `make` is called with.
    """
    found = _member(module, path)
    if found is not _MISSING:
        return found
    key = module, path
    with _lock:
        if key not in _made:
            made = _made[key] = make(*args)
            _keys[id(made)] = key
        return _made[key]


def is_member(value: Any, module: str, path: str) -> bool:
    """Whether a module of this process that goes by value keeps something under a path."""
    return _member(module, path) is value


def _member(module: str, path: str) -> Any:

    found: Any = sys.modules.get(module)
    if found is None or not goes_by_value(module):
        return _MISSING
    for name in path.split("."):
        content = getattr(found, "__dict__", None)
        if content is None or name not in content:
            return _MISSING
        found = content[name]
    return found


def key_of(value: Any) -> Optional[tuple[str, str]]:
    """The module and path that something was made for here; None for all else."""
    key = _keys.get(id(value))
    return key if key is not None and _made[key] is value else None


# Makers


def make_lock(kind: str, *args: Any) -> Any:
    """A lock that nobody holds.

    Args:
        kind: ``"Lock"``, ``"RLock"`` or ``"Condition"``.
        args: What it is made with: the lock of a condition.
    """
    return getattr(threading, kind)(*args)


def make_event(is_set: bool) -> threading.Event:
    """An event, set or not."""
    made = threading.Event()
    if is_set:
        made.set()
    return made


def semaphore(kind: str, value: int) -> Any:
    """A semaphore that nobody has acquired.

    Args:
        kind: ``"Semaphore"`` or ``"BoundedSemaphore"``.
        value: How many may acquire it.
    """
    return getattr(threading, kind)(value)


def local(cls: Any, state: dict[str, Any]) -> Any:
    """A thread-local.

    Args:
        cls: `threading.local`, or a class that derives from it.
        state: What this thread has in it from the start.
    """
    made = cls.__new__(cls)
    made.__dict__.update(state)
    return made


def context_variable(name: str, *default: Any) -> contextvars.ContextVar[Any]:
    """A context variable that is not set, and what it is then, if anything."""
    return contextvars.ContextVar(name, default=default[0]) if default else _bare_variable(name)


def _bare_variable(name: str) -> contextvars.ContextVar[Any]:
    return contextvars.ContextVar(name)


def make_plain(cls: type) -> Any:
    """An instance of a class, by neither its ``__new__`` nor its ``__init__``."""
    return object.__new__(cls)


def fill_plain(obj: Any, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Give an instance what is in its dict, and its slots, whatever its class does about that."""
    content, slots = state
    if content:
        object.__getattribute__(obj, "__dict__").update(content)
    if slots:
        known = slots_of(type(obj))
        for name, value in slots.items():
            known[name].__set__(obj, value)


def slots_of(cls: type) -> dict[str, Any]:
    """The slots of a class in Python, by the names that their descriptors have."""
    return {
        name: value
        for base in reversed(cls.__mro__)
        for name, value in base.__dict__.items()
        if isinstance(value, types.MemberDescriptorType)
    }


def absent_function(name: str, qualname: str, module: str, reason: str) -> types.FunctionType:
    """What stands in for a function that could not be sent; says why when it is called."""

    def absent(*_: Any, **__: Any) -> NoReturn:
        raise SerializationError(reason)

    absent.__name__, absent.__qualname__, absent.__module__ = name, qualname, module
    return cast(types.FunctionType, absent)


# Imports

#: What tasks may import of modules that were sent by value, by the modules' names.
_offered: dict[str, types.ModuleType] = {}


#: The names of the modules that were sent by value.
_sent: set[str] = set()


def sent_module(name: str, doc: Optional[str]) -> types.ModuleType:
    """A module sent by value, of which only that is to come which functions name of it."""
    made = types.ModuleType(name, doc)
    made.__getattr__ = functools.partial(missing_member, name)  # type: ignore[method-assign]
    _sent.add(name)
    return made


def missing_member(module: str, name: str) -> NoReturn:
    """What a module sent by value does when it is asked for what it has not.

    Raises:
        AttributeError: Always; says what helps.
    """
    text = f"module {module!r} has no attribute {name!r}"
    raise AttributeError(text if name.startswith("__") else f"{text}{advice(module)}")


def advice(module: Optional[str]) -> str:
    """What to tell of something that a module lacks; "" if it was not sent by value.

    Args:
        module: Its full name.
    """
    if module not in _sent:
        return ""
    return (
        f": {module} was sent by value, and of it only what the code of functions names; to have "
        f"all of it, make_kernel(modules=[{module.partition('.')[0]!r}]) rather than by value"
    )


def offer_module(module: types.ModuleType) -> None:
    """Have what was sent of a module be found by imports in this process.

    A module that is installed here goes before. What several functions brought of a module is
    all in it; of two that brought the same name, the later one counts.
    """
    with _lock:
        if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
            places = sys.meta_path
            position = places.index(PathFinder) + 1 if PathFinder in places else len(places)
            places.insert(position, _Finder())
        name = module.__name__
        for end, letter in enumerate(f"{name}."):
            if letter == "." and name[:end] not in _offered:
                _offered[name[:end]] = sent_module(name[:end], None)
    renew_offered(name, vars(module))


def renew_offered(name: str, content: dict[str, Any]) -> None:
    """Have imports find what else came of a module, if any was offered."""
    module = _offered.get(name)
    if module is not None:
        vars(module).update((key, value) for key, value in content.items() if key not in _OWN)


#: What an offered module has of its own.
_OWN = frozenset({"__name__", "__spec__", "__loader__", "__package__", "__path__", "__doc__"})


class _Finder:
    """Finds what was offered."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        """What the import system calls."""
        module = _offered.get(name)
        if module is None:
            return None
        spec = ModuleSpec(name, cast(Any, _Loader(module)), is_package=True)
        spec.submodule_search_locations = []
        return spec


class _Loader:
    """Gives an offered module as it is.

    Args:
        module: The module.
    """

    def __init__(self, module: types.ModuleType) -> None:
        self._module = module

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        """The module."""
        return self._module

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing: all that is known of it is in it."""
