"""One session, seen by the parent."""

import json
import socket

import pytest

from farm_server import child as module
from farm_server.board import Board, Slot
from farm_server.child import Child


@pytest.fixture
def ends():
    """A child, and its own end of the socket pair."""
    pipe, other = socket.socketpair()
    client, _client = socket.socketpair()
    pipe.setblocking(False)
    other.settimeout(5)
    with pipe, other, client, _client:
        yield Child(77, b"s" * 16, client, pipe, Board(1).take(), "peer", 100.0), other


def test_requests_are_lines(ends):
    """However they are cut."""
    child, other = ends
    assert child.receive() == []
    other.sendall(b'{"ask": "sta')
    assert child.receive() == []
    other.sendall(b'tus"}\n{"ask": "drain"}\n{')
    assert child.receive() == [{"ask": "status"}, {"ask": "drain"}]


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b"\xff\n", b"x" * 70_000])
def test_nonsense_is_the_end(ends, line):
    """A task may have found the descriptor; the parent must not suffer from it."""
    child, other = ends
    other.sendall(line)
    results = [child.receive()]
    while results[-1] == []:
        results.append(child.receive())
    assert results[-1] is None


def test_a_closed_end(ends):
    """It is not an empty list."""
    child, other = ends
    other.close()
    assert child.receive() is None
    assert child.answer({"a": 1})


def test_an_answer_larger_than_the_socket_takes(ends):
    """It is written when there is room, in order."""
    child, other = ends
    reply = {"text": "x" * 5_000_000}
    assert not child.answer(reply)
    read = b""
    while not read.endswith(b"\n"):
        child.flush()
        read += other.recv(1 << 20)
    assert json.loads(read) == reply
    assert child.flush()


def test_states(ends):
    """In one word each."""
    child, _ = ends
    words = child.slot.words
    assert child.state() == "idle"
    words[Slot.TASK] = 1
    assert child.state() == "busy"
    assert child.task == 0
    child.ending = True
    assert child.state() == "ending"


def test_status_of_a_busy_worker(ends, monkeypatch):
    """The running task counts into the busy time."""
    child, _ = ends
    child.role, child.kernel, child.index = "work", "k", 3
    words = child.slot.words
    words[Slot.TASK], words[Slot.DONE] = 12, 5
    words[Slot.STARTED], words[Slot.BUSY] = 10 * 10**9, 2 * 10**9
    child.slot.category = "sim"
    monkeypatch.setattr(module, "perf_counter_ns", lambda: 13 * 10**9)
    assert child.status(104.5) == {
        "pid": 77,
        "kernel": "k",
        "index": 3,
        "peer": "peer",
        "state": "busy",
        "task": 11,
        "category": "sim",
        "tasks_done": 5,
        "busy": 5.0,
        "age": 4.5,
    }


def test_status_of_an_idle_worker(ends):
    """What ran last is not shown as running."""
    child, _ = ends
    child.role = "work"
    child.slot.category = "sim"
    child.slot.words[Slot.BUSY] = 10**9
    status = child.status(100.0)
    assert (status["state"], status["task"], status["category"], status["busy"]) == (
        "idle",
        None,
        None,
        1.0,
    )


def test_long_lines_of_control_sessions(ends):
    """They run no tasks, and a list of tasks to be killed may be long."""
    child, other = ends
    child.role = "control"
    other.sendall(b'{"x": "' + 70_000 * b"x")
    results = [child.receive(), child.receive()]
    other.sendall(b'"}\n')
    while not results[-1]:
        assert results[-1] is not None
        results.append(child.receive())
    assert len(results[-1][0]["x"]) == 70_000
