"""Channels: where the results of submitted tasks arrive, in the order in which they complete."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, Callable, Optional

from farm_common.errors import FarmError, KernelEndedError
from farm_common.shipping.exceptions import fresh
from farm_common.shipping.tasks import Task

from .job import Job

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Channel", "do_fast_receives", "receive_result", "submit_task", "try_receive_result"]


class _Failure:
    """An error in place of a result."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Channel:
    """Receives the results of the tasks submitted to it, in the order in which they complete.

    Any number of threads may submit and receive. Made by `make_channel`.

    Args:
        engine: The engine of its kernel.
        capacity: How many tasks may be submitted and not yet received; the next `submit` blocks.
    """

    lasting = True

    def __init__(self, engine: Engine, capacity: Optional[int] = None) -> None:
        if capacity is not None and (type(capacity) is not int or capacity < 1):
            raise ValueError(f"a channel's capacity is a whole number above 0, not {capacity!r}")
        self._engine = engine
        self._capacity = capacity
        self._results: deque[Any] = deque()
        self._ready = self._results.__len__  # a true condition to wait for, at no cost
        self._gate = threading.Lock()  # submitters of a limited channel take turns
        self.pending = 0  # submitted, and neither delivered nor failed; the engine counts up

    def submit(self, task: Task, /, *args: Any, **kwargs: Any) -> None:
        """Have a worker call `task` with these arguments; see `submit_task`."""
        submit_task(self, task, *args, **kwargs)

    def receive(self) -> Any:
        """The next result; see `receive_result`."""
        return receive_result(self)

    def __iter__(self) -> Iterator[Any]:
        """All results outstanding, until none is; a task's error is raised in its place."""
        while self.pending or self._results:
            result, present = self._next(None, lambda: not self.pending)
            if present:
                yield result

    def __len__(self) -> int:
        """How many tasks were submitted whose results were not received yet."""
        return self.pending + len(self._results)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        limit = "" if self._capacity is None else f", capacity {self._capacity}"
        return f"<Channel: {self.pending} pending, {len(self._results)} to receive{limit}>"

    def __reduce__(self) -> Any:
        raise FarmError("a channel cannot travel: receive() from it, and send the results")

    def _has_room(self) -> bool:
        return self._capacity is None or len(self) < self._capacity

    def _next(
        self, timeout: Optional[float], give_up: Callable[[], bool] = bool
    ) -> tuple[Any, bool]:
        """A result and True, or None and False where there is none."""
        results, engine = self._results, self._engine
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            try:
                result = results.popleft()
            except IndexError:
                if give_up():
                    return None, False
            else:
                if self._capacity is not None:
                    engine.notify()
                if type(result) is _Failure:
                    raise fresh(result.error)
                return result, True
            remaining = None if deadline is None else max(0.0, deadline - monotonic())
            if not engine.wait(lambda: results or give_up(), remaining) and not results:
                if engine.ended is not None:
                    raise KernelEndedError(engine.ended)
                if deadline is not None and monotonic() >= deadline:
                    return None, False
                # else another receiver was faster

    # what the engine calls, with its lock held

    def start(self, job: Job) -> None:
        """Nothing to do: a channel does not tell which of its tasks runs."""

    restart = start

    def deliver(self, job: Optional[Job], value: Any) -> None:
        """Keep a result for a receiver."""
        # In this order: who looks without the lock must not find neither.
        self._results.append(value)
        self.pending -= 1

    def fail(self, job: Optional[Job], error: BaseException) -> None:
        """Keep an error for a receiver."""
        self._results.append(_Failure(error))
        self.pending -= 1


def submit_task(channel: Channel, task: Task, /, *args: Any, **kwargs: Any) -> None:
    """Have a worker call a task; its result arrives at the channel.

    Args:
        channel: From `make_channel`.
        task: A callable, or a string ``"package.module:qualified.name"`` that names a function on
            the servers.
        *args: The task's arguments; it gets its own copies.
        **kwargs: Its keyword arguments.

    Raises:
        InvalidTaskError: `task` is no task.
        SerializationError: The task or an argument cannot travel.
        KernelEndedError: The channel's kernel has ended.
    """
    engine = channel._engine
    capacity = channel._capacity
    if capacity is None:
        engine.submit(channel, task, args, kwargs)
        return
    with channel._gate:
        engine.wait(channel._has_room)
        engine.submit(channel, task, args, kwargs)


def receive_result(channel: Channel) -> Any:
    """The next result that completes, as soon as there is one.

    Raises:
        TaskExecutionError: The task failed; WorkerLostError: its workers died.
        KernelEndedError: The kernel ended.
    """
    results = channel._results
    if channel._capacity is None and channel._engine.wait(channel._ready) and results:
        try:
            result = results.popleft()
        except IndexError:
            pass  # another receiver was faster
        else:
            if type(result) is _Failure:
                raise fresh(result.error)
            return result
    result, _ = channel._next(None)
    return result


def try_receive_result(channel: Channel, timeout: float = 0) -> tuple[Any, bool]:
    """The next result, if there is one in time.

    Args:
        channel: From `make_channel`.
        timeout: How many seconds to wait for it.

    Returns:
        The result and True, or None and False.

    Raises:
        TaskExecutionError: The task failed; WorkerLostError: its workers died.
        KernelEndedError: The kernel ended.
    """
    return channel._next(timeout)


def do_fast_receives(channel: Channel, count: int) -> Iterator[Any]:
    """Iterate over the next `count` results, in the order in which they complete.

    Raises:
        TaskExecutionError: A task failed; WorkerLostError: its workers died.
        KernelEndedError: The kernel ended.
    """
    for _ in range(count):
        yield receive_result(channel)
