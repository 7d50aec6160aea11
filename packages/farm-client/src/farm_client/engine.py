"""Moves tasks to workers and results back.

Whoever submits a task sends it, if a worker is free; whoever waits for a result reads it, which is
the matter of `traffic`. How threads take turns is that of `handover`, and which task goes where
that of `dispatcher`. Here tasks are taken in, and taken back.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import Any, Callable, Optional

from farm_common.errors import (
    KernelEndedError,
)
from farm_common.kills import KILLED
from farm_common.shipping import (
    SCALARS,
    Parcel,
)
from farm_common.shipping.tasks import Task

from . import interrupts
from .demand import Demand
from .function import Function
from .handover import note_fork
from .interruption import interruption
from .interrupts import protected
from .job import Job, Sink
from .leave import is_unheard
from .library import Library
from .link import Link
from .options import Options, current_options
from .output import Printer
from .reaper import Killer, Reaper
from .timers import Timers
from .traffic import Traffic

__all__ = ["Engine"]

# Arguments that are packed when they are sent, together with those of other tasks: they cannot
# change meanwhile.
_SMALL = SCALARS - {str, bytes}
_SIZED = frozenset({str, bytes})
_SMALL_SIZE = 1024

#: Tasks that come faster than this, in seconds, are sent together.
_HURRY = 20e-6

#: A task expected to take less than this, in microseconds, is waited for with open eyes.
_BRIEF = 50.0

#: After so many tasks in a hurry, the submitter itself sends and reads.
_BURST = 128


class Engine(Traffic):
    """The tasks, the links and the threads of one kernel.

    Args:
        on_loss: Called with a link and the error when its connection is lost, with the engine's
            lock held; whoever takes care calls `recover`.
        printer: Shows the output of tasks.
        library: The modules that workers may be given.
        killer: Asks servers to kill tasks.
    """

    def __init__(
        self,
        on_loss: Callable[[Link, BaseException], None],
        printer: Printer,
        library: Library,
        killer: Killer,
    ) -> None:
        super().__init__(on_loss, printer, library)
        self._functions = self._packer.functions
        self._submitted_at = 0.0
        self._reaper = Reaper(self._lock, self._links.values, killer)
        self.timers = Timers(self)
        _engines.add(self)

    # submitting

    def submit(
        self, sink: Sink, task: Task, args: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Job:
        """Queue a task, and send it if a worker is free.

        Raises:
            InvalidTaskError: `task` is no task.
            SerializationError: The task or an argument cannot travel.
            UnsupportedError: No worker has the tags that it asks for.
            KernelEndedError: The kernel has ended.
        """
        options = current_options()
        function = self._functions.find(task)
        parcel: Optional[Parcel] = None
        if keywords:
            parcel = self._packer.pack(function, args, keywords)
        else:
            for value in args:
                kind = type(value)
                if kind in _SMALL or (kind in _SIZED and len(value) <= _SMALL_SIZE):
                    continue
                parcel = self._packer.pack(function, args, keywords)
                break
        if function.largest > self._packer.limit or function.shared:
            self._packer.check(function)
        demand: Optional[Demand] = None
        if self._crew.picky or options is not None:
            demand = self._find_demand(function, parcel, options)
        job = Job(function, args if parcel is None else (), parcel, options, sink, -1, demand)
        self._enqueue(job)
        if parcel is not None and parcel.buffers:
            self._own(job)
        return job

    @protected
    def _enqueue(self, job: Job) -> None:
        options, sink, parcel = job.options, job.sink, job.parcel
        assert sink is not None
        dispatcher = self._dispatcher
        step = False
        try:
            now = perf_counter()
            hurry = now - self._submitted_at < _HURRY
            if self._traces:
                job.born = now
            if not hurry and now > self._library.due:
                self._lend_anew()
            with self._lock:
                if self.ended is not None:
                    raise KernelEndedError(self.ended)
                self.unfinished += 1
                sink.pending += 1
                self._submitted_at = now
                alone = parcel is None and options is None and not (hurry or dispatcher.queue)
                if alone and job.demand is None and dispatcher.send_alone(job):
                    # Sending may wake the worker right here: what that takes is not the
                    # submitter's.
                    self._submitted_at = perf_counter()
                    self._activity += 1
                    self._brief = self.unfinished == 1 and job.cost < _BRIEF
                else:
                    length = dispatcher.put(job, options is not None and options.low)
                    # A large argument that is not sent now has to be copied.
                    large = parcel is not None and bool(parcel.buffers)
                    step = self._send_soon(length, hurry and not large)
            if step:
                self._step()
            if self._calls:
                self._call_back()
        finally:
            if interrupts.pending:
                interrupts.raise_pending()

    def _send_soon(self, length: int, hurry: bool) -> bool:
        """See to it that queued tasks are sent; return whether the caller should read, too."""
        dispatcher = self._dispatcher
        if not (dispatcher.idle or dispatcher.partial):
            return length % _BURST == 0
        if length >= _BURST or not hurry:
            self._activity += 1
            dispatcher.fill()
            self._submitted_at = perf_counter()
            return length >= _BURST  # workers that are done by now have warm caches
        if not (self._ticking or self._rung):
            self._activity += 1
            self._ring()  # so that it is sent even if nothing else happens
        return False

    def find(self, task: Task) -> Function:
        """The function of many tasks, as it is now: for `put`.

        Raises:
            InvalidTaskError: `task` is no task.
            SerializationError: It cannot travel.
        """
        return self._packer.find(task)

    def put(self, job: Job, args: tuple[Any, ...]) -> int:
        """Queue a job with these arguments, and send it if a worker is free.

        Large arguments are not copied: they must stay as they are until the result is there.

        Returns:
            How many bytes the arguments have.

        Raises:
            SerializationError: An argument cannot travel.
            UnsupportedError: No worker has the tags that its options ask for.
            KernelEndedError: The kernel has ended.
        """
        parcel = job.parcel = self.pack(job.function, args)
        if self._crew.picky or job.options is not None:
            job.demand = self._find_demand(job.function, parcel, job.options)
        size = len(parcel.body) + sum(map(len, parcel.buffers))
        self._enqueue(job)
        return size

    def pack(self, function: Function, args: tuple[Any, ...]) -> Parcel:
        """The arguments of a call as they travel; raises `SerializationError`."""
        return self._packer.pack(function, args, {})

    def pin(self, links: Sequence[Link], sinks: Sequence[Sink], job: Job) -> None:
        """Have a task run once on each of some workers, before anything else is sent there."""
        self._packer.check(job.function)
        with self._lock:
            if self.ended is not None:
                raise KernelEndedError(self.ended)
            if job.demand is not None:
                for link in links:
                    if not link.can_run(job.demand):
                        raise self._crew.unmet(job.demand, job.function, job.parcel, link)
            for link, sink in zip(links, sinks):
                pinned = Job(job.function, job.args, job.parcel, job.options, sink, link.index)
                if self._traces:
                    pinned.born = perf_counter()
                self.unfinished += 1
                sink.pending += 1
                self._dispatcher.pin(link, pinned)
            self._notify(None)

    def prepare(
        self, task: Task, args: tuple[Any, ...], keywords: dict[str, Any], lasting: bool = False
    ) -> Job:
        """A job that is not queued: for `pin`; a `lasting` one also for workers yet to come."""
        self._lend_anew()
        functions = self._functions
        function = functions.find_portable(task) if lasting else functions.find(task)
        parcel = self._packer.pack(function, args, keywords)
        options = current_options()
        if options is not None and options.tags:
            options = options._replace(tags=frozenset())  # who asks for it says which workers
        with self._lock:
            demand = self._crew.demand(function, parcel, options)
        return Job(function, (), parcel, options, None, demand=demand)

    def _find_demand(
        self, function: Function, parcel: Optional[Parcel], options: Optional[Options]
    ) -> Optional[Demand]:
        """What a task demands, as it was found for the same function and workers, if it was."""
        crew = self._crew
        if options is not None and crew.is_special(options):
            with self._lock:
                return crew.demand(function, parcel, options)
        if not crew.picky:
            return None
        if parcel is None and function.crew is crew.badge:
            demand = function.demand
        else:
            with self._lock:
                demand = crew.demand(function, parcel, None)
                if parcel is None:
                    function.demand, function.crew = demand, crew.badge
        if demand is not None and options is not None and options.low:
            return demand._replace(low=True)
        return demand

    def _own(self, job: Job) -> None:
        """Make sure that a task's large arguments are those of the moment it was submitted.

        They are sent from the caller's own memory. So either all of it is written now, or, where
        the task has to wait for a worker, it is copied.
        """
        with self._lock:
            if job.cost < 0:
                parcel = job.parcel
                assert parcel is not None
                copies = [bytearray(buffer) for buffer in parcel.buffers]
                job.parcel = parcel._replace(buffers=copies)
                return
            link = next((x for x in self._links.values() if job in x.inflight.values()), None)
        if link is not None and link.stream.writing:
            self.wait(lambda: link.lost or not link.stream.writing)

    def withdraw(self, job: Job, settle: Callable[[], Any] = bool) -> bool:
        """Take a task back that was not sent yet, or that whoever has it gives back.

        Args:
            job: The task.
            settle: Called at the same moment, with the lock held, if so; what it changes, waiters
                see.

        Returns:
            Whether it was so.
        """
        place = None if job.cost < 0 else self._recall(job)

        def take_back() -> bool:
            if job.sink is None:
                return False
            if place is not None and place[0].inflight.get(place[1]) is job:
                place[0].recalled(place[1])
                self._dispatcher.offer(place[0])
            elif job.cost >= 0:
                return False
            job.sink = None  # `_fill` drops it
            self.unfinished -= 1
            settle()
            return True

        return self.change(take_back)

    def _recall(self, job: Job) -> Optional[tuple[Link, int]]:
        """Where a task was until now and what its id was there, if it is given back."""
        if not self._crew.foreign:
            return None
        with self._lock:
            place = next(
                (
                    (link, ident)
                    for link in self._links.values()
                    for ident, other in link.inflight.items()
                    if other is job
                ),
                None,
            )
        # Without the lock: it is up to somebody else's code.
        return place if place is not None and place[0].recall(place[1]) else None

    def job_of(self, sink: Sink) -> Optional[Job]:
        """The unfinished task of a sink, for who was interrupted while he submitted it."""
        with self._lock:
            jobs = self._dispatcher.queued()
            for link in self._all_links():
                jobs += link.inflight.values()
            return next((job for job in jobs if job.sink is sink), None)

    def drop(self, jobs: Iterable[Job], error: Optional[BaseException] = None) -> list[Job]:
        """Give up tasks that were submitted: take back those not sent yet, and have others killed.

        Blocks for no server; what runs is killed a moment later. See `reaper`.

        Args:
            jobs: The tasks; what has ended is left as it is.
            error: What their sinks are told; None: nothing more.

        Returns:
            Those that had not ended.
        """
        dropped = self.change(lambda: self._give_up(jobs, error))
        if self._calls:
            self._call_back()
        return dropped

    def drop_all(self, sink: Sink, chosen: Callable[[Job], bool]) -> None:
        """`drop` those tasks of a sink that are chosen."""

        def give_up() -> None:
            taken = self._dispatcher.withdraw(lambda job: job.sink is sink and chosen(job))
            self.unfinished -= taken
            sink.pending -= taken
            sent = [job for link in self._all_links() for job in link.inflight.values()]
            self._give_up([job for job in sent if job.sink is sink and chosen(job)], None)

        self.change(give_up)

    def _give_up(self, jobs: Iterable[Job], error: Optional[BaseException]) -> list[Job]:
        """`drop`, with the lock held."""
        if self.ended is not None:
            return []
        dropped: list[Job] = []
        for job in jobs:
            sink = job.sink
            if sink is None or not sink.pending:
                continue
            dropped.append(job)
            if error is None:
                sink.pending -= 1
            else:
                call = sink.fail(job, error)
                if call is not None:
                    self._calls.append(call)
            if job.cost < 0:
                job.sink = None  # `_fill` drops it
                self.unfinished -= 1
        self._reaper.take(job for job in dropped if job.cost >= 0)
        self._fill()
        return dropped

    def _all_links(self) -> list[Link]:
        """The links that tasks may be in flight on."""
        return [*self._links.values(), *self._crew.limbo]

    def in_flight(self) -> list[tuple[Link, list[tuple[int, Job]]]]:
        """The tasks that were sent to workers and have no result, by their links, in order."""
        with self._lock:
            return [(link, list(link.inflight.items())) for link in self._links.values()]

    @protected
    def give_up(self, link: Link, idents: Iterable[int], dry_run: bool) -> Optional[int]:
        """Kill the task that runs on a link by giving that up, if it is one of these tasks.

        Args:
            link: The link; it may be lost already, and wait for `recover`.
            idents: The ids of the tasks.
            dry_run: Only find out.

        Returns:
            The task's id, as far as one can tell from here.
        """
        with self._reading, self._lock:
            running = next(iter(link.inflight), None)
            if running is None or running not in idents:
                return None
            if not dry_run:
                job = link.inflight.pop(running)
                link.doomed = running
                self._fail([job], interruption(job, link.label, KILLED, None))
                self._lose(link, ConnectionError("it was given up, to kill a task"), give_up=True)
                self._notify(None)
        self._call_back()
        if interrupts.pending:
            interrupts.raise_pending()
        return running

    def _lend_anew(self) -> None:
        """Have modules that have changed sent again to the workers that ask for them."""
        self._lender.look(self._lock, self._links.values)

    # the end

    def end(self, reason: str) -> None:
        """Fail all unfinished tasks, close all links and end the pump; twice is no error."""
        with self._reading, self._lock:
            if self.ended is not None:
                return
            self.ended = reason
            self._library.close()
            error = KernelEndedError(reason)
            self._fail(self._dispatcher.take_all(), error)
            self.timers.fail(error)
            for link in self._all_links():
                busy = bool(link.inflight)
                self._fail((*link.inflight.values(), *link.pinned), error)
                link.inflight.clear()
                link.pinned.clear()
                if not link.lost:
                    self._say_goodbye(link, busy)
                    self._forget(link)
                elif is_unheard(link, busy, sent=False):
                    self.unheard.append(link)
            self._crew.limbo.clear()
            self._notify(None)
            self._ring()
            self._unpark()
            pump = self._pump_thread
        self._call_back()
        if pump is not None and pump is not threading.current_thread():
            pump.join()
        self.timers.join()
        self._reaper.end()
        self._callbacks.end()
        self._close_unused()

    def leave_behind(self) -> None:
        """Make the engine unusable in a forked child: its sockets belong to the parent."""
        self._abandon()
        for link in self._links.values():
            link.lost = True
            link.stream.sock.close()  # without a shutdown, which the parent would feel
        self._links.clear()
        self.ended = "this kernel was made before the process forked; make a new one here"


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _after_fork() -> None:
    note_fork()
    for engine in list(_engines):
        engine.leave_behind()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
