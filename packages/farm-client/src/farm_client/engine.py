"""Moves tasks to workers and results back.

Whoever submits a task sends it, if a worker is free; whoever waits for a result reads it. How
threads take turns is the matter of `handover`, which task goes where that of `dispatcher`; here
the two meet: results are matched to tasks and delivered, and links come and go.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import Any, Callable, Optional

from farm_common.connection import Happening
from farm_common.errors import (
    KernelEndedError,
    ProtocolError,
    SerializationError,
    TaskExecutionError,
)
from farm_common.frames import Flag, Frame, Kind
from farm_common.shipping import (
    SCALARS,
    Parcel,
    Shared,
    pack,
    pack_arguments,
    unpack,
    unpack_exception,
)
from farm_common.shipping.tasks import Task

from . import interrupts
from .demand import Demand
from .dispatcher import Dispatcher
from .function import Function, FunctionTable
from .handover import Handover, Waiter, note_fork
from .interrupts import protected
from .job import Job, Sink
from .lender import Lender
from .library import Library
from .link import Link
from .options import current_options
from .output import Printer
from .poller import READ, WRITE
from .timers import Timers

__all__ = ["Engine"]

_log = logging.getLogger("farm.client")

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


class Engine(Handover):
    """The tasks, the links and the threads of one kernel.

    Args:
        on_loss: Called with a link and the error when its connection is lost, with the engine's
            lock held; whoever takes care calls `recover`.
        printer: Shows the output of tasks.
        library: The modules that workers may be given.
    """

    def __init__(
        self,
        on_loss: Callable[[Link, BaseException], None],
        printer: Printer,
        library: Library,
    ) -> None:
        super().__init__()
        self._on_loss = on_loss
        self._printer = printer
        self._dispatcher = Dispatcher(self._poller, self._fail)
        self._library = library
        self._lender = Lender(library, self._dispatcher.transmit)
        self._links: dict[int, Link] = {}  # by descriptor
        self._limbo: set[Link] = set()  # lost, and not yet recovered
        self._functions = FunctionTable(protocol=5)
        self._shared: set[bytes] = set()  # the ids of shared values that can travel
        self._frame_limit = 1 << 62
        self._crew = object()  # another one whenever workers come or go
        self._picky = False  # whether some worker cannot load our bytecode
        self._absent: set[int] = set()  # the indices of workers that are to be replaced
        self._submitted_at = 0.0
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
            KernelEndedError: The kernel has ended.
        """
        function = self._functions.find(task)
        parcel: Optional[Parcel] = None
        if keywords:
            parcel = self._pack(function, args, keywords)
        else:
            for value in args:
                kind = type(value)
                if kind in _SMALL or (kind in _SIZED and len(value) <= _SMALL_SIZE):
                    continue
                parcel = self._pack(function, args, keywords)
                break
        if function.largest > self._frame_limit or function.shared:
            self._check_function(function)
        demand: Optional[Demand] = None
        if self._picky:
            if parcel is None and function.crew is self._crew:
                demand = function.demand  # as it was found for the same workers
            else:
                with self._lock:
                    demand = self._demand(function, parcel)
                    if parcel is None:
                        function.demand, function.crew = demand, self._crew
        job = Job(
            function, args if parcel is None else (), parcel, current_options(), sink, -1, demand
        )
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
        function = self._functions.find(task)
        self._check_function(function)
        return function

    def put(self, job: Job, args: tuple[Any, ...]) -> int:
        """Queue a job with these arguments, and send it if a worker is free.

        Large arguments are not copied: they must stay as they are until the result is there.

        Returns:
            How many bytes the arguments have.

        Raises:
            SerializationError: An argument cannot travel.
            KernelEndedError: The kernel has ended.
        """
        parcel = job.parcel = self.pack(job.function, args)
        if self._picky:
            with self._lock:
                job.demand = self._demand(job.function, parcel)
        size = len(parcel.body) + sum(map(len, parcel.buffers))
        self._enqueue(job)
        return size

    def pack(self, function: Function, args: tuple[Any, ...]) -> Parcel:
        """The arguments of a call as they travel; raises `SerializationError`."""
        return self._pack(function, args, {})

    def pin(self, links: Sequence[Link], sinks: Sequence[Sink], job: Job) -> None:
        """Have a task run once on each of some workers, before anything else is sent there."""
        self._check_function(job.function)
        with self._lock:
            if self.ended is not None:
                raise KernelEndedError(self.ended)
            if job.demand is not None:
                for link in links:
                    if not link.can_run(job.demand):
                        raise self._unmet(job.demand, job.function, job.parcel, link)
            for link, sink in zip(links, sinks):
                pinned = Job(job.function, job.args, job.parcel, job.options, sink, link.index)
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
        parcel = self._pack(function, args, keywords)
        with self._lock:
            demand = self._demand(function, parcel)
        return Job(function, (), parcel, current_options(), None, demand=demand)

    def _pack(self, function: Function, args: tuple[Any, ...], keywords: dict[str, Any]) -> Parcel:
        functions = self._functions
        protocol, name = functions.protocol, function.name
        try:
            parcel = pack_arguments(args, keywords, protocol, name, functions.bytecode)
        except SerializationError:
            if not functions.mixed:
                raise
            parcel = pack_arguments(args, keywords, protocol, name)  # for those that can load it
        size = len(parcel.body) + sum(map(len, parcel.buffers)) + len(function.ident)
        if size > self._frame_limit:
            raise SerializationError(
                f"the arguments of {function.name} have {size} bytes, and a server of this kernel "
                f"takes {self._frame_limit} at most: send them in parts"
            )
        if parcel.shared:
            self._check_shared(parcel.shared)
        return parcel

    def _check_function(self, function: Function) -> None:
        """Raise `SerializationError` if a function cannot travel to all workers."""
        if function.largest > self._frame_limit:
            raise SerializationError(
                f"task {function.name} has {function.largest} bytes with all that it captured, and "
                f"a server of this kernel takes {self._frame_limit} at most: use less of it, or "
                f"farm.shared in parts"
            )
        self._check_shared(function.shared)

    def _check_shared(self, values: Sequence[Shared[Any]]) -> None:
        """See to it that shared values can travel, and that their release is heard of."""
        for shared in values:
            if shared.ident in self._shared:
                continue
            functions = self._functions
            parcel = pack(shared.value, functions.protocol, "a shared value", functions.bytecode)
            size = len(parcel.body) + sum(map(len, parcel.buffers)) + len(shared.ident)
            if size > self._frame_limit:
                raise SerializationError(
                    f"a shared value has {size} bytes, and a server of this kernel takes "
                    f"{self._frame_limit} at most: share it in parts"
                )
            self._check_shared(parcel.shared)
            shared.on_release(self._release)
            self._shared.add(shared.ident)

    def _release(self, shared: Shared[Any]) -> None:
        """Make all workers forget a shared value."""
        with self._lock:
            self._shared.discard(shared.ident)
            for link in list(self._links.values()):
                segments = link.release(shared)
                if segments:
                    self._dispatcher.transmit(link, segments)

    # what not every worker can run

    def _demand(self, function: Function, parcel: Optional[Parcel]) -> Optional[Demand]:
        """What a task demands of a worker; None if all can run it. With the lock held.

        Raises:
            SerializationError: No worker can.
        """
        if not self._picky:
            return None
        bytecode, minimum = function.bytecode, function.minimum
        if parcel is not None:
            bytecode = bytecode or parcel.bytecode
            minimum = max(minimum, parcel.minimum)
        demand = Demand(bytecode, minimum)
        able = [link.can_run(demand) for link in self._links.values()]
        if all(able):
            return None
        if not (any(able) or self._absent):
            raise self._unmet(demand, function, parcel)
        return demand

    def _demand_of(self, job: Job) -> Optional[Demand]:
        try:
            return self._demand(job.function, job.parcel)
        except SerializationError:
            return Demand(job.function.bytecode, job.function.minimum)

    def _unmet(
        self,
        demand: Demand,
        function: Function,
        parcel: Optional[Parcel],
        link: Optional[Link] = None,
    ) -> SerializationError:
        """Why a worker cannot run a task; of none that is given, the first that cannot."""
        if link is None:
            link = next(link for link in self._links.values() if not link.can_run(demand))
        if link.python_version < demand.minimum:
            newest = function.newest
            if parcel is not None and parcel.minimum > function.minimum:
                newest = parcel.newest
            return SerializationError(
                f"{newest} is in the syntax of Python {'.'.join(map(str, demand.minimum))}, and "
                f"{link.label} runs {link.python}: write it in older syntax, or use a newer Python "
                f"there"
            )
        return SerializationError(
            f"task {function.name} travels as bytecode, which {link.label}, {link.python}, cannot "
            f"load: define it in a file, or run the same Python there"
        )

    def _adapt(self) -> None:
        """Ship from now on for the workers that there are now; with the lock held."""
        same = [link.same_bytecode for link in self._links.values()]
        self._crew = object()
        if same:
            self._picky = not all(same)
            self._functions.adapt(bytecode=all(same), mixed=self._picky and any(same))

    def _strand(self) -> None:
        """Fail the tasks that no worker will ever run, now that other workers have come."""
        dispatcher = self._dispatcher
        if self._absent or not self._links:
            return
        for demand, queue in list(dispatcher.choosy.items()):
            if not any(link.can_run(demand) for link in self._links.values()):
                job = queue[0]
                dispatcher.reject(demand, self._unmet(demand, job.function, job.parcel))

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
        """Take a task back that was not sent yet.

        Args:
            job: The task.
            settle: Called at the same moment, with the lock held, if so; what it changes, waiters
                see.

        Returns:
            Whether it was so.
        """

        def take_back() -> bool:
            if job.cost >= 0 or job.sink is None:
                return False
            job.sink = None  # `_fill` drops it
            self.unfinished -= 1
            settle()
            return True

        return self.change(take_back)

    def job_of(self, sink: Sink) -> Optional[Job]:
        """The unfinished task of a sink, for who was interrupted while he submitted it."""
        with self._lock:
            jobs = self._dispatcher.queued()
            for link in (*self._links.values(), *self._limbo):
                jobs += link.inflight.values()
            return next((job for job in jobs if job.sink is sink), None)

    def withdraw_all(self, chosen: Callable[[Job], bool], sink: Sink) -> None:
        """Take back those tasks of a sink that were not sent yet and are chosen."""

        def take_back() -> None:
            taken = self._dispatcher.withdraw(lambda job: job.sink is sink and chosen(job))
            self.unfinished -= taken
            sink.pending -= taken

        self.change(take_back)

    # reading

    def _step(self) -> None:
        """Read and send without blocking: for a thread that submits faster than others read."""
        self._activity += 1
        if self._reading.acquire(False):
            try:
                events = () if self._closed else self._poll(0)
            finally:
                self._reading.release()
            self._process(events, None)

    @protected
    def _process(self, events: Iterable[tuple[int, int]], waiter: Optional[Waiter]) -> None:
        """Read what is ready, deliver it, send what there is room for, and wake the concerned."""
        with self._reading:
            arrived, lost = self._read(events)
            with self._lock:
                if self._rung and waiter is not None:
                    # Only the leader may: it might sleep through a bell that others silence.
                    self._bell.silence()
                    self._rung = False
                for link, happening, value in arrived:
                    try:
                        self._handle(link, happening, value)
                    except ProtocolError as failure:
                        lost.append((link, failure))
                for link, error in lost:
                    self._lose(link, error)
                self._fill()
                if self._leader is not None:
                    self._notify(waiter)
        if self._lender.questions:
            self._lender.answer(self._lock)
        if self._calls:
            self._call_back()
        if interrupts.pending:
            interrupts.raise_pending()

    def _read(
        self, events: Iterable[tuple[int, int]]
    ) -> tuple[list[tuple[Link, Any, Any]], list[tuple[Link, BaseException]]]:
        """What has arrived, with what it brings, and the links that broke."""
        arrived: list[tuple[Link, Any, Any]] = []
        lost: list[tuple[Link, BaseException]] = []
        for descriptor, mask in events:
            link = self._links.get(descriptor)
            if link is None:
                continue  # the bell, or a link that was lost meanwhile
            if mask & WRITE:
                self._flush(link)
                if mask == WRITE:
                    continue
            try:
                arrived += [(link, what, self._decode(link, what)) for what in link.receive()]
                if link.broken is not None:
                    lost.append((link, link.broken))
            except BlockingIOError:
                pass  # another thread was faster
            except (EOFError, OSError, ProtocolError) as failure:
                lost.append((link, failure))
            except Exception as failure:  # ours: lose the link rather than the thread
                _log.exception("cannot read from %s", link.label)
                lost.append((link, failure))
        return arrived, lost

    def _fill(self) -> None:
        if self._dispatcher.waiting:
            self._dispatcher.fill()

    def _flush(self, link: Link) -> None:
        try:
            whole = link.stream.flush()
        except OSError:
            return  # reading will tell
        with self._lock:
            if whole and link.watching_writes and not link.lost:
                link.watching_writes = False
                self._poller.change(link.descriptor, READ)
                self._dispatcher.offer(link)

    def _decode(self, link: Link, happening: Happening) -> Any:
        """What a frame brings: a sequence of values, or an error; what was printed is shown.

        Runs the user's code, so without the lock.
        """
        if not isinstance(happening, Frame):
            size = getattr(happening, "size", "unknown")
            return TaskExecutionError(
                f"MemoryError: no memory here for a result of {size} bytes", worker=link.label
            )
        kind, flags = happening.kind, happening.flags
        if kind == Kind.OUTPUT:
            self._printer.show(link.index, happening)
            return None
        if kind == Kind.IMPORT:
            return None
        if self._printer.tails:
            self._printer.finish(link.index)
        if kind == Kind.RESULT:
            try:
                if flags & Flag.BYTECODE and not link.same_bytecode:
                    raise SerializationError("it holds bytecode of another interpreter")
                value = unpack(happening.body, happening.buffers)
            except BaseException as cause:  # the user's code, which must not end this thread
                unloadable = TaskExecutionError(
                    f"the result could not be loaded here: {type(cause).__name__}: {cause}",
                    worker=link.label,
                )
                unloadable.__cause__ = cause
                return unloadable
            if not flags & Flag.BATCH:
                return (value,)
            if type(value) is not list:
                raise ProtocolError(f"{link.label} sent a batch of results that is no list")
            return value
        if kind == Kind.ERROR:
            load = link.same_bytecode or not flags & Flag.BYTECODE
            report, description, original = unpack_exception(happening.body, load)
            failure = TaskExecutionError(report, description, link.label)
            failure.__cause__ = original
            return failure
        return None

    def _handle(self, link: Link, happening: Any, value: Any) -> None:
        kind = happening.kind
        if type(value) is tuple and happening.count == 1:
            job = link.take_one(happening.ident)
            self.unfinished -= 1
            job.function.estimate.update(happening.micros, 1, happening)
            call = job.sink.deliver(job, value[0])  # type: ignore[union-attr]
            if call is not None:
                self._calls.append(call)
            dispatcher = self._dispatcher
            if link.pinned or (link.inflight and link not in dispatcher.partial):
                dispatcher.offer(link)
            elif not link.inflight:
                dispatcher.partial.pop(link, None)
                dispatcher.idle[link] = None  # whether it may be used is looked at when it is
        elif kind in (Kind.RESULT, Kind.ERROR):
            count = max(1, happening.count)
            failed = isinstance(value, BaseException)
            if not failed and len(value) != count:  # before they are taken, or they would be lost
                raise ProtocolError(f"{link.label} sent {len(value)} results instead of {count}")
            jobs = link.take(happening.ident, count)
            self.unfinished -= count
            if isinstance(happening, Frame):
                jobs[0].function.estimate.update(happening.micros, count, happening)
            for position, job in enumerate(jobs):
                sink = job.sink
                assert sink is not None
                call = sink.fail(job, value) if failed else sink.deliver(job, value[position])
                if call is not None:
                    self._calls.append(call)
            self._dispatcher.offer(link)
        elif kind == Kind.IMPORT:
            self._lender.ask(link, happening)
        elif kind == Kind.PING:
            self._dispatcher.transmit(
                link, link.stream.connection.send(Kind.PONG, ident=happening.ident)
            )
        elif kind == Kind.GOODBYE:
            raise ProtocolError("the worker said goodbye")
        elif kind in (Kind.STATUS_REPLY, Kind.DRAINING):
            raise ProtocolError(f"a {happening.name} frame in a connection for work")

    def _fail(self, jobs: Iterable[Job], error: BaseException) -> None:
        for job in jobs:
            sink = job.sink
            if sink is not None:
                self.unfinished -= 1
                call = sink.fail(job, error)
                if call is not None:
                    self._calls.append(call)

    def _lend_anew(self) -> None:
        """Have modules that have changed sent again to the workers that ask for them."""
        self._lender.look(self._lock, self._links.values)

    # links

    def add(self, link: Link, setup: Iterable[Job] = ()) -> None:
        """Take a connected worker in; `setup` are pinned tasks that it runs first."""
        link.stream.sock.setblocking(False)
        with self._lock:
            if self.ended is not None:
                raise KernelEndedError(self.ended)
            self._links[link.descriptor] = link
            self._poller.add(link.descriptor)
            self._frame_limit = min(self._frame_limit, link.hello.frame_limit)
            self._functions.protocol = min(self._functions.protocol, link.protocol)
            self._absent.discard(link.index)
            self._adapt()
            if self._picky:
                self._dispatcher.sift(self._demand_of)
            for job in setup:
                assert job.sink is not None
                job.sink.pending += 1
                self.unfinished += 1
                link.pinned.append(job)
            self._dispatcher.settle(link)
            self._strand()
            self._fill()
            self._notify(None)
            self._start_pump()
        if link.stream.pending:  # what came together with the server's hello
            self._process([(link.descriptor, READ)], None)

    def remove(self, link: Link) -> None:
        """Close a link that nothing is in flight on, or whose tasks are to run elsewhere."""
        with self._reading, self._lock:
            if not link.lost:
                self._say_goodbye(link)
                self._forget(link)
                self._dispatcher.requeue(
                    link, None, "the worker was removed from the kernel", charge=False
                )
            self._absent.discard(link.index)
            self._strand()
            self._dispatcher.evict(
                link, KernelEndedError(f"{link.label} was removed from the kernel")
            )
            self._fill()
            self._notify(None)
        self._call_back()

    def _lose(self, link: Link, error: BaseException) -> None:
        """A connection broke: forget the link; its tasks wait for `recover`."""
        if link.lost:
            return
        self._forget(link)
        self._limbo.add(link)
        self._absent.add(link.index)
        _log.info("lost %s: %s", link.label, error)
        self._on_loss(link, error)

    def _forget(self, link: Link) -> None:
        link.lost = True
        self._dispatcher.drop(link)
        del self._links[link.descriptor]
        try:
            self._poller.remove(link.descriptor)
        except (OSError, KeyError, ValueError):
            pass  # the descriptor is closed
        link.stream.close()
        self._adapt()

    def recover(self, link: Link, last: Optional[int], reason: str) -> None:
        """Have the tasks of a lost link run elsewhere.

        Args:
            link: The lost link.
            last: The id of the task that its worker started last, where that is known.
            reason: How the worker was lost.
        """
        with self._lock:
            self._limbo.discard(link)
            self._dispatcher.requeue(link, last, reason, charge=True)
            self._fill()
            self._notify(None)
        self._call_back()

    @property
    def links(self) -> list[Link]:
        """The connected links, in the order of their workers."""
        with self._lock:
            return sorted(self._links.values(), key=lambda link: link.index)

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
            for link in (*self._links.values(), *self._limbo):
                self._fail((*link.inflight.values(), *link.pinned), error)
                link.inflight.clear()
                link.pinned.clear()
                if not link.lost:
                    self._say_goodbye(link)
                    self._forget(link)
            self._limbo.clear()
            self._notify(None)
            self._ring()
            self._unpark()
            pump = self._pump_thread
        self._call_back()
        if pump is not None and pump is not threading.current_thread():
            pump.join()
        self.timers.join()
        self._callbacks.end()
        self._close_unused()

    def _say_goodbye(self, link: Link) -> None:
        try:
            link.stream.send(link.stream.connection.send(Kind.GOODBYE))
        except (OSError, ProtocolError):
            pass  # it is gone already

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
