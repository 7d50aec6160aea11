"""Ships errors: what happened as text always, and the exception itself where it can travel."""

from __future__ import annotations

import json
import struct
import traceback
from typing import Any, Callable, NamedTuple, Optional

from ..errors import ProtocolError, SerializationError
from ..frames import Buffer
from ..handshake import encode_json
from .pickling import dump, unpack

__all__ = ["PackedException", "pack_exception", "unpack_exception"]

_LENGTH = struct.Struct("!I")

#: The longest traceback that is sent, in characters: a recursion's has a thousand entries.
_DESCRIPTION_LIMIT = 20_000

#: The longest report that is sent, in characters: it is to be one line.
_REPORT_LIMIT = 500


class PackedException(NamedTuple):
    """An error as it travels.

    Attributes:
        body: The body of an ERROR frame.
        bytecode: Whether only an interpreter with the same magic number may load the exception.
    """

    body: bytes
    bytecode: bool


def pack_exception(
    error: BaseException, protocol: int, skip: int = 0, text_only: bool = False
) -> PackedException:
    """Turn an error into the body of an ERROR frame; never raises.

    Args:
        error: What was raised.
        protocol: The pickle protocol that both sides read.
        skip: How many frames at the start of the traceback are not the user's.
        text_only: Leave the exception itself out.
    """
    report = _safely(_report, error)
    description = _safely(_describe, error, skip)
    description = _shorten(description, _DESCRIPTION_LIMIT, "\n  ...\n")
    pickled, bytecode = b"", False
    if not text_only:
        try:
            parcel = dump(error, protocol)
            if not parcel.buffers:  # large arrays in exceptions are not worth a way of their own
                pickled, bytecode = parcel.body, parcel.bytecode
        except BaseException:  # the user's code, which may raise SystemExit
            pass  # the text remains
    text = encode_json({"report": report, "description": description})
    return PackedException(_LENGTH.pack(len(text)) + text + pickled, bytecode)


def unpack_exception(body: Buffer, load: bool) -> tuple[str, str, Optional[BaseException]]:
    """The report, the description, and the exception where it can be rebuilt.

    Args:
        body: The body of an ERROR frame.
        load: Whether the exception may be loaded; False when it holds foreign bytecode.

    Raises:
        ProtocolError: The body is malformed.
    """
    view = memoryview(body)
    try:
        (length,) = _LENGTH.unpack_from(view)
        text = json.loads(bytes(view[_LENGTH.size : _LENGTH.size + length]))
        report, description = str(text["report"]), str(text["description"])
    except (struct.error, ValueError, KeyError, TypeError):
        raise ProtocolError("an ERROR frame with a malformed body") from None
    pickled = view[_LENGTH.size + length :]
    cause: Optional[BaseException] = None
    if load and len(pickled):
        try:
            loaded = unpack(pickled)
        except BaseException:  # odd constructors, classes that are not here: the text remains
            loaded = None
        if isinstance(loaded, BaseException):
            cause = loaded
    return report, description, cause


def _report(error: BaseException) -> str:
    """The error in one line: its type, and the first line of what it says.

    Not the last line of what traceback makes: that is a note, or the end of a longer message.
    """
    kind = type(error)
    lines = str(error).strip().splitlines() or [""]
    if isinstance(error, SerializationError):
        name, text = kind.__name__, " ".join(lines)  # the reason, which counts, stands at its end
    else:
        name, text = kind.__qualname__, lines[0].rstrip()
        if kind.__module__ not in ("builtins", "__main__"):
            name = f"{kind.__module__}.{name}"
    return _shorten(f"{name}: {text}" if text else name, _REPORT_LIMIT, " ... ")


def _shorten(text: str, limit: int, gap: str) -> str:
    """The text, or its beginning and its end."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}{gap}{text[-half:]}"


def _describe(error: BaseException, skip: int) -> str:
    tb = error.__traceback__
    for _ in range(skip):
        tb = tb.tb_next if tb is not None else None
    return "".join(traceback.format_exception(type(error), error, tb))


def _safely(function: Callable[..., str], error: BaseException, *args: Any) -> str:
    """`function`'s text, though the error's own ``__str__`` may raise anything."""
    try:
        return function(error, *args)
    except BaseException as failure:
        return f"{type(error).__name__} (its text could not be made: {type(failure).__name__})"
