"""Packs values: a fast pickler first, a thorough one for what the fast one must not touch.

Plain pickle writes a function or class of ``__main__`` as a mere name, which fails only when it
is read elsewhere; so every function and class is looked at, and what the other side could not
find by its name goes by value. cloudpickle does that; it takes eight times as long even for an
integer, hence the two steps. What it writes may hold bytecode, which only an interpreter with the
same magic number can load: such parcels are marked.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
import threading
import types
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

from ..errors import SerializationError
from ..frames import Buffer
from . import diagnosis
from .shared import Shared, begin_collecting

__all__ = ["SCALARS", "Parcel", "dump", "is_importable", "pack", "pack_arguments", "unpack"]

#: Types whose values never change and always pickle: a run of these needs no care.
SCALARS = frozenset({int, float, bool, complex, str, bytes, type(None)})

#: Buffers smaller than this go inside the pickle.
_OUT_OF_BAND = 16 * 1024

#: A pickler that wrote more than this is not kept: its memory would be kept with it.
_SPARE_LIMIT = 1 << 20

_spare = threading.local()

_PYPY = sys.implementation.name == "pypy"


class Parcel(NamedTuple):
    """A value as it travels.

    Attributes:
        body: The pickle.
        buffers: Its out-of-band buffers, views of the memory of the value itself.
        bytecode: Whether only an interpreter with the same magic number may load it.
        shared: The shared values that it refers to.
    """

    body: bytes
    buffers: Sequence[Buffer] = ()
    bytecode: bool = False
    shared: Sequence[Shared[Any]] = ()


def pack(value: Any, protocol: int, what: str) -> Parcel:
    """Turn a value into bytes.

    Args:
        value: Anything.
        protocol: The pickle protocol that both sides read.
        what: What to call the value in an error, for example ``"the result"``.

    Raises:
        SerializationError: It cannot travel; says which object in it, and why.
    """
    try:
        return dump(value, protocol)
    except Exception as error:
        text = diagnosis.explain(value, what, error, protocol)
        raise SerializationError(text) from _cause(error)


def pack_arguments(
    args: tuple[Any, ...], keywords: dict[str, Any], protocol: int, name: str
) -> Parcel:
    """`pack` the arguments of a call; the error says which of them it is.

    Args:
        args: The positional ones.
        keywords: The others.
        protocol: The pickle protocol that both sides read.
        name: What is called.

    Raises:
        SerializationError: One cannot travel; says which, which object in it, and why.
    """
    try:
        return dump((args, keywords), protocol)
    except Exception as error:
        text = diagnosis.explain_arguments(args, keywords, name, error, protocol)
        raise SerializationError(text) from _cause(error)


def _cause(error: Exception) -> Optional[Exception]:
    """What to tell besides; a recursion would fill the screen."""
    return None if isinstance(error, RecursionError) else error


def dump(value: Any, protocol: int) -> Parcel:
    """`pack` with whatever error the picklers raise."""
    # A pickler costs more to make than to use, so each thread keeps one; it is taken out while
    # in use, because what it pickles may pack values itself.
    pickler = getattr(_spare, "pickler", None)
    if pickler is None or pickler.protocol != protocol:
        pickler = _FastPickler(protocol)
    else:
        _spare.pickler = None
    outer = begin_collecting(pickler.shared)
    try:
        pickler.dump(value)
        parcel = pickler.parcel()
    except (RecursionError, MemoryError):
        raise  # more of the same would not help
    except Exception:  # by value, or something that only the thorough pickler knows
        return _dump_thoroughly(value, protocol)
    finally:
        begin_collecting(outer)
    if len(parcel.body) < _SPARE_LIMIT:
        _spare.pickler = pickler
    return parcel


def _dump_thoroughly(value: Any, protocol: int) -> Parcel:
    import cloudpickle  # takes 25 ms; many programs never need it

    buffers: list[Buffer] = []
    shared: list[Shared[Any]] = []
    file = io.BytesIO()
    outer = begin_collecting(shared)
    try:
        keep = functools.partial(_keep_large, buffers)
        cloudpickle.CloudPickler(file, protocol, buffer_callback=keep).dump(value)
    finally:
        begin_collecting(outer)
    return Parcel(file.getvalue(), buffers, True, shared)


def unpack(body: Buffer, buffers: Sequence[Buffer] = ()) -> Any:
    """The value of a parcel; raises whatever its pickle raises."""
    return pickle.loads(body, buffers=buffers)


def is_importable(obj: Any) -> bool:
    """Whether a function or class can be found under its name in an importable module."""
    module = getattr(obj, "__module__", None)
    if not isinstance(module, str) or module in ("__main__", "__mp_main__"):
        return False
    found: Any = sys.modules.get(module)
    # A module made by hand is nowhere else. PyPy's builtins have no spec.
    if found is None or (getattr(found, "__spec__", None) is None and module != "builtins"):
        return False
    for name in str(getattr(obj, "__qualname__", "") or getattr(obj, "__name__", "")).split("."):
        found = getattr(found, name, None)
    return found is obj


class _ByValueError(Exception):
    """The value holds a function or class that must not go by name."""


class _FastPickler(pickle.Pickler):
    """Pickle as it is, but for functions and classes that the other side could not find."""

    def __init__(self, protocol: int) -> None:
        self.protocol = protocol
        self.shared: list[Shared[Any]] = []
        self._buffers: list[Buffer] = []
        self._file = io.BytesIO()
        keep = functools.partial(_keep_large, self._buffers)
        super().__init__(self._file, protocol, buffer_callback=keep)

    def parcel(self) -> Parcel:
        """What was pickled since the last call."""
        parcel = Parcel(self._file.getvalue())
        if self._buffers or self.shared:
            parcel = parcel._replace(buffers=self._buffers[:], shared=self.shared[:])
            self._buffers.clear()
            self.shared.clear()
        self._file.seek(0)
        self._file.truncate()
        self.clear_memo()
        return parcel

    def reducer_override(self, obj: Any) -> Any:
        """Refuse what must go by value."""
        kind = type(obj)
        # Not isinstance(obj, type): that is true of list[int] on 3.9 and 3.10.
        if (kind is types.FunctionType or issubclass(kind, type)) and not is_importable(obj):
            raise _ByValueError
        if _PYPY and kind is types.MethodType:
            # As CPython does it. PyPy's own way names a module that only PyPy has.
            return getattr, (obj.__self__, obj.__func__.__name__)
        return NotImplemented


def _keep_large(buffers: list[Buffer], buffer: pickle.PickleBuffer) -> bool:
    """Keep a large buffer out of the pickle; a true result puts it in."""
    raw = buffer.raw()
    if raw.nbytes < _OUT_OF_BAND:
        return True
    buffers.append(raw)
    return False
