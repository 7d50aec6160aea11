"""Errands: the tasks of one call that are under way together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Optional

from farm_common.errors import KernelEndedError
from farm_common.shipping.tasks import Task

from .job import Job

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Errand", "drop", "receive"]


class Errand:
    """One task of several; when it is done it joins the queue of those that are.

    Lighter than a future, and the queue tells in which order they were done.

    Args:
        engine: Whose workers do it.
        arrived: The queue.
        key: What the caller knows it by.

    Attributes:
        value: What the task returned, once it is in the queue.
        error: What it raised, or None.
    """

    __slots__ = ("arrived", "engine", "error", "job", "key", "pending", "value")

    lasting = True

    def __init__(self, engine: Engine, arrived: deque[Errand], key: Any) -> None:
        self.engine = engine
        self.arrived = arrived
        self.key = key
        self.job: Optional[Job] = None
        self.value: Any = None
        self.error: Optional[BaseException] = None
        self.pending = 0

    def submit(self, task: Task, args: tuple[Any, ...] = ()) -> None:
        """Have a worker do it; raises as `future` does."""
        self.job = self.engine.submit(self, task, args, {})

    def outcome(self) -> Any:
        """What the task returned; raises what it raised."""
        if self.error is not None:
            raise self.error
        return self.value

    # what the engine calls, with its lock held

    def start(self, job: Job) -> None:
        """Nothing to do: nobody asks."""

    restart = start

    def deliver(self, job: Job, value: Any) -> None:
        """It is done."""
        self.value = value
        self.pending = 0
        self.arrived.append(self)

    def fail(self, job: Job, error: BaseException) -> None:
        """It failed."""
        self.error = error
        self.pending = 0
        self.arrived.append(self)


def receive(engine: Engine, arrived: deque[Errand]) -> Errand:
    """The errand that was done first, as soon as one is; nobody else receives from the queue.

    Raises:
        KernelEndedError: Nothing will arrive any more.
    """
    if not engine.wait(arrived.__len__) and not arrived:
        raise KernelEndedError(engine.ended)
    return arrived.popleft()


def drop(errands: Iterable[Errand]) -> list[Errand]:
    """Give up what is not needed any more.

    Tasks that were not sent yet are withdrawn; those that run are killed a moment later, see
    `reaper`. This does not wait for it.

    Returns:
        Those that will not arrive: all but those that have.
    """
    never: list[Errand] = []
    jobs: dict[Job, Errand] = {}
    for errand in errands:
        job = errand.job
        if errand.pending and job is None:
            job = errand.engine.job_of(errand)  # who submitted it was interrupted
        if job is not None:
            jobs[job] = errand
        elif not errand.pending:
            never.append(errand)
    for engine in {errand.engine for errand in jobs.values()}:
        mine = [job for job, errand in jobs.items() if errand.engine is engine]
        never += [jobs[job] for job in engine.drop(mine)]
    return never
