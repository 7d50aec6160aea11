"""A connection without I/O: both ends by table, whole, byte by byte, and with what follows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm_common import IncompatibleVersionError, ProtocolError
from farm_common.connection import Connection
from farm_common.frames import NAMES, PREAUTH_LIMIT, Frame, Kind, Unreadable, encode_frame
from farm_common.handshake import NEW_SESSION, Offer, Preamble, Select
from farm_common.states import Role, State
from farm_common.testing import ConnectionPair, client_hello, cut, server_hello

C, S = Role.CLIENT, Role.SERVER
SESSION = bytes(range(16))
BIG = 4 * PREAUTH_LIMIT

# One conversation: who sends, what, with which body, and the state of both ends afterwards.
CONVERSATION = [
    (C, "preamble", SESSION, State.PREAMBLE, State.PREAMBLE),
    (S, "preamble", NEW_SESSION, State.WAITING, State.OFFERING),
    (S, Kind.OFFER, Offer(("none", "tls")).encode(), State.SELECTING, State.OFFERED),
    (C, Kind.SELECT, Select("none").encode(), State.SECURING, State.SECURING),
    (None, "layer", b"", State.GREETING, State.GREETING),
    (C, Kind.HELLO, client_hello().encode(), State.GREETED, State.ANSWERING),
    (S, Kind.HELLO, server_hello().encode(), State.OPEN, State.OPEN),
    (S, Kind.PING, b"", State.OPEN, State.OPEN),
    (C, Kind.PONG, b"", State.OPEN, State.OPEN),
    (C, Kind.FUNCTION, b"F" * 17, State.OPEN, State.OPEN),
    (C, Kind.TASK, bytes(BIG), State.OPEN, State.OPEN),
    (S, Kind.OUTPUT, b"\x01text", State.OPEN, State.OPEN),
    (S, Kind.RESULT, bytes(BIG), State.OPEN, State.OPEN),
    (C, Kind.GOODBYE, b"", State.CLOSED, State.CLOSED),
]


def until(stop, piece=0):
    """A pair that has had the conversation up to, not including, this step's number."""
    pair = ConnectionPair(piece=piece)
    for sender, what, body, *_ in CONVERSATION[:stop]:
        if what == "layer":
            pair.client.layer_established()
            pair.server.layer_established()
        else:
            pair.deliver(sender, written(pair.end(sender), what, body))
    return pair


def written(connection, what, body):
    """The bytes of one step."""
    if what == "preamble":
        return connection.send_preamble(body)
    return b"".join(connection.send(what, body))


def frame(kind, body=b"", **fields):
    """The bytes of a frame, whether or not anybody may send it."""
    return b"".join(encode_frame(kind, body, **fields))


def received(end, wire, piece):
    """What happens when the bytes arrive in such pieces."""
    return [got for part in cut(wire, piece) for got in end.receive_data(part)]


#: Every step that sends bytes.
STEPS = [
    pytest.param(number, sender, what, body, states, id=f"{number}-{NAMES.get(what, what)}")
    for number, (sender, what, body, *states) in enumerate(CONVERSATION)
    if sender is not None
]


class TestConversation:
    @pytest.mark.parametrize(("number", "sender", "what", "body", "states"), STEPS)
    @pytest.mark.parametrize("piece", [0, 1, 5000], ids=["whole", "byte-by-byte", "pieces"])
    def test_step(self, number, sender, what, body, states, piece):
        """The step's bytes arrive as what was sent, and leave both ends in these states."""
        if piece == 1:
            body = body[:2000]
        pair = until(number, piece)
        happened = pair.deliver(sender, written(pair.end(sender), what, body))
        if what == "preamble":
            assert happened == [Preamble((1, 1), body)]
        else:
            assert [(got.kind, bytes(got.body)) for got in happened] == [(what, body)]
        assert [pair.client.state, pair.server.state] == states
        assert pair.client.version == (None if number == 0 else 1)

    @pytest.mark.parametrize(("number", "sender", "what", "body", "states"), STEPS)
    def test_written_bytes(self, number, sender, what, body, states):
        """The step's bytes are the preamble's or the frame's, and nothing around them."""
        wire = written(until(number).end(sender), what, body)
        if what == "preamble":
            assert wire == Preamble(session=body).encode()
        else:
            assert wire == frame(what, body)

    @pytest.mark.parametrize(("number", "sender", "what", "body", "states"), STEPS)
    def test_junk_follows(self, number, sender, what, body, states):
        """Bytes of no frame that follow are refused, or left to the layer, or too late."""
        pair = until(number)
        receiver = pair.end(C if sender is S else S)
        wire = written(pair.end(sender), what, body)
        junk = b"J" * 40
        if what == Kind.SELECT:
            assert len(receiver.receive_data(wire + junk)) == 1
            assert receiver.take_rest() == junk
            return
        with pytest.raises(ProtocolError, match=r"checksum|bytes while this side is"):
            receiver.receive_data(wire + junk)
        assert receiver.state is State.CLOSED

    @pytest.mark.parametrize("number", [1, 2, 9, 10, 12])
    def test_own_words_come_back(self, number):
        """An end that talks to itself finds out, unless the words may come from both sides."""
        sender, what, body, *_ = CONVERSATION[number]
        end = until(number).end(sender)
        wire = written(end, what, body)
        with pytest.raises(ProtocolError):
            end.receive_data(wire)


class TestSession:
    def test_is_handed_on(self):
        """Both preambles carry the session that the caller gives."""
        pair = ConnectionPair()
        (preamble,) = pair.deliver(C, pair.client.send_preamble(SESSION))
        assert preamble.session == SESSION
        assert pair.preamble(S)[0].session == NEW_SESSION


class TestVersions:
    @pytest.mark.parametrize(
        ("client", "server", "version"),
        [((1, 1), (1, 3), 1), ((1, 4), (2, 3), 3), ((2, 2), (1, 2), 2)],
    )
    def test_highest_in_common(self, client, server, version):
        """Both ends come to the highest version that both speak."""
        pair = ConnectionPair(
            client=Connection(C, versions=client), server=Connection(S, versions=server)
        )
        pair.preamble(C)
        pair.preamble(S)
        assert (pair.client.version, pair.server.version) == (version, version)

    def test_none_in_common(self):
        """The receiver of a preamble that does not fit says what both sides speak."""
        pair = ConnectionPair(client=Connection(C, versions=(2, 3)))
        with pytest.raises(IncompatibleVersionError) as caught:
            pair.preamble(C)
        assert (caught.value.ours, caught.value.theirs) == ((1, 1), (2, 3))
        assert pair.server.state is State.CLOSED
        assert pair.server.version is None


class TestRefusal:
    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (b"HTTP/1.1 400 Bad Request\r\n", "the peer is not farm: it began with b'HTTP/1.1"),
            (b"\x15\x03\x03\x00\x02\x02\x46", "not farm: it began with b'\\\\x15"),
            (b"\x93farm\n\x00", "the peer is not farm"),
            (b"\x93FARM", "the peer is not farm"),
        ],
        ids=["http", "tls-alert", "edited-line-end", "edited-case"],
    )
    @pytest.mark.parametrize("piece", [0, 1], ids=["whole", "byte-by-byte"])
    @pytest.mark.parametrize("role", Role)
    def test_not_farm(self, role, piece, data, text):
        """A peer of another kind is refused by its first wrong byte, and quoted."""
        end = Connection(role)
        if role is C:
            end.send_preamble()
        with pytest.raises(ProtocolError, match=text if not piece else "not farm"):
            received(end, data, piece)
        assert end.state is State.CLOSED

    def test_client_must_speak_first(self):
        """A client that has sent nothing expects nothing."""
        with pytest.raises(ProtocolError, match="while this side is START"):
            Connection(C).receive_data(Preamble().encode())

    @pytest.mark.parametrize(
        ("number", "receiver", "wire", "text"),
        [
            (2, C, frame(Kind.SELECT), "client cannot receive SELECT while WAITING"),
            (2, C, frame(0xFE), "client cannot receive 0xfe while WAITING"),
            (3, S, frame(Kind.HELLO), "server cannot receive HELLO while OFFERED"),
            (3, S, frame(0xFE), "server cannot receive 0xfe while OFFERED"),
            (5, S, frame(Kind.TASK), "server cannot receive TASK while GREETING"),
            (6, C, frame(Kind.RESULT), "client cannot receive RESULT while GREETED"),
            (7, S, frame(Kind.RESULT), "server cannot receive RESULT while OPEN"),
            (7, S, frame(0x7E), "server cannot receive 0x7e while OPEN"),
            (7, C, frame(Kind.HELLO), "client cannot receive HELLO while OPEN"),
            (2, S, frame(Kind.SELECT), "the peer sent bytes while this side is OFFERING"),
            (3, C, frame(Kind.OFFER), "the peer sent bytes while this side is SELECTING"),
            (4, S, frame(Kind.HELLO), "frames before its security layer was established"),
            (6, S, frame(Kind.TASK), "the peer sent bytes while this side is ANSWERING"),
        ],
    )
    @pytest.mark.parametrize("piece", [0, 1], ids=["whole", "byte-by-byte"])
    def test_wrong_frame(self, number, receiver, wire, text, piece):
        """A frame that is not due closes the connection, with a message that names it."""
        end = until(number).end(receiver)
        with pytest.raises(ProtocolError, match=text):
            received(end, wire, piece)
        assert end.state is State.CLOSED

    def test_wrong_large_frame_received_in_place(self):
        """A wrong frame closes the connection also where it was received without a copy."""
        end = until(7).client
        wire = frame(Kind.TASK, bytes(BIG))
        end.receive_data(wire[:100])
        target = end.target()
        target[:] = wire[100:]
        with pytest.raises(ProtocolError, match="client cannot receive TASK while OPEN"):
            end.filled(len(target))
        assert end.state is State.CLOSED

    def test_send_out_of_turn(self):
        """This side's own mistakes are errors too, and cost nothing."""
        pair = until(7)
        with pytest.raises(ProtocolError, match="client cannot send RESULT while OPEN"):
            pair.client.send(Kind.RESULT)
        assert pair.client.state is State.OPEN
        with pytest.raises(ProtocolError, match="server cannot send preamble while OPEN"):
            pair.server.send_preamble()
        with pytest.raises(ProtocolError, match="client cannot receive layer while OPEN"):
            pair.client.layer_established()


class TestLimits:
    @pytest.mark.parametrize(("number", "receiver"), [(2, C), (3, S), (5, S), (6, C)])
    def test_before_open(self, number, receiver):
        """Until the peer is known, a frame over 64 KiB is refused by its header."""
        asked = []
        end = until(number).end(receiver)
        end.reader._allocate = lambda size: asked.append(size) or bytearray(size)
        head = frame(Kind.HELLO, bytes(PREAUTH_LIMIT + 1))[:32]
        with pytest.raises(ProtocolError, match="65537 bytes is over the limit of 65536"):
            end.receive_data(head)
        assert asked == []

    @pytest.mark.parametrize(("number", "receiver"), [(2, C), (3, S), (5, S), (6, C)])
    def test_no_buffers_before_open(self, number, receiver):
        """Until the peer is known, no frame has buffers."""
        end = until(number).end(receiver)
        with pytest.raises(ProtocolError, match="frame with 1 buffers"):
            end.receive_data(frame(Kind.HELLO, buffers=[b""])[:32])

    @pytest.mark.parametrize("receiver", Role)
    def test_open(self, receiver):
        """Afterwards the limit is the one that this side announced."""
        pair = until(7)
        end = pair.end(receiver)
        kind = Kind.TASK if receiver is S else Kind.RESULT
        with pytest.raises(ProtocolError, match="is over the limit of 67108864"):
            end.receive_data(oversized(kind, (1 << 26) + 1))

    def test_the_limit_changes_with_hello(self):
        """What follows the last HELLO in the same bytes may be large already."""
        pair = until(6)
        hello = written(pair.server, Kind.HELLO, server_hello().encode())
        output = written(pair.server, Kind.OUTPUT, bytes(BIG))
        happened = pair.client.receive_data(hello + output + frame(Kind.PING))
        assert [got.kind for got in happened] == [Kind.HELLO, Kind.OUTPUT, Kind.PING]

    def test_no_memory(self):
        """A frame that there is no memory for is reported, and the connection lives."""

        def allocate(size):
            raise MemoryError

        pair = ConnectionPair(server=Connection(S, frame_limit=1 << 30, allocate=allocate)).open()
        wire = written(pair.client, Kind.TASK, bytes(BIG))
        parts = [wire[:1000], wire[1000:]]
        happened = [got for part in parts for got in pair.server.receive_data(part)]
        assert happened == [Unreadable(Kind.TASK, 0, 0, BIG)]
        assert pair.server.state is State.OPEN
        assert pair.send(C, Kind.PING) == [Frame(Kind.PING)]


def oversized(kind, length):
    """The header of a frame that is larger than anybody would make."""

    class Long(bytes):
        def __len__(self):
            return length

    return bytes(encode_frame(kind, Long())[0])[:32]


class TestEnd:
    def test_nothing_more_is_sent(self):
        """After GOODBYE neither end sends anything."""
        pair = until(len(CONVERSATION))
        for end in (pair.client, pair.server):
            with pytest.raises(ProtocolError, match="while CLOSED"):
                end.send(Kind.PING)

    @pytest.mark.parametrize("piece", [0, 1], ids=["whole", "byte-by-byte"])
    def test_what_was_on_its_way_is_discarded(self, piece):
        """Frames that the peer sent before it saw GOODBYE do no harm."""
        pair = until(len(CONVERSATION))
        for part in cut(frame(Kind.RESULT, b"late"), piece):
            assert pair.client.receive_data(part) == []
        assert pair.client.state is State.CLOSED

    def test_large_frame_on_its_way_is_discarded(self):
        """The same holds for one that is half received when this side says GOODBYE."""
        pair = until(7)
        wire = written(pair.server, Kind.RESULT, bytes(BIG))
        pair.client.receive_data(wire[:100])
        pair.client.send(Kind.GOODBYE)
        target = pair.client.target()
        target[:] = wire[100:]
        assert pair.client.filled(len(target)) == []

    def test_frames_after_goodbye(self):
        """What follows GOODBYE in the same bytes is discarded too."""
        pair = until(7)
        happened = pair.client.receive_data(
            frame(Kind.RESULT) + frame(Kind.GOODBYE) + frame(Kind.RESULT)
        )
        assert [got.kind for got in happened] == [Kind.RESULT, Kind.GOODBYE]


class TestIdle:
    def test_between_frames(self):
        """A connection is idle exactly when no frame, and no preamble, is incomplete."""
        pair = until(7)
        assert pair.client.idle
        pair.client.receive_data(frame(Kind.PING)[:10])
        assert not pair.client.idle
        pair.client.receive_data(frame(Kind.PING)[10:])
        assert pair.client.idle
        start = Connection(S)
        start.receive_data(Preamble().encode()[:5])
        assert not start.idle


class TestIgnorable:
    @pytest.mark.parametrize("receiver", Role)
    @pytest.mark.parametrize("piece", [0, 1], ids=["whole", "byte-by-byte"])
    def test_unknown_frames_are_skipped(self, receiver, piece):
        """A frame of a later release that may be skipped is, and its neighbours arrive."""
        end = until(7).end(receiver)
        wire = frame(Kind.PING) + frame(0xFE, b"news", buffers=[b"more"]) + frame(Kind.PONG)
        happened = received(end, wire, piece)
        assert [got.kind for got in happened] == [Kind.PING, Kind.PONG]
        assert end.state is State.OPEN


# What a peer may say once open, by who receives it.
SAYABLE = {
    C: [Kind.RESULT, Kind.ERROR, Kind.OUTPUT, Kind.PING, Kind.STATUS_REPLY, 0xFE],
    S: [Kind.TASK, Kind.FUNCTION, Kind.PONG, Kind.STATUS, 0xFE],
}


class TestProperties:
    @given(st.sampled_from(Role), st.lists(st.integers(0, 4), max_size=8), st.integers(1, 90))
    def test_any_cut_gives_the_same_frames(self, role, said, piece):
        """However the bytes are cut, the same frames happen."""
        kinds = [SAYABLE[role][index] for index in said]
        wire = b"".join(frame(kind, b"x" * 20, ident=n) for n, kind in enumerate(kinds))
        end = until(7).end(role)
        happened = received(end, wire, piece)
        expected = [(kind, n) for n, kind in enumerate(kinds) if kind != 0xFE]
        assert [(got.kind, got.ident) for got in happened] == expected

    @given(st.sampled_from(Role), st.integers(0, 7), st.binary(max_size=200), st.integers(1, 64))
    def test_garbage(self, role, number, garbage, piece):
        """Garbage in any state is `ProtocolError` or nothing at all."""
        end = until(number).end(role)
        if number == 0 and role is C:
            end.send_preamble()
        try:
            for part in cut(garbage, piece):
                end.receive_data(part)
        except ProtocolError:
            assert end.state is State.CLOSED
