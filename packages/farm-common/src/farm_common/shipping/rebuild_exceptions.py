"""What the pickles of exceptions name: the receiving side of `exceptions`.

The functions' names are part of the wire format: they stay, and take what they took. An exception
is made bare, without its ``__init__``, which may want arguments that nobody kept, and then given
what it held.
"""

from __future__ import annotations

import builtins
import functools
import sys
import traceback
import types
from collections.abc import Sequence
from typing import Any, Optional, Union

from .placeholders import keep_exception
from .tracebacks import Frame, traceback_of

__all__ = [
    "BaseExceptionGroup",
    "ExceptionGroup",
    "fill_exception",
    "group_class",
    "group_name",
    "is_group",
    "make_exception",
    "make_group",
    "make_traceback",
]

#: A class, or the module and the name of one that is another class in older versions.
ClassName = Union[type, tuple[str, str]]


def make_exception(cls: Any) -> Any:
    """A bare exception; `fill_exception` fills it.

    Args:
        cls: Its class.
    """
    for base in cls.__mro__:
        # The user's own __new__ may want anything. Which of several builtin bases has to make it
        # is known to the interpreter: the others refuse.
        if base.__module__ == "builtins" and issubclass(base, BaseException):
            try:
                return base.__new__(cls)
            except TypeError:
                continue
    return cls.__new__(cls)  # or a placeholder, or a class that an extension defined


def make_group(cls: ClassName, message: str, members: Sequence[BaseException]) -> Any:
    """A group of exceptions; `fill_exception` fills it.

    Args:
        cls: Its class, or the module and name of a standard one.
        message: Its message.
        members: What it groups.
    """
    found: Any = group_class(*cls) if isinstance(cls, tuple) else cls
    for base in found.__mro__:
        if group_name(base) is not None:
            return base.__new__(found, message, members)
    return found.__new__(found, message, members)


def fill_exception(error: Any, state: dict[str, Any]) -> None:
    """Give an exception what it held.

    Args:
        error: What `make_exception` or `make_group` made.
        state: By what it is: ``args``, ``fields`` that its builtin base has besides and slots,
            its ``attributes``, ``cause``, ``context``, whether to ``suppress`` the context, and
            the ``frames`` of its traceback. What a later release adds is ignored.
    """
    if not isinstance(error, BaseException):
        keep_exception(error, state)  # it stands in for one whose class is not here
        return
    _ARGS.__set__(error, state.get("args", ()))
    # Not setattr: a frozen data class would refuse.
    put = functools.partial(BaseException.__setattr__, error)
    for name, value in state.get("fields", _NOTHING).items():
        try:
            put(name, value)
        except (AttributeError, TypeError, ValueError, OverflowError):
            pass  # what only other versions have
    attributes = state.get("attributes")
    if attributes:
        vars(error).update(attributes)
    if "cause" in state:
        put("__cause__", state["cause"])
    if "context" in state:
        put("__context__", state["context"])
    put("__suppress_context__", state.get("suppress", False))
    if "frames" in state:
        put("__traceback__", make_traceback(state["frames"]))


_NOTHING: dict[str, Any] = {}

# In a class of the user's the name may be that of something else.
_ARGS: Any = BaseException.__dict__["args"]


def make_traceback(frames: Sequence[Sequence[Any]]) -> Optional[types.TracebackType]:
    """A traceback of frames, each a sequence of the fields of a `Frame`; some may be missing."""
    return traceback_of([Frame(*frame[: len(Frame._fields)]) for frame in frames])


# Groups of exceptions, which came with Python 3.11


class BaseExceptionGroup(BaseException):
    """Stands in for the builtin of the same name before Python 3.11.

    Args:
        message: What they have in common.
        exceptions: The members.

    Attributes:
        message: The same.
        exceptions: The same, as a tuple.
    """

    message: str
    exceptions: tuple[BaseException, ...]

    def __new__(cls, message: str, exceptions: Sequence[BaseException]) -> Any:  # noqa: D102
        self = super().__new__(cls, message, exceptions)
        self.message = message
        self.exceptions = tuple(exceptions)
        return self

    def __str__(self) -> str:
        """The message and, as no traceback shows them otherwise, the members' tracebacks."""
        count = len(self.exceptions)
        parts = [f"{self.message} ({count} sub-exception{'s' if count != 1 else ''})"]
        for number, member in enumerate(self.exceptions, 1):
            text = "".join(traceback.format_exception(type(member), member, member.__traceback__))
            parts.append(f"  +---------------- {number} ----------------")
            parts += [f"  | {line}" for line in text.splitlines()]
        if count:
            parts.append("  +------------------------------------")
        return "\n".join(parts)


class ExceptionGroup(BaseExceptionGroup, Exception):  # noqa: N818 - it is called so
    """Stands in for the builtin of the same name before Python 3.11."""


_STAND_INS: dict[str, type[BaseException]] = {
    "BaseExceptionGroup": BaseExceptionGroup,
    "ExceptionGroup": ExceptionGroup,
}


def group_name(cls: type) -> Optional[tuple[str, str]]:
    """The name of a standard group class, whichever module it is from; None for all others."""
    name = cls.__name__
    if name not in _STAND_INS:
        return None
    is_one = cls is _STAND_INS[name] or cls is group_class("builtins", name)
    return ("builtins", name) if is_one else None


def group_class(module: str, name: str) -> Optional[type[BaseException]]:
    """What serves as a standard group class here; None if it is the name of another.

    That is the builtin, or the class of the package ``exceptiongroup`` if the program uses that,
    or one that stands in.
    """
    if name not in _STAND_INS or module != "builtins":
        return None
    for source in (builtins, sys.modules.get("exceptiongroup")):
        found: Any = getattr(source, name, None)
        if found is not None:
            return found  # type: ignore[no-any-return]
    return _STAND_INS[name]


def is_group(error: BaseException) -> bool:
    """Whether an exception is a group."""
    return any(group_name(base) is not None for base in type(error).__mro__[:-2])
