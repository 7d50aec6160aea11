"""Frames to bytes and back: by table, byte by byte, with what follows, and by properties."""

import array
import struct
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm_common import ProtocolError
from farm_common.frames import (
    HEADER_SIZE,
    IGNORABLE,
    MAX_BUFFERS,
    NAMES,
    PREAUTH_LIMIT,
    Flag,
    Frame,
    FrameReader,
    Kind,
    Unreadable,
    byte_view,
    encode_frame,
)
from farm_common.testing import cut

LIMIT = 1 << 20

# What is written, and what that is on the wire; the checksums were computed with zlib's crc32.
TABLE = [
    pytest.param(
        Frame(Kind.PING),
        "20 00 0000 00000000 00000000 0000000000000000 0000000000000000 b6cfd449",
        id="empty",
    ),
    pytest.param(
        Frame(Kind.RESULT, Flag.BATCH, 3, 250, 7, b"abc"),
        "18 01 0000 00000003 000000fa 0000000000000007 0000000000000003 926e31c2 616263",
        id="body",
    ),
    pytest.param(
        Frame(Kind.SHARED, 0, 0, 0, 0, b"p", (b"\xff\xfe", b"", b"\x00")),
        "12 00 0003 00000000 00000000 0000000000000000 0000000000000001 daaedac6"
        "0000000000000002 0000000000000000 0000000000000001 00fa6a71 70 fffe 00",
        id="buffers",
    ),
    pytest.param(
        Frame(0xFF, 0xFF, 2**32 - 1, 2**32 - 1, 2**64 - 1, b""),
        "ff ff 0000 ffffffff ffffffff ffffffffffffffff 0000000000000000 e6929df8",
        id="largest",
    ),
]

JUNK = [
    pytest.param(b"", id="nothing"),
    pytest.param(b"\x20", id="one-byte"),
    pytest.param(b"\x20" * (HEADER_SIZE - 1), id="most-of-a-header"),
]


def encode(frame):
    """The frame as one piece of bytes."""
    return b"".join(
        encode_frame(
            frame.kind,
            frame.body,
            flags=frame.flags,
            count=frame.count,
            micros=frame.micros,
            ident=frame.ident,
            buffers=frame.buffers,
        )
    )


def header(kind=Kind.TASK, flags=0, buffers=0, count=0, micros=0, ident=0, length=0):
    """A header with a good checksum and any fields, possible or not."""
    head = struct.pack("!BBHIIQQ", kind, flags, buffers, count, micros, ident, length)
    return head + struct.pack("!I", crc32(head))


def table(*sizes):
    """A buffer table with a good checksum."""
    data = struct.pack(f"!{len(sizes)}Q", *sizes)
    return data + struct.pack("!I", crc32(data))


def plain(happening):
    """A frame with plain bytes in it, whatever memory it was received into."""
    if isinstance(happening, Unreadable):
        return happening
    return happening._replace(
        body=bytes(happening.body), buffers=tuple(map(bytes, happening.buffers))
    )


def read(reader, pieces):
    """All frames that the pieces complete."""
    return [plain(frame) for piece in pieces for frame in reader.feed(piece)]


class Memory:
    """An allocator that remembers what it was asked for, and refuses what is too large."""

    def __init__(self, most=LIMIT):
        self.sizes = []
        self.most = most

    def __call__(self, size):
        self.sizes.append(size)
        if size > self.most:
            raise MemoryError
        return bytearray(size)


class TestTable:
    @pytest.mark.parametrize(("frame", "wire"), TABLE)
    def test_encode(self, frame, wire):
        """A frame is exactly these bytes."""
        assert encode(frame) == bytes.fromhex(wire)

    @pytest.mark.parametrize(("frame", "wire"), TABLE)
    @pytest.mark.parametrize("junk", JUNK)
    def test_decode_whole(self, frame, wire, junk):
        """The bytes are exactly this frame, whatever follows them."""
        reader = FrameReader(LIMIT)
        assert read(reader, [bytes.fromhex(wire) + junk]) == [frame]
        assert reader.idle == (not junk)

    @pytest.mark.parametrize(("frame", "wire"), TABLE)
    def test_decode_byte_by_byte(self, frame, wire):
        """The frame comes with its last byte, not before."""
        reader = FrameReader(LIMIT)
        data = bytes.fromhex(wire)
        assert read(reader, cut(data[:-1], 1)) == []
        assert not reader.idle
        assert read(reader, [data[-1:]]) == [frame]
        assert reader.idle

    @pytest.mark.parametrize(("frame", "wire"), TABLE)
    def test_name(self, frame, wire):
        """A known kind has its name in messages, an unknown one its number."""
        assert frame.name == NAMES.get(frame.kind, "0xff")


class TestWriting:
    def test_time_saturates(self):
        """An execution time that does not fit is the largest that does."""
        assert encode(Frame(Kind.RESULT, micros=2**40)) == encode(
            Frame(Kind.RESULT, micros=2**32 - 1)
        )

    @pytest.mark.parametrize("buffers", [(), (b"x",)], ids=["plain", "buffers"])
    def test_large_parts_are_not_copied(self, buffers):
        """A large body and all buffers are passed on as the objects that they are."""
        body = bytes(64 * 1024)
        segments = encode_frame(Kind.RESULT, body, buffers=buffers)
        assert segments[1] is body
        assert segments[2:] == list(buffers)

    @pytest.mark.parametrize("buffers", [(), (b"x",)], ids=["plain", "buffers"])
    def test_small_bodies_are_joined(self, buffers):
        """A small body is one piece with the header, whatever type it has."""
        segments = encode_frame(Kind.RESULT, memoryview(b"body"), buffers=buffers)
        assert len(segments) == 1 + len(buffers)
        assert segments[0].endswith(b"body")

    def test_too_many_buffers(self):
        """More buffers than the field can count are refused."""
        with pytest.raises(ProtocolError, match="at most 65535 buffers, not 65536"):
            encode_frame(Kind.TASK, buffers=[b""] * (MAX_BUFFERS + 1))

    def test_most_buffers(self):
        """As many as it can count travel."""
        frame = Frame(Kind.TASK, body=b"p", buffers=(b"",) * MAX_BUFFERS)
        assert read(FrameReader(LIMIT), cut(encode(frame), 10_000)) == [frame]


class TestLimits:
    @pytest.mark.parametrize(
        ("wire", "size"),
        [
            pytest.param(header(length=LIMIT + 1), LIMIT + 1, id="body"),
            pytest.param(header(length=2**64 - 1), 2**64 - 1, id="largest-body"),
            pytest.param(header(buffers=1, length=1) + table(LIMIT), LIMIT + 1, id="sum"),
            pytest.param(
                header(buffers=2) + table(2**64 - 1, 2**64 - 1), 2**65 - 2, id="sum-over-64-bits"
            ),
        ],
    )
    @pytest.mark.parametrize("piece", [0, 1], ids=["whole", "byte-by-byte"])
    def test_too_large(self, wire, size, piece):
        """What is over the limit is refused by its header, before any memory is asked for."""
        memory = Memory()
        reader = FrameReader(LIMIT, memory)
        with pytest.raises(ProtocolError, match=f"TASK frame of {size} bytes is over the limit"):
            read(reader, cut(wire, piece))
        assert memory.sizes == []

    def test_too_long_a_table(self):
        """A table over the limit is refused before it arrives."""
        reader = FrameReader(PREAUTH_LIMIT)
        with pytest.raises(ProtocolError, match="over the limit of 65536"):
            reader.feed(header(buffers=8192))

    def test_too_many_buffers(self):
        """More buffers than may come are refused before their table arrives."""
        reader = FrameReader(LIMIT, max_buffers=0)
        with pytest.raises(ProtocolError, match="a TASK frame with 1 buffers, not 0"):
            reader.feed(header(buffers=1))

    def test_at_the_limit(self):
        """What is as large as the limit is accepted."""
        frame = Frame(Kind.TASK, body=bytes(60), buffers=(bytes(40),))
        assert read(FrameReader(100), [encode(frame)]) == [frame]

    def test_unknown_kind_has_its_number(self):
        """A kind without a name is given by number in the message."""
        with pytest.raises(ProtocolError, match="a 0x7f frame of 11 bytes"):
            FrameReader(10).feed(header(kind=0x7F, length=11))


class TestDamage:
    @pytest.mark.parametrize("bit", range(8 * HEADER_SIZE))
    def test_flipped_in_the_header(self, bit):
        """Any one bit of a header that flips is found, and never waited on."""
        data = bytearray(header(kind=Kind.RESULT, count=1, micros=5, ident=9, length=3) + b"abc")
        data[bit // 8] ^= 1 << bit % 8
        # The number of buffers may now ask for a table: its bytes would follow.
        with pytest.raises(ProtocolError, match="checksum of a frame's header does not match"):
            FrameReader(LIMIT).feed(bytes(data))

    @pytest.mark.parametrize("bit", range(8 * len(table(1, 2))))
    def test_flipped_in_the_table(self, bit):
        """Any one bit of a buffer table that flips is found."""
        data = bytearray(table(1, 2))
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProtocolError, match="checksum of a frame's buffer table"):
            FrameReader(LIMIT).feed(header(buffers=2) + bytes(data))

    def test_flipped_in_the_body(self):
        """What the body says is not looked at: its reader notices, or the layer does."""
        assert read(FrameReader(LIMIT), [header(length=1) + b"\xff"]) == [
            Frame(Kind.TASK, body=b"\xff")
        ]


class TestMemory:
    @pytest.mark.parametrize("piece", [0, 1, 7], ids=["whole", "byte-by-byte", "by-seven"])
    @pytest.mark.parametrize(
        "big",
        [
            Frame(Kind.RESULT, 0, 4, 0, 9, bytes(100)),
            Frame(Kind.RESULT, 0, 4, 0, 9, bytes(10), (bytes(5), bytes(85))),
        ],
        ids=["body", "buffer"],
    )
    def test_no_memory(self, big, piece):
        """A frame that there is no memory for is skipped and reported; the next one arrives."""
        after = Frame(Kind.PING, ident=3)
        reader = FrameReader(LIMIT, Memory(most=50))
        # Cut before its end, for a body that is there already needs no memory.
        data = encode(big)
        frames = read(reader, [data[:40], *cut(data[40:] + encode(after), piece)])
        assert frames == [Unreadable(Kind.RESULT, 4, 9, 100), after]
        assert reader.idle

    def test_buffers_are_writable(self):
        """Each buffer is memory of its own that its owner may write to."""
        data = encode(Frame(Kind.RESULT, body=b"p", buffers=(b"ab", b"cd")))
        (frame,) = FrameReader(LIMIT).feed(data)
        frame.buffers[0][:] = b"xy"
        assert bytes(frame.buffers[1]) == b"cd"

    def test_any_memory_will_do(self):
        """An allocator may return anything that has a writable buffer."""
        memory = []

        def allocate(size):
            memory.append(memoryview(bytearray(size)).cast("B"))
            return memory[-1]

        frame = Frame(Kind.RESULT, body=b"p", buffers=(b"ab",))
        assert read(FrameReader(LIMIT, allocate), [encode(frame)]) == [frame]
        assert [bytes(view) for view in memory] == [b"p", b"ab"]


class TestTarget:
    def test_received_in_place(self):
        """A large body is offered as memory to receive into, and so is each large buffer."""
        frame = Frame(Kind.RESULT, body=b"a" * 20_000, buffers=(b"b" * 30_000, b"c"))
        data = encode(frame)
        reader = FrameReader(LIMIT)
        start = len(data) - 50_001
        assert reader.feed(data[: start + 100]) == []
        offset = start + 100
        for size in (900, 19_000, 30_000):
            target = reader.target()
            part = target[:size]
            part[:] = data[offset : offset + len(part)]
            offset += len(part)
            assert reader.filled(len(part)) == []
        assert reader.target() is None  # one byte is not worth it
        assert read(reader, [data[offset:]]) == [frame]

    def test_filled_completes(self):
        """The frame comes with the last byte that was received into it."""
        frame = Frame(Kind.RESULT, body=b"a" * 20_000)
        reader = FrameReader(LIMIT)
        reader.feed(encode(frame)[:HEADER_SIZE])
        reader.target()[:] = frame.body
        assert list(map(plain, reader.filled(20_000))) == [frame]
        assert reader.idle
        assert reader.target() is None

    def test_offer_may_be_ignored(self):
        """What is fed instead goes to the same place."""
        frame = Frame(Kind.RESULT, body=b"a" * 20_000)
        reader = FrameReader(LIMIT)
        reader.feed(encode(frame)[:100])
        assert len(reader.target()) == 20_000 - (100 - HEADER_SIZE)
        assert read(reader, [encode(frame)[100:]]) == [frame]

    @pytest.mark.parametrize("size", [0, 1, 10_000], ids=str)
    def test_nothing_large(self, size):
        """No memory is offered where bytes are few, or between frames."""
        reader = FrameReader(LIMIT)
        reader.feed(header(length=size)[: HEADER_SIZE - 1])
        assert reader.target() is None
        reader.feed(header(length=size)[HEADER_SIZE - 1 :])
        assert reader.target() is None

    def test_nothing_while_skipping(self):
        """No memory is offered for what is skipped."""
        reader = FrameReader(LIMIT, Memory(most=0))
        reader.feed(header(length=20_000))
        assert reader.target() is None
        assert not reader.idle


class TestMost:
    FRAMES = [Frame(Kind.PING, ident=n) for n in range(3)]

    def test_one_at_a_time(self):
        """No more frames than asked for are read; the rest waits, and asks for no more bytes."""
        reader = FrameReader(LIMIT)
        frames = reader.feed(b"".join(map(encode, self.FRAMES)), 1)
        assert frames == self.FRAMES[:1]
        assert reader.feed(b"", 1) == self.FRAMES[1:2]
        assert not reader.idle
        assert reader.feed(b"", 1) == self.FRAMES[2:]
        assert reader.idle

    @pytest.mark.parametrize("rest", [b"", b"x", b"x" * 100], ids=len)
    @pytest.mark.parametrize("before", [0, 1, HEADER_SIZE + 1], ids=str)
    def test_rest_is_given_up(self, rest, before):
        """What follows the frame can be taken away, however it was cut before."""
        data = encode(Frame(Kind.SELECT, body=b"body")) + rest
        reader = FrameReader(LIMIT)
        assert reader.feed(data[:before], 1) == []
        assert len(reader.feed(data[before:], 1)) == 1
        assert reader.take_rest() == rest
        assert reader.idle
        assert reader.take_rest() == b""


# Large contents are described rather than drawn: a few bytes, and how often they come.
contents = st.tuples(st.binary(max_size=8), st.sampled_from([1, 3, 6_000])).map(tuple)
specs = st.tuples(
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    contents,
    st.lists(contents, max_size=4),
)


def made(spec):
    """The frame that was described."""
    *fields, (start, times), buffers = spec
    return Frame(*fields, start * times, tuple(start * times for start, times in buffers))


class TestProperties:
    @given(st.lists(specs, max_size=5), st.lists(st.floats(0, 1), max_size=10))
    def test_any_cut_gives_the_same_frames(self, described, cuts):
        """However the bytes of any frames are cut, the same frames come out."""
        sent = list(map(made, described))
        wire = b"".join(map(encode, sent))
        places = sorted(int(len(wire) * place) for place in cuts)
        bounds = [0, *places, len(wire)]
        pieces = [wire[start:end] for start, end in zip(bounds, bounds[1:])]
        reader = FrameReader(LIMIT)
        assert read(reader, pieces) == sent
        assert reader.idle

    @given(st.lists(specs, max_size=3), st.integers(100, 30_000))
    def test_receiving_in_place_gives_the_same_frames(self, described, size):
        """Receiving into the memory that is offered makes no difference."""
        sent = list(map(made, described))
        wire = memoryview(b"".join(map(encode, sent)))
        reader = FrameReader(LIMIT)
        got = []
        while wire:
            target = reader.target()
            if target is None:
                got += reader.feed(bytes(wire[:size]))
                wire = wire[size:]
            else:
                step = min(len(target), size, len(wire))
                target[:step] = wire[:step]
                got += reader.filled(step)
                wire = wire[step:]
        assert list(map(plain, got)) == sent

    @given(st.binary(max_size=300), st.integers(1, 50))
    def test_garbage(self, garbage, size):
        """Whatever comes in, frames come out or `ProtocolError`, and no memory over the limit."""
        memory = Memory()
        reader = FrameReader(100, memory)
        try:
            read(reader, cut(garbage, size))
        except ProtocolError:
            pass
        assert all(size <= 100 for size in memory.sizes)


class TestByteView:
    @pytest.mark.parametrize(
        "memory", [b"abcd", bytearray(b"abcd"), array.array("B", b"abcd"), memoryview(b"abcd")]
    )
    def test_bytes_are_not_cast(self, memory):
        """A view of bytes is what `memoryview` gives, so that PyPy sends slices of it fast."""
        assert (byte_view(memory).format, bytes(byte_view(memory)[1:3])) == ("B", b"bc")

    def test_others_are(self):
        """Anything else is seen as its bytes."""
        numbers = array.array("I", [1, 2, 3])
        assert len(byte_view(numbers)) == 3 * numbers.itemsize


class TestKinds:
    def test_names_are_distinct(self):
        """Every number has one name."""
        kinds = [value for name, value in vars(Kind).items() if name.isupper()]
        assert len(set(kinds)) == len(kinds) == len(NAMES)

    def test_only_output_may_be_skipped(self):
        """What must be understood does not have the ignorable bit."""
        assert [kind for kind in NAMES if kind & IGNORABLE] == [Kind.OUTPUT]
