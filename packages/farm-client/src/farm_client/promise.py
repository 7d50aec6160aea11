"""Promises by lparallel's names: values that will be there later, whoever puts them there.

A `promise` is fulfilled by the program, a `future` by a worker, a `delay` by the first thread that
asks for it. `force` waits for the value of each of them.
"""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import Any, Callable, Optional

from farm_common.errors import FarmError
from farm_common.shipping.tasks import Task

from .delay import Delay
from .future import Future
from .kernel import check_kernel
from .options import task_priority
from .receptacle import Promise

__all__ = [
    "Chain",
    "Delay",
    "Future",
    "Promise",
    "chain",
    "delay",
    "force",
    "fulfill",
    "future",
    "is_fulfilled",
    "promise",
    "speculate",
]


class Chain:
    """What `chain` returns: stands for another object, wherever it is forced or fulfilled."""

    __slots__ = ("_object",)

    def __init__(self, x: Any) -> None:
        self._object = x

    def __repr__(self) -> str:
        return f"<Chain to {self._object!r}>"

    def __reduce__(self) -> Any:
        raise FarmError("a chain cannot travel: force() it, and send its value")


def promise() -> Promise:
    """A promise: a receptacle for a value that is not known yet; see `fulfill` and `force`."""
    return Promise()


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


def speculate(task: Task, /, *args: Any, **kwargs: Any) -> Future:
    """A `future` of low priority: a worker calls the task when no task of another kind waits.

    Args:
        task: As for `future`.
        *args: The task's arguments; it gets its own copies.
        **kwargs: Its keyword arguments.

    Raises:
        NoKernelError: There is no current kernel.
        InvalidTaskError: `task` is no task.
        SerializationError: The task or an argument cannot travel.
    """
    with task_priority("low"):
        return future(task, *args, **kwargs)


def delay(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Delay:
    """A promise whose value is computed when it is forced, here and not by a worker.

    The first thread that forces it calls the function; others wait for it meanwhile. It is called
    once: what it raises, as it is, is raised by every `force`. Only what is no `Exception`, such as
    ``KeyboardInterrupt``, leaves the delay as it was.

    Args:
        function: Any callable.
        *args: Its arguments.
        **kwargs: Its keyword arguments.

    Raises:
        TypeError: `function` cannot be called.
    """
    if not callable(function):
        raise TypeError(f"a delay calls a function of this program, not {function!r:.100}")
    return Delay(partial(function, *args, **kwargs))


def chain(x: Any) -> Chain:
    """Something that stands for `x`: `force`, `fulfill` and `is_fulfilled` pass it on to `x`.

    `force` goes one level: a promise whose value is another promise gives that one. A promise whose
    value is a chain gives what `force` of the chain gives.

    Args:
        x: Anything; a promise, mostly.
    """
    return Chain(x)


def force(x: Any, timeout: Optional[float] = None) -> Any:
    """The value of a promise, as soon as it is there; anything else is returned as it is.

    Args:
        x: Anything.
        timeout: How many seconds to wait; None: for ever. A delay that this thread computes takes
            as long as it takes.

    Raises:
        TimeoutError: The value is not there in time.
        TaskExecutionError: A future's task failed; WorkerLostError: its workers died.
        KernelEndedError: The kernel ended before a future's task did.
        concurrent.futures.CancelledError: It was cancelled.
        Exception: What a delay's function raised, or ``set_exception`` of a promise was given.
    """
    if isinstance(x, Promise):
        deadline = None if timeout is None else monotonic() + timeout
        value = _value(x, timeout, timeout)
        if type(value) is not Chain:
            return value
    elif type(x) is Chain:
        deadline = None if timeout is None else monotonic() + timeout
        value = x
    else:
        return x
    return _follow(value, deadline, timeout)


def _value(x: Promise, remaining: Optional[float], timeout: Optional[float]) -> Any:
    """The value of a promise, whatever it is."""
    if not x._wait(remaining):
        raise TimeoutError(f"no result within {timeout} s")
    return x.result()


def _follow(chain: Chain, deadline: Optional[float], timeout: Optional[float]) -> Any:
    """What a chain leads to."""
    met: set[int] = set()
    x: Any = chain
    while True:
        while type(x) is Chain:
            if id(x) in met:
                raise FarmError("a chain leads back to itself, so it has no value")
            met.add(id(x))
            x = x._object
        if not isinstance(x, Promise):
            return x
        x = _value(x, None if deadline is None else max(0.0, deadline - monotonic()), timeout)
        if type(x) is not Chain:
            return x


def fulfill(x: Any, value: Any) -> bool:
    """Give a promise its value, once.

    A future that was not sent to a worker yet is taken over: its task never runs. So is a delay
    that nobody forced yet.

    Args:
        x: A promise, future or delay, or a chain to one.
        value: What `force` returns from now on.

    Returns:
        Whether it has this value now. False when it had one, when a worker or a thread is about to
        compute one, when it was cancelled, and for anything that is no promise.
    """
    while type(x) is Chain:
        x = x._object
    return isinstance(x, Promise) and x.fulfill(value)


def is_fulfilled(x: Any) -> bool:
    """Whether `force` would not wait: there is a value, or an error. True for what is no promise.

    Args:
        x: Anything.
    """
    while type(x) is Chain:
        x = x._object
    return not isinstance(x, Promise) or x.done()
