"""Messages about tasks that are ended while they run: the bodies of KILL and KILLED.

A session is named by its id, or by the pid of its process, which everybody can ask the server for.
Which of the two a name is, its length says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import ProtocolError
from .frames import Buffer
from .handshake import decode_json, encode_json

__all__ = [
    "KILLED",
    "KILL_BY_PID",
    "TIMEOUT",
    "Spans",
    "pack_kill",
    "pack_killed",
    "spans_of",
    "unpack_kill",
    "unpack_killed",
]

#: Why a task was ended: somebody asked for it, or it ran for longer than it may.
KILLED = "killed"
TIMEOUT = "timeout"

#: The name of the protocol's feature that sessions may be named by their pids.
KILL_BY_PID = "kill-by-pid"

#: Ids of tasks, as pairs of the first and the last of each run.
Spans = tuple[tuple[int, int], ...]

_SESSION = re.compile("[0-9a-f]{32}|[1-9][0-9]{0,9}")
_IDS = range(1 << 63)


def spans_of(idents: Iterable[int]) -> Spans:
    """Ids as few spans; in the order given, which is that in which the tasks were sent."""
    spans: list[tuple[int, int]] = []
    for ident in idents:
        if spans and spans[-1][1] + 1 == ident:
            spans[-1] = spans[-1][0], ident
        else:
            spans.append((ident, ident))
    return tuple(spans)


def pack_kill(sessions: Mapping[str, Spans], dry_run: bool = False) -> bytes:
    """The body of a KILL frame.

    Args:
        sessions: The tasks that may be ended, by the id of the session that they were sent in, or
            its pid.
        dry_run: Only tell which of them run.
    """
    return encode_json({"sessions": sessions, "dry_run": dry_run})


def unpack_kill(body: Buffer) -> tuple[dict[str, Spans], bool]:
    """Read the body of a KILL frame.

    Returns:
        What `pack_kill` takes.

    Raises:
        ProtocolError: It is malformed.
    """
    message = decode_json(body, "KILL")
    sessions: Any = message.get("sessions")
    dry_run: Any = message.get("dry_run", False)
    if not isinstance(sessions, dict) or type(dry_run) is not bool:
        raise ProtocolError("a KILL frame with a malformed body")
    return {_session(name): _spans(value) for name, value in sessions.items()}, dry_run


def pack_killed(tasks: Mapping[str, int]) -> bytes:
    """The body of a KILLED frame: the task that was ended, by the session as KILL named it."""
    return encode_json({"tasks": tasks})


def unpack_killed(body: Buffer) -> dict[str, int]:
    """Read the body of a KILLED frame.

    Raises:
        ProtocolError: It is malformed.
    """
    tasks: Any = decode_json(body, "KILLED").get("tasks")
    if not isinstance(tasks, dict):
        raise ProtocolError("a KILLED frame without tasks")
    return {_session(name): _ident(value) for name, value in tasks.items()}


def _session(name: str) -> str:
    if not _SESSION.fullmatch(name):
        raise ProtocolError(f"{name[:40]!r} is neither a session's id nor a pid")
    return name


def _spans(value: Any) -> Spans:
    if not isinstance(value, list) or not value:
        raise ProtocolError("a session's tasks are a list of [first, last]")
    spans = []
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ProtocolError("a session's tasks are a list of [first, last]")
        spans.append((_ident(pair[0]), _ident(pair[1])))
    return tuple(spans)


def _ident(value: Any) -> int:
    if type(value) is not int or value not in _IDS:
        raise ProtocolError("a task's id is an integer from 0 on, below 2**63")
    return value
