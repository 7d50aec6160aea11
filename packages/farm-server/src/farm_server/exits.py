"""How sessions ended, kept for clients that come back and ask.

A client whose connection broke cannot tell a dead worker from a dead network. It names its old
session in the next connection's preamble, and `ServerHello.lost` answers with an `Ending`, a
JSON object with these keys:

==========  =====================================================================================
`reason`    ``"signal"`` or ``"exit"``
`signal`    the signal's name, for example ``"SIGKILL"``; null for an exit
`status`    the exit status; for a signal minus its number, as in `subprocess`
`task`      the id of the task that was running, or null
`done`      how many tasks the worker had executed
`memory`    true when the system killed it for want of memory; null when that is not known
`verdict`   ``"killed"`` or ``"timeout"``; only where the server itself ended it, because of `task`
`seconds`   how long that task had run; only with a verdict
`expired`   true when the server ended it because its client was away for too long
`program`   what the worker's process had become: a task had executed another program in it
==========  =====================================================================================
"""

from __future__ import annotations

import os
import re
import signal
from collections import OrderedDict
from typing import Any, NamedTuple, Optional, Union

from .cgroup import cgroup_file, read_text

__all__ = ["Ending", "Exits", "MemoryKills", "Verdict", "describe", "other_program", "signal_name"]

Ending = dict[str, Any]

#: How many endings are remembered; a client that was away for longer is told nothing.
_KEPT = 1000

_OOM_KILL = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def describe(
    status: int,
    *,
    task: Optional[int],
    done: int,
    memory: bool,
    verdict: Optional[Verdict] = None,
) -> Ending:
    """How a process ended.

    Args:
        status: What `os.waitpid` said.
        task: The task it was executing.
        done: How many tasks it had executed.
        memory: Whether the system seems to have killed it for want of memory.
        verdict: Why the server itself ended it, if so.
    """
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        reason, name, code = "signal", signal_name(number), -number
    else:
        reason, name, code = "exit", None, os.WEXITSTATUS(status)
    ending: Ending = {
        "reason": reason,
        "signal": name,
        "status": code,
        "task": task,
        "done": done,
        "memory": True if memory else None,
    }
    if verdict is not None:
        ending.update(task=verdict.task, verdict=verdict.reason, seconds=verdict.seconds)
    return ending


def other_program(pid: int) -> Optional[str]:
    """What a process that was forked from this one executes since, as far as the system tells.

    Args:
        pid: The process; it was not reaped yet.

    Returns:
        The program's file; None if it executes what this one does, has ended, or nobody knows.
    """
    try:
        program, ours = (os.readlink(f"/proc/{who}/exe") for who in (pid, "self"))
        line, our_line = (_command_line(who) for who in (pid, "self"))
    except OSError:
        return None
    # Executed anew, an interpreter has another command line, and for a moment none.
    return program if program != ours or (line and line != our_line) else None


def _command_line(who: Union[int, str]) -> bytes:
    with open(f"/proc/{who}/cmdline", "rb") as file:
        return file.read()


def signal_name(number: int) -> str:
    """A signal's name; ``"signal N"`` for real-time and unknown ones."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Verdict(NamedTuple):
    """Why a session was ended together with its task.

    Attributes:
        task: The task's id.
        reason: ``"killed"`` or ``"timeout"``.
        seconds: How long it had run.
    """

    task: int
    reason: str
    seconds: float


class Exits:
    """The endings of the last sessions, by session id."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._endings: OrderedDict[bytes, Ending] = OrderedDict()

    def record(self, session: bytes, ending: Ending) -> None:
        """Remember how a session ended."""
        self._endings[session] = ending
        while len(self._endings) > self._kept:
            self._endings.popitem(last=False)

    def get(self, session: bytes) -> Optional[Ending]:
        """How a session ended, or None when that is not known (any more)."""
        return self._endings.get(session)


class MemoryKills:
    """Notices that the system killed a process for want of memory.

    The system counts such kills, for the control group where it can, else for the machine; a
    SIGKILL that comes with a higher count was one of them, as far as anybody can tell.
    """

    def __init__(self) -> None:
        self._seen = _memory_kills()

    def rose(self) -> bool:
        """Whether there were more since the last call."""
        now = _memory_kills()
        before, self._seen = self._seen, now
        return now > before


def _memory_kills() -> int:
    for text in (
        cgroup_file("memory", "memory.events"),
        cgroup_file("memory", "memory.oom_control"),
        read_text("/proc/vmstat"),
    ):
        match = _OOM_KILL.search(text or "")
        if match:
            return int(match[1])
    return 0
