"""Keeps Ctrl-C out of the middle of a change of state.

A ``KeyboardInterrupt`` may be raised between any two bytecodes of the main thread. In the engine
that would lose a task that was taken from one table and not yet put into the next. So functions
that change the engine's state are marked `protected`. While a kernel lives, a handler stands in
for Python's default one: it looks whether the interrupted code is inside a protected function,
and if so leaves the interrupt to be raised at that function's end. Trio does the same; like Trio,
it leaves any other handler that the program has installed alone.

Inside a protected function the user's own code may run, to load what a task returned. That may
never end. So where it is `breakable` and takes longer than a moment, or at the second Ctrl-C, the
interrupt is raised there; and once more at the protected function's end, where the user expects it.

The cost on the hot path is one look at `pending`.
"""

from __future__ import annotations

import signal
import sys
import threading
from time import monotonic
from types import CodeType, FrameType
from typing import Any, Callable, Optional, TypeVar

__all__ = ["breakable", "broken", "guard", "protected", "raise_pending", "unguard"]

F = TypeVar("F", bound=Callable[..., Any])

_protected: set[CodeType] = set()
_breakable: set[CodeType] = set()

#: How often `guard` looks, in seconds: a look costs as much as a fifth of a round trip.
_LOOK = 0.02
_looked = -1.0

#: Whether an interrupt waits for the end of a protected function.
pending = False

#: How long a breakable function is let run to its end when an interrupt comes, in seconds.
_MOMENT = 1.0

_broke = False  # whether an interrupt was raised in a breakable function


def protected(function: F) -> F:
    """Mark a function: no interrupt is raised inside it. It ends by `raise_pending`."""
    _protected.add(function.__code__)
    return function


def breakable(function: F) -> F:
    """Mark a function inside a protected one that may be left by an interrupt.

    Its argument `began` says when it was called, by `time.monotonic`. Whoever calls it asks
    `broken` when it raises.
    """
    _breakable.add(function.__code__)
    return function


def broken() -> bool:
    """Whether what a breakable function has just raised is an interrupt of the user's."""
    global _broke
    broke, _broke = _broke, False
    return broke


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
    global pending, _broke
    inside, breaking = frame, False
    while inside is not None:
        code = inside.f_code
        if code in _breakable:
            breaking = pending or monotonic() - inside.f_locals["began"] > _MOMENT
        if code in _protected:
            pending = True
            if breaking:
                _broke = True
                break
            return
        inside = inside.f_back
    signal.default_int_handler(signum, frame)
