"""Preempts threads at random moments of some modules: before any step of the interpreter there.

CPython hands over to another thread at few places of a function only, and those are not the same
in all versions; PyPy does so at others. So a race may never show on one interpreter, or only once
in a thousand runs under load. A thread that is in one of the chosen modules gives way now and then
before whatever it does next, and a race shows within seconds.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Optional

__all__ = ["start", "start_as_told", "stop", "tell"]

#: Tells processes yet to be started what to do: the share, and parts of modules' paths.
_VARIABLE = "FARM_TEST_PREEMPTION"

#: How long others may go on, in seconds: mostly for a moment only.
_MOMENT, _WHILE = 0.0, 0.0003


def start(paths: Sequence[str], share: float) -> None:
    """Preempt this thread and those yet to be started.

    Args:
        paths: Parts of the paths of modules, such as ``"farm_client/engine.py"``.
        share: At which part of the steps.
    """
    chance, give_way = random.random, time.sleep

    def enter(frame: FrameType, event: str, argument: Any) -> Optional[Callable[..., Any]]:
        if not any(path in frame.f_code.co_filename for path in paths):
            return None
        frame.f_trace_opcodes = True
        return step

    def step(frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
        if chance() < share:
            give_way(_WHILE if chance() < 0.2 else _MOMENT)
        return step

    threading.settrace(enter)
    sys.settrace(enter)


def stop() -> None:
    """Preempt neither this thread nor those yet to be started; others have to end by themselves."""
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]  # that is how it is done


def tell(paths: Sequence[str], share: float) -> None:
    """Have processes that this one starts from now on do the same."""
    here = Path(__file__).parent
    os.environ[_VARIABLE] = os.pathsep.join([str(share), *paths])
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    ours = [str(here / "preempted"), str(here)]
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [*ours, *(path for path in before if path and path not in ours)]
    )


def start_as_told() -> None:
    """`start`, as the process that started this one has told it to."""
    share, *paths = os.environ.get(_VARIABLE, "0").split(os.pathsep)
    if float(share):
        start(paths, float(share))
