"""Reductions: from the elements of a sequence to one value."""

from __future__ import annotations

import functools
from typing import Any, Callable, Optional

from farm_common.parts import MISSING, ReducePart
from farm_common.shipping.tasks import Task, task_function

from ..kernel import check_kernel
from ..promise import future
from .call import Call
from .local import call_here
from .pieces import Pieces, Slices, cut_window

__all__ = ["pmap_reduce", "preduce", "preduce_partial"]

#: So many partial results are worth reducing in parallel.
_MANY = 4


def preduce(
    task: Task,
    seq: Any,
    *,
    key: Optional[Task] = None,
    initial_value: Any = MISSING,
    start: int = 0,
    end: Optional[int] = None,
    from_end: bool = False,
    parts: Optional[int] = None,
    recurse: bool = False,
    progress: bool = False,
) -> Any:
    """Combine the elements of a sequence by a task that takes two, as `functools.reduce` does.

    The sequence is cut into parts, each part is reduced by a worker, and what these give is reduced
    here. So the task must be associative; it need not be commutative.

    Args:
        task: A callable or the name of one. It is also called here, unless it is a name or
            ``@deftask(local=False)``.
        seq: A sequence or another iterable.
        key: What to apply to each element first.
        initial_value: What each part begins with: something that changes nothing, such as 0 for
            a sum, or the result depends on the number of parts.
        start: The first element, as in a slice.
        end: The one after the last, as in a slice.
        from_end: Whether a worker combines the last two elements of its part first.
        parts: How many parts to make. By default that follows from how long the task takes, so
            floating-point sums may differ in their last digits from one time to the next.
        recurse: Whether to reduce what the parts give in parallel, too.
        progress: As for `pmap`.

    Returns:
        The value; of no elements the initial value, or what the task returns without arguments.

    Raises:
        TaskExecutionError: The task or the key failed.
        WorkerLostError, SerializationError, TypeError, ValueError, NoKernelError: As for `pmap`.
    """
    partials = _partials(
        "preduce", task, seq, key, initial_value, start, end, from_end, parts, progress
    )
    if not partials:
        return _nothing(task) if initial_value is MISSING else initial_value
    while recurse and len(partials) >= _MANY:
        most = len(partials) // 2
        number = most if parts is None else min(parts, most)
        runner = ReducePart(task, None, from_end, initial_value)
        pieces = Slices((partials,), 0, len(partials))
        before, partials = len(partials), _run(runner, pieces, number, False)
        assert len(partials) < before
    return partials[0] if len(partials) == 1 else _combined(task, partials)


def preduce_partial(
    task: Task,
    seq: Any,
    *,
    key: Optional[Task] = None,
    initial_value: Any = MISSING,
    start: int = 0,
    end: Optional[int] = None,
    from_end: bool = False,
    parts: Optional[int] = None,
    progress: bool = False,
) -> list[Any]:
    """`preduce` that stops half-way: what each part gives, in order.

    Args:
        task: As for `preduce`; it is not called here.
        seq: As for `preduce`.
        key: As for `preduce`.
        initial_value: As for `preduce`.
        start: As for `preduce`.
        end: As for `preduce`.
        from_end: As for `preduce`.
        parts: How many parts to make; by default as many as there are workers.
        progress: As for `pmap`.

    Raises:
        ValueError: There are no elements, or as for `preduce`.
        TaskExecutionError, WorkerLostError, SerializationError, TypeError: As for `preduce`.
    """
    if parts is None:
        parts = max(1, check_kernel().worker_count)
    partials = _partials(
        "preduce_partial", task, seq, key, initial_value, start, end, from_end, parts, progress
    )
    if not partials:
        raise ValueError("preduce_partial() of no elements has no parts")
    return partials


def pmap_reduce(
    map_task: Task,
    reduce_task: Task,
    seq: Any,
    *,
    initial_value: Any = MISSING,
    start: int = 0,
    end: Optional[int] = None,
    from_end: bool = False,
    parts: Optional[int] = None,
    recurse: bool = False,
    progress: bool = False,
) -> Any:
    """`preduce` with `reduce_task` of what `map_task` makes of the elements.

    Args:
        map_task: The ``key`` of `preduce`.
        reduce_task: The ``task`` of `preduce`.
        seq: As for `preduce`.
        initial_value: As for `preduce`.
        start: As for `preduce`.
        end: As for `preduce`.
        from_end: As for `preduce`.
        parts: As for `preduce`.
        recurse: As for `preduce`.
        progress: As for `pmap`.
    """
    return preduce(
        reduce_task,
        seq,
        key=map_task,
        initial_value=initial_value,
        start=start,
        end=end,
        from_end=from_end,
        parts=parts,
        recurse=recurse,
        progress=progress,
    )


def _partials(
    name: str,
    task: Task,
    seq: Any,
    key: Optional[Task],
    initial: Any,
    start: Any,
    end: Any,
    from_end: bool,
    parts: Any,
    progress: bool,
) -> list[Any]:
    """What each part gives."""
    pieces, parts = cut_window(name, seq, start, end, parts, False)
    return _run(ReducePart(task, key, from_end, initial), pieces, parts, progress)


def _run(runner: ReducePart, pieces: Pieces, parts: Optional[int], progress: bool) -> list[Any]:
    with Call(runner, pieces, parts, progress=progress) as call:
        return [part.value for part in call.in_order(call.check)]


def _combined(task: Task, partials: list[Any]) -> Any:
    """The partial results in one: computed here if the task may be called here."""
    function = _local(task)
    if function is None:
        return _run(ReducePart(task), Slices((partials,), 0, len(partials)), 1, False)[0]
    return call_here(functools.reduce, function, partials)


def _nothing(task: Task) -> Any:
    """What the task makes of no elements."""
    function = _local(task)
    return future(task).result() if function is None else call_here(function)


def _local(task: Task) -> Optional[Callable[..., Any]]:
    """The task if it may be called here."""
    return None if isinstance(task, str) or task_function(task) is not task else task
