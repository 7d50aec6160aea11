"""Traces: what ran where and when, as a file that Perfetto and chrome://tracing show.

The format is Chrome's trace events, in a JSON array: an event a line, so that it can be written as
things happen. A viewer takes an array without its end, too, if this process should be killed.

Times are those of this process's clock, in microseconds from the beginning of the trace. Workers
have clocks of their own, of which nothing is known here. What is known is when a reply arrived and
how long its tasks took; so a task is drawn where it would have been, had its reply travelled in no
time. Replies that arrive together, and tasks of one reply, are laid one before the other.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, TextIO, Union

from farm_common.errors import FarmError, NoKernelError

from .job import Job
from .link import Link, Seat
from .spans import CLIENT, Count, Ended, Event, Name, Span, Track, describe

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Trace"]

#: How many tasks are kept before they are written: what that takes keeps a reader of results busy.
_MOST = 1024

#: How often the number of unfinished tasks is noted, in seconds.
_PULSE = 0.001


class _Reply(NamedTuple):
    """Tasks that have ended, and are not yet on the time line."""

    track: Track
    micros: Optional[int]  # None: nobody knows how long they took
    tasks: list[Ended]


class Trace:
    """Writes what the workers of a kernel do, while inside its ``with``; see `Kernel.trace`.

    Args:
        engine: The kernel's.
        path: The file, which is written anew.
        name: The kernel's.
    """

    def __init__(self, engine: Engine, path: Union[str, os.PathLike[str]], name: str) -> None:
        self._engine = engine
        self._path = os.fspath(path)  # an open file's number is none
        self._name = name
        self._file: Optional[TextIO] = None
        self._writing = threading.Lock()
        self._begin()

    def __repr__(self) -> str:
        state = "" if self._file is None else ", being written"
        return f"<Trace of {self._name!r} to {self._path!r}{state}>"

    def __reduce__(self) -> Any:
        raise FarmError("a trace cannot travel: its file is written by this process")

    def _begin(self) -> None:
        self._start = perf_counter()
        self._error: Optional[OSError] = None
        self._wrote = False
        # What is below changes with the engine's lock held.
        self._gathered = 0
        self._replies: list[_Reply] = []
        self._events: list[Union[Span, Event, Count, Name]] = []
        self._until: dict[Track, float] = {}  # where each track ends
        self._processes: dict[str, int] = {}
        self._tracks: dict[tuple[str, Optional[Seat]], Track] = {}
        self._pulse = (-1.0, -1)

    def __enter__(self) -> Trace:  # noqa: PYI034  (nobody derives from it)
        if self._file is not None:
            raise RuntimeError("this trace is in use: ask the kernel for another one")
        if self._engine.ended is not None:
            raise NoKernelError(f"{self._engine.ended}: there is nothing to trace")
        self._file = open(self._path, "w", encoding="ascii", newline="\n")
        self._file.write("[\n")
        self._begin()
        self._events.append(Name("process_name", (CLIENT, 0), f"client {self._name}"))
        self._engine.record(self)
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._engine.record_no_more(self)
        file = self._file
        assert file is not None
        self._write()
        try:
            with file:
                file.write("\n]\n")
        except OSError as failure:
            self._error = self._error or failure
        self._file = None
        if self._error is not None and error is None:
            raise self._error

    # what the engine calls, with its lock held

    def ended(self, link: Link, jobs: Sequence[Job], happening: Any, value: Any) -> None:
        """Take note of a reply; `settle` says where it belongs on the time line.

        Args:
            link: Where it came from.
            jobs: The tasks.
            happening: The frame, or what there is in place of one.
            value: What it brought: an error, or a sequence of values.
        """
        body = getattr(happening, "body", None)
        size = None
        if body is not None:
            size = (len(body) + sum(map(len, happening.buffers))) // len(jobs)
        failed = isinstance(value, BaseException)
        tasks = [
            describe(job, value if failed else value[number], size)
            for number, job in enumerate(jobs)
        ]
        micros: Optional[int] = getattr(happening, "micros", None)
        track = self._track(link.label, link.seat_of(happening.ident))
        self._replies.append(_Reply(track, micros, tasks))

    def failed(self, job: Job, error: BaseException) -> None:
        """Take note of a task that nobody answered for."""
        now = perf_counter() - self._start
        task = describe(job, error, None)
        worker = getattr(error, "worker", None)
        if worker is None:
            self._gathered += 1
            self._events.append(Event(task, now))
        else:
            self._place(_Reply(self._track(worker, None), None, [task]), now)

    def settle(self, now: float, unfinished: int) -> None:
        """Put what has been noted where it belongs.

        Args:
            now: When it arrived.
            unfinished: How many tasks there are that have not ended.
        """
        now -= self._start
        replies, self._replies = self._replies, []
        if len(replies) == 1:
            self._place(replies[0], now)
        elif replies:
            # The last of each track ended now, the one before when that began.
            later: dict[Track, float] = {}
            for number in range(len(replies) - 1, -1, -1):
                track, micros, _ = replies[number]
                later[track] = later.get(track, 0.0) + (micros or 0) / 1e6
            for reply in replies:
                later[reply.track] -= (reply.micros or 0) / 1e6
                self._place(reply, now - later[reply.track])
        at, count = self._pulse
        if unfinished != count and now >= at + _PULSE:
            self._pulse = (now, unfinished)
            self._gathered += 1
            self._events.append(Count(now, unfinished))

    def relieve(self) -> None:
        """Write what has been gathered if it is much; called without locks."""
        if self._gathered > _MOST:
            self._write()

    # inside

    def _place(self, reply: _Reply, end: float) -> None:
        """Lay tasks on the time line so that they end then, or later where they find no room."""
        track, micros, tasks = reply
        free = self._until.get(track, 0.0)
        end = max(end, free)
        if micros is None:
            born = tasks[0].born
            start = free if born is None else max(free, born - self._start)
        else:
            start = max(free, end - micros / 1e6)
        start = min(start, end)
        self._until[track] = end
        self._gathered += len(tasks)
        self._events.append(Span(track, start, end - start, micros, tasks))

    def _track(self, label: str, seat: Optional[Seat]) -> Track:
        """The process and the thread that stand for a worker in the file."""
        # Whoever runs tasks for all slots of an executor is known as a thread of a process; others
        # by the label, which outlives the worker's process.
        roaming = seat is not None and seat.thread != 0
        key = ("", seat) if roaming else (label, None)
        track = self._tracks.get(key)
        if track is None:
            worker, _, endpoint = label.partition(" at ")
            host = "" if seat is None else seat.host
            place = f"{endpoint} on {host}" if host else endpoint
            process = self._processes.get(place)
            if process is None:
                process = self._processes[place] = CLIENT + 1 + len(self._processes)
                self._events.append(Name("process_name", (process, 0), place))
            thread = 1 + sum(1 for known in self._tracks.values() if known[0] == process)
            track = self._tracks[key] = (process, thread)
            if key[1] is not None:
                worker = f"process {key[1].pid}, thread {key[1].thread}"
            self._events.append(Name("thread_name", track, worker))
        return track

    def _write(self) -> None:
        with self._writing:
            # New ones may be appended meanwhile, so these are counted.
            count = len(self._events)
            events = self._events[:count]
            del self._events[:count]
            self._gathered = 0
            if self._error is not None or self._file is None:
                return
            if not events:
                return
            text = ",\n".join(line for event in events for line in event.lines(self._start))
            try:
                self._file.write(f",\n{text}" if self._wrote else text)
                self._wrote = True
            except OSError as error:  # told at the end of the `with`
                self._error = error
