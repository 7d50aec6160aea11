"""What becomes of results, from when tasks end until they are sent."""

import socket
import threading

import pytest

from farm_common.connection import Connection
from farm_common.frames import Flag, FrameReader, Kind
from farm_common.security import PlainLayer
from farm_common.shipping import unpack, unpack_exception
from farm_common.states import Role, State
from farm_common.stream import Stream
from farm_common.testing import client_hello
from farm_server.board import Slot
from farm_server.inbox import Inbox
from farm_server.packing import Packing
from farm_server.results import Results


class Bench:
    """Results on their way to a client."""

    def __init__(self, **said):
        self.client, ours = socket.socketpair()
        connection = Connection(Role.SERVER, frame_limit=1 << 26)
        connection.state = State.OPEN
        self.stream = Stream(ours, connection, PlainLayer())
        self.words = [0] * 8
        hello, inbox = client_hello(**said), Inbox(self.stream)
        lock = threading.Lock()
        lock.acquire()  # as the worker has it, but for when it packs
        packing = Packing(self.words, lock)
        self.results = Results(self.stream, hello, self.words, inbox, None, packing)

    def gather(self, first, *values):
        """Do what the worker does with small results."""
        self.results.first = first
        self.results.values += values
        self.results.elapsed += 1000 * len(values)

    def frames(self):
        """What was sent."""
        self.results.flush()
        self.stream.close()
        reader, frames = FrameReader(1 << 26), []
        while data := self.client.recv(1 << 16):
            frames += reader.feed(data)
        return frames


@pytest.fixture
def make():
    """Makes benches, and closes them."""
    benches = []

    def make_(**said):
        benches.append(Bench(**said))
        return benches[-1]

    yield make_
    for bench in benches:
        bench.stream.close()
        bench.client.close()


def test_small_results_are_one_frame(make):
    """With the id of the first, and the time that all of them took."""
    bench = make()
    bench.gather(7, 1, "two", None)
    (frame,) = bench.frames()
    assert (frame.kind, frame.ident, frame.count, frame.micros) == (Kind.RESULT, 7, 3, 3)
    assert frame.flags & Flag.BATCH
    assert unpack(frame.body) == [1, "two", None]


def test_order(make):
    """Whatever comes after small results closes their frame first."""
    bench = make()
    bench.gather(1, "a")
    bench.results.give(2, ["b"], 1000, 1)
    bench.gather(3, "c")
    bench.results.fail(4, 2, ValueError("d"), 0, skip=0)
    bench.gather(6, "e")
    bench.results.interrupted(7, b"f", 0)
    bench.gather(8, "g")
    bench.results.pong(9)
    frames = bench.frames()
    assert [(frame.kind, frame.ident, frame.count) for frame in frames] == [
        (Kind.RESULT, 1, 1),
        (Kind.RESULT, 2, 1),
        (Kind.RESULT, 3, 1),
        (Kind.ERROR, 4, 2),
        (Kind.RESULT, 6, 1),
        (Kind.ERROR, 7, 1),
        (Kind.RESULT, 8, 1),
        (Kind.PONG, 9, 0),
    ]
    assert unpack(frames[1].body) == ["b"]
    assert unpack_exception(frames[3].body, True)[0] == "ValueError: d"


def test_a_result_above_the_clients_limit(make):
    """Is an error of its task, with both sizes."""
    bench = make(frame_limit=1000)
    bench.results.give(1, [bytes(2000)], 0, 1)
    (frame,) = bench.frames()
    assert frame.kind == Kind.ERROR
    report = unpack_exception(frame.body, True)[0]
    assert "bytes, and the client takes 1000" in report


def test_what_waits(make):
    """There is something to be sent until it has been sent."""
    bench = make()
    assert not bench.results.waits()
    bench.gather(1, 1)
    assert bench.results.waits()
    bench.results.flush()
    assert not bench.results.waits()
    bench.results.pong(2)
    assert bench.results.waits()


def test_the_board_during_a_task(make, monkeypatch):
    """That it sends is said only where no task runs meanwhile."""
    bench = make()
    seen = []
    send = bench.stream.send
    monkeypatch.setattr(
        bench.stream, "send", lambda data: seen.append(bench.words[Slot.STATE]) or send(data)
    )
    for during in (True, False):
        bench.results.pong(1)
        bench.results.flush(during)
    assert seen == [0, Slot.SENDING]
    assert bench.words[Slot.STATE] == Slot.WORK


def test_an_explained_error(make):
    """Who knows what an error is due to adds it before it is packed."""
    bench = make()

    def explain(error):
        error.args = ("explained",)

    bench.results.explain = explain
    body, _ = bench.results.pack_error(ValueError(), 0)
    assert unpack_exception(body, True)[0] == "ValueError: explained"


def test_a_client_that_is_gone(make):
    """Nobody is told: reading will tell."""
    bench = make()
    bench.client.close()
    bench.results.pong(1)
    bench.results.flush()
    assert not bench.results.waits()
