"""Which values need care to travel, and how each is reduced.

Pickle writes some values so that another version or implementation of Python cannot read them,
fails on others, and on PyPy writes garbage for what it cannot know. For these types there are
reducers, each a function from a value to what its ``__reduce__`` would return: `records` (data),
`callables` (methods, descriptors), `iterators`, `hints` (annotations), `arrays` (NumPy), and
`refusals` for what cannot travel.

A type that need not be imported is known by its name; a class that derives from one of them is
reduced alike, unless it says itself how it is pickled.
"""

from __future__ import annotations

import copyreg
import enum
import io
import pickle
import sys
import weakref
from typing import Any, Callable, Optional

from . import arrays, belongings, callables, hints, iterators, records, refusals
from .callables import reduce_made_function
from .importable import is_importable
from .refusals import Refusal

__all__ = ["REDUCERS", "Refusal", "reduce_made_function", "reducer_for"]

Reducer = Callable[[Any], Any]

#: By exact type. A reducer returns a reduce value, or NotImplemented for what pickle does well.
REDUCERS: dict[type, Reducer] = {
    **refusals.BY_TYPE,
    **records.REDUCERS,
    **hints.REDUCERS,
    **callables.REDUCERS,
    **iterators.REDUCERS,
    **belongings.REDUCERS,
}

_SUBCLASSES: dict[type, Reducer] = {
    **refusals.BY_TYPE,
    **records.SUBCLASSES,
    **callables.SUBCLASSES,
    io.IOBase: refusals.reduce_file,
}

_BY_NAME: dict[str, Reducer] = {
    **refusals.BY_NAME,
    **records.BY_NAME,
    **callables.BY_NAME,
    **arrays.BY_NAME,
}

#: The standard library's modules with enumerations that other versions have fewer members of, or
#: have as plain numbers.
_ENUMS = frozenset(
    {
        *("calendar", "http", "inspect", "re", "select", "signal", "socket", "ssl"),
        *("_ssl", "_socket", "tkinter", "dis"),
    }
)

# Types that need nothing. Those that may go away are not kept alive for it.
_plain: set[type] = set()
_plain_weakly: weakref.WeakSet[type] = weakref.WeakSet()

_PYPY = sys.implementation.name == "pypy"


def reducer_for(kind: type) -> Optional[Reducer]:
    """The reducer for a type that `REDUCERS` does not have; it has it then.

    Args:
        kind: The exact type of a value. Nothing is imported to know it.

    Returns:
        A function from a value of the type to a reduce value or NotImplemented; None where
            pickle does well.
    """
    if kind in _plain or kind in _plain_weakly:
        return None
    found = _find(kind)
    if found is not None:
        REDUCERS[kind] = found
    elif kind.__module__ == "builtins" or is_importable(kind):
        _plain.add(kind)
    else:
        _plain_weakly.add(kind)
    return found


def _find(kind: type) -> Optional[Reducer]:
    for base in kind.__mro__:
        reducer = _SUBCLASSES.get(base) or _BY_NAME.get(f"{base.__module__}.{base.__qualname__}")
        if reducer is not None:
            if base is not kind and refusals.is_customised(kind, base):
                return None
            return reducer
    if issubclass(kind, tuple) and hasattr(kind, "n_sequence_fields"):
        return records.reduce_struct_sequence
    if issubclass(kind, enum.Enum):
        is_number = issubclass(kind, (int, str)) and kind.__module__ in _ENUMS
        return records.reduce_member if is_number else None
    if records.has_own_new(kind):
        return records.reduce_immutable
    return refusals.refuse if _PYPY and _is_opaque(kind) else None


def _is_opaque(kind: type) -> bool:
    """Whether PyPy has no idea what is in values of a type, and would make an empty one of it."""
    for base in kind.__mro__[:-1]:
        if base in copyreg.dispatch_table or base in _KNOWN:
            return False
        if refusals.is_customised(base, object):
            return False
        if not base.__flags__ & _HEAP_TYPE:
            return True
    return False


_HEAP_TYPE = 1 << 9

#: Builtin types that PyPy's pickler knows itself, or writes by what their classes say.
_KNOWN = frozenset(
    {
        *(bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset),
        *(type, type(None), type(...), type(NotImplemented), BaseException),
        pickle.PickleBuffer,
    }
)
