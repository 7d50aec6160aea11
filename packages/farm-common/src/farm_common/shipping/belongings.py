"""What modules that are sent by value made for themselves when they were imported.

A lock that was handed to a task means nothing in another process, and is refused. But a lock that
a *module* made for itself, as a global, in one of its classes or in an object that it keeps, would
have been made by an import of the module there, too; and where a module is sent by value
(`by_value`), nothing else takes the place of that import. So such a lock is sent as its place in
the module. The worker makes one the first time, which nobody holds, and has it be the same one
for all that is sent of the module later. Conditions, events, semaphores, thread-locals, context
variables and sentinels are treated alike.

The receiving side is `rebuild_belongings`.
"""

from __future__ import annotations

import contextvars
import sys
import threading
import types
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, Callable, Optional

from . import rebuild_belongings as rebuild
from .by_value import goes_by_value

__all__ = ["REDUCERS", "has_own_way", "reduce_belonging", "reduce_named", "reduce_plain"]

#: How deep in a module such a thing is looked for: ``cache.lock``, or an event's condition's lock.
_DEPTH = 4

#: Where what was once found is; it is kept alive, as its module does.
_places: dict[int, tuple[Any, tuple[str, str]]] = {}


def reduce_belonging(value: Any) -> Any:
    """Reduce what a module that is sent by value made for itself; None if it is no such thing."""
    key = rebuild.key_of(value) or _place(value)
    if key is None:
        return None
    make = _maker(type(value))
    return None if make is None else (rebuild.belonging, (*key, *make(value)))


def reduce_named(value: Any, name: str) -> Any:
    """Reduce what says of itself that it is a global of its module: a sentinel, most often.

    Args:
        value: A value whose ``__reduce__`` gave a mere name.
        name: That name.
    """
    cls: Any = type(value)
    key = rebuild.key_of(value)
    if key is not None:
        return rebuild.belonging, (*key, rebuild.make_plain, cls)
    module = getattr(value, "__module__", None)
    if not isinstance(module, str) or not rebuild.is_member(value, module, name):
        return NotImplemented
    _, _, state, *rest = reduce_plain(value)
    return rebuild.belonging, (module, name, rebuild.make_plain, cls), state, *rest


def reduce_plain(value: Any) -> Any:
    """Reduce an instance of a class in Python as its attributes, whatever its class would do."""
    cls: Any = type(value)
    slots = {}
    for name, slot in rebuild.slots_of(cls).items():
        try:
            slots[name] = slot.__get__(value)
        except AttributeError:
            pass  # not assigned yet
    state = dict(_content(value)), slots
    return rebuild.make_plain, (cls,), state, None, None, rebuild.fill_plain


def has_own_way(kind: type) -> bool:
    """Whether instances of a class of a module sent by value are pickled by the class's own code.

    Only of classes in Python; what derives from a builtin one has more than attributes.
    """
    module = kind.__dict__.get("__module__")
    if not isinstance(module, str) or not goes_by_value(module):
        return False
    known = _own_ways.get(kind)
    if known is None:
        classes = kind.__mro__[:-1]
        known = _own_ways[kind] = all(base.__flags__ & _HEAP_TYPE for base in classes) and any(
            isinstance(base.__dict__.get(name), _FUNCTIONS) for base in classes for name in _HOOKS
        )
    return known


_own_ways: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()

_HOOKS = (
    *("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__new__", "__setattr__"),
    *("__getnewargs__", "__getnewargs_ex__"),
)

_FUNCTIONS = (types.FunctionType, staticmethod)

_HEAP_TYPE = 1 << 9


# What they are, and how each is made


def _maker(kind: type) -> Optional[Callable[[Any], tuple[Any, ...]]]:
    known = _MAKERS.get(kind)
    return _local if known is None and issubclass(kind, threading.local) else known


def _local(value: Any) -> tuple[Any, ...]:
    cls = type(value)
    # What a thread put into a plain one is that thread's. A class of its own may have been made
    # with arguments, which only show in what they led to.
    return rebuild.local, cls, {} if cls is threading.local else dict(value.__dict__)


def _lock(kind: str) -> Callable[[Any], tuple[Any, ...]]:
    return lambda _: (rebuild.make_lock, kind)


def _condition(value: Any) -> tuple[Any, ...]:
    return rebuild.make_lock, "Condition", value._lock


def _event(value: threading.Event) -> tuple[Any, ...]:
    return rebuild.make_event, value.is_set()


def _semaphore(value: Any) -> tuple[Any, ...]:
    return rebuild.semaphore, "Semaphore", value._value


def _bounded_semaphore(value: Any) -> tuple[Any, ...]:
    return rebuild.semaphore, "BoundedSemaphore", value._initial_value


def _variable(value: contextvars.ContextVar[Any]) -> tuple[Any, ...]:
    try:
        default = contextvars.Context().run(value.get)  # where nobody has set it
    except LookupError:
        return rebuild.context_variable, value.name
    return rebuild.context_variable, value.name, default


_MAKERS: dict[Any, Callable[[Any], tuple[Any, ...]]] = {
    type(threading.Lock()): _lock("Lock"),
    type(threading.RLock()): _lock("RLock"),
    threading.Condition: _condition,
    threading.Event: _event,
    threading.Semaphore: _semaphore,
    threading.BoundedSemaphore: _bounded_semaphore,
    contextvars.ContextVar: _variable,
}


def _reduce(value: Any) -> Any:
    found = reduce_belonging(value)
    return NotImplemented if found is None else found


#: What is in Python, and travels as its attributes, as far as these do, if it is not a module's.
REDUCERS: dict[type, Callable[[Any], Any]] = dict.fromkeys(
    [threading.Condition, threading.Event, threading.Semaphore, threading.BoundedSemaphore],
    _reduce,
)


# Where they are


def _place(value: Any) -> Optional[tuple[str, str]]:
    """The module that made something for itself, and its path there."""
    known = _places.get(id(value))
    if known is not None and rebuild.is_member(value, *known[1]):
        return known[1]
    names = sorted(name for name in list(sys.modules) if goes_by_value(name))
    if not names:
        return None
    _places.clear()
    for found, place in _search(names):
        _places.setdefault(id(found), (found, place))
    known = _places.get(id(value))
    return None if known is None else known[1]


def _search(modules: list[str]) -> Iterator[tuple[Any, tuple[str, str]]]:
    """What can be made anew, with its place, near ones first."""
    level: list[tuple[str, str, Any]] = [(name, "", sys.modules[name]) for name in modules]
    seen: set[int] = set()
    for _ in range(_DEPTH):
        deeper = []
        for module, path, owner in level:
            for name, value in list(_content(owner).items()):
                if not isinstance(name, str) or "." in name or id(value) in seen:
                    continue
                kind = type(value)
                place = f"{path}.{name}" if path else name
                is_made = _maker(kind) is not None
                if is_made:
                    seen.add(id(value))
                    yield value, (module, place)
                if _is_open(value, kind):
                    seen.add(id(value))
                    deeper.append((module, place, value))
        level = deeper


def _content(owner: Any) -> Mapping[Any, Any]:
    """The dict of a module, class or instance, without asking what wants to be asked."""
    found = type.__dict__["__dict__"].__get__(owner) if isinstance(owner, type) else None
    if found is None:
        try:
            found = object.__getattribute__(owner, "__dict__")
        except AttributeError:  # it has slots
            return {}
    return found if isinstance(found, Mapping) else {}


def _is_open(value: Any, kind: type) -> bool:
    """Whether what something has as attributes may be its module's own."""
    if kind is threading.Condition:
        return True
    owner = value if issubclass(kind, type) else kind
    module = owner.__dict__.get("__module__")
    return isinstance(module, str) and goes_by_value(module)
