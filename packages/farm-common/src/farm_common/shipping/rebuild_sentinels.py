"""What the pickles of sentinels name: the receiving side of `sentinels`.

The function here is part of the wire format: it stays, and takes what it took.
"""

from __future__ import annotations

import builtins
import os
import threading
from typing import Any

__all__ = ["sentinel"]


class Sentinel:
    """Stands for a sentinel where Python has none of its own, before 3.15.

    Args:
        name: Its name.
        shown: What it shows itself as.
    """

    def __init__(self, name: str, shown: str) -> None:
        self.__name__ = name
        self._shown = shown

    def __repr__(self) -> str:
        return self._shown

    def __copy__(self) -> Sentinel:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Sentinel:
        return self


# What its class is called when it travels.
Sentinel.__module__, Sentinel.__qualname__ = "builtins", "sentinel"

#: The type of sentinels.
KIND: Any = getattr(builtins, "sentinel", Sentinel)

_lock = threading.Lock()
_by_ident: dict[str, Any] = {}
#: By the id of a sentinel, which the other table keeps.
_idents: dict[int, str] = {}


def sentinel(ident: str, module: str, name: str, shown: str) -> Any:
    """The sentinel with this id.

    Args:
        ident: What it is known by on both sides.
        module: Where it was made.
        name: Its name.
        shown: What it shows itself as.
    """
    with _lock:
        found = _by_ident.get(ident)
        if found is None:
            if KIND is Sentinel:
                found = Sentinel(name, shown)
            else:
                found = KIND(name, repr=shown)
            found.__module__ = module
            _enter(ident, found)
    return found


def ident_of(mark: Any) -> str:
    """The id of a sentinel, which it gets when it is first sent."""
    with _lock:
        ident = _idents.get(id(mark))
        if ident is None:
            ident = os.urandom(16).hex()
            _enter(ident, mark)
        return ident


def _enter(ident: str, mark: Any) -> None:
    _by_ident[ident] = mark
    _idents[id(mark)] = ident
