"""Ships tasks: by name where the other side can import them, by value where it cannot.

A module may hold, under a function's name, an object that stands for it and is only a task. Its
class has an attribute ``__farm_task__``, which is the function in each instance. Either side sees
through it: it travels by its name where that finds it, else its function does, and on the server
the function is what is called.
"""

from __future__ import annotations

import importlib
import types
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Union

from ..errors import InvalidTaskError
from ..frames import Buffer
from .aliases import public_name
from .digests import digest
from .importable import is_importable
from .pickling import Blob, Parcel, pack_task, unpack_task
from .shared import Shared, stored

__all__ = [
    "ID_SIZE",
    "ShippedFunction",
    "Task",
    "load_function",
    "ship_function",
    "task_function",
    "task_name",
    "travels_by_name",
]

#: The size of a function's content id in bytes.
ID_SIZE = 16

BY_NAME = b"N"
BY_PICKLE = b"P"

#: What can be submitted.
Task = Union[Callable[..., Any], str]


class ShippedFunction(NamedTuple):
    """A task as it travels.

    Attributes:
        ident: The content id: equal for what is equal, so that it is sent once.
        body: The format byte and what follows it.
        blobs: The large constants that it refers to, which must be there before it.
        bytecode: Whether only an interpreter with the same magic number may load it.
        shared: The shared values that it refers to.
        name: What to call it in messages.
        minimum: The oldest Python that can read its source; (0, 0): any.
        newest: What in it needs that, for messages.
    """

    ident: bytes
    body: bytes
    blobs: Sequence[Blob]
    bytecode: bool
    shared: Sequence[Shared[Any]]
    name: str
    minimum: tuple[int, int] = (0, 0)
    newest: str = ""


def ship_function(task: Task, protocol: int, bytecode: bool = True) -> ShippedFunction:
    """Turn a task into bytes.

    Args:
        task: A callable, or a string ``"package.module:qualified.name"``.
        protocol: The pickle protocol that both sides read.
        bytecode: Whether the other side can load this interpreter's bytecode; else source goes.

    Raises:
        InvalidTaskError: It is neither.
        SerializationError: It cannot travel; says which object in it, and why.
    """
    name = task_name(task)
    if isinstance(task, str):
        return _shipped(BY_NAME, Parcel(task.encode()), (), name)
    if travels_by_name(task):
        text = ":".join(public_name(task) or (task.__module__, task.__qualname__))
        return _shipped(BY_NAME, Parcel(text.encode()), (), name)
    function = task_function(task)
    if function is not task:
        return ship_function(function, protocol, bytecode)
    return _shipped(BY_PICKLE, *pack_task(task, protocol, f"task {name}", bytecode), name)


def task_function(task: Any) -> Any:
    """The function that an object which is only a task stands for; all else is its own."""
    return task.__farm_task__ if hasattr(type(task), "__farm_task__") else task


def travels_by_name(task: Any) -> bool:
    """Whether a callable is sent as the name under which the other side can import it."""
    by_name = isinstance(task, (types.FunctionType, types.BuiltinFunctionType, type))
    return (by_name or task_function(task) is not task) and is_importable(task)


def _shipped(how: bytes, parcel: Parcel, blobs: Sequence[Blob], name: str) -> ShippedFunction:
    body = how + parcel.body
    return ShippedFunction(
        digest(body, ID_SIZE),
        body,
        blobs,
        parcel.bytecode,
        parcel.shared,
        name,
        parcel.minimum,
        parcel.newest,
    )


def load_function(body: Buffer, find: Callable[[bytes], Any] = stored) -> Callable[..., Any]:
    """The callable that `ship_function` turned into bytes; raises whatever loading raises.

    Args:
        body: The bytes.
        find: Returns the data of a blob by its id.
    """
    view = memoryview(body)
    kind, data = bytes(view[:1]), view[1:]
    if kind == BY_NAME:
        function = _import_name(str(data, "utf-8"))
    elif kind == BY_PICKLE:
        function = unpack_task(data, find)
    else:
        raise InvalidTaskError(f"a task in the unknown format {kind!r}: this server is too old")
    function = task_function(function)
    if not callable(function):
        raise InvalidTaskError(f"{function!r:.100} is not callable")
    return function  # type: ignore[no-any-return]


def _import_name(text: str) -> Any:
    module, _, qualname = text.partition(":")
    found: Any = importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    return found


def task_name(task: object) -> str:
    """What to call a task in messages.

    Raises:
        InvalidTaskError: It is no task; says what would be one.
    """
    if isinstance(task, str):
        module, colon, qualname = task.partition(":")
        if colon and all(part.isidentifier() for part in f"{module}.{qualname}".split(".")):
            return task
        raise InvalidTaskError(
            f"{task!r:.100} names no task: write 'package.module:qualified.name'"
        )
    if not callable(task):
        raise InvalidTaskError(
            f"{task!r:.100} is not a task: submit a callable, or a string "
            f"'package.module:qualified.name' that names a function on the servers"
        )
    name = getattr(task, "__qualname__", None) or getattr(task, "__name__", None)
    return name if isinstance(name, str) else type(task).__qualname__
