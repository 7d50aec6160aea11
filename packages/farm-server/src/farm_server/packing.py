"""The time in which a task's outcome is packed, which may call the user's code."""

from __future__ import annotations

import os
import threading
from time import perf_counter_ns
from typing import Any

from .board import Slot

__all__ = ["LONGEST", "Packing"]

#: The longest limit that a task may have, in ns.
LONGEST = 1 << 62

_STARTED, _LIMIT = Slot.STARTED, Slot.LIMIT


class Packing:
    """A block in which something is packed, for a task or what came of it.

    Packing is the task's time: what is left of its limit is on the board for as long as it takes.
    And it is the user's code, as far as anybody knows, so the worker's lock is given up for it. It
    is not interrupted, for packing has state of its own: if it takes too long, the server ends the
    process.

    Args:
        words: The numbers of the worker's slot on the board.
        lock: The worker's; held by whoever enters.

    Attributes:
        limit: How long each task of a frame may run, in ns; 0: for ever.
        spent: How much of that the task has had when it ends, in ns.
        calls: How many calls of the user's have that limit, each for itself.
        forked: Whether this is a child that something in the block forked: it is no worker.
    """

    def __init__(self, words: Any, lock: threading.Lock) -> None:
        self.limit = 0
        self.spent = 0
        self.calls = 1
        self.forked = False
        self._words = words
        self._lock = lock

    def __enter__(self) -> None:
        if self.limit:
            self._words[_STARTED] = perf_counter_ns() - self.spent
            self._words[_LIMIT] = min(self.limit * self.calls, LONGEST)
        self._lock.release()

    def __exit__(self, *_: object) -> None:
        if self.forked:
            os._exit(0)
        if self.limit:
            self._words[_LIMIT] = 0
        self._lock.acquire()

    def restrict(self, limit: int) -> None:
        """Take note of the limit of a frame's tasks, none of which has begun."""
        self.limit, self.spent, self.calls = limit, 0, 1
