"""Searches: they end as soon as it is known what is looked for."""

from __future__ import annotations

import operator
from typing import Any, Optional

from farm_common.parts import FindPart, SomePart
from farm_common.shipping.tasks import Task

from .call import Call, Part
from .pace import Pace
from .pieces import Pieces, cut, cut_window

__all__ = ["pevery", "pfind", "pfind_if", "pfind_if_not", "pnotany", "pnotevery", "psome"]

#: What a part may take, in microseconds: what is running when the answer is known was in vain.
_MOST = 20_000.0


def pfind(
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
) -> Any:
    """The first element that is equal to an item, None if there is none.

    Args:
        item: What to look for; it travels to the workers.
        seq: A sequence or another iterable.
        key: What to apply to an element before it is compared.
        test: What to call with the item and an element in place of ``==``.
        start: The first element to look at, as in a slice.
        end: The one after the last, as in a slice.
        from_end: Whether to find the last such element.
        parts: How many parts to make. By default that follows from how long it takes.
        progress: As for `pmap`.

    Raises:
        TaskExecutionError: The key or the test failed on an element before the one that is found.
        WorkerLostError, SerializationError, TypeError, ValueError, NoKernelError: As for `pmap`.
    """
    runner = FindPart(operator.eq if test is None else test, key, from_end, item)
    return _find("pfind", runner, seq, start, end, parts, progress)


def pfind_if(
    predicate: Task,
    seq: Any,
    *,
    key: Optional[Task] = None,
    start: int = 0,
    end: Optional[int] = None,
    from_end: bool = False,
    parts: Optional[int] = None,
    progress: bool = False,
) -> Any:
    """The first element for which a predicate is true, None if there is none.

    Args:
        predicate: A callable or the name of one.
        seq: As for `pfind`.
        key: As for `pfind`.
        start: As for `pfind`.
        end: As for `pfind`.
        from_end: As for `pfind`.
        parts: As for `pfind`.
        progress: As for `pmap`.
    """
    runner = FindPart(predicate, key, from_end)
    return _find("pfind_if", runner, seq, start, end, parts, progress)


def pfind_if_not(
    predicate: Task,
    seq: Any,
    *,
    key: Optional[Task] = None,
    start: int = 0,
    end: Optional[int] = None,
    from_end: bool = False,
    parts: Optional[int] = None,
    progress: bool = False,
) -> Any:
    """The first element for which a predicate is false, None if there is none; see `pfind_if`."""
    runner = FindPart(predicate, key, from_end, wanted=False)
    return _find("pfind_if_not", runner, seq, start, end, parts, progress)


def pevery(
    predicate: Task,
    *seqs: Any,
    parts: Optional[int] = None,
    size: Optional[int] = None,
    progress: bool = False,
) -> bool:
    """Whether a predicate is true of each element, or of the elements of several sequences.

    Args:
        predicate: A callable or the name of one; takes as many arguments as there are sequences.
        *seqs: Sequences or other iterables; it ends with the shortest.
        parts: As for `pmap`.
        size: How many elements to look at, at most.
        progress: As for `pmap`.
    """
    runner = FindPart(predicate, wanted=False)
    return _first("pevery", runner, seqs, parts, size, progress) is None


def psome(
    predicate: Task,
    *seqs: Any,
    parts: Optional[int] = None,
    size: Optional[int] = None,
    progress: bool = False,
) -> Any:
    """The first true value that a predicate returns, False if there is none; see `pevery`.

    Returns:
        The value, or True where it cannot travel.
    """
    part = _first("psome", SomePart(predicate), seqs, parts, size, progress)
    return False if part is None else part.value


def pnotany(
    predicate: Task,
    *seqs: Any,
    parts: Optional[int] = None,
    size: Optional[int] = None,
    progress: bool = False,
) -> bool:
    """Whether a predicate is false of each element; see `pevery`."""
    return _first("pnotany", FindPart(predicate), seqs, parts, size, progress) is None


def pnotevery(
    predicate: Task,
    *seqs: Any,
    parts: Optional[int] = None,
    size: Optional[int] = None,
    progress: bool = False,
) -> bool:
    """Whether a predicate is false of some element; see `pevery`."""
    runner = FindPart(predicate, wanted=False)
    return _first("pnotevery", runner, seqs, parts, size, progress) is not None


def _find(
    name: str, runner: FindPart, seq: Any, start: Any, end: Any, parts: Any, progress: bool
) -> Any:
    """The element that a runner looks for."""
    pieces, parts = cut_window(name, seq, start, end, parts, runner.from_end)
    part = _decide(runner, pieces, parts, progress)
    return None if part is None else part.piece.args[0][part.value]


def _first(
    name: str, runner: FindPart, seqs: tuple[Any, ...], parts: Any, size: Any, progress: bool
) -> Optional[Part]:
    """The first part in which a runner finds what it looks for."""
    pieces, parts = cut(name, seqs, parts, size)
    return _decide(runner, pieces, parts, progress)


def _decide(
    runner: FindPart, pieces: Pieces, parts: Optional[int], progress: bool
) -> Optional[Part]:
    """The first part, in order, that is no vain search; an error counts as such."""
    with Call(
        runner,
        pieces,
        parts,
        progress=progress,
        backwards=runner.from_end,
        pace=Pace(_MOST),
        keep=True,
    ) as call:
        for part in call.in_order(_is_decisive):
            if _is_decisive(part):
                call.check(part)
                call.finish()
                return part
    return None


def _is_decisive(part: Part) -> bool:
    return part.value is not None or part.error is not None
