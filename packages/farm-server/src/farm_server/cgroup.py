"""Reads the files of this process's control group; elsewhere than on Linux there are none."""

from __future__ import annotations

from typing import Optional

__all__ = ["cgroup_file", "read_text"]

_ROOT = "/sys/fs/cgroup"


def cgroup_file(controller: str, name: str) -> Optional[str]:
    """The content of a file of this process's control group.

    Args:
        controller: The controller that version 1 keeps the file under, for example ``"memory"``.
        name: The file, for example ``"memory.events"``.

    Returns:
        The text, or None where there is no such file.
    """
    groups = read_text("/proc/self/cgroup")
    for line in (groups or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            folder = f"{_ROOT}{path}"
        elif controller in controllers.split(","):
            folder = f"{_ROOT}/{controller}{path}"
        else:
            continue
        # In a container the path is the host's, and what is mounted here is the group itself.
        for candidate in (folder, folder[: -len(path)] if path else folder):
            text = read_text(f"{candidate.rstrip('/')}/{name}")
            if text is not None:
                return text
    return None


def read_text(path: str) -> Optional[str]:
    """What a small file holds, or None when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None
