"""A server that is all paper: it speaks the protocol, and its workers are threads of the test."""

import dataclasses
import itertools
import logging
import os
import random
import shutil
import socket
import tempfile
import threading
from collections import defaultdict, deque

import pytest

import farm_client as farm
from farm_client import patience, repair
from farm_client import site as site_module
from farm_common.deadline import Deadline
from farm_common.frames import Flag, Kind
from farm_common.greeting import server_handshake
from farm_common.handshake import PREAMBLE_SIZE, Preamble, ServerHello
from farm_common.interpreter import FEATURES, hello_fields
from farm_common.kills import KILLED, pack_killed, unpack_kill
from farm_common.resumption import FEATURE as RESUME
from farm_common.security import NoAuth
from farm_common.shipping import SharedStore, load_function, pack, pack_exception, unpack
from farm_common.shipping.interruptions import pack_interruption
from farm_common.shipping.modules import unpack_changes, unpack_module
from farm_common.shipping.shared import _attach  # noqa: F401 (what pickles name)
from farm_common.testing import FakeClock

BOUND = 20.0

_LIMIT = 1 << 28


class Die(BaseException):
    """Close the connection instead of answering; not an error that a cognate's part looks after."""


class Killed(Exception):
    """Answer as a worker does whose task was ended."""

    def __init__(self, body):
        self.body = body


class Events(dict):
    """Events by name, the same for whoever asks first: two threads may do so at once."""

    _making = threading.Lock()

    def __missing__(self, name):
        with self._making:
            return self.setdefault(name, threading.Event())


class PaperServer:
    """Listens on a Unix socket; each connection for work is a thread.

    Besides real tasks it knows some that act on the server itself:

    ``"paper:wait"`` (key)
        returns once the test sets ``events[key]``; ``started[key]`` says that it runs. What it
        returns is ``answers[key]``, or the key.
    ``"paper:wait.key"``
        the same, for where a task has no arguments. A function can have the same done by
        ``threading.current_thread().paper.wait(key)``.
    ``"paper:die"``
        drops the connection.
    ``"paper:echo"`` (value)
        returns the value and who ran it.
    ``"paper:import"`` (name)
        asks the client for a module; returns what it answered.

    Attributes:
        address: For `make_kernel`.
        workers: How many it advertises.
        hello: Changes to what it says of itself.
        frames: The kind and count of each frame that each worker received, by index.
        calls: The options that tasks came with.
        events, started, answers: See ``"paper:wait"``.
        greeted: The hellos that were exchanged.
        die: What a task raises to do as ``"paper:die"``.
        jitter: A `random.Random` if answers are to be gathered and cut at random.
        forgotten: What the client said of modules that have changed, by worker.
        lies: What to answer instead of the next results: content, count, and whether it is a batch.
        kills: The KILL frames that came, unpacked.
        kill: Answers a KILL: given what it asks for, returns the bodies of the answers.
        killed: What the next tasks end of that wait: the bodies of ERROR frames, by their keys.
        grace: For how many seconds sessions may go on without a connection, as it says; it waits
            for as long as it takes.
        sessions: The workers that can go on without a connection; one that is taken out is
            forgotten.
        shut: Whether new connections are closed at once.
        waiting: The tasks that wait: their ids and keys by the id of their session.
    """

    die = Die

    def __init__(self, folder, workers=2):
        self.path = os.path.join(folder, "socket")
        self.address = f"unix://{self.path}"
        self.workers = workers
        self.hello = {}
        self.frames = defaultdict(list)
        self.calls = []
        self.endings = {}  # how sessions ended, by their ids
        self.events = Events()
        self.started = Events()
        self.answers = {}
        self.jitter = None
        self.forgotten = defaultdict(list)
        self.lies = deque()
        self.greeted = []
        self.kills = []
        self.kill = lambda sessions, dry_run: [pack_killed({})]
        self.killed = {}
        self.grace = 0
        self.sessions = {}
        self.shut = False
        self.waiting = {}
        self._lock = threading.Lock()
        self._open = set()
        self._closed = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(64)
        self._threads = [threading.Thread(target=self._listen, name="paper-listener", daemon=True)]
        self._threads[0].start()

    def close(self):
        """End everything, also the tasks that wait."""
        self._closed = True
        for event in list(self.events.values()):
            event.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()
        self.join()
        self._threads[0].join(BOUND)

    def join(self):
        """Wait until all workers have ended: their clients said goodbye, or are gone."""
        for thread in self._threads[1:]:
            thread.join(BOUND)
            assert not thread.is_alive(), thread

    def drop(self):
        """Cut all connections."""
        with self._lock:
            for sock in list(self._open):
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def kill_what_waits(self, sessions, dry_run):
        """For `kill`: do as servers do, with tasks that wait."""
        tasks = {}
        for session, spans in sessions.items():
            ident, key = self.waiting.get(session, (None, None))
            if any(ident is not None and first <= ident <= last for first, last in spans):
                tasks[session] = ident
                if not dry_run:
                    self.killed[key] = pack_interruption(KILLED, 1.0, None)
                    self.events[key].set()
        return [pack_killed(tasks)]

    def tasks(self):
        """How many tasks the workers received, by worker."""
        return {
            index: sum(count for kind, count in frames if kind == Kind.TASK)
            for index, frames in self.frames.items()
        }

    def count(self, kind):
        """How many frames of a kind the workers received."""
        return sum(seen == kind for frames in self.frames.values() for seen, _ in frames)

    def _listen(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:  # before the client can think that it is connected, and `drop` comes
                self._open.add(sock)
            if self._closed:
                self.drop()
            thread = threading.Thread(
                target=self._serve, args=(sock,), name="paper-worker", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock):
        try:
            start = sock.recv(PREAMBLE_SIZE, socket.MSG_WAITALL)
            if self.shut or not start:
                raise EOFError
            preamble = Preamble.decode(start)
            orphan = self.sessions.get(preamble.session) if preamble.resume else None
            if orphan is not None:
                orphan.resume(sock, start)
                return
            stream, client = server_handshake(
                sock, start, [NoAuth()], self._greet, Deadline(BOUND), _LIMIT
            )
        except (OSError, EOFError):
            with self._lock:
                self._open.discard(sock)
            sock.close()
            return
        try:
            if client.role == "work":
                hello = next(h for c, h in reversed(self.greeted) if c is client)
                worker = PaperWorker(self, stream, client.index, hello)
                threading.current_thread().paper = worker
                worker.serve()
            else:
                self._serve_control(stream)
        except (OSError, EOFError, Die):
            pass
        finally:
            with self._lock:
                self._open.discard(sock)
            stream.close()

    def _serve_control(self, stream):
        while True:
            for frame in stream.receive():
                if frame.kind == Kind.KILL:
                    asked = unpack_kill(frame.body)
                    self.kills.append(asked)
                    for body in self.kill(*asked):
                        stream.send(stream.connection.send(Kind.KILLED, body, ident=frame.ident))

    def _greet(self, client, preamble):
        fields = {
            **hello_fields(_LIMIT),
            "server": "paper",
            "name": "paper",
            "host": "localhost",
            "pid": os.getpid(),
            "workers": self.workers,
            "tags": (),
            "session": os.urandom(16).hex(),
            "lost": self.endings.get(preamble.session),
        }
        if self.grace:
            fields.update(grace=self.grace * 1000, features=(*FEATURES, RESUME))
        hello = ServerHello(**{**fields, **self.hello})
        self.greeted.append((client, hello))
        return hello


class PaperWorker:
    """One connection: executes tasks, and answers as `PaperServer.jitter` says."""

    def __init__(self, server, stream, index, hello):
        self.server = server
        self.hello = hello
        self.session = bytes.fromhex(hello.session)
        self.stream = stream
        self.back = threading.Event()
        self.turn = threading.Lock()
        self.reading = threading.Lock()
        self.connections = 1
        self.calls = 0
        if hello.grace:
            stream.outlive()
            server.sessions[self.session] = self
        self.index = index
        self.functions = {}
        self.shared = SharedStore()
        self.answers = []  # (ident, value) of consecutive tasks
        self.segments = []
        self.backlog = []  # what came before an answer

    def serve(self):
        while True:
            frames, self.backlog = self.backlog, []
            for frame in frames or self.receive():
                self.server.frames[self.index].append((frame.kind, frame.count))
                if frame.kind == Kind.GOODBYE:
                    return
                self.handle(frame)
            self.flush()

    def receive(self):
        """What comes next, if need be over the next connection."""
        while True:
            connections = self.connections
            try:
                with self.reading:
                    if not self.stream.suspended:
                        return self.stream.receive()
                    raise EOFError
            except (EOFError, OSError):
                if not self.hello.grace:
                    raise
                with self.turn:
                    if connections == self.connections:
                        self.suspend()
                while not self.back.wait(0.05):
                    if self.server._closed or self.session not in self.server.sessions:
                        raise

    def suspend(self):
        if not self.stream.suspended:
            self.back.clear()
            self.stream.suspend()

    def resume(self, sock, start):
        """Go on over another connection."""
        sock.sendall(Preamble(session=self.session).encode())
        self.stream.cut()
        with self.reading, self.turn:
            self.suspend()
            self.calls += 1
            number = self.calls
        hello = dataclasses.replace(self.hello, received=self.stream.resumption.confirm())
        hello = dataclasses.replace(hello, **self.server.hello)
        stream, client = server_handshake(
            *(sock, start, [NoAuth()], lambda *_: hello, Deadline(BOUND), _LIMIT),
            session=self.session,
        )
        with self.reading, self.turn:
            if number != self.calls:  # the client has come once more
                raise EOFError
            self.connections += 1
            self.stream.resume(stream, client.received)
            self.back.set()
        self.stream.flush()

    def handle(self, frame):
        body = memoryview(frame.body)
        if frame.kind == Kind.FUNCTION:
            self.functions[bytes(body[:16])] = frame
        elif frame.kind == Kind.SHARED:
            self.shared.put(bytes(body[:16]), lambda: unpack(body[16:], frame.buffers))
        elif frame.kind == Kind.TASK:
            self.execute(frame, body)
        elif frame.kind == Kind.FORGET:
            self.functions.clear()
            self.server.forgotten[self.index].append(unpack_changes(frame.body))
        elif frame.kind == Kind.PING:
            self.segments += self.stream.connection.send(Kind.PONG, ident=frame.ident)

    def execute(self, frame, body):
        jitter = self.server.jitter
        function = self.functions[bytes(body[:16])]
        body = body[16:]
        if frame.flags & Flag.OPTIONS:
            size = int.from_bytes(body[:4], "big")
            self.server.calls.append(bytes(body[4 : 4 + size]))
            body = body[4 + size :]
        content = unpack(body, frame.buffers)
        if frame.flags & Flag.BATCH:
            batch = [(args, {}) for args in content]
            assert len(batch) == frame.count
        else:
            batch = [content]
        for ident, (args, keywords) in enumerate(batch, frame.ident):
            self.ident = ident
            try:
                value = self.call(function, args, keywords)
            except Die:
                self.server.endings[self.session] = {
                    "reason": "exit", "status": 7, "task": ident, "done": ident - 1
                }  # fmt: skip
                self.flush()
                raise
            except Exception as error:
                self.close_run()
                text = getattr(error, "body", None) or pack_exception(error, 5, 1).body
                self.segments += self.stream.connection.send(
                    Kind.ERROR, text, count=1, micros=1, ident=ident
                )
            else:
                self.answers.append((ident, value))
            if jitter is not None and jitter.random() < 0.2:
                self.flush()

    def call(self, function, args, keywords):
        name = str(function.body[16:], "utf-8", "replace")
        if name.startswith("Npaper:"):
            if name == "Npaper:die":
                raise Die
            if name.startswith("Npaper:wait"):
                return self.wait(args[0] if args else name.partition(".")[2])
            if name == "Npaper:import":
                return tuple(self.ask(args[0]))
            return args[0], self.index
        self.shared.activate()
        return load_function(memoryview(function.body)[16:])(*args, **keywords)

    def ask(self, name):
        """Ask the client for a module; meanwhile its other frames are put aside."""
        self.flush()
        body = name if isinstance(name, bytes) else name.encode()
        self.stream.send(self.stream.connection.send(Kind.IMPORT, body, ident=self.index + 7))
        while True:
            frames = self.stream.receive()
            answers = [frame for frame in frames if frame.kind == Kind.MODULE]
            self.backlog += [frame for frame in frames if frame.kind != Kind.MODULE]
            if answers:
                (answer,) = answers
                assert answer.ident == self.index + 7
                return unpack_module(answer.body)

    def wait(self, key):
        server = self.server
        self.flush()
        server.waiting[self.session.hex()] = self.ident, key
        server.started[key].set()
        event = server.events[key]
        if server._closed:  # `close` sets the events that there are
            raise Die
        if not event.wait(BOUND):
            raise TimeoutError(key)
        server.waiting.pop(self.session.hex())
        if server._closed:
            raise Die
        if key in server.killed:
            raise Killed(server.killed[key])
        return server.answers.get(key, key)

    def close_run(self):
        if not self.answers:
            return
        (ident, value), count = self.answers[0], len(self.answers)
        content = [value for _, value in self.answers] if count > 1 else value
        self.answers = []
        batch = count > 1
        if self.server.lies:
            content, count, batch = self.server.lies.popleft()
        parcel = pack(content, 5, "the result")
        flags = (Flag.BATCH if batch else 0) | (Flag.BYTECODE if parcel.bytecode else 0)
        self.segments += self.stream.connection.send(
            Kind.RESULT,
            parcel.body,
            flags=flags,
            count=count,
            micros=count,
            ident=ident,
            buffers=parcel.buffers,
        )

    def flush(self):
        self.close_run()
        segments, self.segments = self.segments, []
        jitter = self.server.jitter
        if segments and jitter is not None and jitter.random() < 0.1:
            data = b"".join(segments)
            middle = jitter.randrange(len(data))
            self.stream.send([data[:middle]])
            segments = [data[middle:]]
        if segments:
            try:
                self.stream.send(segments)
            except OSError:
                if not self.hello.grace:
                    raise


@pytest.fixture
def folder():
    """A directory whose name is short enough for sockets."""
    path = tempfile.mkdtemp(prefix="farm-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def paper(folder):
    """A `PaperServer` with two workers; no kernel is left behind."""
    server = PaperServer(folder)
    yield server
    server.close()


@pytest.fixture
def connect(paper):
    """Makes kernels of the paper server, and ends them."""
    made = []

    def make(**keywords):
        made.append(farm.make_kernel(paper.address, **{"timeout": BOUND, **keywords}))
        return made[-1]

    yield make
    for kernel in made:
        kernel.end()
    farm.set_kernel(None)


@pytest.fixture
def kernel(connect):
    """A kernel of the paper server's two workers, the process-wide current one."""
    return connect()


@pytest.fixture
def jitter():
    """Makes a reproducible `random.Random`."""
    return random.Random


@pytest.fixture
def bound():
    """How many seconds anything in a test may take."""
    return BOUND


@pytest.fixture
def attempts(monkeypatch, caplog):
    """Lets the next so many attempts to connect fail, each after a second of no real time."""
    clock = FakeClock()
    monkeypatch.setattr(patience, "time", clock)
    connect = site_module.connect_stream
    failures = []

    def attempt(*args):
        if failures:
            clock.advance(1.0)
            raise failures.pop()
        return connect(*args)

    monkeypatch.setattr(site_module, "connect_stream", attempt)
    for module in (site_module, repair):
        monkeypatch.setattr(module, "backoff", lambda: itertools.repeat(0.0))
    caplog.set_level(logging.INFO, "farm.client")
    return failures


@pytest.fixture
def shown(caplog):
    """What was logged at a level, in order."""

    def shown_(level):
        return [record.getMessage() for record in caplog.records if record.levelno == level]

    return shown_
