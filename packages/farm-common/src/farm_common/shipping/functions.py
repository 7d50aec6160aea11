"""Ships tasks: by name where the other side can import them, by value where it cannot.

What a function captured may change between two submits, and each submit must see the latest
(lfarm's rule). Packing a closure again costs a hundred microseconds, so a `Capture` remembers
what was captured, as long as all of it is immutable, and tells cheaply whether it is still so.

A module may hold, under a function's name, an object that stands for it and is only a task. Its
class has an attribute ``__farm_task__``, which is the function in each instance. Either side sees
through it: it travels by its name where that finds it, else its function does, and on the server
the function is what is called.
"""

from __future__ import annotations

import dis
import importlib
import sys
import types
import weakref
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, Callable, NamedTuple, Union

from ..errors import InvalidTaskError
from ..frames import Buffer
from .pickling import SCALARS, is_importable, pack, unpack
from .shared import Shared

__all__ = [
    "ID_SIZE",
    "Capture",
    "ShippedFunction",
    "Task",
    "global_names",
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
        buffers: Out-of-band buffers of the pickle.
        bytecode: Whether only an interpreter with the same magic number may load it.
        shared: The shared values that it refers to.
        name: What to call it in messages.
    """

    ident: bytes
    body: bytes
    buffers: Sequence[Buffer]
    bytecode: bool
    shared: Sequence[Shared[Any]]
    name: str


def ship_function(task: Task, protocol: int) -> ShippedFunction:
    """Turn a task into bytes.

    Args:
        task: A callable, or a string ``"package.module:qualified.name"``.
        protocol: The pickle protocol that both sides read.

    Raises:
        InvalidTaskError: It is neither.
        SerializationError: It cannot travel; says which object in it, and why.
    """
    name = task_name(task)
    if isinstance(task, str):
        return _shipped(BY_NAME + task.encode(), (), False, (), name)
    if travels_by_name(task):
        text = f"{task.__module__}:{task.__qualname__}"
        return _shipped(BY_NAME + text.encode(), (), False, (), name)
    function = task_function(task)
    if function is not task:
        return ship_function(function, protocol)
    parcel = pack(task, protocol, f"task {name}")
    return _shipped(BY_PICKLE + parcel.body, parcel.buffers, parcel.bytecode, parcel.shared, name)


def task_function(task: Any) -> Any:
    """The function that an object which is only a task stands for; all else is its own."""
    return task.__farm_task__ if hasattr(type(task), "__farm_task__") else task


def travels_by_name(task: Any) -> bool:
    """Whether a callable is sent as the name under which the other side can import it."""
    by_name = isinstance(task, (types.FunctionType, types.BuiltinFunctionType, type))
    return (by_name or task_function(task) is not task) and is_importable(task)


def _shipped(
    body: bytes,
    buffers: Sequence[Buffer],
    bytecode: bool,
    shared: Sequence[Shared[Any]],
    name: str,
) -> ShippedFunction:
    digest = blake2b(body, digest_size=ID_SIZE)
    for buffer in buffers:
        digest.update(buffer)
    return ShippedFunction(digest.digest(), body, buffers, bytecode, shared, name)


def load_function(body: Buffer, buffers: Sequence[Buffer]) -> Callable[..., Any]:
    """The callable that `ship_function` turned into bytes; raises whatever loading raises."""
    view = memoryview(body)
    kind, data = bytes(view[:1]), view[1:]
    if kind == BY_NAME:
        function = _import_name(str(data, "utf-8"))
    elif kind == BY_PICKLE:
        function = unpack(data, buffers)
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


class Capture:
    """What a function had captured when it was shipped.

    Args:
        function: The function that was shipped.
    """

    __slots__ = ("_cells", "_functions", "_globals", "stable")

    def __init__(self, function: Any) -> None:
        self._cells: list[tuple[types.CellType, Any]] = []
        self._globals: list[tuple[dict[str, Any], str, Any]] = []
        # Weak: the function that was shipped may be forgotten; what it captured is held above.
        self._functions: list[tuple[weakref.ref[types.FunctionType], Any, Any, Any]] = []
        #: Whether all of it is immutable, so that `current` can tell.
        self.stable = self._is_fixed(function, set())

    def current(self) -> bool:
        """Whether the function would be shipped as before; False when that is unknown."""
        if not self.stable:
            return False
        for reference, code, defaults, keywords in self._functions:
            function = reference()
            if (
                function is None
                or function.__code__ is not code
                or function.__defaults__ is not defaults
                or function.__kwdefaults__ is not keywords
                or function.__dict__
            ):
                return False
        for cell, content in self._cells:
            try:
                if cell.cell_contents is not content:
                    return False
            except ValueError:  # emptied since
                return False
        for namespace, name, value in self._globals:
            if namespace.get(name, _MISSING) is not value:
                return False
        return True

    def _is_fixed(self, value: Any, seen: set[int]) -> bool:
        """Whether `value` cannot change but in the ways that `current` looks at."""
        kind = type(value)
        if kind in SCALARS or kind is types.BuiltinFunctionType:
            return True
        if kind is types.ModuleType:
            return _is_imported(value)
        if kind is tuple:
            return all(self._is_fixed(item, seen) for item in value)
        if kind is Shared:
            return True
        if kind is types.FunctionType:
            return is_importable(value) or self._is_fixed_function(value, seen)
        return issubclass(kind, type) and is_importable(value)

    def _is_fixed_function(self, function: types.FunctionType, seen: set[int]) -> bool:
        if id(function) in seen:
            return True
        seen.add(id(function))
        # A dict of keyword defaults can be changed in place.
        if function.__dict__ or function.__kwdefaults__:
            return False
        code = function.__code__
        self._functions.append(
            (weakref.ref(function), code, function.__defaults__, function.__kwdefaults__)
        )
        values: list[Any] = [function.__defaults__]
        for cell in function.__closure__ or ():
            try:
                content = cell.cell_contents
            except ValueError:  # not assigned yet
                return False
            self._cells.append((cell, content))
            values.append(content)
        for name in global_names(code):
            content = function.__globals__.get(name, _MISSING)
            self._globals.append((function.__globals__, name, content))
            if content is not _MISSING:
                values.append(content)
        return all(self._is_fixed(value, seen) for value in values)


def _is_imported(module: types.ModuleType) -> bool:
    """Whether a module travels as its name: one made by hand goes with all that is in it."""
    name: Any = getattr(module, "__name__", None)
    if sys.modules.get(name) is not module:
        return False
    # PyPy's builtins have no spec.
    return getattr(module, "__spec__", None) is not None or name in sys.builtin_module_names


_MISSING = object()

_GLOBAL_OPS = frozenset({"LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME"})


def global_names(code: types.CodeType) -> frozenset[str]:
    """The names that a function's code, and the functions inside it, look up as globals."""
    return frozenset(_global_names(code))


def _global_names(code: types.CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in _GLOBAL_OPS:
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)
