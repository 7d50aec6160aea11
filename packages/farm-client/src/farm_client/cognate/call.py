"""One call of a cognate: its parts on their way to the workers and back.

The thread that waits for results makes the parts, a few more than there are workers at a time, as
results arrive. So the input is only packed, and an iterator only drawn from, as fast as it is
worked off; and what later parts should be like is seen from those before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from time import perf_counter
from types import TracebackType
from typing import Any, Callable, Optional

from farm_common.errors import KernelEndedError, SerializationError, TaskExecutionError
from farm_common.parts import Failure, Runner
from farm_common.shipping import unpack_exception

from ..function import Function
from ..job import Job
from ..kernel import check_kernel
from ..options import Options, current_options
from .inputs import is_sliceable
from .pace import Even, Pace, PartEstimate, Sizes
from .pieces import Piece, Pieces
from .progress import Bar, make_bar

__all__ = ["Call", "Part"]

#: For so long, in seconds, parts are made without a look at what has arrived meanwhile: long
#: enough for all that should be on their way, unless the input is slow.
_TURN = 0.005

#: What part of the time that a slow input takes is spent waiting for what it led to, before it is
#: asked for more: what somebody types line by line, or sends, is answered one by one.
_SHARE = 0.05


class Part(Job):
    """One part of a call, which a worker runs as a task.

    Attributes:
        number: Which one it is, in the order in which they were made.
        piece: What it is a part of the input.
        size: Of its arguments or of its result, whichever is larger, in bytes.
        alone: Whether a worker was free to take it, and had the function.
        begun: When it was made.
        ended: When its result was here.
        micros: What its execution took.
        value: What the runner returned.
        error: Why there is no value.
    """

    __slots__ = ("alone", "begun", "ended", "error", "micros", "number", "piece", "size", "value")

    def __init__(
        self, function: Function, options: Optional[Options], sink: Call, number: int, piece: Piece
    ) -> None:
        super().__init__(function, (), None, options, sink)
        self.number = number
        self.piece = piece
        self.size = 0
        self.alone = False
        self.begun = self.ended = self.micros = 0.0
        self.value: Any = None
        self.error: Optional[BaseException] = None

    @property
    def failed(self) -> bool:
        """Whether it has no value, or this tells of a failure."""
        return self.error is not None or type(self.value) is Failure


class Call:
    """A cognate at work: the sink of its parts.

    As a context manager it gives up on exit what is still on its way, also what runs.

    Args:
        runner: What the workers call with each part.
        pieces: The input.
        parts: How many parts to make; None: as the pace says.
        progress: Whether to show a bar.
        backwards: Whether the last part comes first.
        pace: How large the parts are where `parts` does not say it.
        keep: Whether finished parts keep their arguments.

    Raises:
        NoKernelError: There is no current kernel.
        InvalidTaskError, SerializationError: What the runner holds is no task or cannot travel.
    """

    def __init__(
        self,
        runner: Runner,
        pieces: Pieces,
        parts: Optional[int] = None,
        *,
        progress: bool = False,
        backwards: bool = False,
        pace: Optional[Pace] = None,
        keep: bool = False,
    ) -> None:
        self.pending = 0  # parts on their way; the engine counts up
        self.lasting = True
        self._kernel = check_kernel()
        self._engine = self._kernel._engine
        self._function = self._engine.find(runner)
        if not isinstance(self._function.estimate, PartEstimate):
            self._function.estimate = PartEstimate()
        self._estimate = self._function.estimate
        self._options = current_options()
        self._pieces = pieces
        total = pieces.remaining
        pace = pace or Pace()
        if self._options is not None and self._options.timeout is not None:
            pace.limit(self._options.timeout)
        self._sizes: Sizes = pace
        if parts is not None and total is not None:
            self._sizes = Even(total, parts, backwards)
        self._keep = keep
        self._number = 0  # of the next part
        self.taken = 0  # elements of the input
        self._more = True
        self._done: deque[Part] = deque()
        self._bar: Optional[Bar] = make_bar(total) if progress and total != 0 else None
        if self._bar is not None:
            self._engine.watchers.add(self._bar.tell)

    # for the cognate

    def finished(self) -> Iterator[Part]:
        """The parts, in the order in which their results arrive."""
        while True:
            self.submit()
            part = self.wait()
            if part is None:
                break
            yield part
        self.finish()

    def in_order(self, decides: Optional[Callable[[Part], Any]] = None) -> Iterator[Part]:
        """The parts, in the order in which they were made.

        Args:
            decides: Called with each part as soon as it is here: returns whether what comes after
                it does not matter, or raises what ends the call.
        """
        early: dict[int, Part] = {}
        due = 0
        for part in self.finished():
            if decides is not None and decides(part):
                self.stop(part.number)
            early[part.number] = part
            while due in early:
                yield early.pop(due)
                due += 1

    def submit(self, room: Optional[int] = None, most: Optional[int] = None) -> None:
        """Make parts and send them, as many as should be on their way.

        If the input is slow they are fewer: what has arrived does not wait for it, for it may have
        no end.

        Args:
            room: How many elements may be taken from the input; None: any number.
            most: How many elements a part may have; None: any number.
        """
        sizes, pieces = self._sizes, self._pieces
        since = perf_counter()
        while self._more:
            workers = max(1, self._kernel.worker_count)
            if self.pending >= sizes.ahead(workers):
                return
            size = sizes.next(pieces.remaining, workers)
            if most is not None:
                size = min(size, most)
            if room is not None:
                size = min(size, room)
                if size <= 0:
                    return
            before = perf_counter()
            piece = pieces.take(size)
            now = perf_counter()
            if piece is None:
                self._more = False
                return
            if room is not None:
                room -= piece.length
            self.taken += piece.length
            part = Part(self._function, self._options, self, self._number, piece)
            part.alone = self._number >= workers > self.pending
            self._number += 1
            part.begun = now
            self._put(part)
            # Of this one's time, or the more workers there are the longer they would wait.
            if now - since > _TURN and self._engine.wait(self._ready, (now - before) * _SHARE):
                return

    def _put(self, part: Part) -> None:
        engine = self._engine
        try:
            part.size = engine.put(part, part.piece.args)
        except SerializationError as error:
            raise self._explained(part, error) from error.__cause__

    def wait(self) -> Optional[Part]:
        """The next part whose result arrives; None where none is on its way."""
        done = self._done
        while True:
            # First this and then what is done: `_arrived` changes them the other way round.
            over = not self.pending or not self.lasting
            if done:
                break
            if over:
                return None
            if not self._engine.wait(self._ready) and self._engine.ended is not None:
                raise KernelEndedError(self._engine.ended)
        part = done.popleft()
        start, count, _ = part.piece
        if not self._keep:
            part.piece = Piece(start, count, ())
        micros = part.micros
        overhead = (part.ended - part.begun) * 1e6 - micros if part.alone else None
        self._sizes.note(count, micros, overhead, part.size)
        self._estimate.long = self._sizes.long
        if self._bar is not None and not part.failed:
            self._bar.advance(count)
        return part

    def _ready(self) -> bool:
        return bool(self._done) or not self.pending or not self.lasting

    def check(self, part: Part) -> None:
        """Raise the error of a part that failed.

        Raises:
            TaskExecutionError: The task failed.
            FarmError: The part could not be run.
        """
        if type(part.value) is Failure:
            raise self._failed(part, part.value)
        if part.error is not None:
            error = part.error
            if type(error) is TaskExecutionError and part.piece.length == 1:
                error.index = part.piece.start
            raise error

    def stop(self, last: int = -1) -> None:
        """Make no more parts, and give up those that were made.

        Those that were not sent are taken back, and those that run are killed a moment later.

        Args:
            last: The number of a part that is needed, and all before it; -1: there is none.
        """
        self._more = False
        self._engine.drop_all(self, lambda job: isinstance(job, Part) and job.number > last)

    @property
    def weight(self) -> float:
        """About how many bytes an element has, or its result."""
        return self._sizes.weight

    def end_input(self) -> None:
        """Make no more parts; those that were made go on."""
        self._more = False

    def abandon(self) -> None:
        """`close` for who must not wait for a lock: a little later."""
        if self.lasting and (self.pending or self._more):
            self.lasting = self._more = False
            self._engine.call_later(self.stop)

    def finish(self) -> None:
        """All is done that had to be: a bar is full."""
        if self._bar is not None:
            self._engine.watchers.discard(self._bar.tell)
            self._bar.finish()

    def close(self) -> None:
        """Give up what is on its way; twice is no error."""
        if self.lasting and (self.pending or self._more):
            self.lasting = False  # what is just being sent is not kept
            self.stop()
        self._done.clear()
        if self._bar is not None:
            self._engine.watchers.discard(self._bar.tell)
            self._bar.close()

    def __enter__(self) -> Call:  # noqa: PYI034  (nobody derives from it)
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    # what the engine calls, with its lock held

    def start(self, job: Job) -> None:
        """Nothing to do: what counts is when it ends."""

    restart = start

    def deliver(self, job: Job, value: Any) -> None:
        """Keep a part's value."""
        assert isinstance(job, Part)
        job.value = value
        self._arrived(job)

    def fail(self, job: Job, error: BaseException) -> None:
        """Keep a part's error."""
        assert isinstance(job, Part)
        job.error = error
        self._arrived(job)

    def _arrived(self, part: Part) -> None:
        part.sink = part.parcel = None
        part.micros = self._estimate.latest
        part.size = max(part.size, self._estimate.size)
        part.ended = perf_counter()
        if self.lasting:
            self._done.append(part)
        # In this order: who looks without the lock must not find neither.
        self.pending -= 1

    # errors

    def _failed(self, part: Part, failure: Failure) -> TaskExecutionError:
        report, description, original = unpack_exception(failure.body, load=True)
        labels = (link.label for link in self._engine.links if link.index == failure.worker)
        error = TaskExecutionError(report, description, next(labels, None))
        error.__cause__ = original
        if failure.index is not None:
            error.index = part.piece.start + failure.index
        elif part.piece.length == 1:
            error.index = part.piece.start
        return error

    def _explained(self, part: Part, error: SerializationError) -> SerializationError:
        """The error of a part that cannot travel, with the number of the element."""
        start, count, args = part.piece
        if not all(map(is_sliceable, args)):
            return error  # it is about a value that all parts share
        for offset in range(count):
            single = tuple(arg[offset : offset + 1] for arg in args)
            try:
                self._engine.pack(self._function, single)
            except SerializationError as failure:
                return SerializationError(f"element {start + offset}: {failure}")
        return error
