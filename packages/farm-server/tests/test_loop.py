"""The parent's wait for descriptors and the time."""

import os
import socket

import pytest

from farm_server.loop import READ, WRITE, Loop


@pytest.fixture
def loop():
    """A loop that never waits for long: it always has something to do at once."""
    loop = Loop(lambda: 100.0)
    yield loop
    loop.close()


@pytest.fixture
def ends():
    """The two ends of a socket pair."""
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def step(loop):
    """One step, also where nothing has happened."""
    loop.timers.after(0, lambda: None)
    loop.step()


def test_what_can_be_read(loop, ends):
    """It is told each time, until it is not wanted any more."""
    said = []
    loop.add(ends[0], said.append)
    step(loop)
    assert said == []
    ends[1].sendall(b"x")
    step(loop)
    step(loop)
    assert said == [READ, READ]
    loop.ignore(ends[0])
    loop.ignore(ends[0])
    step(loop)
    assert said == [READ, READ]


def test_what_can_be_written(loop, ends):
    """Only while that is asked for; the action stays the same."""
    said = []
    loop.add(ends[0], said.append)
    loop.ask(ends[0], write=True)
    step(loop)
    assert said == [WRITE]
    loop.ask(ends[0], write=False)
    step(loop)
    assert said == [WRITE]


def test_the_time(loop, ends):
    """What is due is called after what has happened."""
    said = []
    loop.add(ends[0], said.append)
    loop.timers.after(0, lambda: said.append("now"))
    loop.timers.after(1, lambda: said.append("later"))
    ends[1].sendall(b"x")
    loop.step()
    assert said == [READ, "now"]


def test_the_end_of_a_pipe(loop):
    """It is told once, and what was written before is no end."""
    read, write = os.pipe()
    said = []
    try:
        loop.watch(read, lambda: said.append("closed"))
        os.write(write, b"x")
        step(loop)
        assert said == []
    finally:
        os.close(write)
    step(loop)
    step(loop)
    os.close(read)
    assert said == ["closed"]


def test_a_file_is_at_its_end(loop, tmp_path):
    """The system does not wait for files, nor need anybody."""
    path = tmp_path / "empty"
    path.touch()
    said = []
    with path.open() as file:
        loop.watch(file.fileno(), lambda: said.append("closed"))
        step(loop)
    assert said == ["closed"]
