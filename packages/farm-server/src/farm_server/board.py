"""The board: memory that the parent and its workers share.

A worker writes what it does there without a system call or a message, and the parent reads it
even while the worker is stuck, or dead. Each session has a `Slot`; slots are used again.

::

    0       8      16     24        32     40     48    56      64         128
    | STATE | TASK | DONE | STARTED | BUSY | KILL | HIT | LIMIT | category |

A word is written by one process only and in one piece, so reading needs no lock; KILL is the
parent's, the others are the worker's. The category is text and may be seen half written; it is for
people.
"""

from __future__ import annotations

import mmap
from typing import Optional

__all__ = ["Board", "Slot"]

_WORDS = 8
_TEXT = 64
_SIZE = 8 * _WORDS + _TEXT


class Slot:
    """One session's part of the board.

    Attributes:
        index: Which slot this is.
        words: Eight unsigned 64-bit integers, by the indexes below.
    """

    __slots__ = ("_text", "index", "words")

    #: One of the states below.
    STATE = 0
    #: The id of the task that runs, plus one; 0 when none does.
    TASK = 1
    #: How many tasks were executed.
    DONE = 2
    #: When the running task was started, in `time.perf_counter_ns`.
    STARTED = 3
    #: How long tasks took together, in nanoseconds, the running one left out.
    BUSY = 4
    #: Which task the parent wants to end: its id plus one, times two, and one more when it has run
    #: for longer than it may; 0 when none.
    KILL = 5
    #: The last task in which an interrupt was raised for that: its id plus one.
    HIT = 6
    #: How long the running task may run, in nanoseconds; 0 when no time is set or none runs.
    LIMIT = 7

    #: States. A worker that is sending runs no task, whatever TASK says: it may be that of the
    #: last one, or of the next.
    FREE, STARTING, WORK, CONTROL, SENDING = range(5)

    def __init__(self, index: int, memory: memoryview) -> None:
        self.index = index
        self.words = memory[: 8 * _WORDS].cast("Q")
        self._text = memory[8 * _WORDS :]

    @property
    def running(self) -> Optional[int]:
        """The id of the task that runs, None between two tasks."""
        words = self.words
        task = words[self.TASK]
        return task - 1 if task and words[self.STATE] != self.SENDING else None

    @property
    def category(self) -> str:
        """The category of the tasks that run here."""
        return bytes(self._text).rstrip(b"\0").decode("utf-8", "replace")

    @category.setter
    def category(self, name: str) -> None:
        data = name.encode("utf-8", "replace")[:_TEXT]
        # Cut between characters, not inside of one.
        data = data.decode("utf-8", "ignore").encode()
        self._text[:] = data.ljust(_TEXT, b"\0")

    def clear(self) -> None:
        """Forget the session that was here."""
        for index in range(_WORDS):
            self.words[index] = 0
        self._text[:] = bytes(_TEXT)


class Board:
    """Shared memory for a fixed number of sessions.

    Args:
        capacity: How many.
    """

    def __init__(self, capacity: int) -> None:
        self._memory = memoryview(mmap.mmap(-1, capacity * _SIZE))
        self._free = list(range(capacity - 1, -1, -1))

    def take(self) -> Slot:
        """A slot that nobody uses, cleared.

        Raises:
            IndexError: All are in use.
        """
        index = self._free.pop()
        slot = Slot(index, self._memory[index * _SIZE : (index + 1) * _SIZE])
        slot.clear()
        slot.words[Slot.STATE] = Slot.STARTING
        return slot

    def give_back(self, slot: Slot) -> None:
        """Let another session have the slot; the process that wrote it must be gone."""
        slot.clear()
        self._free.append(slot.index)
