"""Frames: the unit of everything that follows the preamble.

A frame is a header of 32 bytes, a table of buffer lengths when there are any, a body, and the
buffers (pickle protocol 5's out-of-band data, PEP 574)::

    0      1      2         4        8        12       20       28     32
    | kind | flags | buffers | count | micros | ident  | length | crc32 |
    | buffers x u64 length | crc32 |                    only if buffers > 0
    | body: length bytes | buffer 0 | buffer 1 | ...

All integers are big-endian and unsigned; `length` and the lengths in the table have 64 bits. The
two checksums make a bit flipped in transit an error rather than a wait for bytes that never come.

Nothing here knows of sockets, time or threads: bytes go in, frames come out, and back. What each
frame means is in ``docs/reference/protocol.md``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Optional, Union
from zlib import crc32

from .errors import ProtocolError

__all__ = [
    "HEADER_SIZE",
    "IGNORABLE",
    "MAX_BUFFERS",
    "NAMES",
    "PREAUTH_LIMIT",
    "Buffer",
    "Flag",
    "Frame",
    "FrameReader",
    "Kind",
    "Unreadable",
    "byte_view",
    "encode_frame",
]

Buffer = Union[bytes, bytearray, memoryview]


class Kind:
    """The kinds of frame, plain integers (enum members cost a lookup at each comparison)."""

    # handshake
    OFFER = 0x01
    SELECT = 0x02
    REFUSE = 0x03
    HELLO = 0x04
    # work, client to worker
    FUNCTION = 0x10
    TASK = 0x11
    SHARED = 0x12
    RELEASE = 0x13
    MODULE = 0x14
    FORGET = 0x15
    # work, worker to client
    RESULT = 0x18
    ERROR = 0x19
    IMPORT = 0x1A
    # both ways
    PING = 0x20
    PONG = 0x21
    GOODBYE = 0x22
    ACK = 0x23
    # control
    STATUS = 0x30
    STATUS_REPLY = 0x31
    DRAIN = 0x32
    DRAINING = 0x33
    KILL = 0x34
    KILLED = 0x35
    LEAVE = 0x36
    # may be skipped by who does not know them
    OUTPUT = 0x90


class Flag:
    """Bits of the `flags` field."""

    #: The body holds a list: one entry for each of `count` tasks or results.
    BATCH = 0x01
    #: A task's body starts with options, see the protocol's "TASK".
    OPTIONS = 0x02
    #: A pickle of the frame holds bytecode: only for a peer with the same magic number.
    BYTECODE = 0x04


#: Kinds with this bit may be skipped by a receiver that does not know them.
IGNORABLE = 0x80

NAMES: dict[int, str] = {value: name for name, value in vars(Kind).items() if name.isupper()}

_HEADER = struct.Struct("!BBHIIQQ")
_CRC = struct.Struct("!I")
_CHECKED_HEADER = struct.Struct("!BBHIIQQI")
HEADER_SIZE = _CHECKED_HEADER.size
_CHECKED_SIZE = _HEADER.size  # what the checksum of a header is of

# Calling the class costs a Python function more.
_new_frame = tuple.__new__

#: The largest body before the peer is known, in bytes.
PREAUTH_LIMIT = 64 * 1024

#: How many buffers a frame can have: the field has 16 bits.
MAX_BUFFERS = 0xFFFF

_MICROS_MAX = 0xFFFFFFFF

#: A target this large is offered to the caller, to be received into without a copy.
_DIRECT = 16 * 1024


class Frame(NamedTuple):
    """One frame as it was received.

    Attributes:
        kind: One of `Kind`, or an unknown number with the `IGNORABLE` bit.
        flags: Bits of `Flag`.
        count: How many tasks or results the frame is about.
        micros: How long they took to execute, in microseconds; saturates.
        ident: The id of the first task; what else it may be depends on the kind.
        body: Bytes.
        buffers: Out-of-band buffers, each writable and owned by the frame alone.
    """

    kind: int
    flags: int = 0
    count: int = 0  # type: ignore[assignment]  # hides tuple.count
    micros: int = 0
    ident: int = 0
    body: Buffer = b""
    buffers: Sequence[Buffer] = ()

    @property
    def name(self) -> str:
        """The kind's name, or its number where it has none."""
        return NAMES.get(self.kind, f"0x{self.kind:02x}")


class Unreadable(NamedTuple):
    """A frame that was skipped because there is no memory to receive it into.

    Attributes:
        kind: The frame's kind.
        count: How many tasks or results it was about.
        ident: The id of the first.
        size: How many bytes it has, its header not counted.
    """

    kind: int
    count: int  # type: ignore[assignment]
    ident: int
    size: int


def encode_frame(
    kind: int,
    body: Buffer = b"",
    *,
    flags: int = 0,
    count: int = 0,
    micros: int = 0,
    ident: int = 0,
    buffers: Sequence[Buffer] = (),
) -> list[Buffer]:
    """Encode one frame as segments to be written one after the other.

    Small bodies are joined to the header; large ones and buffers are passed on without a copy.

    Raises:
        ProtocolError: More than `MAX_BUFFERS` buffers.
    """
    length = len(body)
    if micros > _MICROS_MAX:
        micros = _MICROS_MAX
    if not buffers:
        head = _HEADER.pack(kind, flags, 0, count, micros, ident, length)
        head += _CRC.pack(crc32(head))
        if length <= _DIRECT:
            return [b"".join((head, body))]
        return [head, body]
    if len(buffers) > MAX_BUFFERS:
        raise ProtocolError(f"a frame has at most {MAX_BUFFERS} buffers, not {len(buffers)}")
    head = _HEADER.pack(kind, flags, len(buffers), count, micros, ident, length)
    table = struct.pack(f"!{len(buffers)}Q", *map(len, buffers))
    start = b"".join((head, _CRC.pack(crc32(head)), table, _CRC.pack(crc32(table))))
    segments = [b"".join((start, body))] if length <= _DIRECT else [start, body]
    segments += [buffer for buffer in buffers if len(buffer)]
    return segments


class FrameReader:
    """Turns a stream of bytes into frames, however the bytes are cut.

    Args:
        limit: What a frame may hold at most (body and buffers), in bytes; checked against the
            header before any memory is allocated.
        allocate: Makes the writable memory that a large body or a buffer is received into; may
            raise MemoryError, and the frame is then skipped and reported as `Unreadable`.
        max_buffers: How many buffers a frame may have.
    """

    def __init__(
        self,
        limit: int,
        allocate: Optional[Callable[[int], Any]] = None,
        max_buffers: int = MAX_BUFFERS,
    ) -> None:
        self.limit = limit
        self.max_buffers = max_buffers
        self._allocate = bytearray if allocate is None else allocate
        self._tail = b""
        self._parts: list[bytes] = []  # what followed a tail that waits for a long table
        self._missing = 0
        #: The frame that is still arriving, if it is a large one.
        self.assembling: Optional[_Assembly] = None
        self._skip = 0

    def feed(  # noqa: C901 (in parts it would be calls, and this is done for each frame)
        self, data: bytes, most: int = 0
    ) -> list[Union[Frame, Unreadable]]:
        """Take in bytes and return the frames that they complete.

        Args:
            data: The bytes, possibly none.
            most: Stop after so many frames and keep the rest for the next call; 0 is no limit.

        Raises:
            ProtocolError: The bytes are no frame, or one that is larger than the limit.
        """
        if not (self._tail or self._skip or self.assembling) and len(data) >= HEADER_SIZE:
            # The common case: exactly one small frame.
            header = _CHECKED_HEADER.unpack_from(data)
            if (
                header[6] == len(data) - HEADER_SIZE
                and header[6] <= self.limit
                and not header[2]
                and header[7] == crc32(data[:_CHECKED_SIZE])
            ):
                kind, flags, _, count, micros, ident = header[:6]
                fields = (kind, flags, count, micros, ident, data[HEADER_SIZE:], ())
                return [_new_frame(Frame, fields)]
        if self._tail:
            self._parts.append(data)
            self._missing -= len(data)
            if self._missing > 0:  # joining at each byte would be quadratic
                return []
            data = b"".join((self._tail, *self._parts))
            self._tail = b""
            self._parts.clear()
        frames: list[Union[Frame, Unreadable]] = []
        offset, end = 0, len(data)
        while True:
            if self._skip:
                step = min(self._skip, end - offset)
                self._skip -= step
                offset += step
                if self._skip:
                    return frames
            assembly = self.assembling
            if assembly is not None:
                offset = assembly.fill(data, offset)
                if assembly.target is not None:
                    return frames
                self.assembling = None
                frames.append(assembly.frame())
            if most and len(frames) >= most:
                self._missing = 0
                break
            if end - offset < HEADER_SIZE:
                self._missing = HEADER_SIZE - (end - offset)
                break
            body = offset + HEADER_SIZE
            kind, flags, buffers, count, micros, ident, length = _HEADER.unpack_from(data, offset)
            _check(data, offset, body - _CRC.size, "header")
            sizes: tuple[int, ...] = ()
            if buffers:
                table = body
                body += self._table_size(kind, buffers)
                if end < body:
                    self._missing = body - end
                    break
                _check(data, table, body - _CRC.size, "buffer table")
                sizes = struct.unpack_from(f"!{buffers}Q", data, table)
            total = length + sum(sizes)
            if total > self.limit:
                raise self._too_large(kind, total)
            offset = body
            if not buffers and length <= end - offset:
                content = data[offset : offset + length]
                frames.append(Frame(kind, flags, count, micros, ident, content))
                offset += length
                continue
            try:
                targets = [byte_view(self._allocate(size)) for size in (length, *sizes)]
            except MemoryError:
                frames.append(Unreadable(kind, count, ident, total))
                self._skip = total
                continue
            self.assembling = _Assembly((kind, flags, count, micros, ident), targets)
        self._tail = data[offset:]
        return frames

    def target(self) -> Optional[memoryview]:
        """Memory that the next bytes belong into, when it is large enough to be worth it.

        The caller receives into it and calls `filled`, or ignores it and calls `feed`.
        """
        assembly = self.assembling
        if assembly is None or assembly.target is None or self._skip:
            return None
        rest = assembly.target[assembly.position :]
        return rest if len(rest) >= _DIRECT else None

    def filled(self, size: int) -> list[Union[Frame, Unreadable]]:
        """Say that `size` bytes were received into `target()`; return what that completes."""
        assembly = self.assembling
        assert assembly is not None
        assembly.advance(size)
        if assembly.target is not None:
            return []
        self.assembling = None
        return [assembly.frame()]

    @property
    def surplus(self) -> int:
        """How many bytes wait for the next call, while no large frame is arriving."""
        return len(self._tail) + sum(map(len, self._parts))

    @property
    def idle(self) -> bool:
        """Whether the bytes taken in so far end exactly where a frame ends."""
        return not (self._tail or self._skip or self.assembling is not None)

    def take_rest(self) -> bytes:
        """Give up the bytes that follow the last frame: they belong to somebody else."""
        rest = b"".join((self._tail, *self._parts))
        self._tail = b""
        self._parts.clear()
        return rest

    def _table_size(self, kind: int, buffers: int) -> int:
        if buffers > self.max_buffers:
            name = NAMES.get(kind, f"0x{kind:02x}")
            raise ProtocolError(f"a {name} frame with {buffers} buffers, not {self.max_buffers}")
        size = 8 * buffers + _CRC.size
        if size > self.limit:
            raise self._too_large(kind, size)
        return size

    def _too_large(self, kind: int, size: int) -> ProtocolError:
        name = NAMES.get(kind, f"0x{kind:02x}")
        return ProtocolError(f"a {name} frame of {size} bytes is over the limit of {self.limit}")


class _Assembly:
    """A frame whose body and buffers are still arriving."""

    __slots__ = ("_fields", "_index", "_targets", "position", "target")

    def __init__(self, fields: tuple[int, int, int, int, int], targets: list[memoryview]) -> None:
        self._fields = fields
        self._targets = targets
        self._index = -1
        self.position = 0
        self.target: Optional[memoryview] = None
        self._next()

    def _next(self) -> None:
        """Go on to the next target that wants bytes."""
        self.position = 0
        for index in range(self._index + 1, len(self._targets)):
            if len(self._targets[index]):
                self._index, self.target = index, self._targets[index]
                return
        self.target = None

    def advance(self, size: int) -> None:
        assert self.target is not None
        self.position += size
        if self.position == len(self.target):
            self._next()

    def fill(self, data: bytes, offset: int) -> int:
        end = len(data)
        while self.target is not None and offset < end:
            step = min(len(self.target) - self.position, end - offset)
            self.target[self.position : self.position + step] = data[offset : offset + step]
            offset += step
            self.advance(step)
        return offset

    def frame(self) -> Frame:
        return Frame(*self._fields, self._targets[0], tuple(self._targets[1:]))


def byte_view(memory: Any) -> memoryview:
    """A view of the memory's bytes, cast only where it must be.

    PyPy cannot receive into a slice of a view that was cast, and sends one byte by byte.
    """
    view = memoryview(memory)
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


def _check(data: bytes, start: int, end: int, what: str) -> None:
    if _CRC.unpack_from(data, end)[0] != crc32(data[start:end]):
        raise ProtocolError(f"the checksum of a frame's {what} does not match")
