"""What runs a kernel's tasks in the workers of an executor that is not farm's.

The client hands such an executor (`concurrent.futures.ProcessPoolExecutor`, Dask's, MPI's) nothing
but `run` and bytes, so it need not be able to pickle anything else. The bytes are frames as a
server would get them: what the task needs (FUNCTION, SHARED), and a TASK; what comes back are
RESULT and ERROR frames. So tasks, arguments and errors travel by the same rules as to servers,
between different versions of Python, too.

Which of its processes an executor uses is its own affair. Hence each process keeps what it was sent
under content ids, as far as there is room, and the client may leave out what it has sent before; a
process that lacks some of it says so, and is asked again with all of it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import platform
import struct
import sys
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from time import perf_counter_ns
from typing import Any, Callable, Optional

from .errors import SerializationError
from .frames import Buffer, Flag, Frame, FrameReader, Kind, encode_frame
from .handshake import ClientHello, ServerHello
from .interpreter import hello_fields, shares_bytecode
from .place import as_worker
from .shipping import shared
from .shipping.exceptions import pack_exception
from .shipping.pickling import SCALARS, pack, unpack
from .shipping.rebuild_classes import Classes
from .shipping.tasks import ID_SIZE, load_function

__all__ = ["Seat", "introduce", "run"]

_LENGTH = struct.Struct("!I")

_NO_KEYWORDS: dict[str, Any] = {}

#: A worker of an executor: a host, a process and a thread.
Seat = tuple[str, int, int]

#: What a process keeps of what it was sent, in bytes, unless a task in progress needs more.
_ROOM = 256 << 20

#: How many functions a thread keeps loaded.
_LOADED = 256

# Results that cannot change once they are returned, and that are worth gathering.
_SMALL = SCALARS - {str, bytes}
_SIZED = frozenset({str, bytes})
_SMALL_SIZE = 4096

#: What is received here is in memory already.
_NO_LIMIT = sys.maxsize


def introduce(_ticket: str) -> bytes:
    """What this process is, as the body of a server's HELLO frame.

    It announces none of the optional parts of the protocol: nobody is here to kill a task, or to
    ask the client for modules.

    Args:
        _ticket: As for `run`.
    """
    fields = {**hello_fields(1 << 62), "features": ()}
    host = platform.node()
    hello = ServerHello(
        **fields,
        server="",
        name="",
        host=host,
        pid=os.getpid(),
        workers=1,
        tags=(),
        session="0" * 32,
    )
    return hello.encode()


def run(
    client: bytes, index: int, left_out: bytes, request: bytes, _ticket: str
) -> tuple[bytes, bytes, Seat]:
    """Run the tasks of one TASK frame.

    Args:
        client: The client's hello.
        index: The number by which the kernel knows this worker.
        left_out: The ids of what the tasks need and the client has sent before.
        request: Frames: functions and shared values, and the tasks.
        _ticket: Another one in each call. Some executors give equal calls one result.

    Returns:
        The ids of what is not here any more; frames with the results; and who ran the tasks.
            Where anything is missing, there are no results, and nothing was run.
    """
    seat = platform.node(), os.getpid(), threading.get_native_id()
    hello = _decoded(client)
    frames = FrameReader(_NO_LIMIT).feed(request)
    given = [frame for frame in frames if isinstance(frame, Frame)]
    *items, task = given
    needed = [left_out[start : start + ID_SIZE] for start in range(0, len(left_out), ID_SIZE)]
    with _larder.use(items, needed, shares_bytecode(hello)) as missing:
        if missing:
            return b"".join(missing), b"", seat
        with as_worker(index):
            return b"", b"".join(_Shift(hello).execute(task)), seat


@lru_cache(maxsize=64)
def _decoded(client: bytes) -> ClientHello:
    hello: ClientHello = ClientHello.decode(client)
    return hello


class _Larder(shared.SharedStore):
    """What this process was sent, by its ids; what was used longest ago goes first.

    Shared values that it does not have may be those of a store that was here before: this may be
    a process of a pool that a task of a server's has made.
    """

    def __init__(self) -> None:
        super().__init__()
        self._frames: OrderedDict[bytes, Frame] = OrderedDict()
        self._size = 0
        self._used: Counter[bytes] = Counter()
        self._lock = threading.RLock()
        self._outer: Optional[shared.SharedStore] = None

    @contextlib.contextmanager
    def use(
        self, items: Iterable[Frame], needed: Iterable[bytes], same_bytecode: bool
    ) -> Iterator[list[bytes]]:
        """Take in what came, and keep it and what else is needed until the end of the ``with``.

        Gives the ids of what is needed and not here.
        """
        with self._lock:
            active = shared.active_store()
            if active is not self:
                self._outer = active
                self.activate()
            for frame in items:
                self._take_in(frame, same_bytecode)
            idents = {bytes(frame.body[:ID_SIZE]) for frame in items}.union(needed)
            missing = [ident for ident in idents if ident not in self._frames]
            self._used.update(idents)
        try:
            yield missing
        finally:
            with self._lock:
                self._used.subtract(idents)
                self._used += Counter()  # without those that are not used
                self._clear_out()

    def renew(self) -> None:
        """Be that of a forked child: what its parent's threads were doing does not go on here."""
        self._lock = threading.RLock()
        self._used.clear()

    def frame(self, ident: bytes) -> Frame:
        """What came with an id, which is in use."""
        with self._lock:
            return self._frames[ident]

    def get(self, ident: bytes) -> Any:
        """As `SharedStore.get`."""
        with self._lock:
            if ident in self._frames or self._outer is None:
                return super().get(ident)
        return self._outer.get(ident)

    def _take_in(self, frame: Frame, same_bytecode: bool) -> None:
        ident = bytes(frame.body[:ID_SIZE])
        if ident in self._frames:
            self._frames.move_to_end(ident)
            return
        self._frames[ident] = frame
        self._size += _size(frame)
        if frame.kind == Kind.SHARED:

            def load() -> Any:
                _check_bytecode(frame, same_bytecode)
                return unpack(memoryview(frame.body)[ID_SIZE:], frame.buffers)

            self.put(ident, load)

    def _clear_out(self) -> None:
        if self._size <= _ROOM:
            return
        for ident in list(self._frames):
            if self._size <= _ROOM:
                return
            if not self._used[ident]:
                self._size -= _size(self._frames.pop(ident))
                self.drop(ident)


_larder = _Larder()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_larder.renew)


class _Kept(threading.local):
    """The functions that a thread has loaded: each is a worker, with variables of its own."""

    def __init__(self) -> None:
        self.functions: OrderedDict[bytes, tuple[Callable[..., Any], Classes]] = OrderedDict()


_kept = _Kept()


class _Shift:
    """The tasks of one frame.

    Args:
        client: What their client said of itself.
    """

    def __init__(self, client: ClientHello) -> None:
        self._client = client
        self._same_bytecode = shares_bytecode(client)
        self._segments: list[Buffer] = []  # frames for the client
        self._values: list[Any] = []  # results of consecutive tasks, to be one frame
        self._first = 0  # the id of the task that gave the first of them
        self._elapsed = 0  # ns that these tasks took together

    def execute(self, frame: Frame) -> list[Buffer]:
        """Run all tasks; return the segments of the answers."""
        ident = frame.ident
        try:
            call, batch = self._decode(frame)
        except BaseException as error:  # noqa: BLE001 (loading runs the user's code)
            self._fail(ident, max(1, frame.count), error, 0, skip=99)
            return self._segments
        for args, keywords in batch:
            started = perf_counter_ns()
            try:
                value = call(*args, **keywords)
            except BaseException as error:  # noqa: BLE001 (also SystemExit: it is the task's)
                self._fail(ident, 1, error, perf_counter_ns() - started, skip=1)
            else:
                self._give(ident, value, perf_counter_ns() - started)
                value = None  # it may be large, and the next may need its room
            ident += 1
        self._close_run()
        return self._segments

    def _decode(self, frame: Frame) -> tuple[Callable[..., Any], Sequence[tuple[Any, Any]]]:
        """The function of a TASK frame, and pairs of arguments and keyword arguments."""
        _check_bytecode(frame, self._same_bytecode)
        body = memoryview(frame.body)
        call = self._load(bytes(body[:ID_SIZE]))
        start = ID_SIZE
        if frame.flags & Flag.OPTIONS:  # they are for who can kill a task
            (length,) = _LENGTH.unpack_from(body, start)
            start += _LENGTH.size + length
        content = unpack(body[start:], frame.buffers)
        if not frame.flags & Flag.BATCH:
            args, keywords = content
            return call, ((args, keywords),)
        return call, list(zip(content, repeat(_NO_KEYWORDS)))

    def _load(self, ident: bytes) -> Callable[..., Any]:
        functions = _kept.functions
        if ident in functions:
            functions.move_to_end(ident)
            call, classes = functions[ident]
            classes.restore()
            return call
        frame = _larder.frame(ident)
        _check_bytecode(frame, self._same_bytecode)
        classes = Classes()
        with classes:
            call = load_function(memoryview(frame.body)[ID_SIZE:], _larder.get)
        functions[ident] = call, classes
        if len(functions) > _LOADED:
            functions.popitem(last=False)
        return call

    def _give(self, ident: int, value: Any, duration: int) -> None:
        """Gather a result; what may change once another task runs is packed now."""
        if type(value) in _SMALL or (type(value) in _SIZED and len(value) <= _SMALL_SIZE):
            if not self._values:
                self._first = ident
            self._values.append(value)
            self._elapsed += duration
            return
        client = self._client
        try:
            parcel = pack(value, client.pickle, "the result", self._same_bytecode)
            if parcel.minimum > client.python[:2]:
                raise SerializationError(
                    f"the result holds {parcel.newest}, which is in the syntax of Python "
                    f"{'.'.join(map(str, parcel.minimum))}; the client runs an older one"
                )
        except BaseException as error:  # noqa: BLE001 (reducing it runs the user's code)
            self._fail(ident, 1, error, duration, skip=99)
            return
        self._close_run()
        flags = Flag.BYTECODE if parcel.bytecode else 0
        self._answer(Kind.RESULT, parcel.body, flags, 1, duration, ident, parcel.buffers)

    def _fail(self, ident: int, count: int, error: BaseException, duration: int, skip: int) -> None:
        body, bytecode = pack_exception(
            error, self._client.pickle, skip, bytecode=self._same_bytecode
        )
        self._close_run()
        self._answer(Kind.ERROR, body, Flag.BYTECODE if bytecode else 0, count, duration, ident)

    def _close_run(self) -> None:
        """Make one frame of the results gathered so far."""
        values = self._values
        if values:
            single = len(values) == 1
            body = pickle.dumps(values[0] if single else values, self._client.pickle)
            flags = 0 if single else Flag.BATCH
            self._answer(Kind.RESULT, body, flags, len(values), self._elapsed, self._first)
            values.clear()
            self._elapsed = 0

    def _answer(
        self,
        kind: int,
        body: Buffer,
        flags: int,
        count: int,
        duration: int,
        ident: int,
        buffers: Sequence[Buffer] = (),
    ) -> None:
        frame = encode_frame(
            kind,
            body,
            flags=flags,
            count=count,
            micros=duration // 1000,
            ident=ident,
            buffers=buffers,
        )
        # What is out of band is still the task's own, which may change it.
        self._segments += [b"".join(frame)] if buffers else frame


def _check_bytecode(frame: Frame, same_bytecode: bool) -> None:
    if frame.flags & Flag.BYTECODE and not same_bytecode:
        raise SerializationError(
            "it holds bytecode of another interpreter than this one: the workers of the executor "
            "must all run the same Python"
        )


def _size(frame: Frame) -> int:
    return len(frame.body) + sum(map(len, frame.buffers))
