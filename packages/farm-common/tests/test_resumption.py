"""Sessions that outlive their connections: the counting, and a model of what can happen."""

import socket

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from farm_common import ProtocolError
from farm_common.frames import Frame, FrameReader, Kind, encode_frame
from farm_common.resumption import Resumption
from farm_common.security import PlainLayer
from farm_common.states import Role, State
from farm_common.stream import Stream
from farm_common.testing import stream_pair

FULL = 400


class TestResumption:
    def test_what_is_kept(self):
        """All that was sent and not acknowledged, from the byte on that is missing."""
        resumption = Resumption()
        resumption.keep([b"abc", b"", b"defg"])
        resumption.keep([b"h"])
        assert (resumption.sent, resumption.unacknowledged) == (8, 8)
        for position, rest in (
            (0, b"abcdefgh"),
            (2, b"cdefgh"),
            (3, b"defgh"),
            (7, b"h"),
            (8, b""),
        ):
            resumption.acknowledge(position)
            assert b"".join(resumption.rest()) == rest
            assert resumption.unacknowledged == len(rest)

    @pytest.mark.parametrize("position", [0, 2, 9])
    def test_senseless_acknowledgements(self, position):
        """More than was sent, or less than before, is refused, and changes nothing."""
        resumption = Resumption()
        resumption.keep([b"abcdefgh"])
        resumption.acknowledge(3)
        with pytest.raises(ProtocolError, match=f"acknowledges {position} bytes of 8, after 3"):
            resumption.acknowledge(position)
        assert b"".join(resumption.rest()) == b"defgh"

    def test_memory_of_others(self):
        """It is kept as it is until it is made secure; what cannot change is not copied."""
        memory = bytearray(b"abcd")
        large = bytes(1000)
        resumption = Resumption()
        resumption.keep([memoryview(memory), memoryview(large)[2:]])
        assert resumption.loose
        memory[0:1] = b"x"
        resumption.secure()
        memory[1:2] = b"y"
        assert not resumption.loose
        first, second = resumption.rest()
        assert first == b"xbcd"
        assert second.obj is large
        resumption.acknowledge(resumption.sent)
        assert not resumption.rest()

    def test_full(self):
        """More than the limit is kept."""
        resumption = Resumption(full=4)
        resumption.keep([b"abcd"])
        assert not resumption.full
        resumption.keep([b"e"])
        assert resumption.full
        resumption.acknowledge(1)
        assert not resumption.full

    def test_large(self):
        """All of a large value is held until its last byte is acknowledged."""
        resumption = Resumption()
        resumption.keep([b"small"])
        assert not resumption.large
        resumption.keep([memoryview(bytearray(1 << 20))])
        assert resumption.large
        resumption.acknowledge(5 + (1 << 20) - 1)
        assert resumption.unacknowledged == 1
        assert resumption.large
        resumption.keep([b"small"])
        resumption.acknowledge(5 + (1 << 20))
        assert not resumption.large
        resumption.keep([bytes(1 << 19), bytes(1 << 19)])
        assert resumption.large

    def test_when_to_acknowledge(self):
        """After 64 KiB at the end of a frame, 1 MiB within one, and after each large one."""
        resumption = Resumption(received=100)
        assert resumption.received == 100
        one = Frame(Kind.PING)
        assert resumption.took((1 << 16) - 101, [one]) == [one]
        assert not resumption.owing
        for happened in ([], [one], [one, one]):
            assert resumption.took(1, happened) == happened
            assert resumption.owing
        resumption.took(1, [], within=True)
        assert not resumption.owing
        resumption.took(1 << 20, [], within=True)
        assert resumption.owing
        assert resumption.confirm() == resumption.received
        assert not resumption.owing
        small = Frame(Kind.RESULT, body=bytes(100), buffers=(bytes(100),))
        assert resumption.took(300, [small]) == [small]
        assert not resumption.owing
        for large in (
            small._replace(body=bytes(1 << 16)),
            small._replace(buffers=(bytes(65_436),)),
        ):
            assert resumption.took(0, [small, large]) == [small, large]
            assert resumption.owing
            resumption.confirm()
        resumption.confirm()
        assert not resumption.owing

    def test_acknowledgements_are_taken_out(self):
        """An ACK among other frames frees memory, and nobody else sees it."""
        resumption = Resumption()
        resumption.keep([b"abc"])
        sent = encode_frame(Kind.PING) + encode_frame(Kind.ACK, ident=2) + encode_frame(Kind.PONG)
        frames = resumption.took(99, FrameReader(99).feed(b"".join(sent)))
        assert [frame.kind for frame in frames] == [Kind.PING, Kind.PONG]
        assert resumption.acknowledged == 2


class End:
    """One end of a session: what it has sent and received, and its counting."""

    def __init__(self):
        self.resumption = Resumption(full=FULL)
        self.reader = FrameReader(1 << 20)
        self.sent = []
        self.received = []
        self.wire = b""  # on its way to the other end

    def send(self, segments):
        self.resumption.keep(segments)
        self.wire += b"".join(segments)

    def take(self, data):
        for frame in self.resumption.took(len(data), self.reader.feed(data)):
            assert frame.kind == Kind.RESULT
            self.received.append((frame.ident, bytes(frame.body), [*map(bytes, frame.buffers)]))


class Session(RuleBasedStateMachine):
    """Two ends, whose connection is lost at any moment, in the middle of resuming, too.

    What is on the wire then is lost from any byte on. The ends resume by telling each other what
    they have; each may be lost after only one of them knows.
    """

    def __init__(self):
        super().__init__()
        self.ends = [End(), End()]
        self.connected = True
        self.known = [False, False]  # who has heard where to go on
        self.number = 0
        self.largest = 0

    sides = st.integers(0, 1)

    @rule(
        side=sides,
        body=st.binary(max_size=60),
        buffers=st.lists(st.binary(max_size=90), max_size=2),
    )
    def send(self, side, body, buffers):
        """A frame is sent, if not too much is kept; without a connection, it is kept."""
        end = self.ends[side]
        if end.resumption.full:
            return
        self.number += 1
        held = [bytearray(buffer) for buffer in buffers]
        segments = encode_frame(Kind.RESULT, body, ident=self.number, buffers=held)
        self.largest = max(self.largest, sum(map(len, segments)))
        end.sent.append((self.number, body, buffers))
        end.resumption.keep(segments)
        if self.connected:
            end.wire += b"".join(segments)
        else:
            end.resumption.secure()
            for memory in held:
                memory[:] = b"?" * len(memory)  # it is its owner's again

    @precondition(lambda self: self.connected)
    @rule(side=sides, size=st.integers(1, 200))
    def deliver(self, side, size):
        """Some bytes arrive, cut anywhere."""
        end, other = self.ends[side], self.ends[1 - side]
        data, end.wire = end.wire[:size], end.wire[size:]
        if data:
            other.take(data)

    @precondition(lambda self: self.connected)
    @rule(side=sides)
    def acknowledge(self, side):
        """An end says what it has, whenever it likes."""
        end = self.ends[side]
        end.send(encode_frame(Kind.ACK, ident=end.resumption.confirm()))

    @precondition(lambda self: self.connected)
    @rule(sizes=st.tuples(st.integers(0, 300), st.integers(0, 300)))
    def lose(self, sizes):
        """The connection ends; of what is on its way, some still arrives."""
        for side, size in enumerate(sizes):
            self.deliver(side, size)
        for end in self.ends:
            end.wire = b""
            end.resumption.secure()
        self.connected = False
        self.known = [False, False]

    @precondition(lambda self: not self.connected)
    @rule(fails=st.sampled_from(["not", "before", "between"]))
    def resume(self, fails):
        """Each end tells what it has; that may fail before any, or after one has heard it."""
        first, second = self.ends
        if fails == "before":
            return
        second.resumption.acknowledge(first.resumption.confirm())
        if fails == "between":
            return
        first.resumption.acknowledge(second.resumption.confirm())
        for end in self.ends:
            end.wire = b"".join(end.resumption.rest())
        self.connected = True

    @invariant()
    def nothing_twice_and_in_order(self):
        """What has arrived is the beginning of what was sent."""
        for end, other in (self.ends, self.ends[::-1]):
            assert end.received == other.sent[: len(end.received)]

    @invariant()
    def memory_is_bounded(self):
        """What is kept is what may not have arrived, and no more than the limit and one frame."""
        for end in self.ends:
            kept = sum(map(len, end.resumption.rest()))
            assert kept == end.resumption.sent - end.resumption.acknowledged
            # ACK frames are sent whatever is kept.
            acks = 32 * sum(1 for segment in end.resumption.rest() if len(segment) == 32)
            assert kept <= FULL + self.largest + acks

    def teardown(self):
        """In the end everything arrives."""
        if not self.connected:
            self.resume("not")
        for side in (0, 1):
            self.deliver(side, 1 << 30)
        for end, other in (self.ends, self.ends[::-1]):
            assert end.received == other.sent
            assert end.reader.idle


TestSession = Session.TestCase
TestSession.settings = settings(
    max_examples=200,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.fixture
def pair():
    """Two streams whose session can be resumed, and a way to cut and to join them."""
    return Pair()


class Pair:
    """A client's and a server's stream over sockets, which can be replaced."""

    def __init__(self):
        greeting, self.server = stream_pair(*socket.socketpair())
        self.client = greeting.stream
        for stream in (self.client, self.server):
            stream.outlive()

    def cut(self):
        """Lose the connection on both sides."""
        self.client.suspend()
        self.server.suspend()

    def join(self):
        """Give both a new connection."""
        had = self.client.resumption.confirm(), self.server.resumption.confirm()
        greeting, server = stream_pair(*socket.socketpair())
        self.client.resume(greeting.stream, had[1])
        self.server.resume(server, had[0])
        assert self.client.flush()
        assert self.server.flush()

    def close(self):
        self.client.close()
        self.server.close()


class TestStream:
    def send(self, stream, ident, buffers=(), kind=Kind.RESULT):
        stream.send(stream.connection.send(kind, b"x", ident=ident, count=1, buffers=buffers))

    def receive(self, stream, count):
        got = []
        while len(got) < count:
            got += stream.receive()
        return [frame.ident for frame in got]

    def test_over_several_connections(self, pair):
        """What was lost with a connection, and what was sent without one, arrives in order."""
        self.send(pair.server, 1)
        assert self.receive(pair.client, 1) == [1]
        self.send(pair.server, 2)
        pair.cut()
        self.send(pair.server, 3)
        pair.join()
        assert self.receive(pair.client, 2) == [2, 3]
        pair.cut()
        pair.join()
        self.send(pair.server, 4)
        assert self.receive(pair.client, 1) == [4]
        pair.close()

    def test_in_the_middle_of_a_large_frame(self, pair):
        """It goes on where it was interrupted, and its memory is that of the moment."""
        memory = bytearray(b"ab" * 50_000)
        self.send(pair.server, 1, [memory])
        pair.client.receive()  # a chunk
        assert pair.client.resumption.received < 100_000
        pair.cut()
        memory[:] = bytes(len(memory))
        pair.join()
        got = []
        while not got:
            got += pair.client.receive()
        assert bytes(got[0].buffers[0]) == b"ab" * 50_000
        pair.close()

    def test_acknowledgements(self, pair):
        """After a large frame one is due; then its sender keeps nothing of it."""
        assert pair.client.acknowledgement() == []
        self.send(pair.server, 1, [bytes(70_000)])
        self.receive(pair.client, 1)
        pair.client.send(pair.client.acknowledgement())
        assert pair.client.acknowledgement() == []
        assert pair.server.resumption.unacknowledged > 1000
        assert pair.server.receive() == []
        assert pair.server.resumption.unacknowledged == 0
        pair.close()

    def test_the_descriptor_stays(self, pair):
        """Pollers know the stream by its number; the new socket has the old one's mode."""
        before = pair.client.fileno()
        pair.client.sock.setblocking(False)
        pair.cut()
        pair.join()
        assert pair.client.fileno() == before
        with pytest.raises(BlockingIOError):
            pair.client.receive()
        pair.close()

    def test_disagreement(self, pair):
        """A peer that claims to have more than was sent is refused."""
        self.send(pair.server, 1)
        pair.cut()
        greeting, server = stream_pair(*socket.socketpair())
        with pytest.raises(ProtocolError, match="acknowledges 999 bytes of 33"):
            pair.server.resume(server, 999)
        server.close()
        greeting.stream.close()
        pair.close()

    def test_without_resumption(self):
        """Where it was not agreed on nothing is kept or counted, and no ACK is made."""
        greeting, server = stream_pair(*socket.socketpair())
        server.send(server.connection.send(Kind.RESULT, b"x", ident=7, count=1))
        assert [frame.ident for frame in greeting.stream.receive()] == [7]
        assert greeting.stream.acknowledgement() == []
        server.close()
        greeting.stream.close()


def test_what_comes_with_the_hello_is_counted():
    """Bytes that follow the server's hello in the same piece belong to the session."""
    ours, theirs = socket.socketpair()
    greeting, server = stream_pair(ours, theirs)
    connection = greeting.stream.connection
    assert connection.state is State.OPEN
    assert connection.role is Role.CLIENT
    connection.surplus = 33  # as if a RESULT had come with it
    early = FrameReader(99).feed(b"".join(encode_frame(Kind.RESULT, b"x", ident=5)))
    stream = Stream(ours, connection, PlainLayer(), early)
    stream.outlive()
    assert stream.resumption.received == 33
    assert [frame.ident for frame in stream.receive()] == [5]
    server.close()
    stream.close()
