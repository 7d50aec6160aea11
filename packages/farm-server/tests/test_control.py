"""A session of an administrator."""

import socket
import threading

import pytest

from farm_common.connection import Connection
from farm_common.frames import Kind
from farm_common.handshake import decode_json
from farm_common.kills import pack_kill, pack_leave, unpack_killed
from farm_common.security import PlainLayer
from farm_common.states import Role, State
from farm_common.stream import Stream
from farm_server import control


def stream(sock, role):
    """A stream whose handshake is over."""
    connection = Connection(role, frame_limit=1 << 24)
    connection.state = State.OPEN
    connection.reader.limit = 1 << 24
    return Stream(sock, connection, PlainLayer())


class Session:
    """A control session in a thread."""

    def __init__(self, ask):
        ours, theirs = socket.socketpair()
        parent, self.parent = socket.socketpair()
        theirs.settimeout(5)
        self.client = stream(theirs, Role.CLIENT)
        server = stream(ours, Role.SERVER)
        self._sockets = (ours, theirs, parent, self.parent)
        self._thread = threading.Thread(target=control.serve, args=(server, parent, ask))
        self._thread.start()

    def send(self, kind):
        self.client.send(self.client.connection.send(kind, ident=7))

    def receive(self):
        frames = []
        while not frames:
            frames = self.client.receive()
        return frames[0]

    def join(self):
        self._thread.join(5)
        return not self._thread.is_alive()

    def close(self):
        self.client.sock.close()
        self.parent.close()
        assert self.join()
        for sock in self._sockets:
            sock.close()


@pytest.fixture
def start():
    """Starts sessions, and ends them."""
    sessions = []

    def start_(ask):
        sessions.append(Session(ask))
        return sessions[-1]

    yield start_
    for session in sessions:
        session.close()


@pytest.mark.parametrize(
    ("kind", "reply", "what"),
    [(Kind.STATUS, Kind.STATUS_REPLY, "status"), (Kind.DRAIN, Kind.DRAINING, "drain")],
)
def test_requests_are_the_parents_to_answer(start, kind, reply, what):
    """The answer has the request's id."""
    session = start(lambda asked: {"asked": asked})
    session.send(kind)
    frame = session.receive()
    assert (frame.kind, frame.ident) == (reply, 7)
    assert decode_json(frame.body, "it") == {"asked": what}


def test_ping(start):
    """It is answered without the parent."""
    session = start(None)
    session.send(Kind.PING)
    frame = session.receive()
    assert (frame.kind, frame.ident) == (Kind.PONG, 7)


def test_a_long_answer(start):
    """It arrives whole, though the socket takes it in pieces."""
    session = start(lambda _: {"text": "x" * 9_000_000})
    session.send(Kind.STATUS)
    assert len(session.receive().body) > 9_000_000


@pytest.mark.parametrize("kind", [Kind.GOODBYE, Kind.TASK])
def test_goodbye_and_what_does_not_belong_here(start, kind):
    """Both are the end of the connection."""
    session = start(None)
    session.send(kind)
    assert session.join()
    with pytest.raises(EOFError):
        session.client.receive()


def test_a_client_that_leaves(start):
    """The session ends."""
    session = start(None)
    session.client.sock.shutdown(socket.SHUT_RDWR)
    assert session.join()


def test_a_parent_that_ends(start):
    """The session ends, and its client sees it."""
    session = start(None)
    session.send(Kind.PING)
    session.receive()
    session.parent.close()
    assert session.join()
    with pytest.raises(EOFError):
        session.client.receive()


def test_a_parent_that_does_not_answer(start):
    """The session ends."""

    def ask(_):
        raise ConnectionError("the server is ending")

    session = start(ask)
    session.send(Kind.STATUS)
    assert session.join()


def kill(session, body):
    """Send a KILL."""
    session.client.send(session.client.connection.send(Kind.KILL, body, ident=9))


def test_kill(start):
    """The parent is asked, and what it says is the answer."""
    asked = []

    def ask(what, **more):
        asked.append((what, more))
        return {"tasks": {"0" * 32: 7}}

    session = start(ask)
    kill(session, pack_kill({"0" * 32: ((5, 8),)}, dry_run=True))
    frame = session.receive()
    assert (frame.kind, frame.ident) == (Kind.KILLED, 9)
    assert unpack_killed(frame.body) == {"0" * 32: 7}
    assert asked == [("kill", {"sessions": {"0" * 32: ((5, 8),)}, "dry_run": True})]


def test_a_kill_of_nonsense(start):
    """The parent does not hear of it."""
    session = start(None)
    kill(session, b'{"sessions": 3}')
    assert session.join()


def test_leave(start):
    """The parent is told; who says it gets no answer, and may be gone."""
    asked = []

    def ask(what, **more):
        asked.append((what, more))
        return {"left": 1}

    session = start(ask)
    stream = session.client
    stream.send(stream.connection.send(Kind.LEAVE, pack_leave(["0" * 32])))
    stream.close()
    assert session.join()
    assert asked == [("leave", {"sessions": ["0" * 32]})]
