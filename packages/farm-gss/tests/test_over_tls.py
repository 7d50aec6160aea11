"""Kerberos bound to a TLS connection: real TLS, with a stand-in for Kerberos."""

import hashlib
import os
import ssl
import stat
import subprocess
import sys
import tempfile
import types

import pytest

from farm_common.address import Address
from farm_common.errors import AuthError
from farm_gss import GSSAuth, over_tls


@pytest.fixture
def trusting(layers, meet):
    """Two layers that trust each other."""
    client, server = layers(tls=True)
    meet(client, server)
    return client, server


@pytest.mark.parametrize("size", [0, 1, 50])
def test_handshake(layers, meet, gssapi, size):
    """However the bytes are cut, both sides come to trust each other and know each other."""
    client, server = layers(tls=True)
    assert meet(client, server, size) == (b"", b"")
    assert client.established
    assert server.established
    assert (client.peer, server.peer) == ("farm/server@EXAMPLE.COM", "alice@EXAMPLE.COM")
    server.admit()
    assert client._tls.tls.version() in ("TLSv1.2", "TLSv1.3")


def test_admission(layers, meet):
    """Who may come in is the same question as without TLS."""
    client, server = layers(tls=True, allowed_users=[])
    meet(client, server)
    with pytest.raises(AuthError, match=r"alice@EXAMPLE.COM is not among"):
        server.admit()


def test_bindings(trusting, gssapi):
    """Both contexts are bound to the certificate that TLS showed (RFC 5929, 4.1)."""
    certificate = trusting[0]._tls.tls.getpeercert(binary_form=True)
    bound = [asked["channel_bindings"] for asked in gssapi.asked if "channel_bindings" in asked]
    wanted = hashlib.sha256(certificate).digest()
    assert bound == [b"tls-server-end-point:" + wanted] * 2


@pytest.fixture(autouse=True)
def flags(gssapi, flag):
    """The server's library says that the context is bound."""
    gssapi.flags["accept"].append(flag.channel_bound)


def test_no_bindings(layers, meet, gssapi, flag):
    """A client that binds its ticket to nothing is refused, though the library accepts it."""
    gssapi.flags["accept"].remove(flag.channel_bound)
    client, server = layers(tls=True)
    with pytest.raises(AuthError, match=r"did not bind its ticket .* channel bindings"):
        meet(client, server)
    with pytest.raises(AuthError, match="the server refused: the client did not bind"):
        client.feed(server.farewell())


def test_library_that_does_not_tell(layers, meet, gssapi, flag, monkeypatch):
    """Where a library has no such flag, the sealed confirmations tell."""
    monkeypatch.setattr(
        sys.modules["gssapi"],
        "RequirementFlag",
        types.SimpleNamespace(**{one.name: one for one in flag if one.name != "channel_bound"}),
    )
    client, server = layers(tls=True)
    meet(client, server)
    assert server.established
    # The library ignores the bindings, and somebody in between has a certificate of his own.
    client, server = layers(tls=True)
    client._bindings = lambda: b"tls-server-end-point:another"
    monkeypatch.setattr(sys.modules["gssapi.raw"], "ChannelBindings", lambda application_data: b"")
    with pytest.raises(AuthError, match="confirmation is about another connection than this one"):
        meet(client, server)
    assert not client.established


def test_somebody_in_between(layers, meet, gssapi):
    """Who ends the client's TLS with a certificate of his own is refused by the server."""
    client, server = layers(tls=True)
    _, intruder = layers(tls=True)  # of another certificate
    helper, _ = layers(tls=True)
    # TLS only: neither of the two takes part in Kerberos.
    _, ticket = meet(client, intruder._tls)
    assert b"ticket" in ticket
    meet(helper._tls, server)
    with pytest.raises(AuthError, match="Incorrect channel bindings"):
        server.feed(helper._tls.wrap(ticket))
    assert not server.established


def test_certificates_differ(gssapi):
    """Each server makes a certificate of its own, once."""
    one, two = GSSAuth(tls=True), GSSAuth(tls=True)
    for auth in (one, two):
        auth.prepare_server()
    first = one._server_tls
    one.server_layer()
    assert one._server_tls is first
    assert first[1] != two._server_tls[1]


def test_no_ticket(layers, meet, gssapi, gss_error):
    """A client without a ticket ends TLS in order, so that the server suspects nobody."""
    gssapi.failures["step initiate"] = gss_error("No Kerberos credentials available")
    client, server = layers(tls=True)
    with pytest.raises(AuthError, match="get a ticket with kinit"):
        meet(client, server)
    assert server.feed(client.farewell()) == (b"", b"")
    assert not server.established


def test_refusal_is_encrypted(layers, meet, gssapi, gss_error):
    """What the server tells a client whom it refuses is not for others."""
    gssapi.failures["step accept"] = gss_error("Request is a replay")
    client, server = layers(tls=True)
    with pytest.raises(AuthError, match="Request is a replay"):
        meet(client, server)
    farewell = server.farewell()
    assert b"replay" not in farewell
    with pytest.raises(AuthError, match=r"the server refused: Kerberos, for farm/.*replay"):
        client.feed(farewell)


def test_data(trusting):
    """What is wrapped comes out, into memory as well."""
    client, server = trusting
    data = bytes(range(256)) * 1000
    wire = client.wrap(data)
    assert data not in wire
    target = memoryview(bytearray(len(data)))
    plain, answer = server.feed(wire[:20000])
    size, rest, _ = server.feed_into(wire[20000:], target)
    assert plain + bytes(target[:size]) + rest == data
    assert answer == b""
    assert client.feed(server.wrap(b"back")) == (b"back", b"")


def test_tampering(trusting):
    """A changed byte ends the connection."""
    client, server = trusting
    wire = bytearray(client.wrap(b"data"))
    wire[-1] ^= 1
    with pytest.raises(AuthError, match="tampered with"):
        server.feed(bytes(wire))


def test_cut(trusting):
    """An end that TLS did not announce is a cut; one that it did is none."""
    client, server = trusting
    server.feed(client.wrap(b"data"))
    with pytest.raises(AuthError, match="the connection was cut"):
        server.eof()
    server.feed(client.farewell())
    assert server.eof() is None


def test_expired(clock, layers, meet):
    """When the ticket has expired nothing goes through TLS any more."""
    client, server = layers(tls=True)
    meet(client, server)
    wire = client.wrap(b"in time")
    clock.now += 3600
    with pytest.raises(AuthError, match="has expired"):
        client.wrap(b"late")
    with pytest.raises(AuthError, match=r"ticket of alice@EXAMPLE.COM has expired"):
        server.feed(wire)
    with pytest.raises(AuthError, match="has expired"):
        server.feed_into(wire, memoryview(bytearray(10)))


def test_plain_server(layers, gssapi):
    """A server that does not speak TLS is told from one that does."""
    client, _ = layers(tls=True)
    client.start()
    with pytest.raises(AuthError, match="does not speak TLS"):
        client.feed(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_no_certificate(layers):
    """A server that got by without a certificate has nothing to bind Kerberos to."""
    client, _ = layers(tls=True)
    client._tls = types.SimpleNamespace(tls=types.SimpleNamespace(getpeercert=lambda **_: None))
    with pytest.raises(AuthError, match="no TLS certificate to bind Kerberos to"):
        client._bindings()


class TestMaking:
    def test_nothing_is_left(self, monkeypatch, tmp_path):
        """The key was in a folder of its own, for nobody else to read, and is gone."""
        seen = []
        make = over_tls._make_certificate

        def watch(conf, key, certificate):
            make(conf, key, certificate)
            seen.append(stat.S_IMODE(os.stat(os.path.dirname(key)).st_mode))

        monkeypatch.setattr(over_tls, "_make_certificate", watch)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        context, certificate = over_tls.server_context()
        assert ssl.DER_cert_to_PEM_cert(certificate).startswith("-----BEGIN CERTIFICATE")
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert seen == [0o700]
        assert os.listdir(tmp_path) == []

    def test_no_openssl(self, monkeypatch, gssapi, tmp_path):
        """Without the command a server does not start, and says what to install."""
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(AuthError, match=r"needs the command openssl .*apt install openssl"):
            GSSAuth(tls=True).prepare_server()

    def test_openssl_fails(self, monkeypatch):
        """What it says is quoted."""
        result = subprocess.CompletedProcess([], 1, b"unknown option -newkey\n")
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: result)
        with pytest.raises(AuthError, match=r"did not make a certificate .*: unknown option"):
            over_tls.server_context()


def test_only_tls_costs_its_import():
    """Who wraps does not load the standard library's ssl for it."""
    program = (
        "import sys, types\n"
        "sys.modules['gssapi'] = types.ModuleType('gssapi')\n"
        "sys.modules['gssapi.raw'] = types.ModuleType('gssapi.raw')\n"
        "from farm_gss import GSSAuth\n"
        "GSSAuth().server_layer()\n"
        "sys.exit('ssl' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_addresses(gssapi):
    """A client's layer of this mode has no name to check in a certificate: Kerberos has."""
    layer = GSSAuth(tls=True).client_layer(Address("tcp", "192.0.2.1", 1))
    assert layer.start().startswith(b"\x16\x03")
