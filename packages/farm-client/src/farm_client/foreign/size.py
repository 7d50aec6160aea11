"""How many tasks an executor runs at a time, which each of them tells in a way of its own."""

from __future__ import annotations

import os
from concurrent.futures import Executor
from typing import Any, Optional

__all__ = ["slots_of"]


def slots_of(executor: Executor) -> int:
    """How many workers a kernel over an executor has.

    What the executor is known to tell it by, else the number of processors here: of Dask the
    threads of all workers, of ipyparallel the engines of the view, and otherwise the attributes
    ``worker_count``, ``num_workers`` or ``_max_workers``. It is asked once.
    """
    thing: Any = executor
    for ask in (_kernel, _dask, _ipyparallel, _attribute):
        try:
            count = ask(thing)
        except Exception:  # noqa: BLE001 (somebody else's code, and it is only a number)
            count = None
        if count is not None and count > 0:
            return count
    return os.cpu_count() or 1


def _kernel(executor: Any) -> Optional[int]:
    kernel = getattr(executor, "_kernel", None)
    return None if kernel is None else int(kernel.worker_count)


def _dask(executor: Any) -> Optional[int]:
    client = getattr(executor, "_client", None)
    return None if client is None else int(sum(client.ncores().values()))


def _ipyparallel(executor: Any) -> Optional[int]:
    view = getattr(executor, "view", None)
    return None if view is None else len(view)


def _attribute(executor: Any) -> Optional[int]:
    for name in ("worker_count", "num_workers", "_max_workers"):
        count = getattr(executor, name, None)
        if type(count) is int and count > 0:
            return count
    return None
