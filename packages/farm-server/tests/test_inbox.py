"""The inbox: who reads, and that each answer finds whoever waits for it."""

import signal
import socket
import threading

import pytest

from farm_common.connection import Connection
from farm_common.errors import ProtocolError
from farm_common.frames import FrameReader, Kind, encode_frame
from farm_common.security import PlainLayer
from farm_common.shipping.modules import GivenModule, pack_module
from farm_common.states import Role, State
from farm_common.stream import Stream
from farm_server.inbox import Inbox

BOUND = 20.0


class Asker(threading.Thread):
    """Asks for a module; `got` is the answer, or the error."""

    def __init__(self, inbox, name):
        super().__init__(daemon=True)
        self._inbox = inbox
        self._wanted = name
        self.start()

    def run(self):
        try:
            self._got = self._inbox.ask(self._wanted)
        except Exception as error:
            self._got = error

    @property
    def got(self):
        self.join(BOUND)
        assert not self.is_alive()
        return self._got


class Client:
    """The other end, and the worker's inbox."""

    def __init__(self):
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(BOUND)
        self.connection = Connection(Role.SERVER, frame_limit=1 << 20)
        self.connection.state = State.OPEN
        self.connection.reader.limit = 1 << 20
        self.stream = Stream(theirs, self.connection, PlainLayer())
        self.inbox = Inbox(self.stream)
        self._reader = FrameReader(1 << 20)
        self._frames = []

    def asked(self):
        """The number and the name of the next question."""
        while not self._frames:
            self._frames += self._reader.feed(self.sock.recv(1 << 16))
        frame = self._frames.pop(0)
        assert frame.kind == Kind.IMPORT
        return frame.ident, bytes(frame.body).decode()

    def send(self, *frames):
        """Send frames in one piece."""
        self.sock.sendall(b"".join(frames))

    def close(self):
        self.sock.close()
        self.stream.close()


def answer(number, text):
    """The bytes of a MODULE frame."""
    body = pack_module(GivenModule("module", "/x.py", text))
    return b"".join(encode_frame(Kind.MODULE, body, ident=number))


def ping(number):
    """The bytes of a frame that is no answer."""
    return b"".join(encode_frame(Kind.PING, ident=number))


def idents(happenings):
    """What tells frames apart."""
    return [happening.ident for happening in happenings]


@pytest.fixture
def client():
    """A client, and an inbox without a helper."""
    made = Client()
    yield made
    made.close()


def test_the_helper_reads_for_who_waits(client):
    """An answer that comes while nobody serves is read by the helper, and once."""
    asker = Asker(client.inbox, "helper")
    number, name = client.asked()
    assert name == "helper"
    assert client.inbox.wanted
    client.inbox.help()  # nothing is there, and it does not block
    client.send(answer(number, "x = 1"))
    client.inbox.help()
    assert asker.got == GivenModule("module", "/x.py", "x = 1")
    assert not client.inbox.wanted
    client.send(ping(1))
    client.inbox.help()  # nobody waits any more, so it leaves that to who serves
    assert idents(client.inbox.receive()) == [1]


def test_what_the_helper_reads_keeps_its_order(client):
    """What came before the answer, with it and after it is received in the order of the wire."""
    asker = Asker(client.inbox, "helper")
    number, _ = client.asked()
    client.send(ping(1))
    client.inbox.help()
    client.send(ping(2), answer(number, ""), ping(3))
    client.inbox.help()
    assert asker.got.kind == "module"
    client.send(ping(4))
    assert idents(client.inbox.receive()) == [1, 2, 3]
    assert idents(client.inbox.receive()) == [4]


def test_who_serves_gives_answers_before_the_rest(client):
    """An answer that came with a task does not wait for the task's end."""
    received = []
    server = threading.Thread(target=lambda: received.extend(client.inbox.receive()), daemon=True)
    server.start()
    asker = Asker(client.inbox, "helper")
    number, _ = client.asked()
    client.send(ping(1), answer(number, "y"))
    server.join(BOUND)
    assert idents(received) == [1]
    assert asker.got.text == "y"


def test_two_who_wait(client):
    """Each gets its own answer, whatever the order."""
    first, second = Asker(client.inbox, "one"), Asker(client.inbox, "two")
    numbers = dict(reversed(client.asked()) for _ in range(2))
    client.send(answer(numbers["two"], "2"))
    client.inbox.help()
    assert second.got.text == "2"
    assert first.is_alive()
    client.send(answer(numbers["one"], "1"))
    client.inbox.help()
    assert first.got.text == "1"


def test_an_answer_that_nobody_waits_for(client):
    """It is passed on, for who serves to skip."""
    client.send(answer(7, ""))
    (frame,) = client.inbox.receive()
    assert (frame.kind, frame.ident) == (Kind.MODULE, 7)


@pytest.mark.parametrize("reading", ["help", "receive"])
def test_the_client_is_gone(client, reading):
    """Whoever waits is told, and so is who serves, and who asks later."""
    asker = Asker(client.inbox, "helper")
    client.asked()
    client.send(ping(1))
    client.sock.shutdown(socket.SHUT_RDWR)
    if reading == "help":
        client.inbox.help()
        client.inbox.help()
    assert idents(client.inbox.receive()) == [1]
    with pytest.raises(EOFError):
        client.inbox.receive()
    assert isinstance(asker.got, ConnectionError)
    assert not client.inbox.wanted
    with pytest.raises(ConnectionError):
        client.inbox.ask("another")


@pytest.mark.parametrize("reading", ["help", "receive"])
def test_goodbye_ends_the_wait(client, reading):
    """Nothing follows it, so nobody waits on."""
    asker = Asker(client.inbox, "helper")
    client.asked()
    client.send(b"".join(encode_frame(Kind.GOODBYE)))
    if reading == "help":
        client.inbox.help()
    (frame,) = client.inbox.receive()
    assert frame.kind == Kind.GOODBYE
    assert isinstance(asker.got, ConnectionError)
    assert client.connection.state is State.CLOSED
    with pytest.raises(ConnectionError):
        client.inbox.ask("another")


def test_garbage_is_for_who_serves(client):
    """The helper does not end by it; who waits is told, who serves raises it."""
    asker = Asker(client.inbox, "helper")
    client.asked()
    client.send(b"?" * 64)
    client.inbox.help()
    assert isinstance(asker.got, ConnectionError)
    with pytest.raises(ProtocolError):
        client.inbox.receive()


def test_the_reader_does_not_ask(client, monkeypatch):
    """A finalizer that runs while its thread reads must not wait for what that thread reads."""
    refused = []

    def receive():
        with pytest.raises(RuntimeError):
            client.inbox.ask("helper")
        refused.append(True)
        return []

    monkeypatch.setattr(client.inbox, "_receive", receive)
    assert client.inbox.receive() == []
    assert refused == [True]


def test_the_helper_does_not_ask(client):
    """Nobody else would read its answer while a task runs."""

    class Helper:
        ident = threading.get_ident()

        def call(self):
            raise AssertionError

    client.inbox.helper = Helper()
    with pytest.raises(RuntimeError):
        client.inbox.ask("helper")


def test_the_helper_is_called(client):
    """It sleeps while there is nothing to do, so it must hear of a question."""
    called = threading.Event()

    class Helper:
        ident = -1
        call = staticmethod(called.set)

    client.inbox.helper = Helper()
    asker = Asker(client.inbox, "helper")
    number, _ = client.asked()
    assert called.wait(BOUND)
    client.send(answer(number, ""))
    client.inbox.help()
    assert asker.got.kind == "module"


def test_a_wait_that_is_interrupted(client):
    """A signal handler's error ends it, and nothing of what follows is lost."""

    class Enough(Exception):
        pass

    def handle(*_):
        raise Enough

    def interrupt():
        numbers.append(client.asked()[0])
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    numbers = []
    before = signal.signal(signal.SIGUSR1, handle)
    thread = threading.Thread(target=interrupt)
    try:
        thread.start()
        with pytest.raises(Enough):
            client.inbox.ask("helper")
    finally:
        thread.join(BOUND)
        signal.signal(signal.SIGUSR1, before)
    client.send(answer(numbers[0], "late"), ping(1))
    assert idents(client.inbox.receive()) == [*numbers, 1]


def test_an_answer_that_there_is_no_memory_for(client, monkeypatch):
    """It was skipped, and counts as one that is not given."""

    def allocate(size):
        raise MemoryError

    monkeypatch.setattr(client.connection.reader, "_allocate", allocate)
    asker = Asker(client.inbox, "helper")
    number, _ = client.asked()
    sender = threading.Thread(target=client.send, args=(answer(number, "x" * 500_000), ping(1)))
    sender.start()
    happenings = []
    while not happenings:
        happenings = client.inbox.receive()
    sender.join(BOUND)
    assert idents(happenings) == [1]
    assert asker.got.kind == "none"
    assert "too many for this worker" in asker.got.reason
