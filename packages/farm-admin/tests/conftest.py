"""A server that says what the test wants it to."""

import socket
import threading

import pytest

from farm_common.deadline import Deadline
from farm_common.frames import Kind
from farm_common.greeting import server_handshake
from farm_common.handshake import Refusal, ServerHello, encode_json
from farm_common.interpreter import FEATURES, hello_fields
from farm_common.kills import pack_killed, unpack_kill
from farm_common.security import NoAuth

STATUS = {
    "server": "id",
    "name": "n",
    "host": "h",
    "pid": 12,
    "version": "0.1.0",
    "python": "cpython 3.13.0",
    "uptime": 3723.0,
    "draining": False,
    "addresses": ["127.0.0.1:1"],
    "workers": 2,
    "max_connections": 1000,
    "tags": [],
    "sessions": [],
}

SESSION = {
    "pid": 13,
    "kernel": "k",
    "index": 0,
    "peer": "127.0.0.1:5",
    "state": "busy",
    "task": 4,
    "category": "sim",
    "tasks_done": 1234,
    "busy": 61.0,
    "age": 0.25,
}


class Server:
    """Serves one connection after the other in a thread.

    Attributes:
        mode: ``"farm"``, or what it does instead of being a farm server.
        status: What it says of itself.
        asked: The kinds of frame that it received.
        obliging: Whether it ends the tasks that it is asked to.
        doomed: What the KILLs among them asked for.
        roles: The roles of its clients.
    """

    def __init__(self):
        self.mode = "farm"
        self.status = dict(STATUS)
        self.asked = []
        self.doomed = []
        self.features = FEATURES
        self.roles = []
        self.obliging = True
        self.auth = NoAuth()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        assert not self._thread.is_alive()
        self._listener.close()

    def _serve(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock:
                sock.settimeout(5)
                try:
                    self._welcome(sock)
                except (OSError, EOFError):
                    pass

    def _welcome(self, sock):
        if self.mode == "close":
            return
        if self.mode == "silent":
            sock.recv(99)
            sock.recv(99)
            return
        if self.mode == "http":
            sock.recv(99)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        stream, hello = server_handshake(
            sock, sock.recv(32), [self.auth], self._greet, Deadline(5), 1 << 20
        )
        self.roles.append(hello.role)
        while True:
            for frame in stream.receive():
                killed = {}
                self.asked.append(frame.kind)
                if self.mode == "mute":
                    continue
                if frame.kind == Kind.KILL:
                    sessions, dry_run = unpack_kill(frame.body)
                    self.doomed.append((sessions, dry_run))
                    if self.obliging:
                        killed = {name: spans[0][0] for name, spans in sessions.items()}
                kind, body = {
                    Kind.PING: (Kind.PONG, b""),
                    Kind.STATUS: (Kind.STATUS_REPLY, encode_json(self.status)),
                    Kind.DRAIN: (Kind.DRAINING, b"{}"),
                    Kind.KILL: (Kind.KILLED, pack_killed(killed)),
                }[frame.kind]
                if self.mode == "confused":
                    kind = Kind.RESULT
                stream.send(stream.connection.send(kind, body, ident=frame.ident))

    def _greet(self, hello, preamble):
        if self.mode == "busy":
            return Refusal("busy", "come back later")
        return ServerHello(
            **{**hello_fields(1 << 20), "features": self.features},
            server="id",
            name="n",
            host="h",
            pid=1,
            workers=1,
            tags=(),
            session="00" * 16,
        )


@pytest.fixture
def server():
    """One such server."""
    made = Server()
    yield made
    made.close()


@pytest.fixture
def status():
    """What a server says of itself when nothing happens there, and one busy session."""
    return {**STATUS, "sessions": [dict(SESSION)]}


@pytest.fixture
def nobody():
    """An address that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"
