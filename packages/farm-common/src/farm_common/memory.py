"""Memory for large values that arrive: not set to zero, and used again once nobody has it.

Fresh memory costs as much as the data that goes into it: the system clears each page when it is
first touched. So large blocks are remembered, and handed out again when the reference count says
that the value which lived there is gone. `trim` forgets those that nobody uses.

PyPy does not count references: what is not needed any more stays until its collector runs, which an
idle process does not let it. There `trim` has it run, if `note` was told of enough.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from typing import Any

__all__ = ["allocate", "note", "physical_memory", "trim"]

#: Smaller blocks are left to the allocator, which uses them again by itself.
_LARGE = 1 << 20

#: How many bytes are remembered at most, in use or not.
_LIMIT = 256 << 20

#: A collection takes tens of milliseconds, so it has to be worth it: so many bytes.
_WORTH = 32 << 20

#: Whether memory comes back by a collection only.
_COLLECTED = not hasattr(sys, "getrefcount")

_blocks: list[Any] = []
_noted = 0
_lock = threading.Lock()


def _references(blocks: list[Any], index: int) -> int:
    return sys.getrefcount(blocks[index])


def _counts_references() -> bool:
    """Whether a reference count tells that nobody uses a block: not on PyPy or without the GIL."""
    return hasattr(sys, "getrefcount") and getattr(sys, "_is_gil_enabled", lambda: True)()


# What the count of an object is that only the list has; interpreters differ.
_UNUSED = _references([object()], 0) if _counts_references() else -1


def allocate(size: int) -> Any:
    """Writable memory of `size` bytes with any content.

    Args:
        size: In bytes.

    Returns:
        An object with the buffer interface and one dimension of bytes.

    Raises:
        MemoryError: There is none.
    """
    if size < _LARGE or _UNUSED < 0:
        note(size)
        return _fresh(size)
    with _lock:
        for index in range(len(_blocks)):
            # Not much larger than needed: what is not needed would be held all the same.
            length = len(_blocks[index])
            if size <= length <= size + size // 4 and _references(_blocks, index) == _UNUSED:
                block = _blocks.pop(index)
                _blocks.append(block)
                return memoryview(block)[:size]
    fresh = _fresh(size)
    with _lock:
        _make_room(size)
        if sum(map(len, _blocks)) + size <= _LIMIT:
            _blocks.append(fresh)
    return fresh


def note(size: int) -> None:
    """Say that there is a value of `size` bytes that will soon be of no use.

    Only large ones count, and only where the collector has to be asked to see that.
    """
    global _noted
    if size >= _LARGE and _COLLECTED:
        _noted += size


def trim() -> None:
    """Give back the memory that nobody uses: for when nothing has happened for a while."""
    global _noted
    if _noted >= _WORTH:
        _noted = 0
        gc.collect()
    if _blocks:
        with _lock:
            _blocks[:] = [
                _blocks[index]
                for index in range(len(_blocks))
                if _references(_blocks, index) != _UNUSED
            ]


def physical_memory() -> int:
    """The machine's memory in bytes: no frame can be larger."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not POSIX, or not told
        return 1 << 36


def _make_room(size: int) -> None:
    """Forget the oldest blocks until another may be remembered; those in use live on."""
    while _blocks and sum(map(len, _blocks)) + size > _LIMIT:
        _blocks.pop(0)


def _fresh(size: int) -> Any:
    # Only NumPy hands out memory as it comes, so it is used where somebody else has imported it
    # already: where large values are arrays.
    numpy = sys.modules.get("numpy")
    if numpy is not None and size >= _LARGE:
        empty = getattr(numpy, "empty", None)  # absent while NumPy itself is being imported
        if empty is not None:
            return empty(size, "u1")
    return bytearray(size)
