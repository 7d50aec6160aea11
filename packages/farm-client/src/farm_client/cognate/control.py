"""Expressions whose parts are computed in parallel: arguments, bindings, conditions."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Any

from farm_common.errors import InvalidTaskError
from farm_common.shipping.tasks import Task

from ..errand import Errand, drop, receive
from ..future import Future
from ..kernel import check_kernel
from ..promise import Promise, force, future
from ..task import RemoteTask

__all__ = ["Bindings", "pand", "pfuncall", "plet", "plet_if", "por"]


class Bindings:
    """What `plet` returns: its attributes are the values of its bindings.

    The first look at an attribute waits for the value, or raises the error of its thunk.
    """

    __slots__ = ("__promises",)

    def __init__(self, promises: Mapping[str, Promise]) -> None:
        self.__promises = promises

    def __getattr__(self, name: str) -> Any:
        # By `object`'s own means: while it is being copied there is none.
        promises = object.__getattribute__(self, "_Bindings__promises")
        try:
            found = promises[name]
        except KeyError:
            names = ", ".join(promises) or "none"
            raise AttributeError(f"there is no binding {name!r}; there is {names}") from None
        return force(found)

    def __dir__(self) -> list[str]:
        return list(self.__promises)

    def __repr__(self) -> str:
        return f"<Bindings {', '.join(self.__promises)}>"


def plet(**bindings: Task) -> Bindings:
    """Compute several values in parallel, each under a name.

    Args:
        **bindings: A thunk for each name: a function without arguments, which a worker calls.

    Returns:
        A namespace. It is there at once; its attributes are there as their thunks return, and raise
        what their thunks raised.

    Raises:
        NoKernelError: There is no current kernel.
        InvalidTaskError: A thunk is no task.
        SerializationError: A thunk cannot travel.
    """
    return _bind(bindings)


def _bind(bindings: Mapping[str, Task]) -> Bindings:
    made: dict[str, Future] = {}
    try:
        for name, thunk in bindings.items():
            made[name] = future(thunk)
    except BaseException:
        for promise in made.values():
            promise._abandon()
        raise
    return Bindings(made)


def plet_if(predicate: Any, /, **bindings: Task) -> Bindings:
    """`plet`, if that is worth it.

    Args:
        predicate: If it is true, this is `plet`. If not, the thunks are called here, one after the
            other, before this returns; then no kernel is needed, and errors are raised as they are.
        **bindings: As for `plet`.

    Raises:
        InvalidTaskError: A thunk is no task, or it is the name of one and is to be called here.
        NoKernelError, SerializationError: As for `plet`, if the predicate is true.
    """
    if predicate:
        return plet(**bindings)
    made = {}
    for name, thunk in bindings.items():
        if not callable(thunk):
            raise InvalidTaskError(
                f"the binding {name!r} is to be called here, and {thunk!r:.100} is no function"
            )
        made[name] = Promise()
        made[name].fulfill(thunk())
    return Bindings(made)


def pfuncall(task: Task, /, *thunks: Any) -> Any:
    """Compute arguments in parallel, then call a function with them.

    Args:
        task: The function. It is called here, as any function is; a name of a function on the
            servers, or what ``@deftask(local=False)`` made, is called by a worker.
        *thunks: Its arguments. Workers call those that are callable, without arguments, and
            what they return takes their place; others are passed on as they are.

    Returns:
        What the function returns.

    Raises:
        NoKernelError: There is no current kernel.
        TaskExecutionError: A thunk failed: the first to fail. The others are given up.
        SerializationError: A thunk cannot travel.
    """
    if not (callable(task) or isinstance(task, str)):
        raise InvalidTaskError(f"pfuncall calls a function, not {task!r:.100}")
    values = list(thunks)
    parts = {place: thunk for place, thunk in enumerate(thunks) if callable(thunk)}
    if parts:
        with closing(_outcomes(parts)) as outcomes:
            for place, value in outcomes:
                values[place] = value
    if isinstance(task, (str, RemoteTask)):
        return force(future(task, *values))
    return task(*values)


def pand(*thunks: Task) -> Any:
    """Whether all of some thunks return something true; they are called in parallel.

    Args:
        *thunks: Functions without arguments, which workers call.

    Returns:
        The first value to arrive that is false; the other thunks are given up. If all are true, the
        last one to arrive, and True if there is no thunk.

    Raises:
        TaskExecutionError: A thunk failed, before a false value arrived.
        NoKernelError, InvalidTaskError, SerializationError: As for `future`.
    """
    value: Any = True
    with closing(_outcomes(dict(enumerate(thunks)))) as outcomes:
        for _, value in outcomes:
            if not value:
                break
    return value


def por(*thunks: Task) -> Any:
    """The value of that thunk which first returns something true; they are called in parallel.

    Args:
        *thunks: Functions without arguments, which workers call.

    Returns:
        The first value to arrive that is true; the other thunks are given up. If all are false, the
        last one to arrive, and False if there is no thunk.

    Raises:
        TaskExecutionError: A thunk failed, before a true value arrived.
        NoKernelError, InvalidTaskError, SerializationError: As for `future`.
    """
    value: Any = False
    with closing(_outcomes(dict(enumerate(thunks)))) as outcomes:
        for _, value in outcomes:
            if value:
                break
    return value


def _outcomes(thunks: Mapping[Any, Task]) -> Generator[tuple[Any, Any], None, None]:
    """The keys and values of thunks in the order in which they arrive.

    A generator: closing it, and any error, gives up what is still under way.
    """
    engine = check_kernel()._engine
    arrived: deque[Errand] = deque()
    errands = [Errand(engine, arrived, key) for key in thunks]
    try:
        for errand in errands:
            errand.submit(thunks[errand.key])
        for _ in errands:
            errand = receive(engine, arrived)
            yield errand.key, errand.outcome()
    finally:
        drop(errands)
