"""Signals as something to be selected on, so that they are handled between two events."""

from __future__ import annotations

import signal
import socket
import threading
from types import FrameType
from typing import Any, Optional, final

__all__ = ["HANDLED", "Signals"]

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


@final
class Signals:
    """Collects SIGTERM, SIGINT and SIGCHLD while it is entered.

    Python lets only the main thread handle signals. In another thread this does nothing, and
    nothing is ever collected.
    """

    def __init__(self) -> None:
        self.active = threading.current_thread() is threading.main_thread()
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._before: dict[int, Any] = {}
        self._wakeup = -1

    def __enter__(self) -> Signals:
        if self.active:
            self._wakeup = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
            for number in HANDLED:
                self._before[number] = signal.signal(number, _ignore)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.active:
            for number, handler in self._before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            signal.set_wakeup_fd(self._wakeup)
        self.close()

    def fileno(self) -> int:
        """What becomes readable when a signal came."""
        return self._read.fileno()

    def collect(self) -> bytes:
        """The numbers of the signals that came since the last call."""
        try:
            return self._read.recv(4096)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Close the descriptors and change nothing else: for a forked child."""
        self._read.close()
        self._write.close()


def _ignore(number: int, frame: Optional[FrameType]) -> None:
    """Exists so that the signal is not fatal, and is written to the wake-up descriptor."""
