"""What a server may use: memory, processors, descriptors."""

from __future__ import annotations

import errno
import math
import os
import resource
import sys
from typing import Optional

from farm_common.memory import physical_memory

from .cgroup import cgroup_file

__all__ = [
    "advice",
    "frame_limit",
    "limit_memory",
    "parse_size",
    "raise_descriptors",
    "restore_descriptors",
    "usable_processors",
]

_UNITS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

#: Below this an interpreter does not even start, and every task would fail without saying why.
_LEAST = 32 << 20


def parse_size(text: str) -> int:
    """A number of bytes from ``"2G"``, ``"512M"``, ``"1.5GiB"``, ``"1000000"``.

    Raises:
        ValueError: It is none, or too small for a worker to live in; says so.
    """
    body = text.strip().upper()
    for suffix in ("IB", "B"):
        if body.endswith(suffix) and body[: -len(suffix)][-1:] in ("K", "M", "G", "T"):
            body = body[: -len(suffix)]
            break
    unit = body[-1:] if body[-1:] in _UNITS else ""
    try:
        size = int(float(body[: len(body) - len(unit)]) * _UNITS[unit])
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a size: give bytes, or a number and K, M, G or T") from (
            None
        )
    if size < _LEAST:
        raise ValueError(f"{text!r} is too little for a worker: give {_LEAST >> 20}M or more")
    return size


def limit_memory(size: int) -> None:
    """Let this process and its children allocate at most `size` bytes each.

    On Linux this is RLIMIT_DATA, which counts private writable memory: what a process can really
    fill. RLIMIT_AS also counts address space that is only reserved (64 MB for each thread's
    malloc arena, terabytes by some numerical libraries and by PyPy), so that a limit near the
    machine's memory would make programs fail which use little. Elsewhere RLIMIT_DATA does not see
    mmap, and RLIMIT_AS is what there is.

    An allocation over the limit is a MemoryError in the task; the worker lives on.
    """
    kind = resource.RLIMIT_DATA if sys.platform.startswith("linux") else resource.RLIMIT_AS
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        size = min(size, hard)
    resource.setrlimit(kind, (size, size))


def frame_limit(memory_limit: Optional[int] = None) -> int:
    """The largest frame worth receiving, in bytes: what does not fit is not even begun."""
    memory = physical_memory()
    return memory if memory_limit is None else min(memory, memory_limit)


def raise_descriptors() -> tuple[int, int]:
    """Let this process open as many descriptors as it may; a connection takes two.

    Returns:
        The limits from before, for `restore_descriptors`.
    """
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = before
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):
            pass  # macOS calls its hard limit infinite and then refuses it
    return before


def restore_descriptors(before: tuple[int, int]) -> None:
    """Undo `raise_descriptors`: programs that use select(2) rely on the low limit."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    except (ValueError, OSError):
        pass


def advice(error: OSError) -> str:
    """An error of a system call that needs room, with what to do about it."""
    number = error.errno or 0
    return f"{error}{_ADVICE.get(number, '')}"


_ADVICE = {
    errno.EMFILE: "; a connection takes two: raise the hard limit of open files (ulimit -Hn)",
    errno.ENFILE: "; raise the machine's limit of open files",
    errno.EAGAIN: "; raise the limit of processes (ulimit -u, or pids.max of the control group)",
    errno.ENOMEM: "; the machine has no memory left for a process",
}


def usable_processors() -> int:
    """How many processors this process may use, by its affinity and its control group."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:
        count = os.cpu_count() or 1
    quota = _processor_quota()
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def _processor_quota() -> Optional[float]:
    text = cgroup_file("cpu", "cpu.max")
    if text is not None:
        quota, _, period = text.partition(" ")
    else:
        quota = cgroup_file("cpu", "cpu.cfs_quota_us") or ""
        period = cgroup_file("cpu", "cpu.cfs_period_us") or ""
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max", or no such file
        return None
    return share if share > 0 else None
