"""The interpreter, the machine, and how busy others keep it."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from typing import Optional


def describe() -> str:
    """What the figures are of."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    if hasattr(sys, "pypy_version_info"):
        python = f"{python} of release {'.'.join(map(str, sys.pypy_version_info[:3]))}"
    return f"{python}, {os.cpu_count()} processors"


class Meter:
    """Tells how much processor time others took since it was made.

    All processes that were started meanwhile must have ended: only then their time is known to
    be ours. What the machine's own host took away counts as taken by others.
    """

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._busy = _busy()
        self._ours = _ours()

    def __str__(self) -> str:
        elapsed = time.monotonic() - self._started
        text = f"{elapsed:.0f} s"
        busy = _busy()
        if busy is None or self._busy is None:
            return text
        others = max(0.0, busy - self._busy - (_ours() - self._ours)) / elapsed
        return f"{text}; others kept {others:.1f} of {os.cpu_count()} processors busy"


def _busy() -> Optional[float]:
    """Seconds that all processors together have been busy, where the system tells."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            times = list(map(int, file.readline().split()[1:9]))
    except FileNotFoundError:
        return None
    idle, waiting = times[3:5]
    return (sum(times) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def _ours() -> float:
    """Seconds that this process and its ended children have been busy."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
