"""How a worker was lost, as far as its server or the connection tells."""

from __future__ import annotations

from typing import Any, Optional, Union

from farm_common.kills import KILLED, TIMEOUT

__all__ = ["account", "lost_for", "reason_of", "verdict"]


def account(lost: Optional[dict[str, Any]], error: BaseException) -> tuple[Optional[int], str]:
    """The task that a lost worker started last, and how it ended, from the server's account."""
    if lost is None:
        why = reason_of(error)
        return None, f"the connection was lost ({why}), and the server does not know why"
    task, done = lost.get("task"), lost.get("done")
    last: Union[Any, None] = task if isinstance(task, int) else done
    if lost.get("expired"):
        reason = "its server ended it, because this client was away for too long"
    elif verdict(lost)[0] is not None:
        reason = "its server ended it, because a task had to be ended that ran on it"
    elif isinstance(lost.get("program"), str):
        reason = f"its task executed another program in its place, {lost['program']}"
    elif lost.get("reason") == "signal":
        reason = f"it was killed by {lost.get('signal')}"
    else:
        reason = f"it exited with status {lost.get('status')}"
    if lost.get("memory"):
        reason += ", out of memory"
    return last if isinstance(last, int) else None, reason


def verdict(lost: Optional[dict[str, Any]]) -> tuple[Optional[str], Optional[float]]:
    """Why the server itself ended a worker and its task, if so, and how long that had run."""
    lost = lost or {}
    reason, seconds = lost.get("verdict"), lost.get("seconds")
    if reason not in (KILLED, TIMEOUT) or not isinstance(lost.get("task"), int):
        return None, None
    return reason, seconds if isinstance(seconds, (int, float)) else None


def lost_for(error: BaseException, seconds: Optional[float]) -> str:
    """How a worker was lost that may be there yet.

    Args:
        error: How the connection was lost.
        seconds: For how long it was not found again; None if it was not looked for, because its
            server was the kernel's own.
    """
    if seconds is None:
        end = "with it the server that this kernel had started"
    else:
        end = f"not found again in {seconds:.0f} s"
    return (
        f"the connection was lost ({reason_of(error)}) and {end}; "
        "whether the task was executed is not known"
    )


def reason_of(error: BaseException) -> str:
    """What an error says, or at least which it is."""
    return str(error) or type(error).__name__
