"""Sorting: workers sort parts, and these are merged here."""

from __future__ import annotations

import functools
from array import array
from itertools import chain
from typing import Any, Optional

from farm_common.parts import SortPart
from farm_common.shipping.tasks import Task

from ..kernel import check_kernel
from .call import Call, Part
from .inputs import as_sequence, check_iterables, check_number, is_ndarray
from .local import call_here
from .pace import Pace
from .pieces import Slices

__all__ = ["psort"]

#: So few elements are sorted faster than divided, if nothing has to be computed for them.
_FEW = 2000

#: What a part may take, in microseconds, and how many parts each worker would get if they were all
#: of the same size: the more there are, the longer it takes to merge them.
_MOST = 500_000.0
_SHARES = 2


def psort(
    seq: Any,
    *,
    key: Optional[Task] = None,
    reverse: bool = False,
    parts: Optional[int] = None,
    progress: bool = False,
) -> Any:
    """A sorted copy of a sequence, as by `sorted`: equal elements stay in their order.

    Args:
        seq: A sequence or another iterable.
        key: A task that gives what to compare in place of the elements; the workers call it.
        reverse: Whether the largest comes first.
        parts: How many parts to sort by themselves. By default that follows from how long the
            key takes, and from the number of elements.
        progress: As for `pmap`.

    Returns:
        A list; of an array or a NumPy array one of the same type. The elements of a list are
        the very same objects, but for numbers.

    Raises:
        TaskExecutionError: The key failed, or some elements cannot be compared.
        WorkerLostError, SerializationError, TypeError, ValueError, NoKernelError: As for `pmap`.
    """
    check_iterables("psort", (seq,))
    parts = check_number("parts", parts, 1, "as many as are good")
    whole = as_sequence(seq)
    if is_ndarray(whole) and whole.ndim != 1:
        raise TypeError(f"psort() sorts arrays of one dimension, not of {whole.ndim}")
    pace = Pace(_MOST, _SHARES)
    if parts is None and key is None:
        parts = 1 if len(whole) < _FEW else max(1, check_kernel().worker_count)
    runner = SortPart(key, bool(reverse))
    pieces = Slices((whole,), 0, len(whole))
    with Call(runner, pieces, parts, progress=progress, pace=pace, keep=True) as call:
        runs = list(call.in_order(call.check))
    if is_ndarray(whole):
        return _merge_arrays(whole, runs, key is not None, reverse)
    merged = _merge(runs, key is not None, reverse)
    return array(whole.typecode, merged) if isinstance(whole, array) else merged


def _merge(runs: list[Part], keyed: bool, reverse: bool) -> list[Any]:
    """One list of several that are sorted each: list.sort() is good at that."""
    merged: list[Any] = []
    for run in runs:
        if type(run.value) is tuple:
            merged += map(run.piece.args[0].__getitem__, run.value[0])
        else:
            merged += run.value
    if len(runs) > 1:
        call_here(functools.partial(merged.sort, key=_keys(runs, keyed), reverse=reverse))
    return merged


def _merge_arrays(whole: Any, runs: list[Part], keyed: bool, reverse: bool) -> Any:
    import numpy as np

    if not runs:
        return whole.copy()
    if keyed:
        order = [run.piece.start + index for run in runs for index in run.value[0]]
        if len(runs) > 1:
            call_here(functools.partial(order.sort, key=_keys(runs, keyed), reverse=reverse))
        return whole[np.array(order, dtype=np.intp)]
    if len(runs) == 1:
        return runs[0].value
    merged = np.concatenate([run.value for run in runs])
    if reverse:  # so that equal ones stay in order
        return np.sort(merged[::-1], kind="stable")[::-1]
    return np.sort(merged, kind="stable")


def _keys(runs: list[Part], keyed: bool) -> Any:
    """A key for list.sort(), which asks for the keys of the elements one after the other."""
    return (
        functools.partial(next, chain.from_iterable(run.value[1] for run in runs))
        if keyed
        else None
    )
