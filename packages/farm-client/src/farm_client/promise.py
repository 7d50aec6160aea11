"""Futures by lparallel's names: `future` starts a task, `force` waits for its value."""

from __future__ import annotations

from concurrent import futures
from typing import Any, Optional

from farm_common.shipping.tasks import Task

from .future import Future
from .kernel import check_kernel

__all__ = ["Future", "force", "future"]


def future(task: Task, /, *args: Any, **kwargs: Any) -> Future:
    """Have a worker of the current kernel call a task.

    Args:
        task: A callable, or a string ``"package.module:qualified.name"`` that names a function on
            the servers.
        *args: The task's arguments; it gets its own copies.
        **kwargs: Its keyword arguments.

    Raises:
        NoKernelError: There is no current kernel.
        InvalidTaskError: `task` is no task.
        SerializationError: The task or an argument cannot travel.
    """
    engine = check_kernel()._engine
    result = Future(engine)
    result._job = engine.submit(result, task, args, kwargs)
    return result


def force(x: Any, timeout: Optional[float] = None) -> Any:
    """The value of a future, as soon as it is there; anything else is returned as it is.

    Args:
        x: Anything.
        timeout: How many seconds to wait; None: for ever.

    Raises:
        TimeoutError: The value is not there in time.
        TaskExecutionError: The future's task failed; WorkerLostError: its workers died.
    """
    if not isinstance(x, Future):
        return x
    try:
        return x.result(timeout)
    except futures.TimeoutError:  # another class than TimeoutError before 3.11
        raise TimeoutError(f"no result within {timeout} s") from None
