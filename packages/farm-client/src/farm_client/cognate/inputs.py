"""What may be given to a cognate: sequences, other iterables, and keywords."""

from __future__ import annotations

import operator
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Optional

__all__ = [
    "as_sequence",
    "check_iterables",
    "check_number",
    "expected",
    "is_ndarray",
    "is_sliceable",
    "shortest",
    "window_of",
]

_SLICEABLE = (list, tuple, range, str, bytes, bytearray, array)


def is_ndarray(value: Any) -> bool:
    """Whether a value is a NumPy array; NumPy is not imported for that."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def is_sliceable(value: Any) -> bool:
    """Whether slices of a value are what a worker should get in its place."""
    if isinstance(value, range):
        try:
            len(value)
        except OverflowError:  # there are more than anybody can count
            return False
    return isinstance(value, _SLICEABLE) or (is_ndarray(value) and value.ndim > 0)


def check_iterables(name: str, things: Sequence[Any]) -> None:
    """See to it that all of some arguments can be iterated over.

    Args:
        name: The cognate's.
        things: The arguments.

    Raises:
        TypeError: One cannot, or there is none.
    """
    if not things:
        raise TypeError(f"{name}() needs at least one sequence")
    for thing in things:
        if not is_sliceable(thing):
            try:
                iter(thing)
            except TypeError:
                raise TypeError(
                    f"{name}() takes sequences and other iterables, not {thing!r:.100}"
                ) from None


def check_number(name: str, value: Any, least: int, absent: str) -> Optional[int]:
    """A keyword that is a whole number, if it is given.

    Args:
        name: The keyword's.
        value: What was given.
        least: What it must not be less than.
        absent: What None means.

    Raises:
        TypeError, ValueError: It is not one, or too small.
    """
    if value is None:
        return None
    text = f"{name} is a whole number from {least} on, or None for {absent}, not {value!r:.100}"
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(text) from None
    if number < least:
        raise ValueError(text)
    return number


def shortest(sequences: Iterable[Any], size: Optional[int]) -> Optional[int]:
    """How many elements there are to map at most; None where only the end will tell."""
    lengths = [len(sequence) for sequence in sequences if is_sliceable(sequence)]
    return min(lengths if size is None else [*lengths, size], default=None)


def expected(things: Iterable[Any], size: Optional[int]) -> Optional[int]:
    """About how many elements there are to map; None where nobody knows."""
    hints = [] if size is None else [size]
    for thing in things:
        try:
            hints.append(operator.length_hint(thing, -1))
        except OverflowError:
            hints.append(sys.maxsize)
    return None if not hints or min(hints) < 0 else min(hints)


def as_sequence(thing: Any) -> Any:
    """A sequence that can be sliced; a list of the elements of what cannot."""
    return thing if is_sliceable(thing) else list(thing)


def window_of(thing: Any, start: Any, end: Any, whole: bool) -> tuple[Any, int, Optional[int]]:
    """The part of a sequence that `start` and `end` leave, as in a slice.

    Args:
        thing: A sequence or another iterable.
        start: The first element.
        end: The one after the last; None: all the rest.
        whole: Whether all of the part has to be known at once.

    Returns:
        A sequence with its limits; or, where it need not be known as a whole, an iterator that
        begins with the first element, the number of this one, and None.

    Raises:
        TypeError: `start` or `end` is no whole number.
    """
    start, end = _bound("start", start, 0), _bound("end", end, None)
    if not is_sliceable(thing):
        if not whole and start >= 0 and (end is None or end >= 0):
            rest: Iterator[Any] = islice(thing, start, end if end is None else max(start, end))
            return rest, start, None
        # What is behind the end is not read, for there may be no end of it.
        known = start >= 0 and end is not None and end >= 0
        thing = list(islice(thing, end) if known else thing)
    start, end, _ = slice(start, end).indices(len(thing))
    return thing, start, max(start, end)


def _bound(name: str, value: Any, absent: Optional[int]) -> Any:
    if value is None:
        return absent
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is a whole number, not {value!r:.100}") from None
