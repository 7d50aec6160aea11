"""Ends tasks that run for longer than they may; by the parent's clock, whatever they do.

A worker writes on the board how long its task may run. It does not tell the parent of each: it says
that such tasks come, at most once a second, and then the parent looks at the board for some seconds
more than that. So short tasks with a time limit cost no message, and an idle server does not look.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns

from farm_common.kills import TIMEOUT

from .board import Slot
from .child import Child
from .kills import Kills
from .timers import Timers

__all__ = ["Overtime"]

#: How long to look after a worker has said that such tasks come, or has run one, in seconds.
_LEASE = 4.0

#: How often to look, in seconds: a tenth of the shortest limit seen, within these bounds.
_SHORTEST, _LONGEST = 0.005, 0.05


class Overtime:
    """Watches the tasks of a server whose time is limited.

    Args:
        timers: Of the parent's loop.
        kills: Ends those whose time is up.
        nanoseconds: The clock of the board.
    """

    def __init__(
        self, timers: Timers, kills: Kills, nanoseconds: Callable[[], int] = perf_counter_ns
    ) -> None:
        self._timers = timers
        self._kills = kills
        self._nanoseconds = nanoseconds
        self._leases: dict[Child, float] = {}  # until when to look
        self._suspects: dict[Child, int] = {}  # the task whose time seemed to be up
        self._looking = False

    def watch(self, child: Child) -> None:
        """Look at a session for a while."""
        self._leases[child] = self._timers.clock() + _LEASE
        if not self._looking:
            self._look()

    def _look(self) -> None:
        now = self._timers.clock()
        pause = _LONGEST
        for child, until in list(self._leases.items()):
            limit = 0 if child.ended else child.slot.words[Slot.LIMIT]
            if limit:
                self._leases[child] = now + _LEASE
                pause = min(pause, max(_SHORTEST, min(limit / 1e10, self._judge(child, limit))))
            elif child.ended or now >= until:
                del self._leases[child]
                self._suspects.pop(child, None)
        self._looking = bool(self._leases)
        if self._looking:
            self._timers.after(pause, self._look)

    def _judge(self, child: Child, limit: int) -> float:
        """End a session's task if its time is up; else return how much it has, in seconds."""
        words = child.slot.words
        task = child.slot.running
        left = words[Slot.STARTED] + limit - self._nanoseconds()
        if left > 0 or task is None:
            self._suspects.pop(child, None)
        elif self._suspects.get(child) != task:
            # Not at first sight: some processors show the words of another process in another
            # order than they were written in.
            self._suspects[child] = task
        else:
            self._kills.end(child, task, TIMEOUT)
        return max(0.0, left / 1e9)
