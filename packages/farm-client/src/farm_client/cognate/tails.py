"""Maps over tails: a task on a sequence, on all of it but its first element, and so on."""

from __future__ import annotations

from copy import copy
from typing import Any, Optional, TypeVar

from farm_common.parts import CallPart, ChainTails, EachTail, MapTails, Runner
from farm_common.shipping import Shared
from farm_common.shipping.tasks import Task

from .inputs import as_sequence, check_iterables, check_number, shortest
from .map import chain_pieces, map_pieces, prepare_target
from .output import Output, make_output, overlap
from .pieces import Pieces, Slices

__all__ = ["pmapcon", "pmapl", "pmaplist", "pmaplist_into"]

T = TypeVar("T")


def pmaplist(
    task: Task,
    *seqs: Any,
    parts: Optional[int] = None,
    size: Optional[int] = None,
    progress: bool = False,
) -> list[Any]:
    """Call a task on the tails of a sequence, or of several: the whole, from the second on, ...

    There are as many tails as the shortest sequence has elements. A tail goes to the end of its own
    sequence. The sequences go to each worker once, and the tails of a NumPy array share its memory
    there: a task should not change them.

    Args:
        task: A callable or the name of one; takes as many tails as there are sequences.
        *seqs: Sequences or other iterables; the tails of the latter are lists.
        parts: As for `pmap`.
        size: How many tails to map at most.
        progress: As for `pmap`.

    Returns:
        The results, in order.
    """
    output = make_output(list)
    assert output is not None
    with _Whole("pmaplist", seqs, parts, size) as whole:
        whole.run(MapTails(task), output, progress)
    return output.finish()  # type: ignore[no-any-return]


def pmapl(
    task: Task,
    *seqs: Any,
    parts: Optional[int] = None,
    size: Optional[int] = None,
    progress: bool = False,
) -> Any:
    """`pmaplist` for the sake of what the task does: its results stay where they are.

    Returns:
        The first sequence.
    """
    with _Whole("pmapl", seqs, parts, size) as whole:
        whole.run(EachTail(task), None, progress)
    return seqs[0]


def pmapcon(
    task: Task,
    *seqs: Any,
    parts: Optional[int] = None,
    size: Optional[int] = None,
    progress: bool = False,
) -> list[Any]:
    """`pmaplist` with a task that returns lists: all of these in one; see `pmapcan`."""
    with _Whole("pmapcon", seqs, parts, size) as whole:
        return chain_pieces(ChainTails(task), whole.pieces, whole.parts, progress)


def pmaplist_into(
    result: T,
    task: Task,
    *seqs: Any,
    parts: Optional[int] = None,
    size: Optional[int] = None,
    progress: bool = False,
) -> T:
    """`pmaplist` that writes its results into a sequence; see `pmap_into`.

    Returns:
        The result.
    """
    if seqs:
        check_iterables("pmaplist_into", seqs)
        # Copies of what is going to be written to, because it is sent when a worker first needs it.
        seqs = tuple(copy(each) if overlap(each, result) else as_sequence(each) for each in seqs)
    length, output, seqs = prepare_target("pmaplist_into", result, seqs, size)
    if not seqs:
        parts = check_number("parts", parts, 1, "as many as are good")
        pieces = Slices((range(length),), 0, length)
        map_pieces(CallPart(task, output.make), pieces, output, parts, progress)
    else:
        with _Whole("pmaplist_into", seqs, parts, length) as whole:
            whole.run(MapTails(task, output.make), output, progress)
    return output.finish()  # type: ignore[no-any-return]


class _Whole:
    """Sequences on their way to all workers, and the positions where tails begin.

    As a context manager it frees them there.
    """

    def __init__(self, name: str, seqs: tuple[Any, ...], parts: Any, size: Any) -> None:
        check_iterables(name, seqs)
        self.parts = check_number("parts", parts, 1, "as many as are good")
        size = check_number("size", size, 0, "all tails")
        wholes = tuple(map(as_sequence, seqs))
        count = shortest(wholes, size) or 0
        self._shared = Shared(wholes)
        starts = range(count)
        self.pieces: Pieces = Slices((starts,), 0, count, before=(self._shared,))

    def run(self, runner: Runner, output: Optional[Output], progress: bool) -> None:
        """Run all parts, and hand the output their results in order."""
        map_pieces(runner, self.pieces, output, self.parts, progress)

    def __enter__(self) -> _Whole:  # noqa: PYI034  (nobody derives from it)
        return self

    def __exit__(self, *error: object) -> None:
        self._shared.release()
