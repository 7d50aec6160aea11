"""The authority and what it signs."""

import datetime as dt
import os
import socket
import stat
import sys

import pytest

from farm_admin import certs, cli
from farm_common import Address, AuthError, TLSAuth, UnsupportedError
from farm_common.testing import stream_pair

x509 = pytest.importorskip("cryptography.x509", reason="farm-admin[certs] is not installed")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working directory, empty; the umask is one that lets everybody read."""
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o022)
    yield tmp_path
    os.umask(before)


def run(*arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(["certs", *arguments])
    return caught.value.code


def read(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def shake(client, server):
    """Have both sides introduce themselves, over a socket pair."""
    left, right = socket.socketpair()
    with left, right:
        return stream_pair(left, right, auth=client, server_auths=[server])


def test_one_command_each(place, capsys):
    """What they make is all that both sides need to trust each other."""
    assert run("init") == 0
    assert run("server", "node1", "10.0.0.7", "[::1]") == 0
    assert run("client", "alice") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert [line.split(":")[0] for line in captured.out.splitlines()] == [
        "made an authority in farm-ca",
        "made node1",
        "made alice",
    ]
    server = TLSAuth.from_directory("node1", allowed_names=["alice"])
    for name in ("node1", "10.0.0.7", "::1"):
        client = TLSAuth.from_directory("alice", server_name=name)
        greeting, served = shake(client, server)
        assert served.peer.name == "alice"
        assert greeting.stream.peer.name == "node1"
    with pytest.raises(AuthError, match="not for 'node2'"):
        shake(TLSAuth.from_directory("alice", server_name="node2"), server)


def test_modes(place):
    """Directories are 0700 and files 0600, whatever the umask."""
    run("init")
    run("server", "node1")
    for directory in ("farm-ca", "node1"):
        assert stat.S_IMODE((place / directory).stat().st_mode) == 0o700
        for file in (place / directory).iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(os.listdir("farm-ca")) == ["ca-key.pem", "ca.pem"]
    assert sorted(os.listdir("node1")) == ["ca.pem", "cert.pem", "key.pem"]


def test_contents(place):
    """Names, purposes, times and serial numbers are what they should be."""
    run("init", "--name", "ours", "--days", "100")
    run("server", "node1", "10.0.0.7", "--days", "1000")
    run("client", "alice", "--days", "7")
    authority, server, client = (
        read(place / f) for f in ("farm-ca/ca.pem", "node1/cert.pem", "alice/cert.pem")
    )
    now = dt.datetime.now(dt.timezone.utc)
    assert authority.subject.rfc4514_string() == "CN=ours"
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (
        True,
        True,
        0,
    )
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["node1"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7"]
    for certificate, purpose in ((server, "serverAuth"), (client, "clientAuth")):
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert [oid._name for oid in usage] == [purpose]
        assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        certificate.verify_directly_issued_by(authority)
        assert certificate.not_valid_before_utc < now
    assert server.not_valid_after_utc == authority.not_valid_after_utc  # no longer than that
    assert client.not_valid_after_utc - now < dt.timedelta(days=7)
    assert len({authority.serial_number, server.serial_number, client.serial_number}) == 3


def test_a_client_is_no_server(place):
    """Nor the other way round: a client's certificate cannot be used to lure other clients."""
    run("init")
    run("server", "localhost")
    run("client", "localhost", "--out", "client")
    client, server = TLSAuth.from_directory("client"), TLSAuth.from_directory("localhost")
    shake(client, server)
    with pytest.raises(AuthError, match="the server's certificate was not made for its role"):
        shake(client, client)
    with pytest.raises(AuthError, match="the server refused our certificate: it was not made for"):
        shake(server, server)


@pytest.mark.parametrize("what", [["init"], ["server", "node1"], ["client", "alice"]])
def test_nothing_is_overwritten(place, capsys, what):
    """The second time is an error, and all is as it was."""
    run("init")
    run(*what)
    before = {path: path.read_bytes() for path in place.rglob("*.pem")}
    assert run(*what) == 1
    assert "exists, and is not overwritten: name another directory" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in place.rglob("*.pem")} == before


def test_half_a_directory(place, capsys):
    """One file that is there keeps the others from being made."""
    run("init")
    (place / "node1").mkdir(0o700)
    (place / "node1" / "cert.pem").write_text("mine")
    assert run("server", "node1") == 1
    assert os.listdir("node1") == ["cert.pem"]


def test_an_open_directory(place, capsys):
    """Keys are not put where others come."""
    (place / "farm-ca").mkdir(0o755)
    assert run("init") == 1
    assert "farm-ca is open to others" in capsys.readouterr().err
    assert "chmod 700 farm-ca" not in os.listdir("farm-ca")
    assert os.listdir("farm-ca") == []


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["server", "node1"], 1, "there is no authority in farm-ca (ca.pem is missing): make one"),
        (["client", "a", "--ca", "x"], 1, "make one with farm-admin certs init x"),
    ],
)
def test_no_authority(place, capsys, arguments, status, text):
    """The command that makes one is named."""
    assert run(*arguments) == status
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["server", "a b"], "'a b' is neither a host name nor an IP address"),
        (["server", "node1", "-x"], "unrecognized arguments: -x"),
        (["client", ""], "'' is no name"),
        (["client", "a" * 65], "is no name: give 1 to 64 printable characters"),
        (["client", "a\nb"], "is no name"),
        (["client", "a", "--days", "-1"], "'-1' is not a number above 0"),
    ],
)
def test_wrong_usage(place, capsys, arguments, text):
    """Status 2, and nothing is made."""
    run("init")
    assert run(*arguments) == 2
    assert text in capsys.readouterr().err
    assert os.listdir(place) == ["farm-ca"]


def test_an_authority_that_cannot_be_used(place, capsys):
    """It says what is wrong with it."""
    run("init")
    run("init", "other")
    os.replace("other/ca-key.pem", "farm-ca/ca-key.pem")
    assert run("client", "alice") == 2
    assert "do not belong together" in capsys.readouterr().err
    (place / "farm-ca" / "ca-key.pem").write_text("garbage")
    assert run("client", "alice") == 2
    assert "the authority in farm-ca cannot be used" in capsys.readouterr().err


def test_without_cryptography(place, monkeypatch, capsys):
    """What to install is said."""
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(UnsupportedError, match=r"pip install 'farm-admin\[certs\]'"):
        certs.make_authority("farm-ca")
    assert run("init") == 2
    assert "farm-admin[certs]" in capsys.readouterr().err
    assert os.listdir(place) == []


def test_unix_address(place):
    """A server that is reached by a Unix socket is called localhost."""
    run("init")
    run("server", "localhost", "--out", "s")
    run("client", "alice")
    layer = TLSAuth.from_directory("alice").client_layer(Address("unix", path="/s"))
    assert layer.start()
    shake(TLSAuth.from_directory("alice"), TLSAuth.from_directory("s"))
