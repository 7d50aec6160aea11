"""For how long somebody who waits for a server is not told so."""

from __future__ import annotations

import time

__all__ = ["Patience"]

#: In seconds: by default only errors show.
_PATIENCE = 5.0


class Patience:
    """Counts failures, and wears out once.

    Attributes:
        failures: How many there were.
    """

    def __init__(self) -> None:
        self.failures = 0
        self._since = time.monotonic()
        self._worn = False

    def seconds(self) -> float:
        """How long the wait has been."""
        return time.monotonic() - self._since

    def worn(self) -> bool:
        """Count a failure; return True once, at the first one after some seconds."""
        self.failures += 1
        if self._worn or self.seconds() < _PATIENCE:
            return False
        self._worn = True
        return True
