"""The import system's lock, which everybody who imports anything needs for a moment.

It is held while finders look for a module. One that waits for another machine must not keep all
other threads from importing, nor a fork from happening.
"""

from __future__ import annotations

import _imp
import contextlib
from collections.abc import Iterator

__all__ = ["released"]


@contextlib.contextmanager
def released() -> Iterator[None]:
    """Give the lock up, as often as this thread holds it, and take it back at the end."""
    depth = 0
    try:
        while True:
            _imp.release_lock()
            depth += 1
    except RuntimeError:
        pass  # not, or no longer, held by this thread
    try:
        yield
    finally:
        for _ in range(depth):
            _imp.acquire_lock()
