"""Tasks that are marked as such, and values that many tasks share."""

from __future__ import annotations

import functools
from types import MethodType
from typing import Any, Callable, Optional, TypeVar, Union, overload

from farm_common.errors import InvalidTaskError
from farm_common.place import worker_index
from farm_common.shipping import Shared

__all__ = ["RemoteTask", "deftask", "shared"]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class RemoteTask:
    """A function that runs on workers only; made by ``@deftask(local=False)``.

    Submitting it sends the name of its module and its own, where the workers can import it by
    these, else the function itself.

    Args:
        function: What the workers call.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function

    @property
    def __farm_task__(self) -> Callable[..., Any]:
        """The function, for `farm_common.shipping.tasks`."""
        return self._function

    def __get__(self, instance: Any, owner: Optional[type] = None) -> RemoteTask:
        """As a function does: in a class it is a method."""
        return self if instance is None else RemoteTask(MethodType(self._function, instance))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function on a worker, as it and others there may; refuse elsewhere.

        Raises:
            InvalidTaskError: This is no worker.
        """
        if worker_index() is not None:
            return self._function(*args, **kwargs)
        name = getattr(self._function, "__qualname__", repr(self._function))
        raise InvalidTaskError(
            f"{name} is only a task, so it cannot be called here: submit it, or define it with "
            f"@deftask instead of @deftask(local=False)"
        )

    def __repr__(self) -> str:
        return f"<RemoteTask {getattr(self._function, '__qualname__', repr(self._function))}>"

    def __reduce__(self) -> Any:
        # On the worker it is the function itself.
        return _itself, (self._function,)


def _itself(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


@overload
def deftask(function: F) -> F: ...


@overload
def deftask(*, local: bool = True) -> Callable[[F], Any]: ...


def deftask(function: Optional[F] = None, *, local: bool = True) -> Any:
    """Mark a function as a task.

    Its source is recorded now, so that it can be sent to other versions of Python even after its
    file was edited.

    Args:
        function: The function; as ``@deftask`` it stays callable here.
        local: As ``@deftask(local=False)``: the function is only a task, and calling it here
            raises `InvalidTaskError`.

    Raises:
        InvalidTaskError: `function` is not callable.
    """

    def define(function: F) -> Union[F, RemoteTask]:
        if not callable(function):
            raise InvalidTaskError(f"@deftask marks a function, not {function!r:.100}")
        code = getattr(function, "__code__", None)
        filename = getattr(code, "co_filename", None)
        if filename is not None:
            from farm_common.shipping.source import remember  # only this needs syntax trees

            remember(filename, getattr(function, "__globals__", None))
        return function if local else RemoteTask(function)

    return define if function is None else define(function)


def shared(value: T) -> Shared[T]:
    """A handle to a large value that many tasks use.

    It crosses each connection at most once, when first needed. Capture the handle in a task or
    pass it as an argument; its ``.value`` is the value on either side, ``.release()`` frees it.

    Args:
        value: Anything that can travel; it is packed when it is first needed.
    """
    return Shared(value)
