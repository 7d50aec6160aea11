"""Counting, and removing: a task that says of each element whether it is one."""

from __future__ import annotations

import operator
from array import array
from itertools import compress
from typing import Any, Optional

from farm_common.parts import CountPart, MarkPart
from farm_common.shipping.tasks import Task

from .call import Call
from .inputs import as_sequence, check_iterables, check_number, is_ndarray
from .pieces import cut_window

__all__ = ["pcount", "pcount_if", "pcount_if_not", "premove", "premove_if", "premove_if_not"]

#: Makes 1 of 0 and 0 of 1.
_FLIPPED = bytes([1, 0]) + bytes(254)


def pcount(
    item: Any,
    seq: Any,
    *,
    key: Optional[Task] = None,
    test: Optional[Task] = None,
    start: int = 0,
    end: Optional[int] = None,
    from_end: bool = False,
    parts: Optional[int] = None,
    progress: bool = False,
) -> int:
    """How many elements are equal to an item.

    Args:
        item: What to look for; it travels to the workers.
        seq: A sequence or another iterable.
        key: What to apply to an element before it is compared.
        test: What to call with the item and an element in place of ``==``.
        start: The first element to look at, as in a slice.
        end: The one after the last, as in a slice.
        from_end: Whether to look at the last element first; the number is the same.
        parts: As for `pmap`.
        progress: As for `pmap`.

    Raises:
        TaskExecutionError: The key or the test failed.
        WorkerLostError, SerializationError, TypeError, ValueError, NoKernelError: As for `pmap`.
    """
    runner = CountPart(operator.eq if test is None else test, key, from_end, item)
    return _count("pcount", runner, seq, start, end, parts, progress)[0]


def pcount_if(
    predicate: Task,
    seq: Any,
    *,
    key: Optional[Task] = None,
    start: int = 0,
    end: Optional[int] = None,
    from_end: bool = False,
    parts: Optional[int] = None,
    progress: bool = False,
) -> int:
    """How many elements a predicate is true of.

    Args:
        predicate: A callable or the name of one.
        seq: As for `pcount`.
        key: As for `pcount`.
        start: As for `pcount`.
        end: As for `pcount`.
        from_end: As for `pcount`.
        parts: As for `pmap`.
        progress: As for `pmap`.
    """
    runner = CountPart(predicate, key, from_end)
    return _count("pcount_if", runner, seq, start, end, parts, progress)[0]


def pcount_if_not(
    predicate: Task,
    seq: Any,
    *,
    key: Optional[Task] = None,
    start: int = 0,
    end: Optional[int] = None,
    from_end: bool = False,
    parts: Optional[int] = None,
    progress: bool = False,
) -> int:
    """How many elements a predicate is false of; see `pcount_if`."""
    runner = CountPart(predicate, key, from_end)
    number, total = _count("pcount_if_not", runner, seq, start, end, parts, progress)
    return total - number


def premove(
    item: Any,
    seq: Any,
    *,
    key: Optional[Task] = None,
    test: Optional[Task] = None,
    start: int = 0,
    end: Optional[int] = None,
    from_end: bool = False,
    count: Optional[int] = None,
    parts: Optional[int] = None,
    progress: bool = False,
) -> Any:
    """A sequence without the elements that are equal to an item.

    Args:
        item: What to leave out; it travels to the workers.
        seq: A sequence or another iterable; it stays as it is.
        key: What to apply to an element before it is compared.
        test: What to call with the item and an element in place of ``==``.
        start: The first element that may be left out, as in a slice.
        end: The one after the last, as in a slice.
        from_end: With a count: whether to leave out the last ones.
        count: How many to leave out at most.
        parts: As for `pmap`.
        progress: As for `pmap`.

    Returns:
        The other elements in order, in a new sequence of the same type if it is a tuple, a string,
        bytes, an array or a NumPy array, else in a list.

    Raises:
        TaskExecutionError: The key or the test failed.
        WorkerLostError, SerializationError, TypeError, ValueError, NoKernelError: As for `pmap`.
    """
    runner = MarkPart(operator.eq if test is None else test, key, from_end, item)
    return _remove("premove", runner, False, seq, start, end, count, parts, progress)


def premove_if(
    predicate: Task,
    seq: Any,
    *,
    key: Optional[Task] = None,
    start: int = 0,
    end: Optional[int] = None,
    from_end: bool = False,
    count: Optional[int] = None,
    parts: Optional[int] = None,
    progress: bool = False,
) -> Any:
    """A sequence without the elements that a predicate is true of.

    Args:
        predicate: A callable or the name of one.
        seq: As for `premove`.
        key: As for `premove`.
        start: As for `premove`.
        end: As for `premove`.
        from_end: As for `premove`.
        count: As for `premove`.
        parts: As for `pmap`.
        progress: As for `pmap`.
    """
    runner = MarkPart(predicate, key, from_end)
    return _remove("premove_if", runner, False, seq, start, end, count, parts, progress)


def premove_if_not(
    predicate: Task,
    seq: Any,
    *,
    key: Optional[Task] = None,
    start: int = 0,
    end: Optional[int] = None,
    from_end: bool = False,
    count: Optional[int] = None,
    parts: Optional[int] = None,
    progress: bool = False,
) -> Any:
    """A sequence without the elements that a predicate is false of; see `premove_if`."""
    runner = MarkPart(predicate, key, from_end)
    return _remove("premove_if_not", runner, True, seq, start, end, count, parts, progress)


def _count(
    name: str, runner: CountPart, seq: Any, start: Any, end: Any, parts: Any, progress: bool
) -> tuple[int, int]:
    """How many elements there are of which the task is true, and how many it looked at."""
    backwards = runner.from_end
    pieces, parts = cut_window(name, seq, start, end, parts, backwards)
    number = total = 0
    with Call(runner, pieces, parts, progress=progress, backwards=backwards) as call:
        for part in call.finished():
            call.check(part)
            number += part.value
            total += part.piece.length
    return number, total


def _remove(
    name: str,
    runner: MarkPart,
    keep: bool,
    seq: Any,
    start: Any,
    end: Any,
    count: Any,
    parts: Any,
    progress: bool,
) -> Any:
    """What is left of a sequence; `keep` says whether that is what the runner marks."""
    check_iterables(name, (seq,))
    count = check_number("count", count, 0, "all")
    backwards = runner.from_end
    whole = as_sequence(seq)
    pieces, parts = cut_window(name, whole, start, end, parts, backwards)
    marks = bytearray(b"\1") * len(whole)  # 1 for each element that stays
    left = len(whole) if count is None else count
    with Call(runner, pieces, parts, progress=progress, backwards=backwards) as call:
        for part in call.in_order(call.check) if left else ():
            kept = part.value if keep else part.value.translate(_FLIPPED)
            kept, left = _limit(kept, left, backwards)
            begin = part.piece.start
            marks[begin : begin + part.piece.length] = kept
            if not left:
                call.finish()
                break
    return _selected(whole, marks)


def _limit(kept: bytes, left: int, backwards: bool) -> tuple[bytes, int]:
    """Marks with at most so many zeros, and how many more there may be."""
    zeros = kept.count(0)
    if zeros <= left:
        return kept, left - zeros
    place = len(kept) if backwards else -1
    for _ in range(left):
        place = kept.rfind(0, 0, place) if backwards else kept.find(0, place + 1)
    if backwards:
        return b"\1" * place + kept[place:], 0
    return kept[: place + 1] + b"\1" * (len(kept) - place - 1), 0


def _selected(whole: Any, marks: bytearray) -> Any:
    """The marked elements, in a sequence of the same type."""
    if is_ndarray(whole):
        import numpy as np

        return whole[np.frombuffer(marks, np.bool_)] if marks else whole.copy()
    rest = compress(whole, marks)
    if isinstance(whole, array):
        return array(whole.typecode, rest)
    if isinstance(whole, str):
        return "".join(rest)
    if isinstance(whole, (bytes, bytearray)):
        return type(whole)(rest)
    return tuple(rest) if isinstance(whole, tuple) else list(rest)
