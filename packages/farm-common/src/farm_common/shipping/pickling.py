"""Packs values: pickle, with a word in what becomes of functions, classes and difficult values.

Plain pickle writes a function or class of ``__main__`` as a mere name, which fails only when it
is read elsewhere; so every function and class is looked at, and what the other side could not
find by its name goes by value (`functions`, `classes`). What pickle cannot write, or would write
so that another version cannot read it, has a reducer of its own (`values`, `exceptions`).

Where both sides can load the same bytecode and all this fails, cloudpickle gets a try: it knows
some more things. What it or `functions` writes may hold bytecode: such parcels are marked.
"""

from __future__ import annotations

import functools
import io
import pickle
import struct
import threading
import types
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Optional, TypeVar, Union

from ..errors import SerializationError
from ..frames import Buffer
from . import belongings, diagnosis
from .aliases import public_name, resolve
from .by_value import is_used
from .classes import reduce_class
from .digests import digest
from .functions import WithOffers, Wrapping, reduce_cell, reduce_function, reduce_module
from .importable import is_importable
from .pickler import Pickler
from .placeholders import PlaceholderUnpickler
from .shared import Shared, begin_collecting
from .values import REDUCERS, Refusal, reduce_made_function, reducer_for

__all__ = [
    "SCALARS",
    "Blob",
    "Parcel",
    "dump",
    "pack",
    "pack_arguments",
    "pack_task",
    "unpack",
    "unpack_task",
]

#: Types whose values never change and always pickle: a run of these needs no care.
SCALARS = frozenset({int, float, bool, complex, str, bytes, type(None)})

#: Buffers smaller than this go inside the pickle.
_OUT_OF_BAND = 16 * 1024

#: Strings and bytes of this size that a task captured are sent apart from it, in items.
_BULK = 16 * 1024

#: A pickler that wrote more than this is not kept: its memory would be kept with it.
_SPARE_LIMIT = 1 << 20

#: The size of a blob's content id in bytes.
BLOB_ID_SIZE = 16

_COUNT = struct.Struct("!I")

_spare = threading.local()


class Blob(NamedTuple):
    """A large string or bytes that a task captured, known by its content.

    Attributes:
        ident: BLAKE2b of `body`.
        body: The pickle of the value.
    """

    ident: bytes
    body: bytes


class Parcel(NamedTuple):
    """A value as it travels.

    Attributes:
        body: The pickle.
        buffers: Its out-of-band buffers, views of the memory of the value itself.
        bytecode: Whether only an interpreter with the same magic number may load it.
        shared: The shared values that it refers to.
        minimum: The oldest Python that can read the source in it; (0, 0): any.
        newest: What in it needs that, for messages.
    """

    body: bytes
    buffers: Sequence[Buffer] = ()
    bytecode: bool = False
    shared: Sequence[Shared[Any]] = ()
    minimum: tuple[int, int] = (0, 0)
    newest: str = ""


def pack(value: Any, protocol: int, what: str, bytecode: bool = True) -> Parcel:
    """Turn a value into bytes.

    Args:
        value: Anything.
        protocol: The pickle protocol that both sides read.
        what: What to call the value in an error, for example ``"the result"``.
        bytecode: Whether the other side can load this interpreter's bytecode.

    Raises:
        SerializationError: It cannot travel; says which object in it, and why.
    """
    try:
        return dump(value, protocol, bytecode)
    except Exception as error:
        text = diagnosis.explain(value, what, error, protocol, bytecode)
        raise SerializationError(text) from _cause(error)


def pack_arguments(
    args: tuple[Any, ...], keywords: dict[str, Any], protocol: int, name: str, bytecode: bool = True
) -> Parcel:
    """`pack` the arguments of a call; the error says which of them it is.

    Args:
        args: The positional ones.
        keywords: The others.
        protocol: The pickle protocol that both sides read.
        name: What is called.
        bytecode: Whether the other side can load this interpreter's bytecode.

    Raises:
        SerializationError: One cannot travel; says which, which object in it, and why.
    """
    try:
        return dump((args, keywords), protocol, bytecode)
    except Exception as error:
        text = diagnosis.explain_arguments(args, keywords, name, error, protocol, bytecode)
        raise SerializationError(text) from _cause(error)


def pack_task(task: Any, protocol: int, what: str, bytecode: bool) -> tuple[Parcel, list[Blob]]:
    """`pack` a task by value, and apart from it what is large.

    A large constant thus crosses a connection once, even if the code beside it changes.

    Args:
        task: The callable.
        protocol: The pickle protocol that both sides read.
        what: What to call the task in an error.
        bytecode: Whether the other side can load this interpreter's bytecode.

    Returns:
        The task without buffers, to be read by `unpack_task`, and what it refers to.

    Raises:
        SerializationError: It cannot travel; says which object in it, and why.
    """
    pickler = _new(_TaskPickler, protocol)
    try:
        parcel = _dump(pickler, task, bytecode)
    except Exception as error:
        text = diagnosis.explain(task, what, error, protocol, bytecode)
        raise SerializationError(text) from _cause(error)
    blobs = [_blob(bytes(buffer), protocol) for buffer in parcel.buffers]
    head = _COUNT.pack(len(blobs)) + b"".join([blob.ident for blob in blobs])
    return parcel._replace(body=head + parcel.body, buffers=()), [*blobs, *pickler.blobs.values()]


def unpack_task(body: Buffer, find: Callable[[bytes], Any]) -> Any:
    """The task that `pack_task` packed; raises whatever its pickle raises.

    Args:
        body: Its bytes.
        find: Returns the data of a blob by its id.
    """
    view = memoryview(body)
    (count,) = _COUNT.unpack_from(view)
    start = _COUNT.size + count * BLOB_ID_SIZE
    idents = [
        bytes(view[place : place + BLOB_ID_SIZE])
        for place in range(_COUNT.size, start, BLOB_ID_SIZE)
    ]
    buffers = [bytearray(find(ident)) for ident in idents]  # arrays are the task's own
    try:
        return _TaskUnpickler(view[start:], buffers, find).load()
    except (ImportError, AttributeError):
        unpickler = PlaceholderUnpickler(io.BytesIO(view[start:]), buffers=buffers)
        unpickler.persistent_load = find  # type: ignore[method-assign]
        return unpickler.load()


def _blob(data: Union[bytes, str], protocol: int) -> Blob:
    body = pickle.dumps(data, protocol)
    return Blob(digest(body, BLOB_ID_SIZE), body)


def _cause(error: Exception) -> Optional[Exception]:
    """What to tell besides; a recursion would fill the screen."""
    return None if isinstance(error, RecursionError) else error


_P = TypeVar("_P", bound="_Pickler")


def dump(value: Any, protocol: int, bytecode: bool = True) -> Parcel:
    """`pack` with whatever error the picklers raise."""
    # A pickler costs more to make than to use, so each thread keeps one; it is taken out while
    # in use, because what it pickles may pack values itself.
    pickler = getattr(_spare, "pickler", None)
    if pickler is None or pickler.protocol != protocol:
        pickler = _new(_Pickler, protocol)
    else:
        _spare.pickler = None
    parcel = _dump(pickler, value, bytecode)
    if pickler.clean and len(parcel.body) < _SPARE_LIMIT:
        _spare.pickler = pickler
    return parcel


def _new(kind: type[_P], protocol: int) -> _P:
    """A pickler, with where it writes."""
    # Not made by its __init__: PyPy 3.11's is ready when __new__ has had these arguments.
    buffers: list[Buffer] = []
    keep = functools.partial(_keep_large, buffers)
    pickler = kind(io.BytesIO(), protocol, buffer_callback=keep)
    pickler._buffers = buffers
    return pickler


def _dump(pickler: _Pickler, value: Any, bytecode: bool) -> Parcel:
    pickler.bytecode = bytecode
    pickler.clean = False
    outer = begin_collecting(pickler.shared)
    try:
        pickler.dump(WithOffers(value, pickler.offers) if is_used() else value)
        return pickler.parcel()
    except (RecursionError, MemoryError, SerializationError):
        raise  # more of the same would not help
    except Exception as error:
        if not bytecode or isinstance(error, Refusal):
            raise
        try:
            return _dump_thoroughly(value, pickler.protocol)
        except Exception:
            raise error from None
    finally:
        begin_collecting(outer)


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
    """The value of a parcel; raises whatever its pickle raises.

    Classes that do not exist here are stood in for: see `placeholders`.
    """
    try:
        return pickle.loads(body, buffers=buffers)
    except (ImportError, AttributeError):
        # Once more with a name that is not here filled in; any other such error comes again.
        return PlaceholderUnpickler(io.BytesIO(body), buffers=buffers).load()


class _Pickler(Pickler):
    """Pickle as it is, but for what it would get wrong."""

    def __init__(
        self, file: io.BytesIO, protocol: int, buffer_callback: Callable[[Any], Any]
    ) -> None:
        super().__init__(file, protocol, buffer_callback=buffer_callback)
        self.protocol = protocol
        self.bytecode = True
        self.clean = True  # whether it is as new, and may be used again
        self.shared: list[Shared[Any]] = []
        self._wrapping: Optional[Wrapping] = None
        self._buffers: list[Buffer] = []
        self._file = file

    def offers(self) -> list[Any]:
        """What is to be written when all else is."""
        return [] if self._wrapping is None else self._wrapping.offers()

    def parcel(self) -> Parcel:
        """What was pickled since the last call."""
        wrapping = self._wrapping
        parcel = Parcel(self._file.getvalue())
        if self._buffers or self.shared or wrapping is not None:
            parcel = parcel._replace(buffers=self._buffers[:], shared=self.shared[:])
            if wrapping is not None:
                parcel = parcel._replace(
                    bytecode=wrapping.used, minimum=wrapping.minimum, newest=wrapping.newest
                )
                self._wrapping = None
            self._buffers.clear()
            self.shared.clear()
        self._file.seek(0)
        self._file.truncate()
        self.clear_memo()
        self.clean = True
        return parcel

    def reducer_override(self, obj: Any) -> Any:
        """Reduce what must not be left to pickle."""
        kind = type(obj)
        if kind is types.FunctionType:
            if is_importable(obj):
                public = public_name(obj)
                return NotImplemented if public is None else (resolve, public)
            made = reduce_made_function(obj)
            return reduce_function(obj, self._wrap()) if made is NotImplemented else made
        # Not isinstance(obj, type): that is true of list[int] on 3.9 and 3.10.
        if issubclass(kind, type):
            reduced = reduce_class(obj)
            if reduced is not NotImplemented and len(reduced) > 2:
                self._wrap().begin(obj.__module__, reduced[2])
            return reduced
        reducer = REDUCERS.get(kind) or reducer_for(kind)
        if reducer is not None:
            return reducer(obj)
        if issubclass(kind, BaseException):
            from .exceptions import reduce_exception

            return reduce_exception(obj)
        if kind is types.CellType:
            return reduce_cell(obj, self._wrap())
        if kind is types.CodeType:
            return self._wrap().reduce_code(obj)
        if kind is types.ModuleType:
            return reduce_module(obj)
        return self._reduce_instance(obj, kind) if is_used() else NotImplemented

    def _reduce_instance(self, obj: Any, kind: type) -> Any:
        """An instance, which may be one of a module that is sent by value.

        What its class says of pickling was written for a side that has the module. It names
        globals that are not there, and runs code while that is still coming in.
        """
        if not belongings.has_own_way(kind):
            return NotImplemented
        reduced = obj.__reduce_ex__(self.protocol)
        if isinstance(reduced, str):
            return belongings.reduce_named(obj, reduced)
        is_open = self._wrapping is not None and self._wrapping.open
        return belongings.reduce_plain(obj) if is_open else reduced

    def _wrap(self) -> Wrapping:
        if self._wrapping is None:
            self._wrapping = Wrapping(self.bytecode)
        return self._wrapping


class _TaskPickler(_Pickler):
    """Keeps large strings and bytes apart."""

    def __init__(
        self, file: io.BytesIO, protocol: int, buffer_callback: Callable[[Any], Any]
    ) -> None:
        super().__init__(file, protocol, buffer_callback)
        self.blobs: dict[int, Blob] = {}  # by the object's id, which they keep

    def persistent_id(self, obj: Any) -> Optional[bytes]:
        """The id of a large constant."""
        if type(obj) not in _BULKY or len(obj) < _BULK:
            return None
        blob = self.blobs.get(id(obj))
        if blob is None:
            blob = self.blobs[id(obj)] = _blob(obj, self.protocol)
        return blob.ident


class _TaskUnpickler(pickle.Unpickler):
    """Takes from elsewhere what was kept apart."""

    def __init__(
        self, body: Buffer, buffers: Sequence[Buffer], find: Callable[[bytes], Any]
    ) -> None:
        super().__init__(io.BytesIO(body), buffers=buffers)
        self._find = find

    def persistent_load(self, pid: Any) -> Any:
        """The data of a blob."""
        return self._find(pid)


_BULKY = frozenset({bytes, str})


def _keep_large(buffers: list[Buffer], buffer: pickle.PickleBuffer) -> bool:
    """Keep a large buffer out of the pickle; a true result puts it in."""
    raw = buffer.raw()
    if raw.nbytes < _OUT_OF_BAND:
        return True
    # PyPy leaves it with the items that it had, and then its length is not that of its bytes.
    buffers.append(raw if raw.format == "B" and raw.ndim == 1 else raw.cast("B"))
    return False
