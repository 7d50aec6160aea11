"""Maps: a task on each element."""

from __future__ import annotations

import operator
from typing import Any, Optional, TypeVar

from farm_common.parts import CallPart, ChainPart, EachPart, MapPart, Runner
from farm_common.shipping.tasks import Task

from .call import Call
from .inputs import check_iterables, check_number
from .output import Output, make_output, make_target
from .pieces import Pieces, cut, gather

__all__ = ["map_pieces", "pdotimes", "pmap", "pmap_into", "pmapc", "pmapcan", "pmapcar"]

T = TypeVar("T")


def pmap(
    task: Task,
    *seqs: Any,
    result_type: Any = list,
    parts: Optional[int] = None,
    size: Optional[int] = None,
    progress: bool = False,
) -> Any:
    """Call a task on each element of a sequence, or on the first elements of several, and so on.

    Like `map`, it ends with the shortest sequence; the results are in the order of the elements.

    Args:
        task: A callable or the name of one; takes as many arguments as there are sequences.
        *seqs: Sequences or other iterables.
        result_type: What to return: ``list``, ``tuple``, ``str``, ``numpy.ndarray`` or another
            type that can be made from a list; an array of the same type as the one to return;
            or None: nothing, the results then stay where they are.
        parts: How many parts to cut the sequences into. By default that follows from how long
            the task takes.
        size: How many elements to map at most.
        progress: Whether to show a progress bar, on a terminal or in a notebook.

    Raises:
        TaskExecutionError: The task failed; its ``index`` says on which element.
        WorkerLostError: The workers that were given a part died.
        SerializationError: The task or an element cannot travel.
        TypeError, ValueError: An argument is not what it may be.
        NoKernelError: There is no current kernel.
    """
    return _map("pmap", task, seqs, result_type, parts, size, progress)


def pmapcar(
    task: Task,
    *seqs: Any,
    parts: Optional[int] = None,
    size: Optional[int] = None,
    progress: bool = False,
) -> list[Any]:
    """`pmap` that returns a list."""
    return _map("pmapcar", task, seqs, list, parts, size, progress)  # type: ignore[no-any-return]


def pmapc(
    task: Task,
    *seqs: Any,
    parts: Optional[int] = None,
    size: Optional[int] = None,
    progress: bool = False,
) -> Any:
    """`pmap` for the sake of what the task does: its results stay where they are.

    Returns:
        The first sequence.
    """
    pieces, parts = cut("pmapc", seqs, parts, size)
    map_pieces(EachPart(task), pieces, None, parts, progress)
    return seqs[0]


def pmapcan(
    task: Task,
    *seqs: Any,
    parts: Optional[int] = None,
    size: Optional[int] = None,
    progress: bool = False,
) -> list[Any]:
    """`pmap` with a task that returns lists: all of these in one.

    Args:
        task: Returns a list or another iterable; or None for an empty one.
        *seqs: As for `pmap`.
        parts: As for `pmap`.
        size: As for `pmap`.
        progress: As for `pmap`.
    """
    pieces, parts = cut("pmapcan", seqs, parts, size)
    return chain_pieces(ChainPart(task), pieces, parts, progress)


def pmap_into(
    result: T,
    task: Task,
    *seqs: Any,
    parts: Optional[int] = None,
    size: Optional[int] = None,
    progress: bool = False,
) -> T:
    """`pmap` that writes its results into a sequence.

    It ends where the result does, if that is shorter than the sequences. Elements behind are not
    touched. If the task fails, what was written so far stays.

    Args:
        result: A list, an `array.array`, a NumPy array or another mutable sequence.
        task: As for `pmap`. Without sequences it is called without arguments, once for each
            element of the result.
        *seqs: As for `pmap`; the result may be one of them.
        parts: As for `pmap`.
        size: As for `pmap`.
        progress: As for `pmap`.

    Returns:
        The result.

    Raises:
        TypeError: The result cannot be written to, or another argument is not what it may be.
    """
    length, output, seqs = prepare_target("pmap_into", result, seqs, size)
    pieces, parts = cut("pmap_into", seqs or (range(length),), parts, length)
    kind = MapPart if seqs else CallPart
    map_pieces(kind(task, output.make), pieces, output, parts, progress)
    return output.finish()  # type: ignore[no-any-return]


def pdotimes(
    count: int, task: Task, *, parts: Optional[int] = None, progress: bool = False
) -> None:
    """Call a task on each whole number from 0 to ``count - 1``, for the sake of what it does.

    Args:
        count: How many numbers; none, if it is negative.
        task: Takes a number.
        parts: As for `pmap`.
        progress: As for `pmap`.
    """
    try:
        count = operator.index(count)
    except TypeError:
        raise TypeError(f"pdotimes() takes a whole number, not {count!r:.100}") from None
    pieces, parts = cut("pdotimes", (range(max(0, count)),), parts, None)
    map_pieces(EachPart(task), pieces, None, parts, progress)


def _map(
    name: str,
    task: Task,
    seqs: tuple[Any, ...],
    result_type: Any,
    parts: Optional[int],
    size: Optional[int],
    progress: bool,
) -> Any:
    output = make_output(result_type)
    pieces, parts = cut(name, seqs, parts, size)
    runner = EachPart(task) if output is None else MapPart(task, output.make)
    map_pieces(runner, pieces, output, parts, progress)
    return None if output is None else output.finish()


def map_pieces(
    runner: Runner,
    pieces: Pieces,
    output: Optional[Output],
    parts: Optional[int],
    progress: bool,
) -> None:
    """Run all parts, and hand the output their results in order."""
    with Call(runner, pieces, parts, progress=progress) as call:
        for part in call.in_order(call.check):
            if output is not None:
                output.put(part.piece.start, part.value)


def chain_pieces(runner: Runner, pieces: Pieces, parts: Optional[int], progress: bool) -> list[Any]:
    """Run all parts, and join the lists that they give."""
    output = make_output(list)
    assert output is not None
    map_pieces(runner, pieces, output, parts, progress)
    return output.finish()  # type: ignore[no-any-return]


def prepare_target(
    name: str, result: Any, seqs: tuple[Any, ...], size: Optional[int]
) -> tuple[int, Output, tuple[Any, ...]]:
    """How many elements to write at most, the output, and the sequences.

    Args:
        name: The cognate's.
        result: What is to be written to.
        seqs: Its sequences; those that are not are read here, before anything is written.
        size: As the user gave it.
    """
    output = make_target(name, result, seqs)
    size = check_number("size", size, 0, "all elements")
    length = len(result) if size is None else min(size, len(result))
    if seqs:
        check_iterables(name, seqs)
        piece = gather(seqs, length)
        length, seqs = piece.length, piece.args
    return length, output, seqs
