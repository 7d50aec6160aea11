"""What the pickles of annotations name: the receiving side of `hints`.

All functions here are part of the wire format: they stay, and take what they took. What this
version of Python lacks is stood in for by what is next to it.
"""

from __future__ import annotations

import collections.abc
import functools
import operator
import sys
import typing
from collections.abc import Sequence
from typing import Any

from .aliases import resolve

__all__ = [
    "abstract_callable",
    "forward_reference",
    "generic",
    "parameter_part",
    "parameter_specification",
    "type_alias",
    "type_variable",
    "type_variable_tuple",
    "union",
    "unpacked",
]


def union(members: Sequence[Any]) -> Any:
    """``int | str``; before Python 3.10 a `typing.Union`."""
    if sys.version_info >= (3, 10):
        try:
            return functools.reduce(operator.or_, members)
        except TypeError:
            pass  # a stand-in, or a string
    return typing.Union[tuple(members)]


def generic(origin: Any, arguments: Any) -> Any:
    """A form of `typing` or a class with arguments; without them where they do not fit here."""
    try:
        return origin[arguments]
    except TypeError:
        if origin is typing.Callable and isinstance(arguments, tuple):
            return typing.Callable[..., arguments[-1]]
        return origin


def abstract_callable(parameters: Any, result: Any) -> Any:
    """``collections.abc.Callable[parameters, result]``.

    Args:
        parameters: A list of types, ``...``, or what stands for parameters.
        result: What it returns.
    """
    try:
        return collections.abc.Callable[parameters, result]
    except TypeError:
        return collections.abc.Callable[..., result]


def unpacked(alias: Any) -> Any:
    """``*alias``; before Python 3.11 what stands for ``typing.Unpack[alias]``."""
    try:
        return next(iter(alias))
    except TypeError:  # before Python 3.11
        return resolve("typing", "Unpack")[alias]


def type_variable(name: str, constraints: Sequence[Any], options: dict[str, Any]) -> Any:
    """A `typing.TypeVar`; options that came after Python 3.9 are left out where they are unknown.

    Args:
        name: Its name.
        constraints: Its constraints.
        options: Keyword arguments.
    """
    if sys.version_info < (3, 13):
        options.pop("default", None)
    if sys.version_info < (3, 12):
        options.pop("infer_variance", None)
    make: Any = typing.TypeVar
    return make(name, *constraints, **options)


def parameter_specification(name: str, options: dict[str, Any]) -> Any:
    """A `typing.ParamSpec`; before Python 3.10 a type variable."""
    if sys.version_info < (3, 13):
        options.pop("default", None)
    if sys.version_info < (3, 12):
        options.pop("infer_variance", None)
    made: Any = getattr(typing, "ParamSpec", None)
    if made is None:
        return type_variable(name, (), {})
    return made(name, **options)


def parameter_part(origin: Any, name: str) -> Any:
    """The ``args`` or ``kwargs`` of a `typing.ParamSpec`; before Python 3.10 anything."""
    return getattr(origin, name, typing.Any)


def type_variable_tuple(name: str, options: dict[str, Any]) -> Any:
    """A `typing.TypeVarTuple`; before Python 3.11 a type variable."""
    made: Any = getattr(typing, "TypeVarTuple", None)
    if made is None:
        return type_variable(name, (), {})
    return made(name, **options) if sys.version_info >= (3, 13) else made(name)


def type_alias(name: str, value: Any, parameters: Sequence[Any]) -> Any:
    """What a ``type`` statement makes; before Python 3.12 the type itself."""
    made: Any = getattr(typing, "TypeAliasType", None)
    return value if made is None else made(name, value, type_params=tuple(parameters))


def forward_reference(name: str) -> Any:
    """A `typing.ForwardRef`."""
    return typing.ForwardRef(name)
