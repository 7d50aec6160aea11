"""A worker under fire: every other task is killed while it runs, if the signal comes in time."""

import os
import signal
import socket

import pytest

from farm_common.connection import Connection
from farm_common.frames import Flag, FrameReader, Kind, encode_frame
from farm_common.security import PlainLayer
from farm_common.shipping import pack, ship_function, unpack
from farm_common.shipping.interruptions import unpack_interruption
from farm_common.states import Role, State
from farm_common.stream import Stream
from farm_common.testing import client_hello
from farm_server import worker
from farm_server.board import Board, Slot
from farm_server.interrupter import SIGNAL

#: How many tasks are sent together, how many rounds there are at most, and how many kills are
#: enough.
BATCH, ROUNDS, ENOUGH = 64, 3000, 200


class Target:
    """A worker process; the test is its client and its parent."""

    def __init__(self):
        self.slot = Board(1).take()
        ours, theirs = socket.socketpair()
        self.sock, self.parent = ours, socket.socketpair()
        self.pid = os.fork()
        if not self.pid:
            try:
                ours.close()
                self.parent[0].close()
                connection = Connection(Role.SERVER, frame_limit=1 << 26)
                connection.state = State.OPEN
                self.slot.words[Slot.STATE] = Slot.WORK
                stream = Stream(theirs, connection, PlainLayer())
                hello = client_hello(output="discard", features=())
                worker.run(stream, hello, self.slot, self.parent[1])
            finally:
                os._exit(7)
        theirs.close()
        self.parent[1].close()
        self.reader = FrameReader(1 << 26)

    def send(self, kind, body, **fields):
        self.sock.sendall(b"".join(encode_frame(kind, body, **fields)))

    def receive(self, count):
        """Frames that answer so many tasks."""
        frames = []
        while sum(frame.count for frame in frames) < count:
            data = self.sock.recv(1 << 16)
            assert data, "the worker is gone"
            frames += self.reader.feed(data)
        return frames

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.sock.close()
        self.parent[0].close()


@pytest.fixture
def target():
    """A `Target`."""
    target = Target()
    yield target
    target.close()


def spin(turns):
    """Take a few microseconds."""
    for _ in range(turns):
        pass
    return turns


@pytest.fixture
def fire(target):
    """Starts a process that signals each task with an even id that it sees, once and at once."""
    pids = []

    def start():
        pid = os.fork()
        if not pid:
            words, last = target.slot.words, None
            while True:
                task = target.slot.running
                if task != last and task is not None and not task % 2:
                    last = task
                    words[Slot.KILL] = (task + 1) << 1
                    os.kill(target.pid, SIGNAL)
        pids.append(pid)

    yield start
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_no_task_is_hit_by_a_kill_for_the_one_before_it(target, fire):
    """Tasks with odd ids all return; of the others each returns or was killed."""
    shipped = ship_function(spin, 5, bytecode=False)
    target.send(Kind.FUNCTION, shipped.ident + shipped.body)
    fire()
    killed, first = 0, 0
    while killed < ENOUGH and first < ROUNDS * BATCH:
        turns = [(first * 7 + n * n * 13) % 5000 for n in range(BATCH)]
        body = shipped.ident + pack([(n,) for n in turns], 5, "it").body
        target.send(Kind.TASK, body, flags=Flag.BATCH, count=BATCH, ident=first)
        answers = {}
        for frame in target.receive(BATCH):
            if frame.kind == Kind.ERROR:
                assert unpack_interruption(frame.body) is not None
                answers[frame.ident] = None
            else:
                value = unpack(frame.body)
                values = value if frame.flags & Flag.BATCH else [value]
                answers.update(enumerate(values, frame.ident))
        assert list(answers) == list(range(first, first + BATCH))
        for ident, answer in answers.items():
            assert answer == turns[ident - first] or (answer is None and not ident % 2)
        killed += list(answers.values()).count(None)
        first += BATCH
    assert killed, "the signals never came in time, and nothing was tested"
