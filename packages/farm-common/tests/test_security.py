"""Security mechanisms: the interface, the one that protects nothing, and one as users write it.

`PasswordAuth` below is written against the public interface only, as somebody outside of farm
would write it, and run over real sockets.
"""

import hashlib
import hmac
import secrets
import socket
import time
from importlib import metadata

import pytest

from farm_common import (
    Address,
    Authenticator,
    AuthError,
    KernelCreationError,
    Layer,
    NoAuth,
    UnsupportedError,
)
from farm_common.frames import Kind
from farm_common.security import PlainLayer, find_authenticator, registry
from farm_common.testing import stream_pair


class PasswordLayer(Layer):
    """Each side proves that it knows the password by a keyed hash of both sides' nonces."""

    transparent = True

    def __init__(self, password, ours, theirs):
        self._key, self._ours, self._theirs = password.encode(), ours, theirs
        self._nonce = secrets.token_bytes(32)
        self._received = b""

    def _proof(self, who, first, second):
        return hmac.new(self._key, who + first + second, hashlib.sha256).digest()

    def start(self):
        return self._nonce

    def feed(self, data):
        if self.established:
            return data, b""
        had, self._received = len(self._received), self._received + data
        nonce, proof, rest = self._received[:32], self._received[32:64], self._received[64:]
        answer = b""
        if had < 32 <= len(self._received):
            answer = self._proof(self._ours, self._nonce, nonce)
        if len(proof) == 32:
            if not hmac.compare_digest(proof, self._proof(self._theirs, nonce, self._nonce)):
                raise AuthError("the peer does not know the password")
            self.established = True
        return rest, answer

    def wrap(self, data):
        return bytes(data)

    def eof(self):
        if not self.established:
            raise AuthError("the peer closed: it does not accept our password")


class PasswordAuth(Authenticator):
    """Both sides know the same password."""

    name = "password"

    def __init__(self, password):
        self._password = password

    def client_layer(self, address):
        return PasswordLayer(self._password, b"client", b"server")

    def server_layer(self):
        return PasswordLayer(self._password, b"server", b"client")


@pytest.fixture
def sockets():
    """The two ends of a socket pair."""
    left, right = socket.socketpair()
    with left, right:
        yield left, right


class TestPassword:
    def test_right(self, sockets):
        """Two sides with the same password talk, and the layer is out of the way."""
        greeting, served = stream_pair(*sockets, auth=PasswordAuth("open sesame"))
        greeting.stream.send(greeting.stream.connection.send(Kind.TASK, b"task"))
        (frame,) = served.receive()
        assert (frame.kind, bytes(frame.body)) == (Kind.TASK, b"task")
        assert greeting.stream.layer.established
        assert served.layer.established

    def test_wrong(self, sockets):
        """With another password both sides get an `AuthError`, at once rather than in time."""
        started = time.monotonic()
        with pytest.raises(AuthError, match="password") as caught:
            stream_pair(
                *sockets, auth=PasswordAuth("guess"), server_auths=[PasswordAuth("open sesame")]
            )
        assert isinstance(caught.value.__context__, AuthError)
        assert isinstance(caught.value, KernelCreationError)
        assert time.monotonic() - started < 5

    def test_reflection(self):
        """A peer that sends our own bytes back is not trusted."""
        layer = PasswordAuth("open sesame").server_layer()
        nonce = layer.start()
        _, proof = layer.feed(nonce)
        with pytest.raises(AuthError, match="does not know the password"):
            layer.feed(proof)

    @pytest.mark.parametrize("size", [1, 31, 33, 64, 1000])
    def test_any_cut(self, size):
        """However the bytes are cut, both sides come to trust each other; what follows is plain."""
        auth = PasswordAuth("open sesame")
        client, server = auth.client_layer(Address("local")), auth.server_layer()
        to_server, to_client = client.start(), server.start()
        plain = b""
        follows = b"HELLO"
        while to_server or to_client:
            piece, to_server = to_server[:size], to_server[size:]
            text, answer = server.feed(piece)
            plain += text
            to_client += answer
            piece, to_client = to_client[:size], to_client[size:]
            _, answer = client.feed(piece)
            to_server += answer
            if client.established:
                to_server, follows = to_server + follows, b""
        assert (client.established, server.established, plain) == (True, True, b"HELLO")

    def test_client_insists(self, sockets):
        """A client with a password does not talk to a server without."""
        with pytest.raises(AuthError, match="does not offer 'password', only 'none'"):
            stream_pair(*sockets, auth=PasswordAuth("x"), server_auths=[NoAuth()])

    def test_server_insists(self, sockets):
        """A client without a password is told that the server asks for one."""
        with pytest.raises(AuthError, match=r"asks for authentication \('password'\): pass auth="):
            stream_pair(*sockets, server_auths=[PasswordAuth("x")])

    def test_choice(self, sockets):
        """Of several mechanisms the client's is used."""
        greeting, _ = stream_pair(
            *sockets, auth=PasswordAuth("x"), server_auths=[NoAuth(), PasswordAuth("x")]
        )
        assert isinstance(greeting.stream.layer, PasswordLayer)


class TestPlain:
    def test_passes_bytes_through(self):
        """The mechanism ``none`` trusts everybody and changes nothing."""
        auth = NoAuth()
        assert auth.name == "none"
        for layer in (auth.client_layer(Address("local")), auth.server_layer()):
            assert isinstance(layer, PlainLayer)
            assert (layer.established, layer.transparent, layer.peer) == (True, True, None)
            assert layer.start() == b""
            assert layer.feed(b"bytes") == (b"bytes", b"")
            assert layer.wrap(memoryview(b"bytes")) == b"bytes"
            layer.eof()


class TestInterface:
    @pytest.mark.parametrize("kind", [Layer, Authenticator])
    def test_is_abstract(self, kind):
        """What a mechanism must have is required when it is made, not when it is used."""
        with pytest.raises(TypeError, match="abstract"):
            kind()

    def test_defaults(self):
        """A layer trusts nobody, protects, and waits for the peer unless it says otherwise."""

        class Minimal(Layer):
            def feed(self, data):
                return data, b""

            def wrap(self, data):
                return bytes(data)

        layer = Minimal()
        assert (layer.established, layer.transparent, layer.peer) == (False, False, None)
        assert layer.start() == b""
        assert layer.eof() is None
        assert layer.deadline is None
        assert NoAuth().prepare_server() is None

    def test_deadline(self, sockets):
        """A layer knows how long its handshake may take, before it says anything."""
        seen = []

        class Asking(PasswordLayer):
            def start(self):
                seen.append(self.deadline.seconds)
                return super().start()

        class Auth(PasswordAuth):
            def client_layer(self, address):
                return Asking(self._password, b"client", b"server")

            def server_layer(self):
                return Asking(self._password, b"server", b"client")

        stream_pair(*sockets, auth=Auth("x"), seconds=7.0)
        assert seen == [7.0, 7.0]


class TestRegistry:
    @pytest.fixture(autouse=True)
    def entries(self, monkeypatch):
        """Two announced mechanisms: one that is there, and one that is broken."""
        found = [
            metadata.EntryPoint("plain", "farm_common.security:NoAuth", "farm.auth"),
            metadata.EntryPoint("broken", "farm_common_missing:Auth", "farm.auth"),
        ]
        monkeypatch.setattr(registry, "_entry_points", lambda: found)

    def test_found(self):
        """A mechanism is found by the name that its wheel announces."""
        assert find_authenticator("plain") is NoAuth

    def test_unknown(self):
        """One that nobody announces is an error that names those that are there."""
        with pytest.raises(UnsupportedError, match=r"'gss' \(found: broken, plain\); pip install"):
            find_authenticator("gss")

    def test_broken(self):
        """One that cannot be imported says what is missing."""
        with pytest.raises(ImportError, match="farm_common_missing"):
            find_authenticator("broken")


def test_entry_points_are_listed():
    """What is installed can be listed on every Python."""
    assert isinstance(registry._entry_points(), list)
