"""On which processor a process runs: Linux only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

#: Whether processes can be placed, and there is a choice.
POSSIBLE = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1


@contextmanager
def placed(peers: Iterable[int], apart: bool) -> Iterator[None]:
    """Keep this process on one processor, and others on the same or on another.

    Args:
        peers: The other processes.
        apart: On another.
    """
    everywhere = os.sched_getaffinity(0)
    here, there = sorted(everywhere)[:2]
    peers = list(peers)
    try:
        _place(os.getpid(), {here})
        for pid in peers:
            _place(pid, {there if apart else here})
        yield
    finally:
        for pid in (os.getpid(), *peers):
            _place(pid, everywhere)


def _place(pid: int, processors: set[int]) -> None:
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), processors)
