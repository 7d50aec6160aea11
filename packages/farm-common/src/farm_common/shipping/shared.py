"""Large values that many tasks use: sent over each connection once, when first needed.

A `Shared` is a handle. Pickling it writes only its id, and tells whoever collects (`pack`) that
the value must be on the other side first. On a server the handle finds the value in the
`SharedStore` of its worker.
"""

from __future__ import annotations

import os
import threading
import types
import weakref
from typing import Any, Callable, Generic, Optional, TypeVar, Union

from ..errors import FarmError

__all__ = ["ID_SIZE", "Shared", "SharedStore", "active_store", "begin_collecting", "stored"]

T = TypeVar("T")

_Forget = Callable[["Shared[Any]"], None]

# What was collected, and the ids of the same objects, because there may be very many.
_Collecting = tuple[list["Shared[Any]"], set[int]]

#: The size of a value's id in bytes.
ID_SIZE = 16

_collector = threading.local()

# The handles of this process by id, so that one that comes back is the one that went out.
_handles: weakref.WeakValueDictionary[bytes, Shared[Any]] = weakref.WeakValueDictionary()


class Shared(Generic[T]):
    """A handle to a value that crosses each connection at most once.

    Capture it in a task or pass it as an argument; ``.value`` is the value on either side. The
    value is packed for each connection when that first needs it, so it should not be changed:
    some workers would see the change, and others not.

    Args:
        value: Anything that can travel.
    """

    def __init__(self, value: T) -> None:
        self.ident = os.urandom(ID_SIZE)
        self._load: Callable[[], T] = lambda: value
        self._released = False
        # In order, each a function that returns whom to call, or None when that is gone.
        self._owners: dict[Callable[[], Optional[_Forget]], None] = {}
        _handles[self.ident] = self

    @property
    def value(self) -> T:
        """The value; raises `FarmError` after `release`."""
        if self._released:
            raise FarmError("this shared value was released")
        return self._load()

    def release(self) -> None:
        """Free the value on all servers that have it, and here; twice is no error."""
        self._released = True
        self._load = _nothing
        owners, self._owners = self._owners, {}
        for owner in owners:
            forget = owner()
            if forget is not None:
                forget(self)

    def on_release(self, forget: _Forget) -> None:
        """Have `forget` called when the value is released: for those who keep a copy.

        Args:
            forget: Called with the handle, once. A method does not keep its object alive: a
                handle may live much longer than the connections that it crossed.
        """
        owners = self._owners
        for owner in list(owners):
            if owner() is None:
                owners.pop(owner, None)
        if isinstance(forget, types.MethodType):
            owners[weakref.WeakMethod(forget)] = None
        elif all(owner() != forget for owner in list(owners)):
            owners[lambda: forget] = None

    def __reduce__(self) -> tuple[Any, ...]:
        collecting: Optional[_Collecting] = getattr(_collector, "collecting", None)
        if collecting is None:
            raise FarmError("a shared value travels only inside a task: it cannot be pickled alone")
        if self._released:
            raise FarmError("this shared value was released")
        needed, seen = collecting
        if id(self) not in seen:
            seen.add(id(self))
            needed.append(self)
        return _attach, (self.ident,)

    def __repr__(self) -> str:
        state = " released" if self._released else ""
        return f"<Shared {self.ident.hex()[:8]}{state}>"


# Before the class: PyPy refuses an annotation after a `global` statement for the same name.
_store: Optional[SharedStore] = None


class SharedStore:
    """The shared values that one worker was sent, by their ids."""

    def __init__(self) -> None:
        self._loaders: dict[bytes, Callable[[], Any]] = {}
        self._values: dict[bytes, Any] = {}

    def put(self, ident: bytes, load: Callable[[], Any]) -> None:
        """Keep the way to load a value; it is loaded when a task first asks."""
        self._loaders[ident] = load

    def drop(self, ident: bytes) -> None:
        """Forget a value."""
        self._loaders.pop(ident, None)
        self._values.pop(ident, None)

    def get(self, ident: bytes) -> Any:
        """The value.

        Raises:
            FarmError: It was released, or never sent.
        """
        if ident not in self._values:
            load = self._loaders.get(ident)
            if load is None:
                raise FarmError("this shared value was released")
            self._values[ident] = load()
            self._loaders.pop(ident, None)  # not before: loading may fail, or be interrupted
        return self._values[ident]

    def activate(self) -> None:
        """Make handles that arrive in this process look here."""
        global _store
        _store = self


def active_store() -> Optional[SharedStore]:
    """Where handles that arrive in this process look, if anywhere."""
    return _store


def _attach(ident: bytes) -> Shared[Any]:
    """The handle with this id: the one of this process, or a new one that asks the store."""
    handle = _handles.get(ident)
    if handle is None:
        handle = Shared(None)
        handle.ident = ident
        store = _store
        handle._load = _nothing if store is None else lambda: store.get(ident)
        _handles[ident] = handle
    return handle


def stored(ident: bytes) -> Any:
    """A value that this worker was sent, by its id.

    Raises:
        FarmError: It was released, or this is no worker.
    """
    return _nothing() if _store is None else _store.get(ident)


def _nothing() -> Any:
    raise FarmError("this shared value is not here any more")


def begin_collecting(
    needed: Union[list[Shared[Any]], _Collecting, None],
) -> Optional[_Collecting]:
    """Collect the shared values that this thread pickles from now on.

    Args:
        needed: An empty list to collect them in, each once; or what an earlier call returned.

    Returns:
        What was collected before, or None; to be handed back in when done.
    """
    outer: Optional[_Collecting] = getattr(_collector, "collecting", None)
    _collector.collecting = (needed, set()) if isinstance(needed, list) else needed
    return outer
