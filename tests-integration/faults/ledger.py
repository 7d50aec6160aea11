"""Accounts for tasks: what was submitted, how often it was executed, and what came of it.

Each execution appends a byte to a file, whatever becomes of its result. What must hold at the end:

* each task has exactly one outcome, a result or an error, and the result is its own;
* it was executed at least once if it has a result, and no more often than it may be started;
* its error is one of those that what was done to it explains.
"""

from __future__ import annotations

import collections
import os
from concurrent.futures import CancelledError
from typing import Any

from deed import work

import farm_client as farm

__all__ = ["Ledger"]


class Ledger:
    """The books of one run.

    Args:
        folder: For the marks; empty.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._entries: dict[int, tuple[str, Any, int, farm.Future]] = {}
        self._next = 0
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.executions: collections.Counter[int] = collections.Counter()

    @property
    def submitted(self) -> int:
        """How many tasks there were."""
        return self._next

    @property
    def open(self) -> int:
        """How many have no outcome yet."""
        return sum(not entry[3].done() for entry in list(self._entries.values()))

    def submit(self, what: str, amount: Any, attempts: int, **options: Any) -> farm.Future:
        """Submit a task, and write it down."""
        number = self._next
        self._next += 1
        with farm.task_options(attempts=attempts, **options):
            future = farm.future(work, self._folder, number, what, amount)
        self._entries[number] = what, amount, attempts, future
        return future

    def close(self, seconds: float) -> None:
        """Check all entries, and forget them; waits for outcomes as long as that.

        Raises:
            AssertionError: Something is not as promised.
        """
        for number, entry in self._entries.items():
            self._check(number, *entry, seconds)
        for number in self._entries:
            self._unmark(number)
        self._entries.clear()

    def _check(
        self,
        number: int,
        what: str,
        amount: Any,
        attempts: int,
        future: farm.Future,
        seconds: float,
    ) -> None:
        try:
            error = future.exception(seconds)
        except CancelledError:  # pragma: no cover
            raise AssertionError(f"task {number} ({what}) was cancelled") from None
        except Exception as late:
            raise AssertionError(f"task {number} ({what}) has no outcome: {late!r}") from late
        executed = self._marks(number)
        self.executions[executed] += 1
        self.outcomes["result" if error is None else type(error).__name__] += 1
        told = f"task {number} ({what}, {attempts} attempts, executed {executed} times): {error}"
        assert executed <= attempts, told
        if error is None:
            assert executed >= 1, told
            assert what not in ("fail", "die"), told
            data = bytes([number % 251]) * amount if what == "large" else None
            assert future.result() == (number, what, data), told
        elif isinstance(error, farm.TaskExecutionError):
            assert what == "fail", told
            assert isinstance(error.__cause__, ValueError), told
            assert executed >= 1, told
        elif isinstance(error, farm.WorkerLostError):
            assert error.attempts <= attempts, told
        else:
            assert isinstance(error, (farm.TaskKilledError, farm.TaskTimeoutError)), told

    def _marks(self, number: int) -> int:
        try:
            return os.path.getsize(os.path.join(self._folder, str(number)))
        except FileNotFoundError:
            return 0

    def _unmark(self, number: int) -> None:
        try:
            os.unlink(os.path.join(self._folder, str(number)))
        except FileNotFoundError:
            pass
