"""Connections without a session."""

import os

import pytest

from farm_common.handshake import Preamble
from farm_server import arrivals as module


def test_a_silent_client_costs_no_process(bench):
    """It is closed when its time is over, and not before."""
    client = bench.connect()
    bench.settle(9.9)
    client.settimeout(0)
    with pytest.raises(BlockingIOError):
        client.recv(1)
    bench.settle(0.2)
    assert bench.closed(client)
    assert not bench.processes.births


def test_a_client_that_says_too_little(bench):
    """Each byte does not start the time anew."""
    client = bench.connect(Preamble().encode()[:5])
    bench.settle(9)
    client.sendall(Preamble().encode()[5:9])
    bench.settle(1.1)
    assert bench.closed(client)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"\x93farm\r\nX"])
def test_another_protocol(bench, data):
    """It is closed at once."""
    client = bench.connect(data)
    with pytest.raises((ConnectionResetError, AssertionError)):
        assert not bench.closed(client)
    assert not bench.processes.births


def test_another_version(bench):
    """It learns ours."""
    client = bench.connect(Preamble((5, 6)).encode())
    assert client.recv(999) == Preamble().encode()
    assert bench.closed(client)
    bench.settle(1.1)
    assert not list(bench.listener.arrivals)


def test_the_oldest_silent_client_leaves_for_the_newest(bench, monkeypatch):
    """Who floods the server with silence does not shut others out."""
    monkeypatch.setattr(module, "ARRIVALS", 3)
    clients = [bench.connect() for _ in range(4)]
    assert bench.closed(clients[0])
    clients[3].sendall(Preamble().encode())
    bench.settle()
    assert len(bench.processes.births) == 1


def test_another_user(bench, monkeypatch):
    """They are told who may."""
    monkeypatch.setattr(module, "peer_uid", lambda sock: 4711)
    monkeypatch.setattr(os, "geteuid", lambda: 12)
    client = bench.connect(Preamble().encode())
    answer = bench.refusal(client)
    assert answer.reason == "auth"
    assert "serves user " in answer.message
    assert "12" in answer.message
    assert "and you are user 4711: start a server of your own" in answer.message
    assert not bench.processes.births


def test_all_users_of_this_machine(make, monkeypatch):
    """They may come in where that was allowed."""
    bench = make(allow_local_users=True)
    monkeypatch.setattr(module, "peer_uid", lambda sock: 4711)
    monkeypatch.setattr(os, "geteuid", lambda: 12)
    bench.session()
    assert bench.answer == {"admitted": True}


def test_out_of_descriptors(bench, monkeypatch):
    """It pauses instead of spinning, and then accepts who waited."""
    (end,) = bench.listener.arrivals.endpoints
    bench.listener._loop.ignore(end.sock)

    class Full:
        def accept(self):
            raise OSError(24, "too many open files")

        def fileno(self):
            return end.sock.fileno()

        def close(self):
            end.sock.close()

    full = end._replace(sock=Full())
    bench.listener.arrivals._listen(full)
    bench.connect(Preamble().encode())
    assert not list(bench.listener.arrivals)
    monkeypatch.setattr(Full, "accept", lambda self: end.sock.accept())
    bench.settle(1)
    assert bench.processes.births
