"""Streams over real socket pairs: large, small and slow transfers, and ends of all kinds."""

import array
import socket
import struct
import threading

import pytest

from farm_common import AuthError, Layer
from farm_common.frames import Kind, encode_frame
from farm_common.security import Authenticator
from farm_common.testing import stream_pair


def frame(kind, body=b"", **fields):
    """The bytes of a frame."""
    return b"".join(encode_frame(kind, body, **fields))


def receive(end, count):
    """The next so many frames."""
    frames = []
    while len(frames) < count:
        frames += end.receive()
    return frames


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

    def test_large_buffers(self, streams, in_thread):
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

    def test_more_segments_than_one_call_takes(self, streams, in_thread):
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

    def test_one_small_frame_to_a_full_socket(self, streams, in_thread):
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

    def test_senders_exclude_each_other(self, streams, in_thread):
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

    def test_no_memory(self, sockets, monkeypatch, in_thread):
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
    def test_in_a_frame(self, streams, size, in_thread):
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

    def test_large(self, streams, in_thread):
        """Large values cross in pieces that the layer can hold."""
        client, served = streams
        big = bytes(range(256)) * 8000
        segments = client.connection.send(Kind.TASK, big, buffers=[big])
        wait = in_thread(client.send, segments)
        (got,) = receive(served, 1)
        wait()
        assert (bytes(got.body), bytes(got.buffers[0])) == (big, big)

    def test_answers_keep_their_order(self, streams, in_thread):
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
