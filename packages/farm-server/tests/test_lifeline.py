"""A session's connection, lost and found: with real sockets, and a parent that is the test."""

import array
import json
import socket
import threading

import pytest

from farm_common.address import Address
from farm_common.deadline import Deadline
from farm_common.errors import AuthError
from farm_common.frames import Kind
from farm_common.greeting import client_handshake, server_handshake
from farm_common.handshake import PREAMBLE_SIZE, Preamble
from farm_common.resumption import FEATURE
from farm_common.security import NoAuth
from farm_common.shipping.modules import GivenModule, pack_module
from farm_common.testing import client_hello, server_hello, stream_pair
from farm_server.inbox import Inbox
from farm_server.lifeline import Lifeline

BOUND = 20.0
SESSION = bytes.fromhex(server_hello().session)


class Bench:
    """A session's inbox and lifeline, its client, and its parent.

    Attributes:
        client: The client's stream.
        stream: The session's.
        checks: What to do when a client has said who it is; by default nothing.
    """

    def __init__(self):
        greeting, self.stream = stream_pair(*socket.socketpair())
        self.client = greeting.stream
        self.client.outlive()
        self.stream.outlive()
        self.check = lambda: None
        self.told = []
        self.changed = threading.Condition()
        self.parent, theirs = socket.socketpair()
        self.inbox = Inbox(self.stream)
        self.lifeline = Lifeline(self.stream, theirs, self.handshake, self.tell)
        self.inbox.lifeline = self.lifeline
        self.found = threading.Event()
        self.lifeline.attach(self.inbox, self.found.set)
        self.theirs = theirs
        self.number = 0

    def handshake(self, sock, start, take_over):
        def greet(client, _):
            self.check()
            return server_hello(received=take_over(client))

        return server_handshake(
            sock, start, [NoAuth()], greet, Deadline(BOUND), 1 << 20, session=SESSION
        )[0]

    def tell(self, message):
        with self.changed:
            self.told.append(message)
            self.changed.notify_all()

    def await_told(self, *asks):
        """Wait until the parent was told these things, in this order."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.told) >= len(asks), BOUND)
            assert [message["ask"] for message in self.told] == list(asks)

    def offer(self, number=None):
        """Pass the session one end of a new connection; the client's end is returned."""
        ours, passed = socket.socketpair()
        self.number += 1
        start = Preamble(session=SESSION, resume=True).encode()
        line = {"resume": self.number if number is None else number, "start": start.hex()}
        rights = array.array("i", [passed.fileno()])
        self.parent.sendmsg(
            [json.dumps(line).encode() + b"\n"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
        )
        passed.close()
        assert self.lifeline.collect()
        return ours

    def come_back(self, **hello):
        """Do the client's part; its stream goes on if the server lets it."""
        if not self.client.suspended:
            self.client.suspend()
        greeting = self.greet(self.offer(), **hello)
        self.client.resume(greeting.stream, greeting.hello.received)
        assert self.client.flush()

    def greet(self, sock, **hello):
        """The client's part of a handshake."""
        received = self.client.resumption.confirm()
        hello = client_hello(features=(FEATURE,), **{"received": received, **hello})
        place = Address("unix", path="/s")
        relayed = Relayed(sock)
        try:
            return client_handshake(
                relayed, place, NoAuth(), hello, Deadline(BOUND), SESSION, resume=True
            )
        except BaseException:
            relayed.close()
            raise

    def send(self, stream, kind, ident, body=b""):
        stream.send(stream.connection.send(kind, body, ident=ident))

    def close(self):
        for stream in (self.client, self.stream):
            stream.close()
        self.parent.close()
        self.theirs.close()


class Relayed(socket.socket):
    """A client's socket, whose first bytes in both directions were exchanged with the parent."""

    def __init__(self, sock):
        super().__init__(sock.family, sock.type, fileno=sock.detach())
        self._answer = Preamble(session=SESSION).encode()
        self._skip = PREAMBLE_SIZE

    def sendall(self, data, *flags):
        if self._skip:
            assert len(data) == self._skip
            self._skip = 0
            return None
        return super().sendall(data, *flags)

    def recv(self, size, flags=0):
        if self._answer:
            data, self._answer = self._answer, b""
            return data
        return super().recv(size, flags)


@pytest.fixture
def bench():
    """One session, connected."""
    made = Bench()
    yield made
    made.close()


class Reading(threading.Thread):
    """The thread that serves: reads once."""

    def __init__(self, inbox):
        super().__init__(daemon=True)
        self._inbox = inbox
        self.start()

    def run(self):
        try:
            self._got = self._inbox.receive()
        except Exception as error:
            self._got = error

    @property
    def got(self):
        self.join(BOUND)
        assert not self.is_alive()
        return self._got


def idents(happenings):
    """What tells frames apart."""
    return [happening.ident for happening in happenings]


def test_a_reader_waits_for_its_client(bench):
    """It reads on over the next connection, and notices nothing."""
    reading = Reading(bench.inbox)
    bench.client.suspend()
    bench.await_told("orphaned")
    bench.send(bench.client, Kind.PING, 5)
    bench.come_back()
    assert idents(reading.got) == [5]
    assert bench.found.wait(BOUND)
    bench.await_told("orphaned", "resumed")
    assert bench.told[1]["number"] == 1


def test_while_a_task_runs(bench):
    """The helper finds out; what is sent meanwhile arrives later, and is kept until then."""
    bench.send(bench.client, Kind.PING, 1)
    bench.client.suspend()
    bench.inbox.exhaust()
    bench.await_told("orphaned")
    bench.inbox.exhaust()  # twice is no error
    bench.send(bench.stream, Kind.PONG, 1)
    bench.send(bench.stream, Kind.PONG, 2)
    bench.come_back()
    received = []
    while len(received) < 2:
        received += idents(bench.client.receive())
    assert received == [1, 2]
    assert idents(bench.inbox.receive()) == [1]


def test_half_open(bench):
    """The newer connection wins, also if the session still reads from the older."""
    reading = Reading(bench.inbox)
    older = bench.client.sock.dup()
    bench.client.suspended = False
    bench.come_back()
    bench.send(bench.client, Kind.PING, 8)
    assert idents(reading.got) == [8]
    assert older.recv(9) == b""
    older.close()


def test_cut_while_it_resumes(bench):
    """The next connection goes on as if that one had not been."""
    reading = Reading(bench.inbox)
    bench.client.suspend()
    bench.await_told("orphaned")
    bench.offer().close()
    bench.await_told("orphaned", "refused")
    bench.greet(bench.offer()).stream.close()
    bench.await_told("orphaned", "refused", "resumed", "orphaned")
    bench.send(bench.client, Kind.PING, 3)
    bench.come_back()
    assert idents(reading.got) == [3]


def test_a_goodbye(bench):
    """Whoever said it is not waited for."""
    bench.send(bench.client, Kind.PING, 1)
    bench.client.send(bench.client.connection.send(Kind.GOODBYE))
    bench.client.close()
    assert idents(bench.inbox.receive()) == [1, 0]
    with pytest.raises(EOFError):
        bench.inbox.receive()
    assert not bench.told


def test_a_goodbye_while_a_task_runs(bench):
    """The helper reads it, and the session knows."""
    bench.client.send(bench.client.connection.send(Kind.GOODBYE))
    bench.client.close()
    bench.inbox.exhaust()
    assert bench.stream.connection.state.name == "CLOSED"
    assert not bench.told


def test_somebody_else(bench):
    """They are refused, and the connection that there is goes on."""

    def check():
        raise AuthError("you are not who you were")

    bench.check = check
    with pytest.raises(AuthError, match="you are not who you were"):
        bench.greet(bench.offer())
    bench.await_told("refused")
    assert bench.told[0]["why"] == "you are not who you were"
    bench.send(bench.client, Kind.PING, 2)
    assert idents(bench.inbox.receive()) == [2]


def test_an_older_connection(bench):
    """What was offered earlier does not replace what was offered later."""
    reading = Reading(bench.inbox)
    bench.number = 5
    bench.come_back()
    with pytest.raises((EOFError, ConnectionError)):
        bench.greet(bench.offer(number=4))
    bench.send(bench.client, Kind.PING, 2)
    assert idents(reading.got) == [2]


@pytest.mark.parametrize("received", [-1, 1])
def test_senseless_numbers(bench, received):
    """A client that cannot have what it says it has is refused."""
    bench.client.suspend()
    with pytest.raises(EOFError):
        bench.greet(bench.offer(), received=received)
    bench.await_told("orphaned", "refused")
    assert f"cannot have {received} bytes" in bench.told[1]["why"]


def test_a_question_outlives_the_connection(bench):
    """Who waits for a module gets it over the next."""
    got = []
    asker = threading.Thread(target=lambda: got.append(bench.inbox.ask("helper")), daemon=True)
    asker.start()
    (asked,) = bench.client.receive()
    bench.client.suspend()
    bench.inbox.exhaust()
    module = GivenModule("module", "/helper.py", "x = 1")
    bench.send(bench.client, Kind.MODULE, asked.ident, pack_module(module))
    bench.come_back()
    bench.await_told("orphaned", "resumed")
    while not got:
        bench.inbox.help()
        asker.join(0.01)
    assert got == [module]


def test_full(bench):
    """Without a connection, a lot that is kept is too much; with one it is not."""
    assert not bench.lifeline.full
    bench.client.suspend()
    bench.inbox.exhaust()
    bench.stream.send([bytes(40 << 20)])
    assert bench.lifeline.full
    bench.stream.suspended = False
    assert not bench.lifeline.full


def test_the_parent_is_gone(bench):
    """Then there is nothing to be collected, for ever."""
    bench.parent.close()
    assert not bench.lifeline.collect()
