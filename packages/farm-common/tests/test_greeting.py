"""Handshakes over real socket pairs: with each other, and with peers that are something else."""

import socket

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
    greeting,
)
from farm_common.connection import Connection
from farm_common.frames import PREAUTH_LIMIT, Kind, encode_frame
from farm_common.greeting import client_handshake, connect_stream, server_handshake
from farm_common.handshake import Offer, Preamble, Refusal, Select
from farm_common.security import Authenticator
from farm_common.states import Role
from farm_common.testing import FakeClock, client_hello, server_hello

ADDRESS = Address("unix", path="/test")
LONG = 10.0  # seconds that no test waits for


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


class TestHandshake:
    def test_both_know_each_other(self, sockets, in_thread):
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
    def test_start_was_read_already(self, sockets, size, in_thread):
        """A listener that read (some of) the preamble itself hands it on."""
        data = Preamble().encode()
        sockets[0].sendall(data[size:])
        wait = in_thread(as_server, sockets[1], LONG, data[:size])
        assert sockets[0].recv(32) == data
        sockets[0].close()
        with pytest.raises((EOFError, OSError)):
            wait()

    def test_server_speaks_at_once(self, sockets, in_thread):
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

    def test_greet_refuses(self, sockets, in_thread):
        """What the server's user does not like of the client's hello, the client is told."""

        def greet(hello, preamble):
            raise AuthError("not on a Sunday")

        wait = in_thread(lambda: as_server(sockets[1], greet=greet))
        with pytest.raises(AuthError, match="the server refused: not on a Sunday"):
            as_client(sockets[0])
        with pytest.raises(AuthError, match=r"^not on a Sunday$"):
            wait()

    def test_greet_wants_none(self, sockets, in_thread):
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

    def test_selected_what_was_not_offered(self, sockets, in_thread):
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
    def test_oversized(self, sockets, monkeypatch, run, in_thread):
        """A frame over the limit is refused by its header, before memory is asked for."""
        asked = []
        monkeypatch.setattr(
            greeting, "allocate", lambda size: asked.append(size) or bytearray(size)
        )
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


class Endless(Layer):
    """A layer whose handshake never ends."""

    def feed(self, data):
        return b"", b""

    def wrap(self, data):
        return bytes(data)


class Guarded(Endless):
    """One that objects to being cut off."""

    def eof(self):
        raise AuthError("the connection was cut off")


class GuardedAuth(Authenticator):
    name = "guarded"

    def client_layer(self, address):
        return Guarded()

    def server_layer(self):
        return Guarded()


class TestLayers:
    def test_endless_handshake(self, sockets, in_thread):
        """A layer's handshake may take 256 KiB, not more."""

        class Auth(GuardedAuth):
            def server_layer(self):
                return Endless()

        left, right = sockets

        def flood():
            left.sendall(Preamble().encode())
            left.recv(32)
            left.sendall(frame(Kind.SELECT, Select("guarded").encode()))
            left.sendall(bytes(1 << 20))

        wait = in_thread(flood)
        with pytest.raises(ProtocolError, match="security handshake does not end"):
            as_server(right, auths=[Auth()])
        right.close()
        with pytest.raises(ConnectionError):
            wait()

    def test_cut_off_in_the_handshake(self, sockets):
        """The layer has a say there too: a refusal may be nothing but a closed connection."""
        offer = frame(Kind.OFFER, Offer(("guarded",)).encode())
        sockets[1].sendall(Preamble().encode() + offer)
        sockets[1].shutdown(socket.SHUT_WR)
        with pytest.raises(AuthError, match="the connection was cut off"):
            as_client(sockets[0], auth=GuardedAuth())


def test_connect_stream(tmp_path, in_thread):
    """One call connects and introduces; when that fails nothing stays open."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        address = Address("unix", path=path)

        def serve():
            for auths in ([NoAuth()], [GuardedAuth()]):
                sock, _ = listener.accept()
                with sock:
                    try:
                        as_server(sock, auths=auths)
                    except EOFError:
                        pass
                    assert sock.recv(1) == b""

        wait = in_thread(serve)
        met = connect_stream(address, NoAuth(), client_hello(), Deadline(LONG))
        assert met.hello == server_hello()
        met.stream.close()
        with pytest.raises(AuthError, match="asks for authentication"):
            connect_stream(address, NoAuth(), client_hello(), Deadline(LONG))
        wait()
