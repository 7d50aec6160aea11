"""Where this code runs: in a worker, or elsewhere.

The worker process writes it once; `farm_client.worker_index` reads it, so that a task need not
import the server.
"""

from __future__ import annotations

from typing import Optional

__all__ = ["enter_worker", "worker_index"]

_index: Optional[int] = None


def worker_index() -> Optional[int]:
    """The index of the worker that runs this code, in its kernel; None outside of workers."""
    return _index


def enter_worker(index: int) -> None:
    """Say that this process is a worker from now on."""
    global _index
    _index = index
