"""Reduces sentinels, which Python 3.15 makes with ``sentinel("NAME")``, and makes them again.

Nothing matters of them but which one it is. Those of importable modules go by their names; others
get an id when they are first sent, so that each is one object on either side, and the same one
when it comes back.
"""

from __future__ import annotations

import builtins
import secrets
import sys
import threading
from typing import Any

from .aliases import resolve
from .by_value import goes_by_value

__all__ = ["KIND", "Sentinel", "reduce_sentinel", "sentinel"]


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


def reduce_sentinel(mark: Any) -> Any:
    """Reduce a sentinel: by its name, or by an id of its own."""
    module, name = mark.__module__, mark.__name__
    if module not in ("__main__", "__mp_main__") and not goes_by_value(module):
        found: Any = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is mark:
            return resolve, (module, name)
    with _lock:
        ident = _idents.get(id(mark))
        if ident is None:
            ident = secrets.token_hex(16)
            _enter(ident, mark)
    return sentinel, (ident, module, name, repr(mark))


def sentinel(ident: str, module: str, name: str, shown: str) -> Any:
    """The sentinel with this id. It is part of the wire format: pickles call it.

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


def _enter(ident: str, mark: Any) -> None:
    _by_ident[ident] = mark
    _idents[id(mark)] = ident
