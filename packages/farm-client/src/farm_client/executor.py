"""A kernel as a `concurrent.futures.Executor`: for programs and libraries that expect one.

What a task raised is raised here as it was, not as a `TaskExecutionError`, because that is what
such programs catch. The `TaskExecutionError` is its cause, and has the traceback from the worker.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent import futures
from concurrent.futures._base import FINISHED
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any, Callable, Optional

from farm_common.errors import FarmError, NoKernelError, TaskExecutionError
from farm_common.shipping.exceptions import fresh
from farm_common.shipping.tasks import Task, task_function

from .future import Future

if TYPE_CHECKING:
    from .engine import Engine
    from .kernel import Kernel

__all__ = ["KernelExecutor", "OriginalFuture"]


class OriginalFuture(Future):
    """What `KernelExecutor.submit` returns: a `Future` that raises what its task raised."""

    def __init__(self, engine: Engine, open_: dict[OriginalFuture, None]) -> None:
        super().__init__(engine)
        self._open = open_

    def exception(self, timeout: Optional[float] = None) -> Optional[BaseException]:
        """What the task raised, or None when it has a result; waits and raises as `result`.

        Returns:
            The exception, with the `TaskExecutionError` as its cause. That error itself where the
            exception cannot be rebuilt here, or the task did return and its result cannot.
        """
        error = super().exception(timeout)
        # Made when it is asked for: `fail` runs under the engine's lock, and this the user's code.
        if isinstance(error, TaskExecutionError):
            self._exception = error = _original(error)
        return error

    def _get_snapshot(self) -> Any:
        """As the class has it, which asyncio asks from Python 3.15 on, rather than `exception`."""
        if self.done() and not self.cancelled():
            self.exception()
        return super()._get_snapshot()  # type: ignore[misc]

    def _settle(self, state: str = FINISHED) -> Optional[Callable[[], None]]:
        self._open.pop(self, None)
        return super()._settle(state)


class KernelExecutor(futures.Executor):
    """The workers of a kernel as an executor; made by `Kernel.executor`.

    Works where executors do: ``submit`` and ``map``, ``wait`` and ``as_completed``, asyncio's
    ``run_in_executor``, Dask's ``scheduler=``. What a task raises is raised here as it was, with
    the `TaskExecutionError`, which has the remote traceback, as its cause.

    Its end is not that of the kernel, and a kernel may have any number of executors. When the
    kernel ends, unfinished futures fail with `KernelEndedError`.
    """

    # The tasks that were submitted and are not done are the keys of `_open`. They are added under
    # `_lock`, where nobody shut down yet, and leave as they are settled, with the engine's lock
    # held; so who waits for none to be there is told by the engine.

    def __init__(self, kernel: Kernel, engine: Engine) -> None:
        if engine.ended is not None:
            raise NoKernelError(f"{engine.ended}; make another by farm.make_kernel(...)")
        self._kernel = kernel
        self._engine = engine
        self._lock = threading.Lock()
        self._open: dict[OriginalFuture, None] = {}
        self._shut_down = False

    @property
    def _max_workers(self) -> int:
        """How many tasks it runs at the same time; Dask and others look here."""
        return max(1, self._kernel.worker_count)

    def submit(self, fn: Task, /, *args: Any, **kwargs: Any) -> OriginalFuture:
        """Have a worker call a task.

        Args:
            fn: A callable, or a string ``"package.module:qualified.name"`` that names a function
                on the servers.
            *args: Its arguments; it gets its own copies.
            **kwargs: Its keyword arguments.

        Raises:
            RuntimeError: The executor was shut down.
            KernelEndedError: The kernel has ended; a RuntimeError, too.
            InvalidTaskError: `fn` is no task.
            SerializationError: The task or an argument cannot travel.
        """
        future = OriginalFuture(self._engine, self._open)
        with self._lock:
            if self._shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._open[future] = None
        try:
            future._job = self._engine.submit(future, fn, args, kwargs)
        except BaseException:
            if not future.pending:  # otherwise it is queued already, and was interrupted later
                self._engine.change(lambda: self._open.pop(future, None))
            raise
        return future

    def map(
        self,
        fn: Task,
        *iterables: Iterable[Any],
        timeout: Optional[float] = None,
        chunksize: int = 1,
        buffersize: Optional[int] = None,
    ) -> Iterator[Any]:
        """Have workers call a task on each element; the results come in order.

        The elements are read, and the tasks submitted, at once. An error, a time-out, and closing
        the iterator when it has given something, cancel what was not sent yet. Tiny tasks are sent
        together in any case; `chunksize` makes fewer of them, which saves the cost of a future for
        each element.

        Args:
            fn: As for `submit`.
            *iterables: Where its arguments come from; the shortest ends it.
            timeout: How many seconds, from now on, until the last result is there; None: for ever.
            chunksize: How many elements a task gets. The name of a function gets one.
            buffersize: How many tasks are submitted and their results not asked for; None: all.

        Raises:
            RuntimeError: The executor was shut down.
            InvalidTaskError, SerializationError, KernelEndedError: As for `submit`.
            ValueError: `chunksize` or `buffersize` is less than 1.
            concurrent.futures.TimeoutError: By the iterator: a result is not there in time.
        """
        for name, number in (("chunksize", chunksize), ("buffersize", buffersize)):
            if number is not None and number < 1:
                raise ValueError(f"{name} is how many, at least 1, not {number!r}")
        deadline = None if timeout is None else monotonic() + timeout
        elements = zip(*iterables)
        if chunksize > 1 and not isinstance(fn, str):
            each = _on_each(task_function(fn))
            chunks = iter(lambda: list(islice(elements, chunksize)), [])
            submitted = (self.submit(each, chunk) for chunk in chunks)
            return _spread(_results(*_begin(submitted, buffersize), deadline))
        submitted = (self.submit(fn, *args) for args in elements)
        return _results(*_begin(submitted, buffersize), deadline)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Submit nothing any more; twice is no error. The kernel goes on.

        Args:
            wait: Return when all that was submitted here is done.
            cancel_futures: Cancel what was not sent to a worker yet.
        """
        with self._lock:
            self._shut_down = True
        open_ = self._open
        if cancel_futures:
            for future in self._engine.change(lambda: list(open_)):
                future.cancel()
        if wait:
            self._engine.wait(lambda: not open_)

    def _abandon(self) -> None:
        """Shut down, and give up all tasks: those that run are killed a moment later."""
        with self._lock:
            self._shut_down = True
        for future in self._engine.change(lambda: list(self._open)):
            future._abandon(FarmError("the task was given up, as nobody needs its result"))

    def __repr__(self) -> str:
        state = "shut down" if self._shut_down else f"{len(self._open)} unfinished tasks"
        return f"<KernelExecutor of {self._kernel.name!r}: {state}>"


def _original(error: TaskExecutionError) -> BaseException:
    """What a task raised, with the error that tells of it as its cause."""
    if error.__cause__ is None or not error.description:
        return error  # without a description: what failed is what happened here
    # A copy: others may have been given the same error.
    original = fresh(error).__cause__
    assert original is not None
    cause = TaskExecutionError(error.report, error.description, error.worker)
    put = BaseException.__setattr__  # the class is the user's
    put(original, "__cause__", cause)
    put(original, "__suppress_context__", True)
    return original


def _on_each(function: Callable[..., Any]) -> Callable[[list[tuple[Any, ...]]], list[Any]]:
    """A task that calls a function on each element of a chunk."""

    # As it is a closure, it travels by value: servers need not have this module.
    def on_each(chunk: list[tuple[Any, ...]]) -> list[Any]:
        return [function(*args) for args in chunk]

    return on_each


def _begin(
    submitted: Iterator[OriginalFuture], count: Optional[int]
) -> tuple[deque[OriginalFuture], Iterator[OriginalFuture]]:
    """The first futures, as many as may be submitted ahead, and the iterator over the others."""
    first: deque[OriginalFuture] = deque()
    try:
        first.extend(islice(submitted, count))
    except BaseException:
        for future in first:
            future.cancel()
        raise
    return first, submitted


def _results(
    pending: deque[OriginalFuture], others: Iterator[OriginalFuture], deadline: Optional[float]
) -> Generator[Any, None, None]:
    try:
        while pending:
            yield _take(pending, others, deadline)  # with no name here: it is the caller's only
    finally:
        for future in pending:
            future.cancel()


def _take(
    pending: deque[OriginalFuture], others: Iterator[OriginalFuture], deadline: Optional[float]
) -> Any:
    """The next result; the future stays where it is until it is there."""
    value = pending[0].result(None if deadline is None else deadline - monotonic())
    pending.popleft()
    pending.extend(islice(others, 1))
    return value


def _spread(chunks: Generator[list[Any], None, None]) -> Generator[Any, None, None]:
    """The elements of chunks."""
    try:
        for values in chunks:
            values.reverse()
            while values:
                yield values.pop()
    finally:
        chunks.close()
