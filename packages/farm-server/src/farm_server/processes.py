"""Starts and ends the processes of sessions."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from typing import Optional

from .session import Birth, Closable, live
from .signals import HANDLED

__all__ = ["Processes"]

#: For a process whose end somebody else took note of.
_UNKNOWN = 255 << 8


class Processes:
    """The system's processes; tests put something else in their place."""

    def __init__(self) -> None:
        self._reaped: dict[int, int] = {}  # statuses that came when nobody asked for them

    def fork(self, birth: Birth, foreign: Iterable[Closable]) -> int:
        """Start the process of a session.

        Args:
            birth: What it is given.
            foreign: What it must not keep open.

        Returns:
            Its number.

        Raises:
            OSError: The system has no room for it.
        """
        # Until the child has its own handlers, a signal would reach the parent through it: they
        # share the wake-up descriptor.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        try:
            pid = os.fork()
            if not pid:
                live(birth, foreign)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid

    def poll(self, pid: int) -> Optional[int]:
        """The status of a process that ended, once; None while it runs.

        What its tasks started and left behind is ended with it.
        """
        try:
            if not hasattr(os, "waitid"):
                if pid in self._reaped:
                    return self._reaped.pop(pid)
                gone, status = os.waitpid(pid, os.WNOHANG)
                if not gone:
                    return None
                self._kill_group(pid, signal.SIGKILL)
                return status
            # While the process is not reaped, its number cannot become another group's.
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return None
            self._kill_group(pid, signal.SIGKILL)
            return os.waitpid(pid, 0)[1]
        except ChildProcessError:
            return _UNKNOWN

    def stopped(self, pid: int) -> bool:
        """Whether a process has stopped; told once each time."""
        try:
            if hasattr(os, "waitid"):
                return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG) is not None
            gone, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return False  # it ended, and somebody else took note
        if not gone:
            return False
        if os.WIFSTOPPED(status):
            return True
        self._kill_group(pid, signal.SIGKILL)
        self._reaped[pid] = status
        return False

    def signal(self, pid: int, number: int) -> None:
        """Send a signal to a process that was not reaped, and to no other."""
        try:
            os.kill(pid, number)
        except OSError:
            pass  # it ended, or became another user's

    def kill(self, pid: int, number: int) -> None:
        """Send a signal to a process that was not reaped, and to what its tasks started."""
        self.signal(pid, number)
        self._kill_group(pid, number)

    def _kill_group(self, pid: int, number: int) -> None:
        try:
            os.killpg(pid, number)
        except OSError:
            pass  # nobody is left, or it had not become a group yet
