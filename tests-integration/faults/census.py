"""What a process has, as Linux tells: memory, descriptors, children."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["Sample", "children", "descendants", "descriptors", "resident", "sample"]


class Sample(NamedTuple):
    """What a process had at a moment.

    Attributes:
        at: When, in seconds since the beginning.
        memory: Its resident memory, in MB.
        descriptors: How many it had open.
        children: How many processes it had started, those that wait to be reaped included.
    """

    at: float
    memory: float
    descriptors: int
    children: int


def sample(pid: int, at: float) -> Sample:
    """What a process has now."""
    return Sample(at, resident(pid), descriptors(pid), len(children(pid)))


def resident(pid: int) -> float:
    """The resident memory of a process, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0  # a zombie


def descriptors(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def children(pid: int) -> list[int]:
    """The processes that a process has started and that are its own still."""
    return _by_parent().get(pid, [])


def descendants(pid: int) -> list[int]:
    """The same, and what these have started, and so on."""
    families = _by_parent()
    found = list(families.get(pid, ()))
    for child in found:
        found += families.get(child, ())
    return found


def _by_parent() -> dict[int, list[int]]:
    families: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue  # it has just ended
            parent = int(stat.rpartition(")")[2].split()[1])
            families.setdefault(parent, []).append(int(entry))
    return families
