"""A server's status as text that fits a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from .status import ServerStatus, SessionStatus

__all__ = ["cleaned", "duration", "render"]

_HEADINGS = ("PID", "KERNEL", "INDEX", "CLIENT", "STATE", "CATEGORY", "DONE", "BUSY", "AGE")
_RIGHT = {"PID", "INDEX", "DONE", "BUSY", "AGE"}


def render(address: str, status: ServerStatus) -> str:
    """Some lines about a server, and a table of its sessions; no newline at the end."""
    working = status.sessions
    busy = sum(session.state == "busy" for session in working)
    what = "draining, " if status.draining else ""
    plural = "" if len(working) == 1 else "s"
    limits = f"of at most {status.max_connections}; asks a kernel for {status.workers}"
    release = f"farm-server {cleaned(status.version)}, {cleaned(status.python)}"
    process = f"process {status.pid} on {cleaned(status.host)}"
    lines = [
        f"{address}  {cleaned(status.name)}",
        f"  {what}{len(working)} connection{plural} ({busy} busy), {limits}",
        f"  {process}, up {duration(status.uptime)}, {release}",
    ]
    if tuple(status.addresses) != (address,) and status.addresses:
        lines.append(f"  listens on {' '.join(map(cleaned, status.addresses))}")
    if status.tags:
        lines.append(f"  tags {' '.join(map(cleaned, status.tags))}")
    if working:
        lines += ["", *_columns([_HEADINGS, *map(_row, working)])]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """A time span in a few characters: ``0.4s``, ``12s``, ``3m05s``, ``2h07m``, ``5d03h``."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def _row(session: SessionStatus) -> tuple[str, ...]:
    return (
        str(session.pid),
        cleaned(session.kernel) or "-",
        str(session.index),
        cleaned(session.peer),
        session.state,
        cleaned(session.category or "-"),
        str(session.tasks_done),
        duration(session.busy),
        duration(session.age),
    )


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if heading in _RIGHT else cell.ljust(width)
            for cell, width, heading in zip(row, widths, _HEADINGS)
        ).rstrip()
        for row in rows
    ]


def cleaned(text: str) -> str:
    """Text of others without what could move the cursor."""
    return "".join(character if character.isprintable() else "?" for character in text)
