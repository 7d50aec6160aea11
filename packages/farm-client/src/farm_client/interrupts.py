"""Keeps Ctrl-C out of the middle of a change of state.

A ``KeyboardInterrupt`` may be raised between any two bytecodes of the main thread. In the engine
that would lose a task that was taken from one table and not yet put into the next. So functions
that change the engine's state are marked `protected`. While a kernel lives, a handler stands in
for Python's default one: it looks whether the interrupted code is inside a protected function,
and if so leaves the interrupt to be raised at that function's end. Trio does the same; like Trio,
it leaves any other handler that the program has installed alone.

The cost on the hot path is one look at `pending`.
"""

from __future__ import annotations

import signal
import sys
import threading
from time import monotonic
from types import CodeType, FrameType
from typing import Any, Callable, Optional, TypeVar

__all__ = ["guard", "protected", "raise_pending", "unguard"]

F = TypeVar("F", bound=Callable[..., Any])

_protected: set[CodeType] = set()

#: How often `guard` looks, in seconds: a look costs as much as a fifth of a round trip.
_LOOK = 0.02
_looked = -1.0

#: Whether an interrupt waits for the end of a protected function.
pending = False


def protected(function: F) -> F:
    """Mark a function: no interrupt is raised inside it. It ends by `raise_pending`."""
    _protected.add(function.__code__)
    return function


def raise_pending() -> None:
    """Raise the interrupt that came meanwhile, if this is the main thread."""
    global pending
    if pending and threading.current_thread() is threading.main_thread():
        frame = sys._getframe(1).f_back  # of who called the function that ends here
        while frame is not None:
            if frame.f_code in _protected:
                return  # the outer one raises
            frame = frame.f_back
        pending = False
        raise KeyboardInterrupt


def guard() -> None:
    """Stand in for the default handler, if that is what handles SIGINT; main thread only.

    A notebook puts its own handler in place before each cell, hence the look at each wait.
    """
    global _looked
    now = monotonic()
    if now - _looked > _LOOK:
        _looked = now
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _handle)


def unguard() -> None:
    """Put the default handler back; the next `guard` looks, however soon it comes."""
    global _looked
    _looked = -1.0
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is _handle
    ):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _handle(signum: int, frame: Optional[FrameType]) -> None:
    global pending
    inside = frame
    while inside is not None:
        if inside.f_code in _protected:
            pending = True
            return
        inside = inside.f_back
    signal.default_int_handler(signum, frame)
