"""Finds out which object inside a value cannot travel, and on which path it lies.

Runs only after packing failed, so it may be slow: it packs parts until the smallest one that
fails is found.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from typing import Any

__all__ = ["explain"]

_DEPTH = 50
_WIDTH = 10_000  # parts of one object that are tried


def explain(value: Any, what: str, error: BaseException, protocol: int) -> str:
    """Say which part of `value` cannot travel.

    Args:
        value: What could not be packed.
        what: What to call it.
        error: Why packing failed.
        protocol: The pickle protocol that was used.

    Returns:
        The text of the error, for example

            argument 0 of f cannot be sent: argument 0 of f -> ['db'] -> attribute .conn: a
            sqlite3.Connection: cannot pickle 'sqlite3.Connection' object
    """
    path = [what]
    seen = {id(value)}
    for _ in range(_DEPTH):
        for step, part in _parts(value):
            if id(part) in seen:
                continue
            failure = _failure(part, protocol)
            if failure is not None:
                seen.add(id(part))
                path.append(step)
                value, error = part, failure
                break
        else:
            break
    where = "" if len(path) == 1 else f"{' -> '.join(path)}: "
    reason = str(error) or type(error).__name__
    return f"{what} cannot be sent: {where}a {_type_name(value)}: {reason}"


def _failure(value: Any, protocol: int) -> Any:
    from .pickling import dump  # a cycle by nature: packing asks for an explanation

    try:
        dump(value, protocol)
    except Exception as error:
        return error
    return None


def _type_name(value: Any) -> str:
    kind = type(value)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    for count, step in enumerate(_all_parts(value)):
        if count == _WIDTH:
            return
        yield step


def _all_parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in list(value.items()):
            yield f"key {key!r:.60}", key
            yield f"[{key!r:.60}]", item
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield f"[{index}]", item
    elif isinstance(value, (set, frozenset)):
        for item in list(value):
            yield "element", item
    elif isinstance(value, types.FunctionType):
        yield from _function_parts(value)
    elif isinstance(value, types.MethodType):
        yield "its object", value.__self__
        yield "its function", value.__func__
    elif isinstance(value, functools.partial):
        yield "its function", value.func
        yield "its arguments", value.args
        yield "its keyword arguments", value.keywords
    reduce = getattr(type(value), "__reduce__", None)
    if isinstance(reduce, types.FunctionType) and reduce is not object.__reduce__:
        return  # its own way to travel, which need not be by its attributes, is what failed
    if not isinstance(value, (type, types.FunctionType, types.ModuleType)):
        yield from _attributes(value)


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    for name, item in list(getattr(value, "__dict__", {}).items()):
        yield f"attribute .{name}", item
    for owner in type(value).__mro__:
        slots = owner.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                yield f"attribute .{name}", getattr(value, name)


def _function_parts(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    from .functions import global_names

    name = function.__name__
    for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            yield f"closure of {name} -> cell {variable!r}", cell.cell_contents
        except ValueError:
            pass  # not assigned yet
    for variable in sorted(global_names(function.__code__)):
        if variable in function.__globals__:
            yield f"{name} -> global {variable!r}", function.__globals__[variable]
    yield f"{name} -> defaults", function.__defaults__
    yield f"{name} -> keyword defaults", function.__kwdefaults__
    for attribute, item in function.__dict__.items():
        yield f"{name} -> attribute .{attribute}", item
