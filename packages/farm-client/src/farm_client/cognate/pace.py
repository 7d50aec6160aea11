"""How many elements the next part should have.

A part costs some 0.2 ms at either end, whatever it does, so many elements that take a microsecond
each must go together. But elements that take long, or not equally long, must not: who got the last
large part would keep everybody waiting. What an element takes is not known before some have run.

So the first parts have one element each. From then on a part is what is expected to take a certain
time: a quarter of what remains, divided by the number of workers (guided self-scheduling, after
Polychronopoulos and Kuck, 1987). But it takes no more than a bound, for the sake of errors,
interrupts, searches and memory, and not so little that the overhead shows. Where the expectation
rests on small parts only, it is believed only for parts that are not very much larger.

Measured on two workers (`tests-integration/bench`): elements of 5 ms each, 0.1 to 100 ms in any
order, and additions, all within a few percent of the best equal parts.
"""

from __future__ import annotations

import math
from typing import Optional, Protocol

from farm_common.frames import Frame

from ..scheduler import DEPTH, Estimate

__all__ = ["Even", "Pace", "PartEstimate", "Sizes"]

#: What a part may take, in microseconds: at least, and at most.
_LEAST = 500.0
_MOST = 50_000.0

#: What part of the time limit of its tasks a part may be expected to take. Servers time each call
#: of the user's function; but where there is none, as in sorting without a key, the whole part.
_CAUTION = 0.25

#: A slow network wants larger parts: at least so many times what they cost besides.
_OVERHEADS = 2.0
_MOST_SLOWLY = 500_000.0

#: How many parts each worker would get of what remains.
_SHARES = 4

#: How much larger than the largest part seen the next one may be.
_GROWTH = 64

#: What the arguments of a part may take, or its results, in bytes; those of one element may take
#: more.
_BYTES = 4 << 20

#: A part that takes longer than this, in microseconds, is not sent before its worker is free:
#: the one before it might take longer still.
_LONG = 10_000.0


class Sizes(Protocol):
    """How many elements each part has.

    Attributes:
        long: What takes longer, in microseconds, is not sent before its worker is free.
        weight: About how many bytes an element has, or its result.
    """

    long: float
    weight: float

    def next(self, remaining: Optional[int], workers: int) -> int:
        """The size of the next part; `remaining` is None where nobody knows."""

    def ahead(self, workers: int) -> int:
        """How many parts should be on their way at the same time."""

    def note(self, count: int, micros: float, overhead: Optional[float], size: int) -> None:
        """Take note of a part.

        Args:
            count: How many elements it had.
            micros: What its execution took.
            overhead: What it took besides, from when it was made to when its result was there;
                None if it had to wait for others.
            size: Of its arguments or of its result, whichever is larger, in bytes.
        """


class Even:
    """As many parts as were asked for, and of the same size.

    Args:
        total: How many elements there are.
        parts: How many parts to make of them, as far as there are elements.
        backwards: Whether the last part comes first.
    """

    def __init__(self, total: int, parts: int, backwards: bool = False) -> None:
        self._number = max(1, min(parts, total))
        self._size, self._larger = divmod(total, self._number)
        self._made = 0
        self._backwards = backwards
        self._latest = 0.0
        self._overhead = 0.0
        self.long = _LONG
        self.weight = 0.0

    def next(self, remaining: Optional[int], workers: int) -> int:
        """The size of the next part: the larger ones stand first, whichever is sent first."""
        place = self._number - 1 - self._made if self._backwards else self._made
        self._made += 1
        return self._size + (place < self._larger)

    def ahead(self, workers: int) -> int:
        """How many parts should be on their way at the same time."""
        return _ahead(workers, self._latest, self.long)

    def note(self, count: int, micros: float, overhead: Optional[float], size: int) -> None:
        """Take note of how long parts take."""
        self._latest = micros
        self._overhead = _least(self._overhead, overhead)
        self.long = _long(self._overhead)


class Pace:
    """Sizes that follow from what the parts before took.

    Args:
        most: What a part may take at most, in microseconds.
        shares: How many parts each worker would get of what remains, if they were not to become
            smaller.
    """

    def __init__(self, most: float = _MOST, shares: int = _SHARES) -> None:
        self._most = most
        self._limit = math.inf
        self._shares = shares
        self._unit: Optional[float] = None  # microseconds an element
        self._micros = self._count = 0.0  # of the parts before, the latest weighing most
        self._largest = 1
        self.weight = 0.0
        self._overhead = 0.0
        self._latest = 0.0
        self.long = _LONG

    def limit(self, timeout: float) -> None:
        """Let parts take less than the time limit of their tasks, in seconds."""
        self._limit = timeout * 1e6 * _CAUTION

    def next(self, remaining: Optional[int], workers: int) -> int:
        """The size of the next part."""
        unit = self._unit
        if unit is None:
            return 1
        least = min(_OVERHEADS * self._overhead, _MOST_SLOWLY)
        most = max(self._most, least)
        if remaining is not None:
            each = unit * remaining / workers
            least = max(_LEAST, min(least, each / 2))
            most = min(most, max(least, each / self._shares))
        most = min(max(most, _LEAST), self._limit)
        size = min(most / unit, float(self._largest * _GROWTH))
        if self.weight:
            size = min(size, _BYTES / self.weight)
        size = max(1.0, size)
        self._latest = unit * size
        return int(size)

    def ahead(self, workers: int) -> int:
        """How many parts should be on their way at the same time."""
        return workers if self._unit is None else _ahead(workers, self._latest, self.long)

    def note(self, count: int, micros: float, overhead: Optional[float], size: int) -> None:
        """Take note of how long a part took."""
        self.weight = max(self.weight / 2, size / count)
        self._overhead = _least(self._overhead, overhead)
        self.long = _long(self._overhead)
        unit = (micros + 0.5) / count  # they are whole numbers
        before = self._unit
        if before is None or (count >= self._largest and unit < before / 4):
            # The first that a worker runs loads the function, which may take long.
            self._micros, self._count = micros + 0.5, float(count)
        else:
            self._micros = self._micros / 2 + micros
            self._count = self._count / 2 + count
        self._largest = max(self._largest, count)
        self._unit = max(unit, self._micros / self._count)


class PartEstimate(Estimate):
    """How long the parts of a function take, in place of how long its tasks take.

    Parts are made to take milliseconds, so a worker is sent one ahead of time, unless they take
    really long.

    Attributes:
        latest: What the parts of the latest result took each, in microseconds.
        size: How many bytes the parts of the latest result have each.
        long: What takes longer is not sent ahead of time.
    """

    __slots__ = ("latest", "long", "size")

    def __init__(self) -> None:
        super().__init__()
        self.latest = 0.0
        self.size = 0
        self.long = _LONG

    def update(self, micros: int, count: int, frame: Optional[Frame] = None) -> None:
        """Take note of results of parts; see `Estimate.update`."""
        self.latest = micros / count
        if frame is not None:
            self.size = (len(frame.body) + sum(map(len, frame.buffers))) // count
        ahead = self.latest < self.long
        self.cost = DEPTH / 2 if ahead else 2 * DEPTH
        self.most = 2 if ahead else 1


def _least(before: float, overhead: Optional[float]) -> float:
    """The least overhead seen, 0 as long as there is none."""
    if overhead is None:
        return before
    return min(before, overhead) if before else overhead


def _long(overhead: float) -> float:
    """What a part may take that is sent ahead of time."""
    return max(_LONG, 2 * _OVERHEADS * overhead)


def _ahead(workers: int, micros: float, long: float) -> int:
    """How many parts should be on their way: one more waits here than workers hold."""
    return 2 * workers + 1 if micros < long else workers + 1
