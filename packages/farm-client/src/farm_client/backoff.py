"""How long to wait before the next attempt to connect."""

from __future__ import annotations

import random
from collections.abc import Iterator

__all__ = ["backoff"]

_FIRST = 0.05
_LONGEST = 2.0


def backoff() -> Iterator[float]:
    """Endless waits in seconds: each about twice the last, up to a limit.

    A random half is taken off, so that many clients do not come back to a server at once.
    """
    wait = _FIRST
    while True:
        yield wait * random.uniform(0.5, 1.0)
        wait = min(_LONGEST, wait * 2)
