"""TLS: who is let in, what refusals say, and what is on the wire.

The certificates in ``certs`` were made by ``ci/make_test_certs.py``; each test works on a copy,
since a key that others may read is refused, and a checkout has no such modes.
"""

import contextlib
import os
import pickle
import shutil
import socket
import ssl
import threading
import warnings
from pathlib import Path

import pytest

from farm_common import Address, AuthError, NoAuth, PeerIdentity, TLSAuth
from farm_common.deadline import Deadline
from farm_common.frames import Kind
from farm_common.greeting import client_handshake, server_handshake
from farm_common.security.tls_layer import TLSLayer
from farm_common.testing import client_hello, server_hello, stream_pair

CERTS = Path(__file__).parent / "certs"

HOST = Address("tcp", host="localhost", port=1)

BOUND = 30.0


@pytest.fixture
def certs(tmp_path):
    """The directories with certificates."""
    copy = tmp_path / "certs"
    shutil.copytree(CERTS, copy)
    for key in copy.glob("*/key.pem"):
        key.chmod(0o600)
    return copy


@pytest.fixture
def auth(certs):
    """Makes the mechanism from a directory by its name."""

    def make(name, **keywords):
        return TLSAuth.from_directory(certs / name, **keywords)

    return make


@pytest.fixture
def sockets():
    """The two ends of a socket pair."""
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def meet(client, server, size=1 << 20):
    """Let two layers talk until both are silent; their errors, the client's first.

    Pieces have `size` bytes; a layer that fails says farewell and hears no more.
    """
    errors = [None, None]
    layers = [client, server]
    plain = [b"", b""]
    waiting = [b"", client.start()]  # for each of them
    waiting[0] = server.start()
    while any(waiting):
        for number, layer in enumerate(layers):
            piece, waiting[number] = waiting[number][:size], waiting[number][size:]
            if not piece or errors[number]:
                continue
            try:
                text, answer = layer.feed(piece)
                plain[number] += text
            except AuthError as error:
                errors[number] = str(error)
                answer = layer.farewell()
            waiting[1 - number] += answer
    return errors, plain


class TestTrust:
    @pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
    def test_both_known(self, auth, size):
        """Two sides of one authority trust each other, however the bytes are cut."""
        client, server = auth("alice").client_layer(HOST), auth("server").server_layer()
        assert meet(client, server, size) == ([None, None], [b"", b""])
        assert (client.established, server.established) == (True, True)
        assert (client.peer, server.peer) == ("localhost", "alice")
        server.admit()

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "::1%lo", "farm.example"])
    def test_names_of_the_server(self, auth, host):
        """Host names and addresses that are in its certificate will do."""
        client = auth("alice").client_layer(Address("tcp", host=host, port=1))
        assert meet(client, auth("server").server_layer())[0] == [None, None]

    def test_unix_address(self, auth):
        """It has no host: the server is to be called localhost."""
        client = auth("alice").client_layer(Address("unix", path="/s"))
        assert meet(client, auth("server").server_layer())[0] == [None, None]

    @pytest.mark.parametrize("host", ["farm.example.org", "127.0.0.2", "xlocalhost", "a.localhost"])
    def test_another_name(self, auth, host):
        """A certificate of the same authority for another host is refused, and both know."""
        client = auth("alice").client_layer(Address("tcp", host=host, port=1))
        ours, theirs = meet(client, auth("server").server_layer())[0]
        assert f"the server's certificate is not for {host!r}" in ours
        assert "server_name=" in ours
        assert "the client refused our certificate" in theirs

    def test_pinned_name(self, auth):
        """What the server is to be called can be said, and then the address does not matter."""
        address = Address("tcp", host="10.0.0.1", port=1)
        client = auth("alice", server_name="farm.example").client_layer(address)
        assert meet(client, auth("server").server_layer())[0] == [None, None]
        client = auth("alice", server_name="other.example").client_layer(HOST)
        assert "not for 'other.example'" in meet(client, auth("server").server_layer())[0][0]

    def test_no_name_can_be_for_that(self, auth):
        """A host that no certificate can have is refused before anything is sent."""
        with pytest.raises(AuthError, match="no certificate can be for"):
            auth("alice").client_layer(Address("tcp", host=".", port=1)).start()

    @pytest.mark.parametrize(
        ("name", "ours", "theirs"),
        [
            (
                "expired-client",
                "the server refused our certificate: it has expired",
                "the client's certificate has expired",
            ),
            (
                "other-client",
                "the server refused our certificate: it was not signed by the CA",
                "the client's certificate was not signed by our CA (",
            ),
            (
                "server",
                "the server refused our certificate: it was not made for this role",
                "the client's certificate was not made for its role",
            ),
        ],
    )
    def test_bad_clients(self, auth, name, ours, theirs):
        """Both sides say what is wrong with the client's certificate."""
        errors, _ = meet(auth(name).client_layer(HOST), auth("server").server_layer())
        assert ours in errors[0]
        assert theirs in errors[1]

    @pytest.mark.parametrize(
        ("name", "ours", "theirs"),
        [
            (
                "expired-server",
                "the server's certificate has expired",
                "the client refused our certificate: it has expired",
            ),
            (
                "other-server",
                "the server's certificate was not signed by our CA (",
                "the client refused our certificate: it was not signed by the CA",
            ),
            (
                "bob",
                "the server's certificate was not made for its role",
                "the client refused our certificate: it was not made for this role",
            ),
        ],
    )
    def test_bad_servers(self, auth, name, ours, theirs):
        """Both sides say what is wrong with the server's certificate."""
        errors, _ = meet(auth("alice").client_layer(HOST), auth(name).server_layer())
        assert ours in errors[0]
        assert theirs in errors[1]

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_no_certificate(self, auth, certs, version):
        """A client without one is refused, by every version of TLS, and both say so."""
        context = ssl.create_default_context(cafile=str(certs / "server" / "ca.pem"))
        context.maximum_version = version
        context.set_alpn_protocols(["farm/1"])
        client = TLSLayer(context, server_side=False, server_name="localhost")
        ours, theirs = meet(client, auth("server").server_layer())[0]
        assert theirs == "the client has no certificate"
        assert "the server" in ours

    def test_old_version(self, auth):
        """TLS 1.1 is not spoken."""
        mechanism = auth("alice")
        with warnings.catch_warnings():  # Python calls it old, too
            warnings.simplefilter("ignore")
            mechanism._client.minimum_version = ssl.TLSVersion.TLSv1
            mechanism._client.maximum_version = ssl.TLSVersion.TLSv1_1
        mechanism._client.set_ciphers("DEFAULT:@SECLEVEL=0")
        _, theirs = meet(mechanism.client_layer(HOST), auth("server").server_layer())[0]
        assert theirs == "the client does not speak TLS 1.2 or later"

    def test_another_protocol_inside(self, auth):
        """A TLS connection that is not about farm is refused, the certificates being good."""
        mechanism = auth("alice")
        mechanism._client.set_alpn_protocols(["http/1.1"])
        _, theirs = meet(mechanism.client_layer(HOST), auth("server").server_layer())[0]
        assert theirs == "the peer speaks TLS, but not farm/1 inside of it"

    @pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", bytes(100), b"\x80\x05" * 50])
    def test_plaintext_client(self, auth, said):
        """Whoever selects TLS and then speaks something else is told so, in TLS."""
        layer = auth("server").server_layer()
        with pytest.raises(AuthError, match="the client does not speak TLS"):
            layer.feed(said)

    def test_plaintext_server(self, auth):
        """A client that was promised TLS and hears something else does not go on."""
        layer = auth("alice").client_layer(HOST)
        layer.start()
        with pytest.raises(AuthError, match="the server does not speak TLS"):
            layer.feed(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    def test_no_resumption(self, auth):
        """The server gives no ticket: each connection shows its certificates."""
        client, server = auth("alice").client_layer(HOST), auth("server").server_layer()
        meet(client, server)
        client.feed(server.wrap(b"x"))
        assert client.tls.session is None or not client.tls.session.has_ticket


class TestAllowedNames:
    def test_allowed(self, auth):
        """Whoever is named comes in."""
        server = auth("server", allowed_names=["bob", "alice"]).server_layer()
        meet(auth("alice").client_layer(HOST), server)
        server.admit()

    @pytest.mark.parametrize("names", [[], ["bob"], "bob", ["ALICE"], ["*"], ["alic", "alice "]])
    def test_not_allowed(self, auth, names):
        """Nobody else does, and an empty list is nobody; the text names the client only."""
        server = auth("server", allowed_names=names).server_layer()
        meet(auth("alice").client_layer(HOST), server)
        with pytest.raises(AuthError, match=r"'alice' is not among .* --allow alice") as caught:
            server.admit()
        assert "bob" not in str(caught.value)

    def test_told_through_the_layer(self, sockets, auth):
        """A client that is not allowed hears why, at once, as an `AuthError`."""
        with pytest.raises(AuthError, match="the server refused: 'alice' is not among"):
            stream_pair(
                *sockets,
                auth=auth("alice", server_name="localhost"),
                server_auths=[auth("server", allowed_names=["bob"])],
            )


class TestStreams:
    @pytest.fixture
    def streams(self, sockets, auth):
        """Two ends that trust each other."""
        greeting, served = stream_pair(*sockets, auth=auth("alice"), server_auths=[auth("server")])
        return greeting.stream, served

    def test_identities(self, streams):
        """Each end knows who the other is."""
        client, served = streams
        assert served.peer == PeerIdentity("tls", "alice")
        assert str(served.peer) == "alice (tls)"
        assert client.peer == PeerIdentity("tls", "localhost")

    def test_wire(self, sockets, streams):
        """Nothing of a frame is on the wire as it was."""
        client, served = streams
        client.send(client.connection.send(Kind.TASK, b"secret"))
        assert b"secret" not in sockets[1].recv(1000, socket.MSG_PEEK)
        (frame,) = served.receive()
        assert bytes(frame.body) == b"secret"

    @pytest.mark.parametrize("size", [0, 1, 16383, 16384, 16385, 300_000, 5_000_000])
    def test_sizes(self, streams, size):
        """Values of any size cross, buffers too, and arrive as they were."""
        client, served = streams
        body = os.urandom(size)
        frames = client.connection.send(Kind.TASK, body, ident=7, buffers=[body, b"", body[:100]])
        thread = threading.Thread(target=client.send, args=(frames,))
        thread.start()
        got = []
        while not got:
            got = served.receive()
        thread.join(BOUND)
        assert bytes(got[0].body) == body
        assert [bytes(buffer) for buffer in got[0].buffers] == [body, b"", body[:100]]

    def test_many_small_ones(self, streams):
        """Frames sent together arrive together, none missing."""
        client, served = streams
        frames = [s for n in range(2000) for s in client.connection.send(Kind.TASK, b"x", ident=n)]
        thread = threading.Thread(target=client.send, args=(frames,))
        thread.start()
        got = []
        while len(got) < 2000:
            got += served.receive()
        thread.join(BOUND)
        assert [frame.ident for frame in got] == list(range(2000))

    def test_both_ways_at_once(self, streams):
        """Ends that both send more than the socket holds do not block each other."""
        client, served = streams
        body = os.urandom(3_000_000)
        threads = [
            threading.Thread(target=end.send, args=(end.connection.send(kind, body, ident=1),))
            for end, kind in ((client, Kind.TASK), (served, Kind.RESULT))
        ]
        for thread in threads:
            thread.start()
        for end in (client, served):
            got = []
            while not got:
                got = end.receive()
            assert bytes(got[0].body) == body
        for thread in threads:
            thread.join(BOUND)
            assert not thread.is_alive()

    def test_without_blocking(self, streams):
        """On a socket that takes no more, `send` says so, and `flush` goes on."""
        client, served = streams
        client.sock.setblocking(False)
        body = os.urandom(8_000_000)
        assert not client.send(client.connection.send(Kind.TASK, body, ident=1))
        assert client.writing
        # A piece is protected when there is room for it, not all at once.
        assert sum(map(len, client._out)) < 1 << 20
        got = []
        while not got:
            client.flush()
            got = served.receive()
        assert client.flush()
        assert bytes(got[0].body) == body

    def test_tampering(self, streams):
        """A bit that was changed on the way is a lost connection, and nothing gets through."""
        client, served = streams
        wire = bytearray(client.layer.wrap(b"".join(client.connection.send(Kind.TASK, b"secret"))))
        wire[-1] ^= 1
        client.sock.sendall(wire)
        with pytest.raises(ConnectionAbortedError, match="tampered with"):
            served.receive()
        with pytest.raises(ConnectionError):
            served.receive()
        with pytest.raises(ConnectionError):
            served.send(served.connection.send(Kind.PING))

    def test_replay(self, streams):
        """A record that comes again is tampering."""
        client, served = streams
        wire = client.layer.wrap(b"".join(client.connection.send(Kind.TASK, b"x", ident=1)))
        client.sock.sendall(wire)
        assert len(served.receive()) == 1
        client.sock.sendall(wire)
        with pytest.raises(ConnectionAbortedError, match="tampered with"):
            served.receive()

    def test_ended(self, streams):
        """An end that was announced is an end."""
        client, served = streams
        client.send(client.connection.send(Kind.TASK, b"x", ident=1))
        assert len(served.receive()) == 1
        client.close()
        assert served.receive() == []
        with pytest.raises(EOFError):
            served.receive()

    def test_cut(self, streams):
        """One that was not is a loss: anybody on the way could have made it."""
        client, served = streams
        client.send(client.connection.send(Kind.TASK, b"x", ident=1))
        assert len(served.receive()) == 1
        client.sock.shutdown(socket.SHUT_RDWR)
        with pytest.raises(ConnectionAbortedError, match="its end was not announced"):
            served.receive()


class TestNegotiation:
    """Over real sockets, with refusals of either side as the user sees them."""

    @pytest.mark.parametrize(
        ("client", "server", "text"),
        [
            ("expired-client", "server", "the server refused our certificate: it has expired"),
            ("other-client", "server", "not signed by the CA that the peer trusts"),
            ("alice", "expired-server", "the server's certificate has expired"),
            ("alice", "other-server", "the server's certificate was not signed by our CA"),
        ],
    )
    def test_refusals(self, sockets, auth, client, server, text):
        """Each is an `AuthError` at once, on both sides; never a lost connection."""
        with pytest.raises(AuthError, match=text) as caught:
            stream_pair(*sockets, auth=auth(client), server_auths=[auth(server)], seconds=BOUND)
        assert isinstance(caught.value.__context__, AuthError)

    def test_refusal_that_comes_while_writing(self, auth):
        """A client that is still writing when the server has gone reads why, first."""
        listener = socket.create_server(("127.0.0.1", 0))
        with listener, socket.create_connection(listener.getsockname()) as left:
            right = listener.accept()[0]
            layers = []

            class Slow(TLSAuth):
                def client_layer(self, address):
                    layer = super().client_layer(address)
                    wrap = layer.wrap

                    def wrap_late(data):
                        thread.join(BOUND)  # the server has refused and gone
                        return wrap(data)

                    layer.wrap = wrap_late
                    layers.append(layer)
                    return layer

            def serve():
                with right, contextlib.suppress(AuthError):
                    server_handshake(
                        right,
                        b"",
                        [auth("server")],
                        lambda *_: server_hello(),
                        Deadline(1),
                        1 << 20,
                    )

            thread = threading.Thread(target=serve)
            thread.start()
            bad = Slow.from_directory(auth("expired-client").cert[: -len("/cert.pem")])
            with pytest.raises(AuthError, match="it has expired"):
                client_handshake(left, HOST, bad, client_hello(), Deadline(BOUND))

    def test_server_without(self, sockets, auth):
        """A client with TLS does not talk to a server without."""
        with pytest.raises(AuthError, match="does not offer 'tls', only 'none'"):
            stream_pair(*sockets, auth=auth("alice"), server_auths=[NoAuth()])

    def test_client_without(self, sockets, auth):
        """A client without TLS is told that the server asks for it."""
        with pytest.raises(AuthError, match=r"asks for authentication \('tls'\): pass auth="):
            stream_pair(*sockets, server_auths=[auth("server")])

    def test_one_of_several(self, sockets, auth):
        """The client's mechanism is used, whatever else the server would accept."""
        _, served = stream_pair(
            *sockets, auth=auth("alice"), server_auths=[NoAuth(), auth("server")]
        )
        assert isinstance(served.layer, TLSLayer)


class TestFiles:
    def test_pickled(self, auth):
        """It travels as the names of its files: the key stays where it is."""
        mechanism = auth("server", allowed_names=["alice"], server_name="x")
        data = pickle.dumps(mechanism)
        assert b"PRIVATE" not in data
        again = pickle.loads(data)
        assert (again.cert, again.allowed_names, again.server_name) == (
            mechanism.cert,
            {"alice"},
            "x",
        )
        assert meet(auth("alice").client_layer(HOST), again.server_layer())[0] == [None, None]

    @pytest.mark.parametrize("name", ["cert.pem", "key.pem", "ca.pem"])
    def test_missing(self, auth, certs, name):
        """The error names the file, and who makes it."""
        (certs / "alice" / name).unlink()
        with pytest.raises(AuthError, match=f"missing: .*/{name}; farm-admin certs"):
            auth("alice")

    @pytest.mark.parametrize("name", ["cert.pem", "key.pem", "ca.pem"])
    def test_garbage(self, auth, certs, name):
        """The error names the file and what OpenSSL says."""
        (certs / "alice" / name).write_text("garbage")
        with pytest.raises(AuthError, match=r"cannot be used: ."):
            auth("alice")

    def test_key_of_another(self, auth, certs):
        """A key that does not belong to the certificate is noticed when it is loaded."""
        shutil.copy(certs / "bob" / "key.pem", certs / "alice" / "key.pem")
        with pytest.raises(AuthError, match=r"key.* cannot be used: key values mismatch"):
            auth("alice")

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660])
    def test_open_key(self, auth, certs, mode):
        """A key that others can use is refused, with the command that mends it."""
        path = certs / "alice" / "key.pem"
        path.chmod(mode)
        with pytest.raises(AuthError, match=rf"\(mode {mode:04o}\): chmod 600 {path}"):
            auth("alice")

    def test_encrypted_key(self, auth, certs):
        """Nobody is asked for a password: a server has nobody to ask."""
        path = certs / "alice" / "key.pem"
        path.write_text(ENCRYPTED)
        with pytest.raises(
            AuthError, match=r"key\.pem cannot be used: it is encrypted; farm takes keys without"
        ):
            auth("alice")

    def test_repr(self, auth, certs):
        """It says which certificate it is."""
        assert str(certs / "alice" / "cert.pem") in repr(auth("alice"))


ENCRYPTED = """\
-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,E182CE8C11FDA2418D9A1CEEACC228DC

/wz3LXlvAlnW8vlYKfHZffdZymcH440qZylcFGv4IGkyu9yli4IT6NNSZ95DsQxu
DlxHrjlquPG/TeR1AO7eQBrpiJiZqPDR/XEWdUMICB1oxZkp41Wf6l/WZSXnTPFZ
XOTEznMbgz+FZI1SL5UQgam3YF8jRe4qjGNsN+QnggQ=
-----END EC PRIVATE KEY-----
"""
