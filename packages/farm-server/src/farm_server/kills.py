"""Ends tasks that run, from the parent: by a signal, or else with their process.

::

    looked for -> signalled -> it ended: the worker goes on
                      |
                      +-- after `GRACE_SECONDS` --> stopped -> killed, and the session with it
                                                       |
                                                       +-> it ended meanwhile: continued

What a worker does is on the board; nothing is asked of it, for it may be unable to answer. Nobody
tells the parent that a task has ended, so while one is being ended it looks every few milliseconds.

Why no other task is hit: the signal is for the task that the board names, see `interrupter`. But
SIGKILL knows no tasks, and between a look at the board and the signal the task could end, and the
next begin. So the process is stopped first. What the board says then stays so. Only if it is still
that task the process is killed; else it goes on, and has lost a millisecond.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import Optional

from farm_common.kills import KILLED, TIMEOUT, Spans

from .board import Slot
from .child import Child
from .exits import Verdict
from .interrupter import SIGNAL
from .processes import Processes
from .timers import Timers

__all__ = ["GRACE_SECONDS", "Kills"]

#: How long a task may take to end once it was signalled: to leave its ``finally`` blocks.
GRACE_SECONDS = 0.3

#: How long the first task of a list is waited for, if its worker is between two tasks: its client
#: has sent it, and takes it to be running.
_LINGER_SECONDS = 0.1
#: How long a process may take to stop; one that is deep in the kernel does not stop.
_STOP_SECONDS = 0.1

#: How often to look, in seconds: often at first, for most tasks end at once.
_TICK = 0.01
_FAST_TICK = 0.001
_FAST_SECONDS = 0.01


class _Kill:
    """One task that is being ended."""

    def __init__(self, child: Child, task: int, reason: str, now: float) -> None:
        self.child = child
        self.task = task
        self.reason = reason
        self.began = now
        self.until = now + GRACE_SECONDS
        self.stopping = False
        self.fatal = False  # the process is about to die of it
        self.done: list[Callable[[bool], None]] = []

    @property
    def hit(self) -> bool:
        """Whether the exception was raised in the task."""
        return self.child.slot.words[Slot.HIT] == self.task + 1

    @property
    def goes_on(self) -> bool:
        """Whether the task still runs."""
        return self.child.slot.running == self.task


class _Request:
    """A KILL, which is answered when all of its tasks have ended."""

    def __init__(self, dry_run: bool, answer: Callable[[dict[str, int]], None]) -> None:
        self.dry_run = dry_run
        self.tasks: dict[str, int] = {}
        self.open = 1  # the one is its maker's
        self._answer = answer

    def settle(self, session: str, task: Optional[int]) -> None:
        """Take note of what became of one session's task."""
        if task is not None:
            self.tasks[session] = task
        self.close()

    def close(self) -> None:
        """Answer when this was the last."""
        self.open -= 1
        if not self.open:
            self._answer(self.tasks)


class Kills:
    """The tasks of a server that are being ended.

    Args:
        timers: Of the parent's loop.
        processes: Sends signals.
        nanoseconds: The clock of the board.
    """

    def __init__(
        self,
        timers: Timers,
        processes: Processes,
        nanoseconds: Callable[[], int] = perf_counter_ns,
    ) -> None:
        self._timers = timers
        self._processes = processes
        self._nanoseconds = nanoseconds
        self._kills: dict[Child, _Kill] = {}

    def request(
        self,
        tasks: Mapping[Child, Spans],
        dry_run: bool,
        answer: Callable[[dict[str, int]], None],
    ) -> None:
        """End what runs, if it is one of these tasks.

        Args:
            tasks: The ids of those that may be ended, by their sessions.
            dry_run: Only find out which run.
            answer: Called, once all have ended, with the id of each by the id of its session.
        """
        request = _Request(dry_run, answer)
        until = self._timers.clock() + _LINGER_SECONDS
        for child, spans in tasks.items():
            request.open += 1
            self._look(request, child, spans, until)
        request.close()

    def end(
        self,
        child: Child,
        task: int,
        reason: str,
        done: Optional[Callable[[bool], None]] = None,
    ) -> None:
        """End a task that was just seen to run.

        Args:
            child: Its session.
            task: Its id.
            reason: `KILLED` or `TIMEOUT`.
            done: Called when it runs no more, with whether that is due to this.
        """
        kill = self._kills.get(child)
        if kill is not None and kill.task != task:
            self._step(kill)  # it must be over, and nobody has looked since
            kill = self._kills.get(child)
            if kill is not None:  # the process is dying
                if done is not None:
                    done(False)
                return
        if kill is None:
            kill = self._kills[child] = _Kill(child, task, reason, self._timers.clock())
            child.slot.words[Slot.KILL] = (task + 1) << 1 | (reason == TIMEOUT)
            self._timers.after(0, lambda: self._step(kill))
        if done is not None:
            kill.done.append(done)

    def ended(self, child: Child) -> Optional[Verdict]:
        """Take note that a session has ended; return the verdict on its task, if there was one."""
        kill = self._kills.get(child)
        if kill is None:
            return None
        # Whatever it was that ended the process: a task that is being killed does not run again.
        died = kill.goes_on
        self._conclude(kill, died)
        if not died:
            return None
        took = self._nanoseconds() - child.slot.words[Slot.STARTED]
        return Verdict(kill.task, kill.reason, max(0, took) / 1e9)

    def _look(self, request: _Request, child: Child, spans: Spans, until: float) -> None:
        """Find out whether one of a session's tasks is running, or about to."""
        task = None if child.ended else child.slot.running
        session = child.session.hex()
        if task is not None and any(first <= task <= last for first, last in spans):
            if request.dry_run:
                request.settle(session, task)
            else:
                self.end(
                    child, task, KILLED, lambda hit: request.settle(session, task if hit else None)
                )
        elif task is None and not child.ended and self._timers.clock() < until:
            first = spans[0][0]  # those behind it are not running for anybody
            self._timers.after(
                _FAST_TICK, lambda: self._look(request, child, ((first, first),), until)
            )
        else:
            request.settle(session, None)

    def _step(self, kill: _Kill) -> None:
        """Do what is next to be done about a task, if it is still to be ended."""
        child = kill.child
        if self._kills.get(child) is not kill or kill.fatal:
            return
        now, pid = self._timers.clock(), child.pid
        stopped = kill.stopping and (self._processes.stopped(pid) or now >= kill.until)
        if not kill.goes_on:
            if kill.stopping:
                self._processes.signal(pid, signal.SIGCONT)
            self._conclude(kill, kill.hit)
            return
        pause = _FAST_TICK
        if stopped:
            kill.fatal = child.killed = True
            self._processes.kill(pid, signal.SIGKILL)
            return
        if kill.stopping:
            pass
        elif now >= kill.until:
            kill.stopping = True
            kill.until = now + _STOP_SECONDS
            self._processes.signal(pid, signal.SIGSTOP)
        else:
            if not kill.hit:
                self._processes.signal(pid, SIGNAL)
            if now - kill.began >= _FAST_SECONDS:
                pause = _TICK
        self._timers.after(pause, lambda: self._step(kill))

    def _conclude(self, kill: _Kill, hit: bool) -> None:
        del self._kills[kill.child]
        for done in kill.done:
            done(hit)
