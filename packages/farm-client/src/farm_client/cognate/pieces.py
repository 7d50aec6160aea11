"""Cuts the input of a cognate into pieces, each as large as it is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice
from time import perf_counter
from typing import Any, NamedTuple, Optional

from .inputs import (
    check_iterables,
    check_number,
    expected,
    is_sliceable,
    shortest,
    window_of,
)

__all__ = ["Draws", "Piece", "Pieces", "Slices", "cut", "cut_window", "gather"]

#: An iterator that is slower than this, in seconds, gets what it has yielded sent.
_PATIENCE = 0.02


class Piece(NamedTuple):
    """Some elements in a row, of each sequence.

    Attributes:
        start: The number of the first.
        length: How many there are.
        args: What to call the runner with.
    """

    start: int
    length: int
    args: tuple[Any, ...]


class Pieces(ABC):
    """The input that was not taken yet.

    Attributes:
        remaining: How many elements it has; None where only the end will tell. What can only be
            iterated over may be wrong about it.
    """

    remaining: Optional[int]

    @abstractmethod
    def take(self, count: int) -> Optional[Piece]:
        """The next piece, of so many elements or less; None at the end."""


class Slices(Pieces):
    """The input where all of it can be sliced.

    Args:
        sequences: What to slice.
        start: The number of the first element.
        end: The number of the one after the last.
        backwards: Whether to begin at the end.
        before: What the runner gets before the slices.
    """

    def __init__(
        self,
        sequences: Sequence[Any],
        start: int,
        end: int,
        *,
        backwards: bool = False,
        before: tuple[Any, ...] = (),
    ) -> None:
        self._sequences = sequences
        self._start = start
        self._end = end
        self._backwards = backwards
        self._before = before
        self.remaining: int = end - start

    def take(self, count: int) -> Optional[Piece]:
        """The next slices."""
        count = min(count, self.remaining)
        if count <= 0:
            return None
        self.remaining -= count
        if self._backwards:
            self._end -= count
            start = self._end
        else:
            start = self._start
            self._start += count
        slices = [sequence[start : start + count] for sequence in self._sequences]
        return Piece(start, count, (*self._before, *slices))


class Draws(Pieces):
    """The input where some of it can only be iterated over: that is done when it is needed.

    Args:
        sequences: What to slice or to draw from; ends where the shortest does.
        limit: How many elements to take at most.
        start: The number of the first.
    """

    def __init__(self, sequences: Sequence[Any], limit: Optional[int], start: int = 0) -> None:
        self._sliced = {i: each for i, each in enumerate(sequences) if is_sliceable(each)}
        drawn = [iter(each) for i, each in enumerate(sequences) if i not in self._sliced]
        self._single = len(drawn) == 1
        self._rows: Iterator[Any] = drawn[0] if self._single else zip(*drawn)
        self._limit = shortest(sequences, limit)
        self._taken = 0
        self._start = start
        self._ended = False
        self.remaining = expected(sequences, limit)

    def take(self, count: int) -> Optional[Piece]:
        """What the iterators yield next; less than asked for when they take long."""
        if self._ended:
            return None
        taken = self._taken
        if self._limit is not None:
            count = min(count, self._limit - taken)
        rows = self._draw(count)
        self._taken += len(rows)
        if self.remaining is not None:
            self.remaining = max(0, self.remaining - len(rows))
        if not rows:
            self._ended = True
            return None
        columns = iter([rows] if self._single else map(list, zip(*rows)))
        sliced = {i: each[taken : self._taken] for i, each in self._sliced.items()}
        width = len(sliced) + (1 if self._single else len(rows[0]))
        args = [sliced[i] if i in sliced else next(columns) for i in range(width)]
        return Piece(self._start + taken, len(rows), tuple(args))

    def _draw(self, count: int) -> list[Any]:
        until = perf_counter() + _PATIENCE
        rows: list[Any] = []
        while True:
            more = min(max(1, len(rows)), count - len(rows))
            drawn = list(islice(self._rows, more))
            rows += drawn
            if len(drawn) < more or len(rows) == count or perf_counter() > until:
                return rows


def gather(sequences: Sequence[Any], size: Optional[int]) -> Piece:
    """All of the input in one piece, whose arguments can be sliced, and may go on behind its end.

    Args:
        sequences: Sequences and other iterables.
        size: How many elements to take at most; None: all.
    """
    end = shortest(sequences, size)
    drawn = [iter(each) for each in sequences if not is_sliceable(each)]
    if drawn:
        rows = list(islice(zip(*drawn), end))
        end = len(rows)
        columns = map(list, zip(*rows) if rows else [()] * len(drawn))
        sequences = [each if is_sliceable(each) else next(columns) for each in sequences]
    assert end is not None
    return Piece(0, end, tuple(sequences))


def cut(name: str, sequences: Sequence[Any], parts: Any, size: Any) -> tuple[Pieces, Optional[int]]:
    """The input of a cognate of several sequences, as far as these have elements in common.

    Args:
        name: The cognate's.
        sequences: Sequences and other iterables.
        parts: How many parts to make, as the user gave it.
        size: How many elements to take at most, likewise.

    Returns:
        The pieces, and how many parts to make of them; None: as many as are good.

    Raises:
        TypeError, ValueError: An argument is not what it may be.
    """
    check_iterables(name, sequences)
    parts = check_number("parts", parts, 1, "as many as are good")
    size = check_number("size", size, 0, "all elements")
    if parts is None and not all(map(is_sliceable, sequences)):
        return Draws(sequences, size), None
    # Equal parts of something can be made only when all of it is there.
    piece = gather(sequences, size)
    return Slices(piece.args, 0, piece.length), parts


def cut_window(
    name: str, thing: Any, start: Any, end: Any, parts: Any, backwards: bool
) -> tuple[Pieces, Optional[int]]:
    """The input of a cognate of one sequence, as far as `start` and `end` leave it.

    Args:
        name: The cognate's.
        thing: A sequence or another iterable.
        start: The first element, as the user gave it.
        end: The one after the last, likewise.
        parts: How many parts to make, likewise.
        backwards: Whether to begin with the last.

    Returns:
        As `cut`.

    Raises:
        TypeError, ValueError: As for `cut`.
    """
    check_iterables(name, (thing,))
    parts = check_number("parts", parts, 1, "as many as are good")
    # Equal parts can be made, and the last be the first, only when all of it is there.
    whole = backwards or parts is not None
    thing, first, last = window_of(thing, start, end, whole)
    if last is None:
        return Draws((thing,), None, first), parts
    return Slices((thing,), first, last, backwards=backwards), parts
