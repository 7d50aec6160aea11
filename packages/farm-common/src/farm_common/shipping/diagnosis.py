"""Finds out which object inside a value cannot travel, and on which path it lies.

Runs only after packing failed, so it may be slow: it packs parts until the smallest one that
fails is found.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from typing import Any

from .importable import is_importable
from .refusals import Refusal

__all__ = ["explain", "explain_arguments"]

_DEPTH = 50
_WIDTH = 10_000  # parts of one object that are tried


def explain(
    value: Any, what: str, error: BaseException, protocol: int, bytecode: bool = True
) -> str:
    """Say which part of `value` cannot travel.

    Args:
        value: What could not be packed.
        what: What to call it.
        error: Why packing failed.
        protocol: The pickle protocol that was used.
        bytecode: Whether bytecode could be used.

    Returns:
        The text of the error, for example

            argument 1 of f -> ['db'] -> attribute .conn: a sqlite3.Connection: cannot pickle
            'sqlite3.Connection' object
    """
    if isinstance(error, RecursionError):  # the path would be as long as it is deep
        return f"{what}: it is nested too deeply; send it as a flatter structure"
    path = [what]
    seen = {id(value)}
    for _ in range(_DEPTH):
        if isinstance(error, Refusal) and error.value is value:
            break  # it is known by what it is, not by what is in it
        for step, part in _parts(value):
            if id(part) in seen:
                continue
            failure = _failure(part, protocol, bytecode)
            if failure is not None:
                seen.add(id(part))
                path.append(step)
                value, error = part, failure
                break
        else:
            break
    reason = str(error) or type(error).__name__
    return f"{' -> '.join(path)}: {_type_name(value)}: {reason}"


def explain_arguments(
    args: tuple[Any, ...],
    keywords: dict[str, Any],
    name: str,
    error: BaseException,
    protocol: int,
    bytecode: bool = True,
) -> str:
    """`explain` which argument of a call cannot travel, and which part of it.

    Args:
        args: The positional arguments, which are counted from 1.
        keywords: The others, which are called by their names.
        name: What is called.
        error: Why packing failed.
        protocol: The pickle protocol that was used.
        bytecode: Whether bytecode could be used.
    """
    labels: list[Any] = [*range(1, len(args) + 1), *keywords]
    for label, value in zip(labels, (*args, *keywords.values())):
        failure = _failure(value, protocol, bytecode)
        if failure is not None:
            return explain(value, f"argument {label!r} of {name}", failure, protocol, bytecode)
    return explain((args, keywords), f"arguments of {name}", error, protocol, bytecode)


def _failure(value: Any, protocol: int, bytecode: bool) -> Any:
    from .pickling import dump  # a cycle by nature: packing asks for an explanation

    try:
        dump(value, protocol, bytecode)
    except Exception as error:
        return error
    return None


def _type_name(value: Any) -> str:
    """What a value is, with its article."""
    kind = type(value)
    name = "None" if value is None else kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    # By the letter, but for u: of types it is rather that of uuid than that of under.
    return f"an {name}" if name.lstrip("_")[:1].lower() in tuple("aeio") else f"a {name}"


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
    elif issubclass(type(value), type) and not is_importable(value):
        for name, item in list(value.__dict__.items()):
            yield f"class attribute {name}", item
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
