"""What an exception holds, and how it travels as an ordinary value.

Exceptions have two ways to travel. One that a task raised is taken apart by `exceptions`, so that
what happened gets through in any case. One that is an argument, a result or part of one is pickled
with the rest, by `reduce_exception`, and only what it refers to may be missing.
"""

from __future__ import annotations

import functools
import reprlib
import threading
import types
from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

from .rebuild_exceptions import (
    fill_exception,
    group_name,
    is_group,
    make_exception,
    make_group,
    make_traceback,
)
from .tracebacks import frames_of

__all__ = ["ExceptionState", "fresh", "reduce_exception", "reduce_traceback", "short_repr"]

#: With more causes and contexts than this, an exception travels without them when it is a value.
_LONGEST_CHAIN = 50


class ExceptionState(NamedTuple):
    """What an exception holds, but for the exceptions that it came from.

    Attributes:
        args: Its arguments.
        fields: What builtin classes keep besides, and slots.
        attributes: The content of its ``__dict__``.
    """

    args: tuple[Any, ...]
    fields: dict[str, Any]
    attributes: dict[str, Any]

    @classmethod
    def of(cls, error: BaseException) -> ExceptionState:
        """The state of an exception; runs none of its own methods."""
        kind = type(error)
        fields = {}
        for owner, names in _FIELDS:
            if issubclass(kind, owner):
                for name in names:
                    value = _field(owner, name, error)
                    # What is None there stays as it is made: an OSError shows a file name of None.
                    if value is not None:
                        fields[name] = value
        if "obj" in fields and not _is_light(fields["obj"]):
            # It may be the user's whole data, and serves only to suggest other names.
            del fields["obj"]
        for owner in kind.__mro__:
            if "__slots__" in owner.__dict__:
                fields.update(_slots(owner, error))
        attributes = {name: value for name, value in vars(error).items() if name not in fields}
        return cls(_ARGS.__get__(error), fields, attributes)


# In a class of the user's the name may be that of something else.
_ARGS: Any = BaseException.__dict__["args"]

_UNICODE = ("encoding", "object", "start", "end", "reason")

_FIELDS: tuple[tuple[type[BaseException], tuple[str, ...]], ...] = (
    (OSError, ("errno", "strerror", "filename", "filename2", "winerror", "characters_written")),
    (SystemExit, ("code",)),
    (StopIteration, ("value",)),
    (ImportError, ("msg", "name", "path", "name_from")),
    (AttributeError, ("name", "obj")),
    (NameError, ("name",)),
    (UnicodeDecodeError, _UNICODE),
    (UnicodeEncodeError, _UNICODE),
    (UnicodeTranslateError, _UNICODE),
    (
        SyntaxError,
        (
            *("msg", "filename", "lineno", "offset", "text", "end_lineno", "end_offset"),
            "print_file_and_line",
        ),
    ),
)


def _field(owner: type, name: str, error: BaseException) -> Any:
    descriptor = owner.__dict__.get(name)
    if descriptor is None:
        return None  # another version has it
    try:
        return descriptor.__get__(error)
    except (AttributeError, TypeError):
        return None


def _slots(owner: type, error: BaseException) -> Iterator[tuple[str, Any]]:
    for name, descriptor in owner.__dict__.items():
        if isinstance(descriptor, types.MemberDescriptorType):
            try:
                yield name, descriptor.__get__(error)
            except AttributeError:
                pass  # empty


def _is_light(value: Any) -> bool:
    light = (str, int, float, type(None), type, types.ModuleType, types.FunctionType)
    return isinstance(value, light)


_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 300


def short_repr(value: Any) -> str:
    """What stands in for a value that cannot travel; its beginning and its end if that is long."""
    try:
        return _repr.repr(value)
    except BaseException:  # the user's code
        return f"<{type(value).__name__}>"


# Values

_trial = threading.local()


def reduce_exception(error: BaseException) -> tuple[Any, ...]:
    """Reduce an exception, for a pickler: `rebuild_exceptions` has what its pickle names.

    What its arguments and attributes hold is tried first: what cannot travel becomes its repr.
    """
    if getattr(_trial, "runs", False):
        return str, ()  # inside of such an attempt; its own parts are tried in their turn
    args, fields, attributes = ExceptionState.of(error)
    state: dict[str, Any] = {}
    if args:
        state["args"] = tuple(map(_travelling, args))
    if fields:
        state["fields"] = {name: _travelling(value) for name, value in fields.items()}
    if attributes:
        state["attributes"] = {name: _travelling(value) for name, value in attributes.items()}
    if not _is_long(error):
        if error.__cause__ is not None:
            state["cause"] = error.__cause__
        if error.__context__ is not None:
            state["context"] = error.__context__
        if error.__suppress_context__:
            state["suppress"] = True
    frames = frames_of(error.__traceback__)
    if frames:
        state["frames"] = [tuple(frame) for frame in frames]
    made: tuple[Any, ...]
    if is_group(error):
        cls = type(error)
        name: Any = group_name(cls)
        group: Any = error
        made = make_group, (name or cls, group.message, list(group.exceptions))
    else:
        made = make_exception, (type(error),)
    return (*made, state, None, None, fill_exception)


def reduce_traceback(tb: types.TracebackType) -> tuple[Any, ...]:
    """Reduce a traceback by itself, for a pickler."""
    return make_traceback, ([tuple(frame) for frame in frames_of(tb)],)


def _travelling(value: Any) -> Any:
    """A value if it can travel, else its repr."""
    from .pickling import SCALARS, dump  # a cycle by nature: it asks for this

    if type(value) in SCALARS or isinstance(value, BaseException):
        return value
    _trial.runs = True
    try:
        dump(value, 5)
    except Exception:
        return short_repr(value)
    finally:
        _trial.runs = False
    return value


def _is_long(error: BaseException) -> bool:
    """Whether there are more exceptions behind one than a pickler, which recurses, can bear."""
    seen: dict[int, Optional[BaseException]] = {}
    waiting: list[Optional[BaseException]] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            if len(seen) > _LONGEST_CHAIN:
                return True
            seen[id(one)] = one
            waiting += [one.__cause__, one.__context__]
    return False


# Raising again


def fresh(error: BaseException) -> BaseException:
    """A copy of an exception, and of its cause, that was not raised here yet.

    An exception that is kept, to be raised each time somebody asks, would otherwise gather the
    tracebacks of all who asked, and mix those of different threads. So would its cause, which
    is what many raise in turn; that keeps the traceback that it has.
    """
    copy = _copy(error, None)
    cause = error.__cause__
    if cause is not None:
        suppress = error.__suppress_context__
        put = functools.partial(BaseException.__setattr__, copy)
        put("__cause__", _copy(cause, cause.__traceback__))
        put("__suppress_context__", suppress)
    return copy


def _copy(error: BaseException, tb: Optional[types.TracebackType]) -> BaseException:
    args, fields, attributes = ExceptionState.of(error)
    cls = type(error)
    try:
        if is_group(error):
            group: Any = error
            copy: BaseException = make_group(cls, group.message, group.exceptions)
        else:
            copy = make_exception(cls)
    except Exception:  # a class of the user's that cannot be made so
        return error
    state = {
        "args": args,
        "fields": fields,
        # One that refers to itself goes on doing so.
        "attributes": {k: copy if v is error else v for k, v in attributes.items()},
        "cause": error.__cause__,
        "context": error.__context__,
        "suppress": error.__suppress_context__,
    }
    fill_exception(copy, state)
    BaseException.__setattr__(copy, "__traceback__", tb)
    return copy
