"""Ends a task from outside, as far as that happens in its process.

The parent writes on the board which task is to end, and sends `SIGNAL`. Python runs the handler in
the main thread, between two instructions of whatever that executes, or out of a system call that
the signal has woken. The handler raises `TaskInterrupt` if, and only if, that is safe:

1. The task that the board names is the one that runs. Both numbers are those of this moment: the
   main thread itself writes which task runs.
2. It is the user's code that runs: `perform` is on the stack. An exception that is raised anywhere
   under it comes out of it, at the latest when it returns, and its caller catches everything. Once
   it has returned it is not on the stack, and nothing is raised. So no exception gets into the code
   between two tasks, and none hits a task that came later. No flag is needed that would be set a
   moment too early or too late.
3. No code of farm's own, or of the import system, that must not be left halfway is under way there:
   it runs for a moment only. The parent signals again until it is told, by HIT on the board, that
   the exception was raised, or until its patience ends; then it ends the process. That also catches
   tasks that hold the interpreter, block signals or have a handler of their own, and those that
   take the exception for one of theirs and go on.

The signal is SIGURG: by default it is ignored, so it does no harm where nobody expects it, as in a
process that a task started; the system sends it only to those who asked for it; and hardly anybody
uses it (SIGUSR1, SIGUSR2, SIGALRM and SIGVTALRM belong to tasks).
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, Callable, Optional

from farm_common.kills import KILLED, TIMEOUT
from farm_common.shipping import SharedStore, load_function, unpack

from .board import Slot
from .importer import Importer

__all__ = ["SIGNAL", "Interrupter", "TaskInterrupt", "perform", "perform_with"]

SIGNAL = signal.SIGURG

# What must not be left halfway: a class that was made and not filled would be found again. By
# identity, for a code's hash takes its time.
_SHIELDED = frozenset(
    id(function.__code__) for function in (SharedStore.get, load_function, unpack, Importer.find)
)

#: Nor the import system's own steps; the code of a module that it executes may be left.
_IMPORT_SYSTEM = "<frozen importlib._bootstrap>"

_TASK, _KILL, _HIT = Slot.TASK, Slot.KILL, Slot.HIT


class TaskInterrupt(BaseException):
    """Raised in a task that is to end; ``except Exception`` lets it pass."""


def perform(function: Callable[..., Any], args: Any) -> Any:
    """Call the user's code: whatever runs under this may be interrupted."""
    return function(*args)


def perform_with(function: Callable[..., Any], args: Any, keywords: Any) -> Any:
    """The same with keyword arguments, which cost time even if there are none."""
    return function(*args, **keywords)


class Interrupter:
    """Raises `TaskInterrupt` in the task that the parent wants to end.

    Args:
        words: The numbers of the worker's slot on the board.

    Attributes:
        hit: Whether it has been raised; to be set back by who took note of that.
    """

    def __init__(self, words: Any) -> None:
        self.hit = False
        self._words = words

    def install(self) -> None:
        """Handle the signal from now on; in the main thread."""
        signal.signal(SIGNAL, self.handle)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {SIGNAL})

    @property
    def reason(self) -> str:
        """Why the parent wants the task to end."""
        return TIMEOUT if self._words[_KILL] & 1 else KILLED

    def handle(self, number: int, frame: Optional[FrameType]) -> None:
        """What the signal calls, with the frame that it interrupted."""
        words = self._words
        target = words[_KILL] >> 1
        # The signal may come again at any time, also while this runs.
        if not target or words[_TASK] != target or words[_HIT] == target or not _may_leave(frame):
            return
        words[_HIT] = target
        self.hit = True
        raise TaskInterrupt(
            "this task ran for longer than it may"
            if words[_KILL] & 1
            else "this task was killed, by kill_tasks"
        )


def _may_leave(frame: Optional[FrameType]) -> bool:
    """Whether this frame is in a task, and may be left by an exception."""
    if frame is not None and frame.f_code.co_filename == _IMPORT_SYSTEM:
        return False
    while frame is not None:
        code = frame.f_code
        if code is _PERFORM or code is _PERFORM_WITH:
            return True
        if id(code) in _SHIELDED:
            return False
        frame = frame.f_back
    return False


_PERFORM, _PERFORM_WITH = perform.__code__, perform_with.__code__
