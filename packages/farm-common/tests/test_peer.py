"""Who is at the other end."""

import os
import socket
import sys
import time

import pytest

from farm_common import peer

FIN_WAIT2 = 5  # Linux's number

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells")
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("128.0.0.1", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%lo", False),
    ],
)
def test_loopback(host, loopback):
    """Only addresses that no other machine can reach."""
    assert peer.is_loopback(host) is loopback


def pair(family, host):
    """A listening socket's connection, both ends."""
    with socket.socket(family) as listener:
        try:
            listener.bind((host, 0))
        except OSError:
            pytest.skip(f"no {host} here")
        listener.listen()
        client = socket.create_connection(listener.getsockname()[:2])
        return client, listener.accept()[0]


@linux
@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_the_owner_of_a_loopback_connection(family, host):
    """The kernel knows who opened the other end."""
    client, server = pair(family, host)
    with client, server:
        assert peer.peer_uid(server) == os.geteuid()
        assert peer.peer_name(server).startswith((f"{host}:", f"[{host}]:"))


@linux
@root
@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_another_user(family, host):
    """Not the server's user, and not root."""
    os.seteuid(12345)
    try:
        client, server = pair(family, host)
    finally:
        os.seteuid(0)
    with client, server:
        assert peer.peer_uid(server) == 12345
        assert not peer.is_trusted(12345)


@linux
def test_a_client_that_left():
    """Nobody owns the other end any more."""
    client, server = pair(socket.AF_INET, "127.0.0.1")
    with server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        with pytest.raises(ConnectionError, match="the peer is gone"):
            peer.peer_uid(server)
        assert peer.peer_name(server) == "?"


@linux
@pytest.mark.parametrize("wait", [False, True])
def test_a_client_that_sent_and_left(wait):
    """A socket that nobody has open any more is not root's, whatever Linux says."""
    client, server = pair(socket.AF_INET, "127.0.0.1")
    with server:
        client.sendall(b"all that is wanted")
        client.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + 10
        while wait and client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != FIN_WAIT2:
            assert time.monotonic() < deadline
        client.close()
        with pytest.raises(ConnectionError, match="the peer is gone"):
            peer.peer_uid(server)


@linux
def test_a_server_that_did_not_accept_yet():
    """Nor is one that nobody has opened yet."""
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()) as client:
        with pytest.raises(ConnectionError, match="the peer is gone"):
            peer.peer_uid(client)
        with listener.accept()[0]:
            assert peer.peer_uid(client) == os.geteuid()


def test_names_of_users():
    """For people: with the number, which is all that some have."""
    assert peer.user_name(0) == "root (0)"
    assert peer.user_name(4_000_000_000) == "4000000000"


@linux
def test_unix_sockets():
    """The credentials of whoever connected."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer.peer_uid(ours) == os.geteuid()
        assert peer.peer_name(ours) == f"uid {os.geteuid()}"


@linux
def test_where_the_kernel_does_not_answer(monkeypatch):
    """Then nobody is turned away for it."""
    client, server = pair(socket.AF_INET, "127.0.0.1")
    with client, server:
        monkeypatch.setattr(peer, "_NETLINK_SOCK_DIAG", 31)
        assert peer.peer_uid(server) is None


def test_other_systems(monkeypatch):
    """They are not asked."""
    monkeypatch.setattr(peer, "_LINUX", False)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer.peer_uid(ours) is None
        assert peer.peer_name(ours) == "unix"


@pytest.mark.parametrize(("uid", "may"), [(None, True), (0, True), (7, True), (8, False)])
def test_who_is_trusted(monkeypatch, uid, may):
    """The server's user, root, and who is not known."""
    monkeypatch.setattr(os, "geteuid", lambda: 7)
    assert peer.is_trusted(uid) is may
