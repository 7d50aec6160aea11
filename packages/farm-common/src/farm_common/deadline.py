"""One time limit for an operation of several steps."""

from __future__ import annotations

import time
from typing import Optional

__all__ = ["Deadline"]


class Deadline:
    """A moment after which to give up, or never.

    Args:
        seconds: How long from now; None is for ever.
    """

    __slots__ = ("_at", "seconds")

    def __init__(self, seconds: Optional[float]) -> None:
        self.seconds = seconds
        self._at = None if seconds is None else time.monotonic() + seconds

    def remaining(self) -> Optional[float]:
        """Seconds left, never below 0; None when there is no limit."""
        if self._at is None:
            return None
        return max(0.0, self._at - time.monotonic())

    def expired(self) -> bool:
        """Whether the moment has passed."""
        return self._at is not None and time.monotonic() >= self._at

    def cap(self, seconds: float) -> float:
        """The smaller of what remains and `seconds`: how long one step may take."""
        remaining = self.remaining()
        return seconds if remaining is None else min(remaining, seconds)
