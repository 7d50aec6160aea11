"""Futures: light ones, and yet what `concurrent.futures` and asyncio expect."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from concurrent import futures
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING, RUNNING
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Optional

from farm_common.errors import KernelEndedError
from farm_common.shipping.exceptions import fresh

from .inside import is_inside
from .job import Job
from .receptacle import CANCELLED_STATES, DONE_STATES, Promise

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Future"]

_making = threading.Lock()


def _after_fork() -> None:
    """Have a forked child not wait for what another thread held in its parent."""
    global _making
    _making = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Future(Promise):
    """The result of one task, now or later: a promise that a worker fulfils.

    A `concurrent.futures.Future`: works with ``wait``, ``as_completed`` and
    ``add_done_callback``; and awaitable. Its condition variable, which costs nine tenths of a
    future, is made only when somebody asks for it.
    """

    _noun: ClassVar[str] = "a future"

    # Why a condition made late misses nothing: whether there is one is decided under `_making`, and
    # where there is one, the state changes under it, as those who hold it expect. `_making` is held
    # for no more than that, so it may be taken under any other lock.

    # What a future begins with stands in the class: a million of them are made and forgotten.
    _job: Optional[Job] = None
    _late: Optional[threading.Condition] = None
    _state = PENDING
    _result: Any = None
    _exception: Optional[BaseException] = None
    _waiters: Any = ()  # lists, once there is a condition: nobody adds to them without it
    _done_callbacks: Any = ()
    pending = 0
    lasting = True

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]
        if self._late is None:
            with _making:
                if self._late is None:
                    self._waiters = []
                    self._done_callbacks = []
                    self._late = threading.Condition()
        return self._late

    def done(self) -> bool:
        """Whether there is a result, an error, or nothing to wait for."""
        return self._state in DONE_STATES

    def running(self) -> bool:
        """Whether the task was sent to a worker."""
        return self._state == RUNNING

    def cancelled(self) -> bool:
        """Whether the task was withdrawn."""
        return self._state in CANCELLED_STATES

    def cancel(self) -> bool:
        """Withdraw the task if it was not sent to a worker yet.

        Returns:
            Whether the future is cancelled now. Not where a finalizer or a signal handler that came
            in the middle of farm's own work calls this: there it is done a little later.
        """
        if is_inside(waiting=False):
            self._engine.call_later(self.cancel)
            return False
        return self._withdraw(self._cancel) or self._state in CANCELLED_STATES

    def _abandon(self, error: Optional[BaseException] = None) -> None:
        """Give the task up for good: withdraw it, or have it killed a moment later if it runs.

        For who made the future and has given it to nobody: without an error it is never done.

        Args:
            error: What becomes of it if it was sent already.
        """
        job = self._job
        if not self.cancel() and job is not None:
            self._engine.drop([job], error)

    def fulfill(self, value: Any) -> bool:
        """Take the future over, if its task was not sent to a worker yet: the task never runs.

        Args:
            value: What takes the place of the task's result.

        Returns:
            Whether this is the future's value now.
        """
        return self._withdraw(lambda: self.deliver(None, value))

    def _withdraw(self, settle: Callable[[], Any]) -> bool:
        """Take the task back, and settle the future at the same moment, if it is not too late."""
        job = self._job
        if job is None or self._state in DONE_STATES or not self._engine.withdraw(job, settle):
            return False
        self._invoke_callbacks()
        return True

    def result(self, timeout: Optional[float] = None) -> Any:
        """The task's result.

        Args:
            timeout: How many seconds to wait for it; None: for ever.

        Raises:
            TaskExecutionError: The task failed; WorkerLostError: its workers died.
            concurrent.futures.TimeoutError: It is not there in time.
            concurrent.futures.CancelledError: The task was withdrawn.
            KernelEndedError: The kernel ended before the task did.
        """
        if self._state == FINISHED and self._exception is None:
            return self._result
        error = self.exception(timeout)
        if error is not None:
            # A copy, so that no two who ask have a traceback in common.
            raise fresh(error)
        return self._result

    def exception(self, timeout: Optional[float] = None) -> Optional[BaseException]:
        """The task's error, or None when it has a result; waits and raises as `result`."""
        if not self._wait(timeout):
            raise futures.TimeoutError
        if self._state in CANCELLED_STATES:
            raise futures.CancelledError
        return self._exception

    def _wait(self, timeout: Optional[float]) -> bool:
        engine = self._engine
        if self._state in DONE_STATES or engine.wait(self.done, timeout):
            return True
        if engine.ended is not None and self._state not in DONE_STATES:
            raise KernelEndedError(engine.ended)  # in a forked child, where nothing arrives
        return self._state in DONE_STATES

    def __await__(self) -> Generator[Any, None, Any]:
        import asyncio  # takes 40 ms; few programs need it

        return asyncio.wrap_future(self).__await__()

    # what the engine calls, with its lock held

    def start(self, job: Job) -> None:
        """The task was sent to a worker: too late to cancel."""
        self._state = RUNNING

    def restart(self, job: Job) -> None:
        """The task waits again, because its worker was lost."""
        self._state = PENDING

    def deliver(self, job: Optional[Job], value: Any) -> Optional[Callable[[], None]]:
        """Settle the future with a result."""
        self._result = value
        return self._settle()

    def fail(self, job: Job, error: BaseException) -> Optional[Callable[[], None]]:
        """Settle the future with an error."""
        self._exception = error
        return self._settle()

    def _cancel(self) -> None:
        # Nobody else will tell those who wait: a withdrawn task is never looked at again.
        self._settle(CANCELLED_AND_NOTIFIED)

    def _settle(self, state: str = FINISHED) -> Optional[Callable[[], None]]:
        self.pending = 0
        with _making:
            late = self._late
            if late is None:
                self._state = state
        if late is not None:
            with late:
                self._state = state
                for waiter in self._waiters:
                    if state != FINISHED:
                        waiter.add_cancelled(self)
                    elif self._exception is None:
                        waiter.add_result(self)
                    else:
                        waiter.add_exception(self)
                late.notify_all()
        self._job = None  # last: `cancel` takes it that without a job the state tells
        return self._invoke_callbacks if self._done_callbacks else None
