"""How sessions ended."""

import os
import shutil
import signal
import subprocess

import pytest

from farm_server import exits
from farm_server.exits import Exits, MemoryKills, Verdict, describe, other_program


def test_an_exit():
    """An exit has a status and no signal."""
    assert describe(3 << 8, task=None, done=7, memory=False) == {
        "reason": "exit",
        "signal": None,
        "status": 3,
        "task": None,
        "done": 7,
        "memory": None,
    }


def test_a_signal():
    """A signal has its name, and a negative status as in subprocess."""
    assert describe(int(signal.SIGKILL), task=12, done=0, memory=True) == {
        "reason": "signal",
        "signal": "SIGKILL",
        "status": -9,
        "task": 12,
        "done": 0,
        "memory": True,
    }


def test_a_core_dump_is_a_signal():
    """The flag for the dump is not part of the signal."""
    ending = describe(int(signal.SIGSEGV) | 0x80, task=None, done=0, memory=False)
    assert ending["signal"] == "SIGSEGV"


def test_a_signal_without_a_name():
    """Real-time signals have none in Python."""
    assert exits.signal_name(50) in ("signal 50", "SIGRTMIN+16")


def test_only_the_last_are_kept():
    """A server that lives long does not remember everything."""
    kept = Exits(kept=2)
    for number in range(3):
        kept.record(bytes([number]), {"status": number})
    assert kept.get(b"\0") is None
    assert kept.get(b"\1") == {"status": 1}
    assert kept.get(b"\2") == {"status": 2}


@pytest.mark.parametrize(
    ("counts", "expected"), [((0, 0, 1, 1, 3), [False, True, False, True]), ((5, 5), [False])]
)
def test_memory_kills_are_noticed_once(monkeypatch, counts, expected):
    """Only a count that is higher than before says something."""
    texts = iter(f"low 0\noom 9\noom_kill {count}\noom_group_kill 0\n" for count in counts)
    monkeypatch.setattr(exits, "cgroup_file", lambda controller, name: None)
    monkeypatch.setattr(exits, "read_text", lambda path: next(texts))
    kills = MemoryKills()
    assert [kills.rose() for _ in expected] == expected


def test_no_system_count_is_no_kill(monkeypatch):
    """Where the system does not count, nothing is claimed."""
    monkeypatch.setattr(exits, "cgroup_file", lambda controller, name: None)
    monkeypatch.setattr(exits, "read_text", lambda path: None)
    assert not MemoryKills().rose()


def test_a_verdict():
    """What the server itself ended has a reason, the task of that, and how long it had run."""
    verdict = Verdict(5, "timeout", 2.5)
    ending = describe(9, task=6, done=4, memory=False, verdict=verdict)
    assert ending["signal"] == "SIGKILL"
    assert (ending["task"], ending["verdict"], ending["seconds"]) == (5, "timeout", 2.5)


linux = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="this system does not tell")


@linux
def test_another_program():
    """A process that was forked and executed another program has that program's file."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        assert other_program(child.pid) == os.path.realpath(shutil.which("cat"))
        child.communicate(timeout=20)


@linux
def test_the_same_program():
    """A process that was only forked has none."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(theirs)
        os.read(ours, 1)
        os._exit(0)
    os.close(ours)
    try:
        assert other_program(pid) is None
    finally:
        os.close(theirs)
        os.waitpid(pid, 0)


@linux
def test_a_program_that_has_ended():
    """Nobody knows what it was."""
    child = subprocess.Popen(["true"], stdout=subprocess.PIPE)
    child.stdout.read()  # its end
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT) if hasattr(
        os, "waitid"
    ) else child.wait()
    assert other_program(child.pid) is None
    child.stdout.close()
    child.wait()
    assert other_program(child.pid) is None
