"""How much work to send a worker ahead of time.

Too little, and it idles while the next task travels; too much, and short tasks wait behind long
ones on one worker while another is free. So a link is kept at about two milliseconds of work,
measured by what tasks of the same function took before: a thousand null tasks, or a single one
of five milliseconds. Of a function that nobody has seen run, a worker gets one task and nothing
else until it is known.
"""

from __future__ import annotations

from typing import Optional

__all__ = ["DEPTH", "MOST", "Estimate"]

#: How much work a worker is sent ahead of time, in microseconds.
DEPTH = 2000.0

#: How many tasks a worker is sent ahead of time, however short.
MOST = 1024

#: No task is taken to be shorter than this, in microseconds: sending and reading it costs as much.
_LEAST = 0.5


class Estimate:
    """How long a function's tasks take, as far as results have told.

    A smoothed mean and mean deviation, as TCP estimates round trips (RFC 6298): a function whose
    tasks take 0.1 ms or 80 ms counts as a long one while both occur.
    """

    __slots__ = ("_deviation", "_mean", "cost")

    def __init__(self) -> None:
        self._mean = 0.0
        self._deviation = 0.0
        #: What one task is expected to take, in microseconds; None until one has run.
        self.cost: Optional[float] = None

    def update(self, micros: int, count: int) -> None:
        """Take note that `count` tasks took `micros` microseconds together."""
        took = micros / count
        if self.cost is None:
            self._mean = took
        else:
            # A batch is several observations, but only of their mean.
            weight = 0.125 if count < 8 else 0.5
            off = abs(took - self._mean)
            if off > self._deviation:
                self._deviation += (off - self._deviation) * max(weight, 0.25)
            else:
                self._deviation += (off - self._deviation) * (weight / 4)
            self._mean += (took - self._mean) * weight
        self.cost = max(_LEAST, self._mean + 2.0 * self._deviation)
