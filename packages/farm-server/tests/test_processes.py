"""The processes of sessions, real ones."""

import os
import signal

import pytest

from farm_server import processes
from farm_server.processes import Processes


@pytest.fixture
def fork(monkeypatch):
    """Forks a process that does what it is given, and reaps it."""
    started = []

    def fork_(action):
        def live(birth, foreign):
            os.setsid()
            try:
                action()
            finally:
                os._exit(5)

        monkeypatch.setattr(processes, "live", live)
        started.append(Processes().fork(None, ()))
        return started[-1]

    yield fork_
    for pid in started:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def status(pid):
    """Wait for the end of a process, as its parent's loop does."""
    while True:
        found = Processes().poll(pid)
        if found is not None:
            return found


def test_a_process_that_ends(fork):
    """Its status is told once; then nobody knows of it."""
    pid = fork(lambda: None)
    assert os.WEXITSTATUS(status(pid)) == 5
    assert Processes().poll(pid) == 255 << 8


def test_a_process_that_runs(fork):
    """It has no status until it is killed."""
    pid = fork(signal.pause)
    assert Processes().poll(pid) is None
    Processes().kill(pid, signal.SIGKILL)
    assert os.WTERMSIG(status(pid)) == signal.SIGKILL
    Processes().kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("waitid", [True, False])
def test_what_it_leaves_behind(fork, monkeypatch, waitid):
    """A process that a task started does not outlive the session."""
    if not waitid:
        monkeypatch.delattr(os, "waitid", raising=False)
    read, write = os.pipe()

    def leave():
        if not os.fork():
            os.write(write, b"!")
            signal.pause()
        os._exit(0)

    pid = fork(leave)
    os.close(write)
    assert os.read(read, 1) == b"!"
    status(pid)
    # The pipe is closed when the last process that has it is gone.
    assert os.read(read, 1) == b""
    os.close(read)


def test_signals_are_not_blocked_afterwards(fork):
    """They are only while there are two processes with the same handlers."""
    fork(lambda: None)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


@pytest.mark.parametrize("waitid", [True, False])
def test_a_process_that_stops(fork, monkeypatch, waitid):
    """It is told once; its end is, too, whoever looked first."""
    if not waitid:
        monkeypatch.delattr(os, "waitid", raising=False)
    processes = Processes()
    pid = fork(signal.pause)
    assert not processes.stopped(pid)
    processes.signal(pid, signal.SIGSTOP)
    while not processes.stopped(pid):
        pass
    assert not processes.stopped(pid)
    assert processes.poll(pid) is None
    processes.signal(pid, signal.SIGCONT)
    processes.signal(pid, signal.SIGUSR2)
    found = None
    while found is None:
        assert not processes.stopped(pid)
        found = processes.poll(pid)
    assert os.WTERMSIG(found) == signal.SIGUSR2
    assert not processes.stopped(pid)
    processes.signal(pid, signal.SIGUSR2)


def test_a_signal_for_one_process(fork):
    """What it has started does not get it."""
    read, write = os.pipe()

    def start():
        if os.fork():
            signal.signal(signal.SIGUSR1, lambda *_: os.write(write, b"1"))
            os.write(write, b"!")
            while True:
                signal.pause()
        signal.signal(signal.SIGUSR1, lambda *_: os.write(write, b"2"))
        os.write(write, b"!")
        while True:
            signal.pause()

    pid = fork(start)
    os.close(write)
    got = os.read(read, 1) + os.read(read, 1)
    assert got == b"!!"
    Processes().signal(pid, signal.SIGUSR1)
    assert os.read(read, 1) == b"1"
    Processes().kill(pid, signal.SIGKILL)
    assert os.read(read, 9) == b""
    os.close(read)
