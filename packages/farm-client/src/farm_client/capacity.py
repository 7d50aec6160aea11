"""How many files this process may have open: each worker of a kernel is a connection."""

from __future__ import annotations

import logging
import os
from typing import Optional

from farm_common.errors import KernelCreationError

__all__ = ["make_room"]

_log = logging.getLogger("farm.client")

#: What a kernel and the program around it open besides: epoll, a bell, a module, a pipe.
_MARGIN = 32

#: Where the system lists what a process has open.
_LISTS = ("/proc/self/fd", "/dev/fd")


def make_room(connections: int) -> None:
    """See to it that so many more connections can be opened.

    The limit that a process begins with is low, often 1,024, for the sake of programs that use
    select(2); where a kernel needs more it is raised, as far as needed. Without that the kernel
    could not be made.

    Args:
        connections: How many.

    Raises:
        KernelCreationError: The process may not have as many; says what to do.
    """
    try:
        import resource
    except ImportError:  # not POSIX
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return
    used = _open_files()
    needed = used + connections + _MARGIN
    if needed <= soft:
        return
    if hard == resource.RLIM_INFINITY or needed <= hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        except (ValueError, OSError):
            pass  # macOS calls its hard limit infinite, and then refuses what is above its own
        else:
            _log.info("raised the limit of open files from %d to %d", soft, needed)
            return
    if used + connections <= soft:
        return  # it may do
    most = soft if hard == resource.RLIM_INFINITY else hard
    raise KernelCreationError(
        f"{connections} connections to workers need about {needed} open files, and this process "
        f"may have {most}: raise its hard limit (ulimit -Hn, or LimitNOFILE= of a systemd unit), "
        "or use fewer workers (?workers=N)"
    )


def _open_files() -> int:
    """How many files are open, as far as the system tells."""
    for folder in _LISTS:
        count = _count(folder)
        if count is not None:
            return count
    return 0


def _count(folder: str) -> Optional[int]:
    try:
        return len(os.listdir(folder))
    except OSError:
        return None
