"""Kernels: the set of workers that a program uses."""

from __future__ import annotations

import math
import os
import threading
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional, Union

from farm_common.errors import FarmError, NoKernelError
from farm_common.shipping.tasks import Task

from ..channel import Channel
from ..executor import KernelExecutor
from ..future import Future
from ..job import Job
from ..options import Category, checked_category
from ..places import Place, parse_place
from ..sites import Sites
from ..workers import WorkerInfo, describe_worker

if TYPE_CHECKING:
    from ..trace import Trace

__all__ = ["Kernel", "checked_timeout", "context"]

#: The kernels of the ``with`` blocks around what runs.
context: ContextVar[Optional[Kernel]] = ContextVar("farm_kernel", default=None)


class Kernel:
    """The workers of some servers; made by `make_kernel`.

    As a context manager it is the current kernel inside the ``with`` and ends on exit.

    Attributes:
        name: For people: servers show it.
    """

    def __init__(self, name: str, sites: Sites) -> None:
        self.name = name
        self._sites = sites
        self._engine = sites.engine
        self._tokens: dict[int, list[Token[Optional[Kernel]]]] = {}  # by thread

    # what it is

    @property
    def worker_count(self) -> int:
        """How many workers it has, those included that are being replaced."""
        return sum(len(site.links) for site in self._sites)

    @property
    def addresses(self) -> list[str]:
        """The addresses it was made of, in order."""
        return [str(site.address) for site in self._sites]

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._engine.ended is not None

    def workers(self) -> list[WorkerInfo]:
        """Its workers as they are at the moment, in the order of their indices."""
        infos = [
            describe_worker(link, site.address.endpoint)
            for site in self._sites
            for link in list(site.links.values())
        ]
        return sorted(infos, key=lambda info: info.index)

    def task_categories_running(self) -> list[Optional[Category]]:
        """The category of the task that each worker runs, None for idle ones; in worker order."""
        return [info.category for info in self.workers()]

    def kill_tasks(self, category: Category, *, dry_run: bool = False) -> int:
        """Kill the tasks of a category that run; see `kill_tasks`."""
        checked_category(category)
        self._sites.refuse_foreign("kill tasks that run")

        def wanted(job: Job) -> bool:
            theirs = "default" if job.options is None else job.options.category
            return theirs is category or bool(theirs == category)

        return self._sites.kill(wanted, dry_run)

    # tasks

    def make_channel(self, *, capacity: Optional[int] = None) -> Channel:
        """A channel for the results of tasks; see `make_channel`."""
        if self._engine.ended is not None:
            raise NoKernelError(f"{self._engine.ended}; make another by farm.make_kernel(...)")
        return Channel(self._engine, capacity)

    def executor(self) -> KernelExecutor:
        """Its workers as a `concurrent.futures.Executor`.

        Its futures raise what their tasks raised, with the `TaskExecutionError`, which has the
        remote traceback, as the cause; or that error itself where the original cannot be rebuilt
        here. Its ``shutdown`` is not the end of the kernel.

        Raises:
            NoKernelError: The kernel has ended.
        """
        return KernelExecutor(self, self._engine)

    def trace(self, path: Union[str, os.PathLike[str]]) -> Trace:
        """Write what runs where and when, while inside a ``with``.

        The file is in Chrome's trace-event format, which Perfetto (https://ui.perfetto.dev) and
        chrome://tracing show: each server or host is a process there, each worker a thread, and
        each task a slice with its name, category, priority, how long it was queued, how often it
        was started, the size of its result, and what became of it.

        Workers have clocks of their own, so times are as seen from here. How long a task took is
        what its worker measured, to a microsecond; tasks of less than some milliseconds are
        measured together with others, and shown as if each had taken as long as the next. When it
        ended is when its reply was read here, which is later by the reply's travel, and by up to
        some milliseconds where short tasks are answered together or this process was busy. No two
        tasks of a worker overlap.

        Any number of traces may be written at a time. They hold a bounded number of events in
        memory, and the file is whole also when the block ends by an error, or the kernel inside it.

        Args:
            path: The file; what is there is replaced.

        Raises:
            OSError: It cannot be written; when the block is entered, or, where the disk became
                full, at its end.
            NoKernelError: The kernel has ended.
            TypeError: It is no path.
        """
        from ..trace import Trace  # most programs have no use for it

        return Trace(self._engine, path, self.name)

    def broadcast_task(self, task: Task, /, *args: Any, **kwargs: Any) -> list[Any]:
        """Run a task once on every worker; see `broadcast_task`."""
        self._sites.refuse_foreign("broadcast tasks")
        return self._broadcast(self._engine.prepare(task, args, kwargs))

    def setup(self, task: Task, /, *args: Any, **kwargs: Any) -> list[Any]:
        """Run a task once on every worker, and on each that joins or is replaced later.

        Args:
            task: As for `submit_task`.
            *args: Its arguments.
            **kwargs: Its keyword arguments.

        Returns:
            The results in the order of the workers.

        Raises:
            TaskExecutionError: The task failed on a worker; it is then not kept for later.
        """
        self._sites.refuse_foreign("set up each of its workers")
        job = self._engine.prepare(task, args, kwargs, lasting=True)
        parcel = job.parcel
        if parcel is not None and parcel.buffers:  # theirs may change until they are sent again
            job.parcel = parcel._replace(buffers=[bytearray(b) for b in parcel.buffers])
        with self._sites.changing:
            results = self._broadcast(job)
            self._sites.setup.keep(job)
        return results

    def _broadcast(self, job: Job) -> list[Any]:
        links = sorted(self._sites.links(), key=lambda link: link.index)
        sinks = [Future(self._engine) for _ in links]
        self._engine.pin(links, sinks, job)
        return [sink.result() for sink in sinks]

    # workers

    def add(self, address: Place, *, timeout: Optional[float] = None) -> None:
        """Use the workers of another address too; blocks until they are connected.

        Args:
            address: As for `make_kernel`.
            timeout: How many seconds to wait; None: for ever.

        Raises:
            KernelCreationError: It does not answer in time, or never will.
            KernelEndedError: The kernel has ended.
            UnsupportedError: It is an executor, and the kernel has tasks to set up its workers.
        """
        limit = checked_timeout(timeout)
        self._sites.add(parse_place(address), limit)

    def remove(self, address: Place, *, wait: bool = True) -> None:
        """Use the workers of an address no more.

        Args:
            address: One of `addresses`; without its options, if only one begins so.
            wait: Let the tasks that run there end first; otherwise they are started elsewhere.

        Raises:
            ValueError: The kernel does not use it, or uses nothing else.
            KernelEndedError: The kernel has ended.
        """
        self._sites.remove(parse_place(address), wait)

    def end(self, wait: bool = False) -> None:
        """End the kernel; twice is no error.

        Args:
            wait: Let all submitted tasks finish first; results are still receivable afterwards.
                Otherwise unfinished tasks fail with `KernelEndedError`, and running ones stop.
        """
        if wait:
            self._engine.wait(lambda: not self._engine.unfinished)
        self._sites.end()

    def __enter__(self) -> Kernel:  # noqa: PYI034  (nobody derives from a kernel)
        self._tokens.setdefault(threading.get_ident(), []).append(context.set(self))
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        try:
            context.reset(self._tokens[threading.get_ident()].pop())
        finally:
            self.end()

    def __reduce__(self) -> Any:
        raise FarmError("a kernel cannot travel: make one in the task, if the task needs one")

    def __repr__(self) -> str:
        count = self.worker_count
        state = "ended" if self.ended else f"{count} worker{'s' * (count != 1)}"
        return f"<Kernel {self.name!r} at {', '.join(self.addresses)}: {state}>"


def checked_timeout(timeout: Any) -> Optional[float]:
    """A time-out that a user gave, if it is one."""
    if timeout is None:
        return None
    text = f"timeout is seconds from 0 on, or None to wait for ever, not {timeout!r:.100}"
    if isinstance(timeout, (str, bytes)) or not hasattr(timeout, "__float__"):
        raise TypeError(text)
    if not 0 <= timeout < math.inf:
        raise ValueError(text)
    return float(timeout)
