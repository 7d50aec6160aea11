"""The end of tasks that run on a server, whoever's program they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from farm_common.address import AddressLike, parse_address
from farm_common.deadline import Deadline
from farm_common.security import Authenticator

from .control import Control
from .status import ServerStatus, SessionStatus

__all__ = ["kill_tasks"]


def kill_tasks(
    address: AddressLike,
    category: Optional[str] = None,
    *,
    kernel: Optional[str] = None,
    pid: Optional[int] = None,
    dry_run: bool = False,
    auth: Optional[Authenticator] = None,
    timeout: Optional[float] = 10,
) -> list[SessionStatus]:
    """End tasks that run on a server; their programs get a `farm_common.TaskKilledError` for each.

    Returns when they have ended. What waits goes on, and a task that ends meanwhile is left alone,
    as is the next one of its worker.

    Args:
        address: Where the server listens.
        category: Only those of this category.
        kernel: Only those of kernels with this name.
        pid: Only the one of this worker process, as `status` has it.
        dry_run: End none, only tell which would be.
        auth: How to prove who we are; it must match the server's.
        timeout: Seconds to wait for it; None is for ever.

    Returns:
        The sessions whose tasks were ended, as they were before. Those of other users are
        not among them, unless one is root or runs the server: without authentication the
        server knows users on its own machine only, and remote ones can end nothing.

    Raises:
        AddressError: The address cannot be understood.
        AuthError, ProtocolError: The server will not do, now or later.
        UnsupportedError: The server is too old for that.
        ConnectionError: There is no server.
        TimeoutError: It did not answer in time.
    """
    with Control(parse_address(address), auth, Deadline(timeout)) as control:
        sessions = ServerStatus.from_json(control.status()).sessions
        chosen = list(_choose(sessions, category, kernel, pid))
        tasks = {str(session.pid): ((task, task),) for session, task in chosen}
        killed = control.kill(tasks, dry_run) if tasks else {}
    return [session for session, task in chosen if killed.get(str(session.pid)) == task]


def _choose(
    sessions: tuple[SessionStatus, ...],
    category: Optional[str],
    kernel: Optional[str],
    pid: Optional[int],
) -> Iterator[tuple[SessionStatus, int]]:
    """The sessions with a task that is wanted, and its id."""
    for session in sessions:
        if (
            session.task is not None
            and category in (None, session.category)
            and kernel in (None, session.kernel)
            and pid in (None, session.pid)
        ):
            yield session, session.task
