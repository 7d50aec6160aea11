"""Whether the user's code was called in the middle of the engine's.

That may be a signal handler, a ``__del__``, or what packs and loads an object. The engine's locks
may be held by the very thread then, and who waits for them waits for ever.
"""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import Callable, Optional

__all__ = ["is_inside", "lockless"]

_ENGINE = frozenset(f"{__package__}.{name}" for name in ("engine", "handover", "traffic"))

_lockless: set[CodeType] = set()


def lockless(function: Callable[..., object]) -> None:
    """Mark a function of the engine that holds no lock while it waits."""
    _lockless.add(function.__code__)


def is_inside(waiting: bool) -> bool:
    """Whether the calling thread is in the engine's code already.

    Args:
        waiting: Whether it counts if it only waits there, without locks.
    """
    frame: Optional[FrameType] = sys._getframe(2)  # who called who asks
    while frame is not None:
        if frame.f_globals.get("__name__") in _ENGINE and (
            waiting or frame.f_code not in _lockless
        ):
            return True
        frame = frame.f_back
    return False
