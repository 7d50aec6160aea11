"""A connection before it has a session."""

import socket

import pytest

from farm_common.deadline import Deadline
from farm_common.errors import IncompatibleVersionError, ProtocolError
from farm_common.frames import FrameReader, Kind
from farm_common.handshake import MAGIC, PREAMBLE_SIZE, Preamble, Refusal
from farm_server.arrival import Arrival

SESSION = bytes(range(16))


@pytest.fixture
def ends():
    """An arrival, and the client's end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(5)
    with ours, theirs:
        yield Arrival(ours, None, Deadline(10), 0.0), theirs


def test_a_preamble_byte_by_byte(ends):
    """It is complete with the last byte, and what follows is left for the session."""
    arrival, client = ends
    data = Preamble(session=SESSION).encode()
    for position in range(PREAMBLE_SIZE - 1):
        client.sendall(data[position : position + 1])
        assert not arrival.receive()
        assert arrival.preamble is None
    client.sendall(data[-1:] + b"more")
    assert arrival.receive()
    assert arrival.preamble == Preamble(session=SESSION)
    assert arrival.start == data
    assert arrival.sock.recv(99) == b"more"


def test_silence(ends):
    """Nothing blocks."""
    with pytest.raises(BlockingIOError):
        ends[0].receive()


@pytest.mark.parametrize("position", range(len(MAGIC)))
def test_the_first_wrong_byte(ends, position):
    """No more is waited for."""
    arrival, client = ends
    client.sendall(MAGIC[:position] + b"?")
    with pytest.raises(ProtocolError, match="not farm"):
        arrival.receive()


@pytest.mark.parametrize("sent", [b"", MAGIC])
def test_a_client_that_leaves(ends, sent):
    """Before or in the middle."""
    arrival, client = ends
    client.sendall(sent)
    client.close()
    if sent:
        assert not arrival.receive()
    with pytest.raises(EOFError):
        arrival.receive()


def test_another_version(ends):
    """It is told ours."""
    arrival, client = ends
    client.sendall(Preamble((7, 9)).encode())
    with pytest.raises(IncompatibleVersionError):
        arrival.receive()
    arrival.refuse(None)
    assert client.recv(999) == Preamble().encode()
    assert client.recv(999) == b""


def test_a_refusal(ends):
    """A preamble, and one frame that says why."""
    arrival, client = ends
    client.sendall(Preamble().encode())
    assert arrival.receive()
    arrival.refuse(Refusal("busy", "later"))
    answer = client.recv(9999)
    assert answer[:PREAMBLE_SIZE] == Preamble().encode()
    (frame,) = FrameReader(9999).feed(answer[PREAMBLE_SIZE:])
    assert frame.kind == Kind.REFUSE
    assert Refusal.decode(frame.body) == Refusal("busy", "later")


def test_after_a_refusal_it_only_waits(ends):
    """What the client still says is read, so that closing does not take the refusal back."""
    arrival, client = ends
    client.sendall(Preamble().encode())
    assert arrival.receive()
    arrival.refuse(Refusal("busy", "later"))
    client.sendall(b"anything")
    assert not arrival.receive()
    client.close()
    with pytest.raises((EOFError, ConnectionError)):
        arrival.receive()


def test_refusing_one_that_left(ends):
    """Nobody is there to mind."""
    arrival, client = ends
    client.sendall(Preamble().encode())
    assert arrival.receive()
    client.close()
    arrival.refuse(Refusal("busy", "later"))
