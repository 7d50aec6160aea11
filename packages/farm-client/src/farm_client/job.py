"""One submitted task, from submit to its result."""

from __future__ import annotations

from typing import Any, Callable, Optional, Protocol

from farm_common.shipping import Parcel

from .demand import Demand
from .function import Function
from .options import ATTEMPTS, Options

__all__ = ["Job", "Sink"]


class Sink(Protocol):
    """Where the results of tasks go. All methods are called with the engine's lock held.

    Attributes:
        pending: How many tasks are on their way to it; the engine counts up, the sink down.
        lasting: Whether somebody waits for it even when its worker is replaced; otherwise it is
            submitted anew then, and need not be queued again.
    """

    pending: int
    lasting: bool

    def start(self, job: Job) -> None:
        """The task was sent to a worker."""

    def restart(self, job: Job) -> None:
        """The task waits again, because its worker was lost."""

    def deliver(self, job: Job, value: Any) -> Optional[Callable[[], None]]:
        """The task returned `value`. May return what is to be called once the lock is free."""

    def fail(self, job: Job, error: BaseException) -> Optional[Callable[[], None]]:
        """The task failed. May return what is to be called once the lock is free."""


class Job:
    """A task on its way.

    Attributes:
        function: The function to call.
        args: The arguments when all of them are scalars, to be packed with those of others.
        parcel: The packed arguments otherwise.
        options: Category, priority and more, None for the defaults.
        sink: Where the result goes; None once the task was withdrawn.
        attempts: How often the task was started on a worker that died since.
        born: When it was submitted; only while somebody traces.
        cost: What it was expected to take when it was sent, in microseconds; -1 before that.
        pin: The index of the only worker that may run it, -1 when any may.
        demand: What it demands of a worker; None when any may run it.
    """

    __slots__ = (
        "args",
        "attempts",
        "born",
        "cost",
        "demand",
        "function",
        "options",
        "parcel",
        "pin",
        "sink",
    )

    def __init__(
        self,
        function: Function,
        args: tuple[Any, ...],
        parcel: Optional[Parcel],
        options: Optional[Options],
        sink: Optional[Sink],
        pin: int = -1,
        demand: Optional[Demand] = None,
    ) -> None:
        self.born: float
        self.function = function
        self.args = args
        self.parcel = parcel
        self.options = options
        self.sink = sink
        self.attempts = 0
        self.cost = -1.0
        self.pin = pin
        self.demand = demand

    @property
    def most(self) -> int:
        """How often it may be started."""
        return ATTEMPTS if self.options is None else self.options.attempts
