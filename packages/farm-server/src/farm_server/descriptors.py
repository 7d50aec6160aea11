"""Keeps the server's descriptors out of the way of tasks that close low numbers."""

from __future__ import annotations

import fcntl
import os
import resource

__all__ = ["raise_descriptor"]

#: Numbers above this would make the kernel's table of descriptors large for nothing.
_HIGHEST = 4096

#: How many descriptors find room at the top.
_ROOM = 64


def raise_descriptor(descriptor: int) -> int:
    """Move a descriptor to a high number; the old number is closed.

    Returns:
        The new number, or the old one where no higher is free.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    top = _HIGHEST if soft == resource.RLIM_INFINITY else min(soft, _HIGHEST)
    try:
        high = fcntl.fcntl(descriptor, fcntl.F_DUPFD, max(3, top - _ROOM))
    except OSError:
        return descriptor
    os.set_inheritable(high, False)  # F_DUPFD_CLOEXEC would do both, and PyPy lacks it
    os.close(descriptor)
    return high
