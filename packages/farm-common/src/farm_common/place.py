"""Where this code runs: in a worker, or elsewhere.

The worker process writes it once; `farm_client.worker_index` reads it, so that a task need not
import the server. Where a thread is the worker, because an executor of the user's runs the tasks,
it is written for that thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Optional

__all__ = ["as_worker", "enter_worker", "worker_index"]


class _Here(threading.local):
    index: Optional[int] = None


# Before what says `global`: PyPy 3.9 wants annotations to come first.
_index: Optional[int] = None
_here = _Here()


def worker_index() -> Optional[int]:
    """The index of the worker that runs this code, in its kernel; None outside of workers."""
    index = _here.index
    return _index if index is None else index


def enter_worker(index: int) -> None:
    """Say that this process is a worker from now on."""
    global _index
    _index = index


@contextmanager
def as_worker(index: int) -> Iterator[None]:
    """Have this thread be a worker inside the ``with``."""
    outer, _here.index = _here.index, index
    try:
        yield
    finally:
        _here.index = outer
