"""Shows the user's source lines in tracebacks where his file does not exist.

Whatever prints a traceback asks `linecache` for the lines. Of a file, a few functions arrive, one
after the other, so their lines are merged into one entry; it has no time, and so `linecache`
does not look for a file of that name, which may exist here and say something else.
"""

from __future__ import annotations

import linecache
import os
import sys
import threading
from types import ModuleType

__all__ = ["show"]

#: Line numbers above this are not shown: each costs memory in a list of lines.
_LINE_LIMIT = 1_000_000

_shown: dict[str, list[str]] = {}
_local: set[str] = set()
_lock = threading.Lock()


def _renew_lock() -> None:
    """In the child of a fork, nobody holds what another thread held."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def show(filename: str, line: int, text: str) -> None:
    """Have tracebacks show lines of a file that is not here.

    Of lines that are given twice, the last count. Files that belong to modules of this process,
    and cells of its own notebook, are left as they are.

    Args:
        filename: What the code objects name.
        line: The number of the first line, counted from 1.
        text: One or more lines.
    """
    start, lines = line - 1, _split(text)
    end = start + len(lines)
    if start < 0 or end > _LINE_LIMIT or filename in _local:
        return
    shown = _shown.get(filename)
    if _entry_lines(filename) is not shown or shown is None or shown[start:end] != lines:
        with _lock:
            _merge(filename, start, lines)


def _merge(filename: str, start: int, lines: list[str]) -> None:
    end = start + len(lines)
    shown = _shown.get(filename)
    if shown is None:
        if _is_local(filename, start, lines):
            _local.add(filename)
            return
        # The same file, or a copy of it: then the lines around are right, too. Not a device or a
        # pipe: for a script that came by /dev/stdin, this would wait for what is typed here.
        there = linecache.getlines(filename) if os.path.isfile(filename) else []
        shown = list(there) if there[start:end] == lines else []
        _shown[filename] = shown
    # In place, though somebody may be reading it: what is there stays there.
    shown.extend(["\n"] * (end - len(shown)))
    shown[start:end] = lines
    linecache.cache[filename] = (0, None, shown, filename)  # without a time, no size counts


def _entry_lines(filename: str) -> object:
    entry = linecache.cache.get(filename)
    return entry[2] if entry is not None and len(entry) == 4 else None


def _is_local(filename: str, start: int, lines: list[str]) -> bool:
    """Whether this process has the text itself, and will show it as it always does."""
    entry = linecache.cache.get(filename)
    if entry is not None and len(entry) == 4 and entry[1] is None:  # a cell, input of a REPL
        there: list[str] = entry[2]
        return there[start : start + len(lines)] == lines
    return any(_module_file(module) == filename for module in list(sys.modules.values()))


def _module_file(module: ModuleType) -> object:
    try:
        # A module that is loaded when it is first used must not be, for this.
        return object.__getattribute__(module, "__dict__").get("__file__")
    except AttributeError:  # anything can be put into sys.modules
        return None


def _split(text: str) -> list[str]:
    """The lines, each with its newline; only that ends a line, unlike `str.splitlines`."""
    lines = [f"{line}\n" for line in text.split("\n")]
    if lines[-1] == "\n" and len(lines) > 1:
        lines.pop()
    return lines
