"""What tasks print: where it goes, and how it travels.

``"forward"`` sends it to the client, ``"server"`` leaves it on the server's standard error (its
standard output carries the ready line), ``"discard"`` drops it. Tasks write to pipes, be it from
Python, C or a child process; the monitor thread empties them, so no task waits for a client that
is slow to print. More than a terminal can show is dropped, and what was dropped is counted.

A task may close ``sys.stdout`` or put another object there: that is undone after it, when output is
taken. What it does to the descriptors 1 and 2 themselves (``os.close(1)``) stays: seeing that would
cost a system call each time. Python's output does not go through them, that of C and of child
processes does.
"""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from collections import deque
from time import monotonic

from farm_common.connection import Connection
from farm_common.frames import Buffer, Kind

from .descriptors import raise_descriptor

__all__ = ["Output"]

#: What may be forwarded: so many bytes a second, and so many at once.
_RATE = 1_000_000
_BURST = 256 * 1024

_CHUNK = 64 * 1024
_STDOUT, _STDERR = 1, 2


class Output:
    """The standard output and error of one worker process.

    Args:
        where: ``"forward"``, ``"server"`` or ``"discard"``.
    """

    def __init__(self, where: str) -> None:
        #: The descriptors that `collect` reads, for the monitor to watch.
        self.descriptors: tuple[int, ...] = ()
        #: Whether nothing can be taken in for now: what is printed is dropped, and counted.
        self.stalled = False
        self._numbers: dict[int, int] = {}
        self._pieces: deque[tuple[int, int, bytes]] = deque()  # stream, dropped before, bytes
        self._lock = threading.Lock()
        self._dropped = {_STDOUT: 0, _STDERR: 0}
        self._budget = float(_BURST)
        self._refilled = monotonic()
        if where == "forward":
            self._numbers = {_open_pipe(number): number for number in (_STDOUT, _STDERR)}
            self.descriptors = tuple(self._numbers)
            self._poll = select.poll()
            for descriptor in self.descriptors:
                self._poll.register(descriptor, select.POLLIN)
            self._writers = {number: raise_descriptor(os.dup(number)) for number in (1, 2)}
            self._streams: dict[int, io.TextIOWrapper] = {}
            self._install()
        elif where == "server":
            os.dup2(_STDERR, _STDOUT)
        else:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, _STDOUT)
            os.dup2(null, _STDERR)
            os.close(null)

    def collect(self, descriptor: int) -> bool:
        """Take in what was written to a pipe; return whether more may come."""
        number = self._numbers[descriptor]
        with self._lock:
            try:
                data = os.read(descriptor, _CHUNK)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            now = monotonic()
            self._budget = min(_BURST, self._budget + (now - self._refilled) * _RATE)
            self._refilled = now
            if len(data) > self._budget or self.stalled:
                self._dropped[number] += len(data)
            else:
                self._budget -= len(data)
                self._pieces.append((number, self._dropped[number], data))
                self._dropped[number] = 0
            return True

    @property
    def waiting(self) -> bool:
        """Whether something was collected and not taken."""
        return bool(self._pieces)

    def take(self, connection: Connection, ident: int, during: bool = False) -> list[Buffer]:
        """The frames for all that was printed up to now.

        Args:
            connection: What they are to be sent over.
            ident: The id of the task that ran last.
            during: Whether it may still be running: then what it printed of a line stays in its
                stream. The stream's lock may be held by a task that waits for room in the pipe,
                and who waits for that lock cannot make room.
        """
        if not self.descriptors:
            return []
        if not during:
            self._restore()
            for stream in list(self._streams.values()):
                try:
                    stream.flush()
                except (OSError, ValueError):  # the task closed it
                    self._install()
        # A pipe holds 64 KiB, so two reads empty it unless somebody goes on writing.
        for _ in range(2):
            for descriptor, _events in self._poll.poll(0):
                self.collect(descriptor)
            if not self._pieces:
                return []
        segments: list[Buffer] = []
        while self._pieces:
            number, dropped, data = self._pieces.popleft()
            body = bytes((number,)) + data
            segments += connection.send(Kind.OUTPUT, body, ident=ident, count=dropped)
        return segments

    def _restore(self) -> None:
        """Put our streams where a task left one of its own: the next one's prints would vanish."""
        streams = self._streams
        if getattr(sys, "stdout", None) is not streams[_STDOUT]:
            sys.stdout = streams[_STDOUT]
        if getattr(sys, "stderr", None) is not streams[_STDERR]:
            sys.stderr = streams[_STDERR]

    def _install(self) -> None:
        """Give the process fresh ``sys.stdout`` and ``sys.stderr``, and fresh descriptors."""
        for number, writer in self._writers.items():
            os.dup2(writer, number)
            raw = io.FileIO(writer, "w", closefd=False)
            # By lines, as at a terminal: a long task's progress is seen while it runs.
            stream = io.TextIOWrapper(
                io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True
            )
            self._streams[number] = stream
        sys.stdout = sys.__stdout__ = self._streams[_STDOUT]  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = self._streams[_STDERR]  # type: ignore[misc]


def _open_pipe(number: int) -> int:
    """Put a pipe's writing end at a standard descriptor; return the reading end."""
    reader, writer = os.pipe()
    os.dup2(writer, number)
    os.close(writer)
    reader = raise_descriptor(reader)
    os.set_blocking(reader, False)
    return reader
