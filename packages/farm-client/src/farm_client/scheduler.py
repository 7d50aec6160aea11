"""How much work to send a worker ahead of time.

Too little, and it idles while the next task travels; too much, and short tasks wait behind long
ones on one worker while another is free. So a link is kept at about two milliseconds of work,
measured by what tasks of the same function took before: a thousand null tasks, or a single one
of five milliseconds. Of a function that nobody has seen run, a worker gets one task and nothing
else until it is known.
"""

from __future__ import annotations

from typing import Optional

from farm_common.frames import Frame

__all__ = ["DEPTH", "MOST", "Estimate"]

#: How much work a worker is sent ahead of time, in microseconds.
DEPTH = 2000.0

#: How many tasks a worker is sent ahead of time, however short.
MOST = 1024

#: No task is taken to be shorter than this, in microseconds: sending and reading it costs as much.
_LEAST = 0.5


#: What a frame of tasks may take longer than expected because its worker had to wait for a
#: processor, in microseconds: a few turns of others. It is believed only little by little.
_NOISE = 6000


class Estimate:
    """How long a function's tasks take, as far as results have told.

    A smoothed mean and mean deviation, as TCP estimates round trips (RFC 6298): a function whose
    tasks take 0.1 ms or 80 ms counts as a long one while both occur.
    """

    __slots__ = ("_deviation", "_mean", "cost", "most")

    def __init__(self) -> None:
        self._mean = 0.0
        self._deviation = 0.0
        #: What one task is expected to take, in microseconds; None until one has run.
        self.cost: Optional[float] = None
        #: How many tasks an idle worker should be sent.
        self.most = 1

    def update(self, micros: int, count: int, frame: Optional[Frame] = None) -> None:
        """Take note of results.

        Args:
            micros: How long the tasks took together, in microseconds.
            count: How many they were.
            frame: What the results came in.
        """
        took = micros / count
        if took < _LEAST and self.cost == _LEAST and not self._deviation:
            return  # as short as ever, and the most frequent case by far
        if self.cost is None:
            self._mean = took
        else:
            if micros < _NOISE:
                took = min(took, 2.0 * self._mean + _LEAST)
            off = abs(took - self._mean)
            # A deviation that grows is believed at once, one that shrinks only slowly: sending
            # too much behind a long task costs more than sending too little behind a short one.
            weight = 0.25 if off > self._deviation else 0.03
            self._deviation += (off - self._deviation) * weight
            # A batch is several observations, but only of their mean.
            self._mean += (took - self._mean) * (0.125 if count < 8 else 0.5)
            if self._deviation < _LEAST / 8:
                self._deviation = 0.0
        self.cost = max(_LEAST, self._mean + 2.0 * self._deviation)
        self.most = max(1, min(MOST, int(DEPTH / self.cost)))
