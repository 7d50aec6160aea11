"""Sees what this process imports, and imports again.

It stands first among the finders and finds nothing. That costs an import a microsecond, and a
submit nothing, which would otherwise have to look at every module for a reload.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from types import ModuleType
from typing import Callable, Optional

__all__ = ["Notice", "observe", "stop_observing"]

#: Called with a module's name, before it is executed, from whichever thread imports it. The import
#: system's lock is held, so it must not wait.
Notice = Callable[[str], None]


class _Observer:
    """A finder for ``sys.meta_path``."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def find_spec(
        self,
        name: str,
        path: Optional[Sequence[str]] = None,
        target: Optional[ModuleType] = None,
    ) -> None:
        """What the import system calls, also for a reload."""
        for notice in self.notices:
            notice(name)


_observer = _Observer()
_lock = threading.Lock()


def observe(notice: Notice) -> None:
    """Have all imports told, until `stop_observing`."""
    with _lock:
        _observer.notices = [*_observer.notices, notice]
        if _observer not in sys.meta_path:
            sys.meta_path.insert(0, _observer)


def stop_observing(notice: Notice) -> None:
    """Have no more told; twice is no error."""
    with _lock:
        _observer.notices = [other for other in _observer.notices if other != notice]
        if not _observer.notices and _observer in sys.meta_path:
            sys.meta_path.remove(_observer)
