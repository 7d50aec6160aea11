"""Users that root makes for a test, and takes away after it."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

from sshd import SYSTEM_PATH

__all__ = ["make_user", "remove_user", "running_as"]


def make_user(name: str, home: Path, shell: str = "/bin/sh") -> None:
    """Make a user who may log in with a key only."""
    _run("useradd", "-m", "-d", str(home), "-s", shell, "-p", "*", name)


def remove_user(name: str, seconds: float = 5.0) -> list[int]:
    """Take away a user, what belongs to him in his home directory and /tmp, and what still runs.

    Args:
        name: Whom.
        seconds: How long his processes have to end by themselves.

    Returns:
        Those that had not.
    """
    uid = pwd.getpwnam(name).pw_uid
    deadline = time.monotonic() + seconds
    while (left := running_as(uid)) and time.monotonic() < deadline:
        time.sleep(0.005)  # nobody tells of the end of another's process
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for entry in os.scandir("/tmp"):
        with contextlib.suppress(FileNotFoundError):  # others come and go there
            if entry.stat(follow_symlinks=False).st_uid == uid and entry.is_dir():
                shutil.rmtree(entry.path, ignore_errors=True)
    _run("userdel", "-f", "-r", name)
    return left


def running_as(uid: int) -> list[int]:
    """A user's processes."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}").st_uid == uid:
                found.append(int(pid))
    return found


def _run(*command: str) -> None:
    environment = {**os.environ, "PATH": SYSTEM_PATH}
    subprocess.run(command, check=True, env=environment, capture_output=True)
