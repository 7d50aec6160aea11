"""What is to happen later, for a loop that waits for events."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from itertools import count
from typing import Optional

__all__ = ["Timer", "Timers"]


class Timer:
    """One call that will be made unless it is cancelled."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Optional[Callable[[], None]] = action

    def cancel(self) -> None:
        """Do not make the call; once it was made this changes nothing."""
        self.action = None


class Timers:
    """Timers in order of time.

    Args:
        clock: Says what time it is, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = count()

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Call `action` so many seconds from now."""
        timer = Timer(action)
        heapq.heappush(self._heap, (self.clock() + seconds, next(self._count), timer))
        return timer

    def wait(self) -> Optional[float]:
        """Seconds until the next call is due; None when there is none."""
        while self._heap and self._heap[0][2].action is None:
            heapq.heappop(self._heap)
        return max(0.0, self._heap[0][0] - self.clock()) if self._heap else None

    def run(self) -> None:
        """Make the calls that are due."""
        now = self.clock()
        while self._heap and self._heap[0][0] <= now:
            action = heapq.heappop(self._heap)[2].action
            if action is not None:
                action()
