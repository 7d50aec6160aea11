"""Streams over real socket pairs: large, small and slow ones, and peers that are something else."""

import array
import errno
import socket
import struct
import sys
import threading

import pytest

from farm_common import (
    Address,
    AuthError,
    Deadline,
    IncompatibleVersionError,
    Layer,
    NoAuth,
    ProtocolError,
    deadline,
    parse_address,
    stream,
)
from farm_common.connection import Connection
from farm_common.frames import PREAUTH_LIMIT, Kind, encode_frame
from farm_common.handshake import Offer, Preamble, Refusal, Select
from farm_common.security import Authenticator
from farm_common.states import Role
from farm_common.stream import (
    client_handshake,
    connect,
    connect_stream,
    is_silent,
    physical_memory,
    server_handshake,
    tune,
    unreachable,
)
from farm_common.testing import FakeClock, client_hello, server_hello, stream_pair

ADDRESS = Address("unix", path="/test")
LONG = 10.0  # seconds that no test waits for


@pytest.fixture
def sockets():
    """The two ends of a socket pair."""
    left, right = socket.socketpair()
    with left, right:
        yield left, right


@pytest.fixture
def streams(sockets):
    """A client's and a server's stream that trust each other."""
    greeting, served = stream_pair(*sockets)
    return greeting.stream, served


def frame(kind, body=b"", **fields):
    """The bytes of a frame."""
    return b"".join(encode_frame(kind, body, **fields))


def as_client(sock, seconds=LONG, auth=None):
    """The client's handshake over this socket."""
    return client_handshake(sock, ADDRESS, auth or NoAuth(), client_hello(), Deadline(seconds))


def as_server(sock, seconds=LONG, start=b"", greet=None, auths=None):
    """The server's handshake over this socket."""
    return server_handshake(
        sock,
        start,
        auths or [NoAuth()],
        greet or (lambda hello, preamble: server_hello()),
        Deadline(seconds),
        1 << 26,
    )


def receive(end, count):
    """The next so many frames."""
    frames = []
    while len(frames) < count:
        frames += end.receive()
    return frames


def in_thread(function, *args):
    """Run a function in a thread, and return a function that waits for its end and its error."""
    failed = []

    def run():
        try:
            function(*args)
        except BaseException as error:  # raised again below
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def wait():
        thread.join()
        if failed:
            raise failed[0]

    return wait


class TestHandshake:
    def test_both_know_each_other(self, sockets):
        """Each side gets the other's hello as it was sent."""
        hello, answer = client_hello(name="me"), server_hello(name="you", tags=("gpu",))
        seen = []

        def greet(hello, preamble):
            seen.append(preamble)
            return answer

        wait = in_thread(lambda: seen.append(as_server(sockets[1], greet=greet)))
        greeting = client_handshake(
            sockets[0], ADDRESS, NoAuth(), hello, Deadline(LONG), bytes(range(16))
        )
        wait()
        preamble, (served, theirs) = seen
        assert greeting.hello == answer
        assert greeting.preamble == Preamble()
        assert theirs == hello
        assert preamble == Preamble(session=bytes(range(16)))
        assert served.fileno() == sockets[1].fileno()
        assert (sockets[0].gettimeout(), sockets[1].gettimeout()) == (None, None)

    @pytest.mark.parametrize("size", [1, 31, 32])
    def test_start_was_read_already(self, sockets, size):
        """A listener that read (some of) the preamble itself hands it on."""
        data = Preamble().encode()
        sockets[0].sendall(data[size:])
        wait = in_thread(as_server, sockets[1], LONG, data[:size])
        assert sockets[0].recv(32) == data
        sockets[0].close()
        with pytest.raises((EOFError, OSError)):
            wait()

    def test_server_speaks_at_once(self, sockets):
        """What the server says in the same bytes as its hello is received first, not lost."""
        left, right = sockets
        peer = Connection(Role.SERVER)
        peer.receive_data(Preamble().encode())
        start = peer.send_preamble() + frame(Kind.OFFER, Offer(("none",)).encode())
        right.sendall(start)

        def serve():
            select = len(frame(Kind.SELECT, Select("none").encode()))
            hello = len(frame(Kind.HELLO, client_hello().encode()))
            rest = 32 + select + hello
            while rest:
                rest -= len(right.recv(rest))
            answer = frame(Kind.HELLO, server_hello().encode())
            right.sendall(answer + frame(Kind.PING, ident=7) + frame(Kind.GOODBYE))

        wait = in_thread(serve)
        client = as_client(left).stream
        wait()
        assert client.pending
        assert [(got.kind, got.ident) for got in client.receive()] == [
            (Kind.PING, 7),
            (Kind.GOODBYE, 0),
        ]
        assert not client.pending

    def test_greet_refuses(self, sockets):
        """What the server's user does not like of the client's hello, the client is told."""

        def greet(hello, preamble):
            raise AuthError("not on a Sunday")

        wait = in_thread(lambda: as_server(sockets[1], greet=greet))
        with pytest.raises(AuthError, match="the server refused: not on a Sunday"):
            as_client(sockets[0])
        with pytest.raises(AuthError, match=r"^not on a Sunday$"):
            wait()

    def test_greet_wants_none(self, sockets):
        """A server that is busy says so, and neither side takes it for a broken connection."""
        wait = in_thread(lambda: as_server(sockets[1], greet=lambda *_: Refusal("busy", "full")))
        with pytest.raises(ConnectionRefusedError, match="the server refused: full"):
            as_client(sockets[0])
        with pytest.raises(ConnectionRefusedError, match="full"):
            wait()

    @pytest.mark.parametrize(
        ("reason", "error"),
        [
            ("busy", ConnectionRefusedError),
            ("draining", ConnectionRefusedError),
            ("auth", AuthError),
            ("role", ProtocolError),
            ("news", ProtocolError),
        ],
    )
    def test_refused(self, sockets, reason, error):
        """A refusal is an error of the kind that says whether to try again, with its reason."""
        refusal = frame(Kind.REFUSE, Refusal(reason, "for a reason").encode())
        sockets[1].sendall(Preamble().encode() + refusal)
        with pytest.raises(error, match="the server refused: for a reason"):
            as_client(sockets[0])

    def test_selected_what_was_not_offered(self, sockets):
        """A client cannot talk the server into another mechanism."""
        sockets[0].sendall(Preamble().encode())
        wait = in_thread(as_server, sockets[1])
        sockets[0].recv(1000)
        sockets[0].sendall(frame(Kind.SELECT, Select("tls").encode()))
        with pytest.raises(AuthError, match="selected 'tls', which was not offered"):
            wait()


# What a peer that is something else says, and what comes of it; by the role of this side.
STRANGERS = [
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", ProtocolError, "the peer is not farm"),
    (b"SSH-2.0-OpenSSH_9.2p1\r\n", ProtocolError, "began with b'SSH-2.0"),
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", ProtocolError, "began with b'GET /"),
    (b"\x16\x03\x01\x02\x00\x01", ProtocolError, r"began with b'\\x16\\x03"),
    (b"\x00" * 100_000, ProtocolError, "the peer is not farm"),
    (Preamble((2, 3)).encode(), IncompatibleVersionError, "the peer 2 to 3"),
    (Preamble((0, 0)).encode(), ProtocolError, "version range 0 to 0"),
]


class TestStrangers:
    @pytest.mark.parametrize(("said", "error", "text"), STRANGERS)
    def test_client(self, sockets, said, error, text):
        """A client is told at once that this is no farm server, or not of its version."""
        sockets[1].sendall(said)
        with pytest.raises(error, match=text):
            as_client(sockets[0])

    @pytest.mark.parametrize(("said", "error", "text"), STRANGERS)
    def test_server(self, sockets, said, error, text):
        """A server finds out likewise."""
        sockets[0].sendall(said)
        with pytest.raises(error, match=text):
            as_server(sockets[1])

    def test_other_version_is_told_ours(self, sockets):
        """A client of another version gets the server's preamble: it can say what is wrong."""
        sockets[0].sendall(Preamble((2, 3)).encode())
        with pytest.raises(IncompatibleVersionError):
            as_server(sockets[1])
        assert sockets[0].recv(100) == Preamble().encode()

    @pytest.mark.parametrize("run", [as_client, as_server])
    def test_closes_at_once(self, sockets, run):
        """A peer that closes is one that may be there later, not one that broke the protocol."""
        mine, theirs = sockets
        theirs.close()
        with pytest.raises((EOFError, ConnectionError)):
            run(mine)

    @pytest.mark.parametrize("run", [as_client, as_server])
    def test_closes_in_the_middle(self, sockets, run):
        """The same holds for one that closes later in the handshake."""
        mine, theirs = sockets
        theirs.sendall(Preamble().encode()[:20])
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(EOFError, match="closed the connection during the handshake"):
            run(mine)

    @pytest.mark.parametrize("run", [as_client, as_server])
    def test_silence(self, sockets, run):
        """A silent peer costs no more than the deadline."""
        with pytest.raises(TimeoutError, match="the peer was silent during the handshake"):
            run(sockets[0], 0.02)

    @pytest.mark.parametrize("run", [as_client, as_server])
    def test_trickle(self, monkeypatch, run):
        """One deadline holds for all of it: a byte now and then does not extend it."""
        clock = FakeClock()
        monkeypatch.setattr(deadline, "time", clock)
        said = iter(Preamble().encode())

        class Slow:
            """A socket that takes a second for each byte."""

            def settimeout(self, seconds):
                assert 0 < seconds <= LONG

            def sendall(self, data):
                pass

            def recv(self, size):
                clock.advance(1)
                return bytes([next(said)])

        with pytest.raises(TimeoutError, match="the peer was too slow"):
            run(Slow())
        assert clock.now == 1000 + LONG

    @pytest.mark.parametrize("run", [as_client, as_server])
    def test_oversized(self, sockets, monkeypatch, run):
        """A frame over the limit is refused by its header, before memory is asked for."""
        asked = []
        monkeypatch.setattr(stream, "allocate", lambda size: asked.append(size) or bytearray(size))
        kind = Kind.OFFER if run is as_client else Kind.SELECT
        head = frame(kind, bytes(PREAUTH_LIMIT + 1))[:32]
        sockets[1].sendall(Preamble().encode())
        if run is as_client:
            sockets[1].sendall(head)
            with pytest.raises(ProtocolError, match="OFFER frame of 65537 bytes is over the limit"):
                run(sockets[0])
        else:
            wait = in_thread(run, sockets[0])
            sockets[1].recv(32)  # the client may go on only now
            sockets[1].sendall(head)
            with pytest.raises(ProtocolError, match="SELECT frame of 65537 bytes is over"):
                wait()
        assert asked == []


class TestTransfer:
    def test_small_frames(self, streams):
        """Frames arrive in order, both ways."""
        client, served = streams
        for number in range(100):
            assert client.send(client.connection.send(Kind.TASK, b"x" * number, ident=number))
        got = receive(served, 100)
        assert [(one.ident, len(one.body)) for one in got] == [(n, n) for n in range(100)]
        served.send(served.connection.send(Kind.RESULT, b"y", ident=5))
        assert receive(client, 1)[0].ident == 5

    def test_large_buffers(self, streams):
        """Eight megabytes cross without change, into memory that may be written to."""
        client, served = streams
        numbers = array.array("q", range(1 << 20))
        buffers = [memoryview(numbers).cast("B"), b"", b"end"]
        segments = client.connection.send(Kind.TASK, b"p" * 100_000, buffers=buffers)
        wait = in_thread(client.send, segments)
        (got,) = receive(served, 1)
        wait()
        assert bytes(got.body) == b"p" * 100_000
        assert list(map(bytes, got.buffers)) == [numbers.tobytes(), b"", b"end"]
        got.buffers[0][0] = 1

    def test_more_segments_than_one_call_takes(self, streams):
        """Thousands of buffers go out in as many calls as it takes."""
        client, served = streams
        buffers = [struct.pack("!I", number) for number in range(3000)]
        wait = in_thread(client.send, client.connection.send(Kind.TASK, b"p", buffers=buffers))
        (got,) = receive(served, 1)
        wait()
        assert list(map(bytes, got.buffers)) == buffers

    def test_partial_writes(self, sockets):
        """A socket that takes little at a time gets everything in order, without blocking."""
        greeting, served = stream_pair(*sockets)
        client = greeting.stream
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.sock.setblocking(False)
        served.sock.setblocking(False)
        big = bytes(range(256)) * 4000
        assert not client.send(client.connection.send(Kind.TASK, big, buffers=[big], ident=1))
        assert client.writing
        assert not client.send(client.connection.send(Kind.TASK, b"second", ident=2))
        got, rounds = [], 0
        while len(got) < 2:
            rounds += 1
            client.flush()
            try:
                got += served.receive()
            except BlockingIOError:
                pass
        assert rounds > 10
        assert [(one.ident, bytes(one.body)) for one in got] == [(1, big), (2, b"second")]
        assert bytes(got[0].buffers[0]) == big
        assert client.flush()
        assert not client.writing

    def test_one_small_frame_to_a_full_socket(self, streams):
        """Also a frame of one piece waits where the kernel takes nothing."""
        client, served = streams
        client.sock.setblocking(False)
        sent = 1
        while client.send(client.connection.send(Kind.TASK, bytes(1000), ident=sent)):
            sent += 1
        assert client.writing
        wait = in_thread(receive, served, sent)
        client.sock.setblocking(True)
        assert client.flush()
        wait()

    def test_nothing_there(self, streams):
        """A socket that does not block says that nothing is there."""
        client, _ = streams
        client.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.receive()

    def test_senders_exclude_each_other(self, streams):
        """Frames of several threads arrive whole, each thread's in its order."""
        client, served = streams

        def send(number):
            for ident in range(50):
                body = bytes([number]) * (30_000 if ident % 10 == 0 else 10)
                segments = encode_frame(Kind.TASK, body, ident=ident, count=number)
                client.send(segments)

        waits = [in_thread(send, number) for number in range(4)]
        got = receive(served, 200)
        for wait in waits:
            wait()
        for number in range(4):
            mine = [one for one in got if one.count == number]
            assert [one.ident for one in mine] == list(range(50))
            assert all(set(bytes(one.body)) == {number} for one in mine)

    def test_no_memory(self, sockets, monkeypatch):
        """A value that there is no memory for fails alone: the next frame arrives."""

        def refuse(size):
            raise MemoryError

        greeting, served = stream_pair(*sockets)
        served.connection.reader._allocate = refuse
        client = greeting.stream
        segments = client.connection.send(Kind.TASK, bytes(1 << 20), ident=1, count=3)
        wait = in_thread(client.send, [*segments, frame(Kind.PING, ident=2)])
        lost, ping = receive(served, 2)
        wait()
        assert (lost.kind, lost.ident, lost.count, lost.size) == (Kind.TASK, 1, 3, 1 << 20)
        assert (ping.kind, ping.ident) == (Kind.PING, 2)


class TestEnd:
    def test_between_frames(self, streams):
        """A peer that closes between two frames tore nothing."""
        client, served = streams
        served.close()
        with pytest.raises(EOFError, match=r"^the peer closed the connection$"):
            client.receive()

    @pytest.mark.parametrize("size", [5, 40, 200_000], ids=["header", "body", "large-body"])
    def test_in_a_frame(self, streams, size):
        """One that closes in the middle of a frame did."""
        client, served = streams
        wire = frame(Kind.RESULT, bytes(300_000))[:size]
        wait = in_thread(served.sock.sendall, wire)
        with pytest.raises(EOFError, match="in the middle of a frame"):  # noqa: PT012
            wait_then_close = in_thread(lambda: (wait(), served.close()))
            while True:
                assert client.receive() == []
        wait_then_close()

    def test_close(self, sockets):
        """Closing twice is no error, and closes for all who share the socket."""
        greeting, served = stream_pair(*sockets)
        shared = served.sock.dup()
        served.close()
        served.close()
        with shared, pytest.raises(EOFError):
            greeting.stream.receive()

    def test_broken(self, streams):
        """Writing to a peer that is gone is an error."""
        client, served = streams
        served.close()
        with pytest.raises(ConnectionError):
            client.send(client.connection.send(Kind.PING))


class RecordLayer(Layer):
    """Wraps bytes in numbered records, and asks for an answer to every fourth.

    Records that come out of order are an error, as they are for TLS.
    """

    LENGTH = struct.Struct("!IIB")
    DATA, ASK, ANSWER, CLOSE = range(4)

    def __init__(self, greeting=b""):
        self._greeting = greeting
        self._buffer = b""
        self._sent = self._seen = 0
        self.answers = 0
        self.ended = False

    def _record(self, kind, data=b""):
        self._sent += 1
        masked = bytes(data).translate(bytes(255 - n for n in range(256)))
        return self.LENGTH.pack(len(masked), self._sent, kind) + masked

    def start(self):
        return self._record(self.ANSWER)

    def wrap(self, data):
        return self._record(self.ASK if self._sent % 4 == 0 else self.DATA, data)

    def feed(self, data):
        self._buffer += data
        plain, answer = [], []
        while len(self._buffer) >= self.LENGTH.size:
            length, number, kind = self.LENGTH.unpack_from(self._buffer)
            end = self.LENGTH.size + length
            if len(self._buffer) < end:
                break
            body, self._buffer = self._buffer[self.LENGTH.size : end], self._buffer[end:]
            self._seen += 1
            if number != self._seen:
                raise AuthError(f"record {number} instead of {self._seen}")
            self.established = True
            if kind == self.ANSWER:
                self.answers += 1
            elif kind == self.CLOSE:
                self.ended = True
            else:
                plain.append(body.translate(bytes(255 - n for n in range(256))))
                if kind == self.ASK:
                    answer.append(self._record(self.ANSWER))
        return b"".join(plain), b"".join(answer)

    def eof(self):
        if not self.ended:
            raise AuthError("the connection was cut off")


class RecordAuth(Authenticator):
    name = "records"

    def client_layer(self, address):
        return RecordLayer()

    def server_layer(self):
        return RecordLayer()


class Endless(Layer):
    """A layer whose handshake never ends."""

    def feed(self, data):
        return b"", b""

    def wrap(self, data):
        return bytes(data)


class TestLayer:
    @pytest.fixture
    def streams(self, sockets):
        """Streams that talk in records."""
        greeting, served = stream_pair(*sockets, auth=RecordAuth())
        return greeting.stream, served

    def test_wire(self, sockets, streams):
        """Nothing of a frame is on the wire as it was."""
        client, served = streams
        client.send(client.connection.send(Kind.TASK, b"secret"))
        assert b"secret" not in served.sock.recv(1000, socket.MSG_PEEK)
        assert bytes(receive(served, 1)[0].body) == b"secret"

    def test_a_session_that_goes_on(self, sockets, streams):
        """What was lost is wrapped anew, by the layer of the next connection."""
        client, served = streams
        client.outlive()
        served.outlive()
        client.send(client.connection.send(Kind.TASK, b"first"))
        assert bytes(receive(served, 1)[0].body) == b"first"
        client.send(client.connection.send(Kind.TASK, b"second"))
        had = served.resumption.received
        for end in streams:
            end.suspend()
        client.send(client.connection.send(Kind.TASK, b"third"))
        greeting, server = stream_pair(*socket.socketpair(), auth=RecordAuth())
        served.resume(server, client.resumption.received)
        client.resume(greeting.stream, had)
        assert client.flush()
        assert [bytes(frame.body) for frame in receive(served, 2)] == [b"second", b"third"]

    def test_large(self, streams):
        """Large values cross in pieces that the layer can hold."""
        client, served = streams
        big = bytes(range(256)) * 8000
        segments = client.connection.send(Kind.TASK, big, buffers=[big])
        wait = in_thread(client.send, segments)
        (got,) = receive(served, 1)
        wait()
        assert (bytes(got.body), bytes(got.buffers[0])) == (big, big)

    def test_answers_keep_their_order(self, streams):
        """What the layer answers goes out in the order in which it was made, whoever sends."""
        ends = streams
        count = 200

        def send(end, kind):
            for ident in range(count):
                end.send(end.connection.send(kind, bytes(500), ident=ident))

        waits = [
            in_thread(send, ends[0], Kind.TASK),
            in_thread(send, ends[1], Kind.RESULT),
            in_thread(receive, ends[0], count),
        ]
        got = receive(ends[1], count)
        for wait in waits:
            wait()
        assert [one.ident for one in got] == list(range(count))
        # The last answers have been written, whoever was to do it.
        assert not ends[0].writing
        assert not ends[1].writing

    def test_answer_before_a_frame_made_later(self, streams):
        """A sender that comes while an answer is being made waits until it has its place."""
        client, served = streams
        feed = client.layer.feed
        waits = []

        def slowly(data):
            plain, answer = feed(data)
            if answer and not waits:
                ping = client.connection.send(Kind.PING)
                thread = threading.Thread(target=client.send, args=(ping,))
                thread.start()
                thread.join(0.05)  # it would be through by now if it did not wait
                waits.append(thread)
            return plain, answer

        client.layer.feed = slowly
        while not waits:
            served.send(served.connection.send(Kind.PING))
            receive(client, 1)
        (got,) = receive(served, 1)
        waits[0].join()
        assert got.kind == Kind.PING

    def test_answer_while_a_sender_leaves(self, streams):
        """An answer that comes after a sender's last look is written by that sender."""
        client, served = streams
        client.send(client.connection.send(Kind.PING))
        late = [client.layer._record(RecordLayer.ANSWER)]

        class Lock:
            """Held by the sender; the receiver finds it so, and leaves its answer behind."""

            def __enter__(self):
                pass

            def __exit__(self, *_):
                if late:
                    client._out.append(memoryview(late.pop()))

        client._lock = Lock()
        assert client.flush()
        assert not client.writing
        receive(served, 1)
        while served.layer.answers < 2:  # its handshake's, and this one
            served.receive()

    def test_cut_off(self, streams):
        """The layer has a say when the peer closes: that is a loss, not an end."""
        client, served = streams
        served.close()
        with pytest.raises(ConnectionAbortedError, match="the connection was cut off"):
            client.receive()

    def test_closed_in_order(self, streams):
        """If it has no objection, the end is an ordinary one."""
        client, served = streams
        served.sock.sendall(served.layer._record(RecordLayer.CLOSE))
        served.close()
        assert client.receive() == []
        with pytest.raises(EOFError):
            client.receive()

    def test_endless_handshake(self, sockets):
        """A layer's handshake may take 256 KiB, not more."""

        class Auth(RecordAuth):
            def server_layer(self):
                return Endless()

        left, right = sockets

        def flood():
            left.sendall(Preamble().encode())
            left.recv(32)
            left.sendall(frame(Kind.SELECT, Select("records").encode()))
            left.sendall(bytes(1 << 20))

        wait = in_thread(flood)
        with pytest.raises(ProtocolError, match="security handshake does not end"):
            as_server(right, auths=[Auth()])
        right.close()
        with pytest.raises(ConnectionError):
            wait()

    def test_cut_off_in_the_handshake(self, sockets):
        """The layer has a say there too: a refusal may be nothing but a closed connection."""
        offer = frame(Kind.OFFER, Offer(("records",)).encode())
        sockets[1].sendall(Preamble().encode() + offer)
        sockets[1].shutdown(socket.SHUT_WR)
        with pytest.raises(AuthError, match="the connection was cut off"):
            as_client(sockets[0], auth=RecordAuth())


class TestConnect:
    def test_unix(self, tmp_path):
        """A Unix address leads to the socket with this path."""
        path = str(tmp_path / "s")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            with connect(Address("unix", path=path), Deadline(LONG)) as sock:
                assert sock.getpeername() == path

    def test_tcp(self):
        """A TCP address leads to the host and port, with small frames sent at once."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = parse_address(listener.getsockname())
            with connect(address, Deadline(None)) as sock:
                assert sock.getpeername() == listener.getsockname()
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    def test_second_address_of_a_host(self, monkeypatch):
        """A host with several addresses is reached at the first that answers."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            inet = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            found = [(*inet, ("127.0.0.2", port)), (*inet, ("127.0.0.1", port))]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
            with connect(Address("tcp", "two.example", port), Deadline(LONG)) as sock:
                assert sock.getpeername() == ("127.0.0.1", port)

    @pytest.mark.parametrize("kind", ["tcp", "unix"])
    def test_nobody_listens(self, kind, tmp_path):
        """Where nobody listens there is the system's error."""
        path = str(tmp_path / "s")
        with socket.socket(socket.AF_UNIX) as unix, socket.socket() as tcp:
            unix.bind(path)
            tcp.bind(("127.0.0.1", 0))
            address = {
                "tcp": parse_address(tcp.getsockname()),
                "unix": Address("unix", path=path),
            }[kind]
            with pytest.raises(ConnectionRefusedError):
                connect(address, Deadline(LONG))

    def test_no_such_path(self, tmp_path):
        """A path that is not there likewise."""
        with pytest.raises(FileNotFoundError):
            connect(Address("unix", path=str(tmp_path / "s")), Deadline(LONG))

    @pytest.mark.parametrize("host", ["a..b", "x" * 64, ".a"])
    def test_impossible_host(self, host):
        """A name that no host can have is a host that is not found, not a Unicode error."""
        with pytest.raises(socket.gaierror):
            connect(Address("tcp", host, 80), Deadline(LONG))

    @pytest.mark.parametrize("kind", ["tcp", "unix"])
    def test_too_late(self, kind, tmp_path):
        """An expired deadline is a `TimeoutError`, as one that expires meanwhile."""
        address = Address(kind, "127.0.0.1", 80, str(tmp_path / "s"))
        with pytest.raises(TimeoutError, match=r"no answer from .* in time"):
            connect(address, Deadline(0))

    def test_no_answer_in_time(self, monkeypatch):
        """The system's own time-out has the same text on every Python."""

        class Silent(socket.socket):
            def connect(self, place):
                raise socket.timeout("timed out")

        monkeypatch.setattr(socket, "socket", Silent)
        with pytest.raises(TimeoutError, match=r"no answer from 127.0.0.1:9 in time"):
            connect(parse_address("127.0.0.1:9"), Deadline(LONG))

    @pytest.mark.skipif(sys.platform != "linux", reason="others refuse it themselves")
    def test_connected_to_itself(self, monkeypatch):
        """A loopback port that nobody listens on is refused, also where TCP would loop back."""

        class Unlucky(socket.socket):
            """Is given just the port that it is to connect to."""

            def connect(self, place):
                self.bind(place)
                super().connect(place)

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = parse_address(free.getsockname())
        monkeypatch.setattr(socket, "socket", Unlucky)
        with pytest.raises(ConnectionRefusedError):
            connect(address, Deadline(LONG))

    def test_connect_stream(self, tmp_path):
        """One call connects and introduces; when that fails nothing stays open."""
        path = str(tmp_path / "s")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            address = Address("unix", path=path)

            def serve():
                for auths in ([NoAuth()], [RecordAuth()]):
                    sock, _ = listener.accept()
                    with sock:
                        try:
                            as_server(sock, auths=auths)
                        except EOFError:
                            pass
                        assert sock.recv(1) == b""

            wait = in_thread(serve)
            greeting = connect_stream(address, NoAuth(), client_hello(), Deadline(LONG))
            assert greeting.hello == server_hello()
            greeting.stream.close()
            with pytest.raises(AuthError, match="asks for authentication"):
                connect_stream(address, NoAuth(), client_hello(), Deadline(LONG))
            wait()


class TestMemory:
    def test_physical(self, monkeypatch):
        """The machine has some memory, and where it does not tell, plenty is assumed."""
        assert physical_memory() > 1 << 26
        monkeypatch.delattr("os.sysconf")
        assert physical_memory() == 1 << 36


def test_tuned_connections_find_dead_machines():
    """Nobody waits for ever for a peer that cannot say goodbye."""
    with socket.socket() as sock:
        tune(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
            "no server listens on h:1 (Connection refused); start one there: farm-server h:1",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory"),
            (
                "no server listens on h:1 (No such file or directory); "
                "start one there: farm-server h:1"
            ),
        ),
        (ConnectionRefusedError("the server refused: full"), "h:1: the server refused: full"),
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "unknown host 'h' in h:1 (Name or service not known); check how it is spelt",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied"),
            "h:1 belongs to another user (Permission denied); have that user start one for you",
        ),
        (
            TimeoutError("no answer from h:1 in time"),
            (
                "h:1 is silent (no answer from h:1 in time); "
                "is it a farm server, and does a firewall let you through?"
            ),
        ),
        (
            socket.timeout(),
            "h:1 is silent; is it a farm server, and does a firewall let you through?",
        ),
        (EOFError("anything"), "h:1 closed the connection; is it a farm server?"),
        (
            OSError(errno.ENETUNREACH, "Network is unreachable"),
            "cannot reach h:1: Network is unreachable",
        ),
        (OSError(), "cannot reach h:1: OSError"),
        (
            OSError(errno.EMFILE, "Too many open files"),
            ("cannot reach h:1: this process has too many open files; raise its limit (ulimit -n)"),
        ),
        (
            OSError(errno.ENFILE, "Too many open files in system"),
            ("cannot reach h:1: this machine has too many open files; raise its limit (ulimit -n)"),
        ),
        (
            ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
            "h:1 closed the connection (Connection reset by peer); is it a farm server?",
        ),
    ],
)
def test_why_a_server_cannot_be_reached(error, text):
    """The address, the system's own reason, and the next step."""
    assert unreachable(Address("tcp", host="h", port=1), error) == text


class Informed:
    """A socket of which the system says something."""

    family = socket.AF_INET

    def __init__(self, *, retransmits=0, probes=0, unacknowledged=0, age=0.0):
        info = bytearray(104)
        info[2], info[3] = retransmits, probes
        struct.pack_into("=I", info, 24, unacknowledged)
        struct.pack_into("=I", info, 56, int(age * 1000))
        self.info = bytes(info)

    def getsockopt(self, level, option, size):
        return self.info[:size]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="others do not tell")
class TestSilence:
    @pytest.mark.parametrize(
        ("info", "silent"),
        [
            ({"age": 1000.0}, False),  # nothing was said
            ({"age": 1000.0, "unacknowledged": 1}, False),  # just now
            ({"age": 1.0, "unacknowledged": 1, "retransmits": 3}, False),  # for a moment
            ({"age": 21.0, "unacknowledged": 1, "retransmits": 3}, True),
            ({"age": 21.0, "probes": 1}, False),  # it has no room, and is being asked
            ({"age": 21.0, "probes": 2}, True),
        ],
    )
    def test_what_the_system_says(self, info, silent):
        """A peer is gone that was sent something again and again, and does not acknowledge."""
        assert is_silent(Informed(**info)) is silent

    def test_real_sockets(self):
        """One that was just connected is not silent, nor a closed one, nor one of another kind."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            assert not is_silent(client)
            client.close()
            assert not is_silent(client)
        for end in socket.socketpair():
            assert not is_silent(end)
            end.close()
