"""Ships the news that a task was ended while it ran.

It travels as an ERROR frame whose text says so and whose pickle is empty. To a client that does not
know of it the task has raised an error.
"""

from __future__ import annotations

import json
import struct
from typing import NamedTuple, Optional

from ..frames import Buffer
from ..handshake import encode_json
from ..kills import KILLED, TIMEOUT
from .tracebacks import Stack, frames_of

__all__ = ["Interruption", "pack_interruption", "unpack_interruption"]

_LENGTH = struct.Struct("!I")

#: The longest traceback that is sent, in characters.
_DESCRIPTION_LIMIT = 20_000


class Interruption(NamedTuple):
    """How a task was ended.

    Attributes:
        reason: `KILLED` or `TIMEOUT`.
        seconds: How long it had run.
        description: Where it was, as a traceback; empty if nobody knows.
    """

    reason: str
    seconds: Optional[float]
    description: str


def pack_interruption(
    reason: str, seconds: float, error: Optional[BaseException], *, skip: int = 0, tail: str = ""
) -> bytes:
    """The body of an ERROR frame.

    Args:
        reason: `KILLED` or `TIMEOUT`.
        seconds: How long the task had run.
        error: What came out of it; None if it kept that to itself.
        skip: How many frames at the start of the traceback are not the user's.
        tail: The file that the frames at its end come from which are not the user's either.
    """
    report = _report(reason, seconds)
    description = ""
    if error is not None:
        frames = frames_of(error.__traceback__, skip)
        while frames and frames[-1].file == tail:
            frames.pop()
        if frames:
            lines = "".join(Stack(frames).format())
            description = _shortened(f"Traceback (most recent call last):\n{lines}{report}\n")
    text = encode_json(
        {
            "report": report,
            "description": description,
            "interrupted": reason,
            "seconds": round(seconds, 6),
        }
    )
    return _LENGTH.pack(len(text)) + text


def unpack_interruption(body: Buffer) -> Optional[Interruption]:
    """What an ERROR frame says of it; None if it says that the task failed by itself."""
    view = memoryview(body)
    try:
        (length,) = _LENGTH.unpack_from(view)
        text = json.loads(bytes(view[_LENGTH.size : _LENGTH.size + length]))
        reason, description = text.get("interrupted"), text.get("description")
        seconds = text.get("seconds")
    except (struct.error, ValueError, AttributeError):
        return None  # malformed, which `unpack_exception` says
    if reason not in (KILLED, TIMEOUT):
        return None
    known = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    return Interruption(reason, seconds if known else None, str(description or ""))


def _report(reason: str, seconds: float) -> str:
    if reason == TIMEOUT:
        return f"TaskTimeoutError: the task ran for longer than it may, {seconds:.3g} s"
    return f"TaskKilledError: the task was killed after {seconds:.3g} s"


def _shortened(text: str) -> str:
    if len(text) <= _DESCRIPTION_LIMIT:
        return text
    half = _DESCRIPTION_LIMIT // 2
    return f"{text[:half]}\n  ...\n{text[-half:]}"
