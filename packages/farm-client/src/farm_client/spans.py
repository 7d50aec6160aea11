"""What is in a trace: tasks that took time, and events, as lines in Chrome's trace-event format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Optional

from farm_common.errors import (
    KernelEndedError,
    TaskKilledError,
    TaskTimeoutError,
    WorkerLostError,
)
from farm_common.parts import Failure

from .job import Job

__all__ = ["CLIENT", "Count", "Ended", "Event", "Name", "Span", "Track", "describe", "micros_of"]

#: The process that stands for the client.
CLIENT = 1

#: How much of an error's text is kept, in characters.
_TEXT = 300

_OUTCOMES = (
    (TaskKilledError, "killed"),
    (TaskTimeoutError, "timed out"),
    (WorkerLostError, "lost"),
    (KernelEndedError, "kernel ended"),
)

#: The numbers of a process and a thread.
Track = tuple[int, int]

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


class _Kind(NamedTuple):
    """What many tasks have in common."""

    name: str
    category: str
    low: bool
    attempts: int
    outcome: str
    error: Optional[str]


class Ended(NamedTuple):
    """A task that has ended.

    Attributes:
        kind: What it was, and what became of it.
        born: When it was submitted; None where nobody knows.
        size: Of its result, in bytes.
    """

    kind: _Kind
    born: Optional[float]
    size: Optional[int]

    def arguments(self, begun: float, together: int = 1, micros: Optional[int] = None) -> str:
        """What is shown of it besides its name and time: the inside of a JSON object.

        Args:
            begun: When it began.
            together: How many tasks were measured together with it, itself included.
            micros: How long these took, in microseconds, as their worker says.
        """
        text = _common(self.kind)[1]
        if self.born is not None:
            text += f',"queued (us)":{max(0, micros_of(begun - self.born))}'
        if micros is not None:
            text += f',"took (us)":{micros / together}'
        if self.size is not None:
            text += f',"result (bytes)":{self.size}'
        if together > 1:
            text += f',"measured together":{together}'
        return text


class Span(NamedTuple):
    """Tasks of one reply, which ran one after the other.

    Attributes:
        track: Where it is drawn.
        start: When the first began, in seconds.
        duration: How long they took together, as far as there is room for it.
        micros: What their worker measured.
        tasks: The tasks.
    """

    track: Track
    start: float
    duration: float
    micros: Optional[int]
    tasks: Sequence[Ended]

    def lines(self, origin: float) -> Iterator[str]:
        """An event a task; they share the time alike, for it is not known of each."""
        together = len(self.tasks)
        process, thread = self.track
        begun = micros_of(self.start)
        for number, task in enumerate(self.tasks, 1):
            ended = micros_of(self.start + self.duration * number / together)
            args = task.arguments(origin + begun / 1e6, together, self.micros)
            yield (
                f'{{"ph":"X",{_common(task.kind)[0]},"pid":{process},"tid":{thread},"ts":{begun},'
                f'"dur":{ended - begun},"args":{{{args}}}}}'
            )
            begun = ended


class Event(NamedTuple):
    """A task that has ended, though no worker is known to have run it."""

    task: Ended
    at: float

    def lines(self, origin: float) -> Iterator[str]:
        """An instant on the client's track."""
        yield (
            f'{{"ph":"i","s":"t",{_common(self.task.kind)[0]},"pid":{CLIENT},"tid":0,'
            f'"ts":{micros_of(self.at)},"args":{{{self.task.arguments(origin + self.at)}}}}}'
        )


class Count(NamedTuple):
    """How many tasks had not ended."""

    at: float
    unfinished: int

    def lines(self, origin: float) -> Iterator[str]:
        """A counter of the client's."""
        yield (
            f'{{"ph":"C","name":"unfinished tasks","pid":{CLIENT},"tid":0,'
            f'"ts":{micros_of(self.at)},"args":{{"tasks":{self.unfinished}}}}}'
        )


class Name(NamedTuple):
    """What a track is called; `kind` is ``"process_name"`` or ``"thread_name"``."""

    kind: str
    track: Track
    text: str

    def lines(self, origin: float) -> Iterator[str]:
        """An event that viewers take for the name."""
        process, thread = self.track
        yield (
            f'{{"ph":"M","name":"{self.kind}","pid":{process},"tid":{thread},'
            f'"args":{{"name":{_encode(self.text)}}}}}'
        )


def describe(job: Job, value: Any, size: Optional[int]) -> Ended:
    """What a trace tells of a task.

    Args:
        job: The task.
        value: What it returned, or its error.
        size: Of its result, in bytes.
    """
    options = job.options
    attempts = job.attempts + 1
    error: Optional[str] = None
    outcome = "ok"
    if isinstance(value, BaseException):
        error = str(value)[:_TEXT]
        outcome = next((word for kind, word in _OUTCOMES if isinstance(value, kind)), "error")
        if isinstance(value, WorkerLostError):
            attempts = value.attempts
    elif type(value) is Failure:  # of one element of a cognate's part
        outcome = "error"
    category, low = ("default", False) if options is None else (str(options.label), options.low)
    kind = _Kind(job.function.name, category, low, attempts, outcome, error)
    return Ended(kind, getattr(job, "born", None), size)


@lru_cache(maxsize=256)
def _common(kind: _Kind) -> tuple[str, str]:
    """What events of a kind have in common: at the top, and in their arguments."""
    top = {"name": kind.name, "cat": kind.category}
    args: dict[str, Any] = {
        "outcome": kind.outcome,
        "category": kind.category,
        "priority": "low" if kind.low else "default",
        "attempts": kind.attempts,
    }
    if kind.error is not None:
        args["error"] = kind.error
    return _encode(top)[1:-1], _encode(args)[1:-1]


def micros_of(seconds: float) -> int:
    """Seconds as whole microseconds."""
    return round(seconds * 1e6)
