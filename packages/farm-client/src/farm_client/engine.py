"""Moves tasks and results: the part of the kernel that threads meet in.

There is no I/O thread in the way of a round trip. Whoever submits a task sends it, and whoever
waits for a result reads it, from whichever worker is ready. At most one thread at a time, the
*leader*, blocks in the poller; the other waiting threads, the *followers*, sleep each on a lock of
its own. A *pump* thread leads when no user's thread does.

Locks, always taken in this order:

``_reading``
    held while bytes are read and decoded; so each link is read by one thread at a time.
``_lock``
    held while state changes; never while a thread blocks or runs the user's code.

Why no wake-up is lost:

1. State that somebody waits for changes only under ``_lock``, and each change is followed, under
   the same hold of the lock, by ``_notify``, which looks at every waiter.
2. A waiter looks at its condition and becomes leader or follower under one hold of ``_lock``. So a change
   comes before the look, and is seen, or after it, and is notified.
3. While there are waiters there is a leader: a waiter that finds none becomes it, and a leader that
   leaves names a waiter its successor, under ``_lock``. If the leader is the pump, the waiter rings
   the bell, and the pump gives way.
4. The leader blocks only in the poller, without locks; the poller watches every link and the bell.
   A result makes its link readable and stays readable until it is read. What changes otherwise
   (a task cancelled, the kernel ended) is notified by a thread that is not the leader, which rings
   the bell if the leader is concerned. The bell stays rung until it is silenced, and whoever
   silences it looks at all waiters afterwards.
5. A follower's lock is released once: when its condition holds or when it is named leader. It was
   acquired before the follower joined, so a release that comes before the follower sleeps is kept.
6. Where no user's thread waits, the pump leads, or ticks: every millisecond it looks whether it is
   wanted. It stops ticking only to lead, or to sleep while a waiter leads; the waiter that leaves
   last wakes it. So a reply that nobody waits for is read too, and a task that was not sent at
   once, in the hope of company, is sent within a tick.

`tests/test_engine_stress.py` tries to refute this, without time-outs that could hide a miss.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from threading import get_ident
from time import monotonic, perf_counter
from time import sleep as _sleep
from typing import Any, Callable, Optional

from farm_common.connection import Happening
from farm_common.errors import (
    FarmError,
    KernelEndedError,
    ProtocolError,
    SerializationError,
    TaskExecutionError,
    WorkerLostError,
)
from farm_common.frames import Buffer, Flag, Frame, Kind, Unreadable
from farm_common.shipping import SCALARS, Parcel, pack, unpack, unpack_exception
from farm_common.shipping.functions import Task

from . import interrupts
from .function import Function, FunctionTable
from .interrupts import protected
from .job import Job, Sink
from .link import Link
from .options import Options, current_options
from .output import Printer
from .poller import READ, WRITE, Bell, make_poller

__all__ = ["Engine"]

_log = logging.getLogger("farm.client")

#: How often a task may be started when workers die under it.
ATTEMPTS = 3

# Arguments that are packed when they are sent, together with those of other tasks: they cannot
# change meanwhile.
_SMALL = SCALARS - {str, bytes}
_SIZED = frozenset({str, bytes})
_SMALL_SIZE = 1024

#: Tasks that come faster than this, in seconds, are sent together.
_HURRY = 20e-6

#: After so many tasks in a hurry, the submitter itself sends and reads.
_BURST = 128

#: Work that is not worth dividing among workers, in microseconds.
_CHUNK = 50.0

#: How often the pump looks, in seconds, and after how many quiet looks it leads or sleeps.
_TICK = 0.001
_QUIET_TICKS = 20


class _Waiter:
    """A thread that waits for a condition."""

    __slots__ = ("done", "lock", "outer", "ready", "thread", "woken")

    def __init__(self, ready: Callable[[], Any]) -> None:
        self.ready = ready
        self.done = False
        self.woken = False
        self.thread = get_ident()
        self.outer: Optional[_Waiter] = None  # the same thread's, when waits nest
        self.lock: Optional[threading.Lock] = None  # of a follower

    def follow(self) -> None:
        """Get ready to sleep; called with the engine's lock held."""
        self.lock = threading.Lock()
        self.lock.acquire()

    def wake(self) -> None:
        """End the follower's sleep; called with the engine's lock held."""
        if not self.woken and self.lock is not None:
            self.woken = True
            self.lock.release()


class Engine:
    """The queues, the links and the threads of one kernel.

    Args:
        on_loss: Called with a link and the error when its connection is lost, with the engine's
            lock held; whoever takes care calls `recover`.
        printer: Shows the output of tasks.
    """

    def __init__(self, on_loss: Callable[[Link, BaseException], None], printer: Printer) -> None:
        self._on_loss = on_loss
        self._printer = printer
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._poller = make_poller()
        self._poll = self._poller.poll
        self._bell = Bell()
        self._poller.add(self._bell.fileno())
        self._links: dict[int, Link] = {}  # by descriptor
        self._idle: list[Link] = []  # with room and nothing in flight
        self._partial: deque[Link] = deque()  # with room
        self._queue: deque[Job] = deque()
        self._low: deque[Job] = deque()
        self._suspects: deque[Job] = deque()  # a worker died under them: one at a time
        self._limbo: set[Link] = set()  # lost, and not yet recovered
        self._calls: deque[Callable[[], None]] = deque()
        self._homeless: dict[int, deque[Job]] = {}  # for workers that are not connected
        self._functions = FunctionTable(protocol=5)
        self._frame_limit = 1 << 62
        self._foreign: Optional[str] = None  # a worker that cannot load our bytecode
        self._unfinished = 0
        #: Why nothing can be submitted any more; None while it can.
        self.ended: Optional[str] = None
        self._closed = False
        self._sent_at = 0.0
        self._activity = 0  # of users' threads
        self._followers: list[_Waiter] = []
        self._leader: Optional[_Waiter] = None
        self._rung = False
        self._ticking = False
        self._parking = threading.Lock()
        self._parking.acquire()
        self._parked = False
        self._pump = _Waiter(bool)
        self._pump_thread: Optional[threading.Thread] = None
        _engines.add(self)

    # submitting

    @protected
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
        options = current_options()
        job = Job(function, args if parcel is None else (), parcel, options, sink)
        if function.bytecode and self._foreign is not None:
            raise self._no_bytecode(function.name)
        queue = self._queue if options is None or not options.low else self._low
        step = False
        with self._lock:
            if self.ended is not None:
                raise KernelEndedError(self.ended)
            self._unfinished += 1
            sink.pending += 1
            idle, partial = self._idle, self._partial
            now = perf_counter()
            hurry = now - self._sent_at < _HURRY
            if parcel is None and options is None and not (hurry or self._queue):
                # The lane for a task that comes alone: to the worker that was used last, whose
                # caches are warm, if it is idle.
                link = partial[-1] if partial else None
                if link is None or link.inflight:
                    link = None
                    if idle:
                        link = idle.pop()
                        partial.append(link)
                if link is not None and function.ident in link.functions and link.usable:
                    self._sent_at = now
                    self._activity += 1
                    try:
                        if not link.send_one(job):
                            self._watch_writes(link)
                    except OSError:
                        pass  # reading will tell
                    if interrupts.pending:
                        interrupts.raise_pending()
                    return job
            queue.append(job)
            length = len(queue)
            if idle or partial:
                # Only an idle worker is worth a system call for less than a burst.
                if length >= _BURST or (idle and not hurry):
                    self._sent_at = now
                    self._activity += 1
                    self._fill()
                elif not (self._ticking or self._rung):
                    self._activity += 1
                    self._ring()  # so that it is sent even if nothing else happens
            elif length % _BURST == 0:
                step = True
        if step:
            self._step()
        if self._calls:
            self._call_back()
        if parcel is not None and parcel.buffers:
            self._own(job)
        if interrupts.pending:
            interrupts.raise_pending()
        return job

    def pin(self, links: Sequence[Link], sinks: Sequence[Sink], job: Job) -> None:
        """Have a task run once on each of some workers, before anything else is sent there."""
        if job.function.bytecode and self._foreign is not None:
            raise self._no_bytecode(job.function.name)
        with self._lock:
            if self.ended is not None:
                raise KernelEndedError(self.ended)
            for link, sink in zip(links, sinks):
                pinned = Job(job.function, job.args, job.parcel, job.options, sink, link.index)
                self._unfinished += 1
                sink.pending += 1
                if link.lost:
                    self._homeless.setdefault(link.index, deque()).append(pinned)
                else:
                    link.pinned.append(pinned)
                    self._serve_pinned(link)
            self._notify(None)

    def prepare(self, task: Task, args: tuple[Any, ...], keywords: dict[str, Any]) -> Job:
        """A job that is not queued: for `pin`."""
        function = self._functions.find(task)
        return Job(function, (), self._pack(function, args, keywords), current_options(), None)

    def _pack(self, function: Function, args: tuple[Any, ...], keywords: dict[str, Any]) -> Parcel:
        parcel = pack((args, keywords), self._functions.protocol, f"arguments of {function.name}")
        size = len(parcel.body) + sum(map(len, parcel.buffers)) + len(function.ident)
        if size > self._frame_limit:
            raise SerializationError(
                f"the arguments of {function.name} have {size} bytes, and a server of this kernel "
                f"takes {self._frame_limit} at most: send them in parts"
            )
        if parcel.bytecode and self._foreign is not None:
            raise self._no_bytecode(f"an argument of {function.name}")
        return parcel

    def _no_bytecode(self, what: str) -> SerializationError:
        return SerializationError(
            f"{what} is not importable there, so it would travel as bytecode, which {self._foreign} "
            f"cannot load: put it into a module that the servers have, or run the same Python there"
        )

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

    def withdraw(self, job: Job) -> bool:
        """Take a task back that was not sent yet; return whether it was so."""
        with self._lock:
            if job.cost >= 0 or job.sink is None:
                return False
            job.sink = None  # `_fill` drops it
            self._unfinished -= 1
            self._notify(None)
            return True

    # waiting

    def wait(self, ready: Callable[[], Any], timeout: Optional[float] = None) -> bool:
        """Block until a condition holds.

        Args:
            ready: The condition: cheap, without side effects; called with the engine's lock held.
                What it looks at changes only by delivered results or is told by `notify`.
            timeout: Seconds after which to give up.

        Returns:
            Whether it holds; False also when the kernel ended.
        """
        if ready():
            return True
        waiter = _Waiter(ready)
        remaining: Optional[float] = None
        deadline = None if timeout is None else monotonic() + timeout
        try:
            self._enter(waiter)
            while not waiter.done:
                if deadline is not None:
                    remaining = max(0.0, deadline - monotonic())
                if self._leader is waiter:
                    self._process(self._poll(remaining), waiter)
                else:
                    assert waiter.lock is not None
                    waiter.lock.acquire(True, -1 if remaining is None else remaining)
                if remaining == 0.0:
                    break  # not earlier: who only ever looks must read, too
        finally:
            self._leave(waiter)
        return bool(ready())

    def notify(self) -> None:
        """Have all waiters look at their conditions."""
        with self._lock:
            self._notify(None)

    @protected
    def _enter(self, waiter: _Waiter) -> None:
        if waiter.thread == _main_thread:
            interrupts.guard()
        with self._lock:
            self._activity += 1
            if (self._idle or self._partial) and (self._queue or self._low):
                self._fill()
            if waiter.ready() or self.ended is not None:
                waiter.done = True
                return
            leader = self._leader
            if leader is None:
                self._leader = waiter
            elif leader.thread == waiter.thread:
                waiter.outer = leader  # called from a callback: this thread leads on
                self._leader = waiter
            else:
                waiter.follow()
                self._followers.append(waiter)
                if leader is self._pump:
                    self._ring()
        if interrupts.pending:
            interrupts.raise_pending()

    @protected
    def _leave(self, waiter: _Waiter) -> None:
        with self._lock:
            self._activity += 1
            if self._leader is waiter:
                self._leader = waiter.outer
                if waiter.outer is None and (self._followers or self._parked):
                    self._appoint()
            elif waiter in self._followers:
                self._followers.remove(waiter)
            ended = self.ended is not None
        if ended:
            self._close_unused()
        if interrupts.pending:
            interrupts.raise_pending()

    def _appoint(self) -> None:
        """Name a new leader, or see to it that the pump finds out that there is none."""
        for waiter in self._followers:
            if not waiter.done:
                self._followers.remove(waiter)
                self._leader = waiter
                waiter.wake()
                return
        if self._parked:
            self._parked = False
            self._ticking = True
            self._parking.release()

    def _notify(self, current: Optional[_Waiter]) -> None:
        """Wake the waiters whose conditions hold; `current` is the calling thread's own."""
        leader = self._leader
        while leader is not None:
            if not leader.done and (leader.ready() or self.ended is not None):
                leader.done = True
                if leader is not current:
                    self._ring()
            leader = leader.outer
        for waiter in self._followers:
            if not waiter.done and (waiter.ready() or self.ended is not None):
                waiter.done = True
                waiter.wake()

    def _ring(self) -> None:
        if not self._rung:
            self._rung = True
            self._bell.ring()

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
    def _process(self, events: Iterable[tuple[int, int]], waiter: Optional[_Waiter]) -> None:
        """Read what is ready, deliver it, send what there is room for, and wake who is concerned."""
        links = self._links
        with self._reading:
            arrived: list[tuple[Link, Any, Any]] = []
            lost: list[tuple[Link, BaseException]] = []
            for descriptor, mask in events:
                link = links.get(descriptor)
                if link is None:
                    continue  # the bell, or a link that was lost meanwhile
                if mask & WRITE:
                    self._flush(link)
                    if mask == WRITE:
                        continue
                try:
                    for happening in link.receive():
                        arrived.append((link, happening, self._decode(link, happening)))
                except BlockingIOError:
                    pass  # another thread was faster
                except (EOFError, OSError, ProtocolError) as error:
                    lost.append((link, error))
            with self._lock:
                if self._rung and waiter is not None:
                    # Only the leader may: it might sleep through a bell that others silence.
                    self._bell.silence()
                    self._rung = False
                for link, happening, value in arrived:
                    try:
                        self._handle(link, happening, value)
                    except ProtocolError as error:
                        lost.append((link, error))
                for link, error in lost:
                    self._lose(link, error)
                if self._queue or self._suspects or self._low:
                    self._fill()
                if self._leader is not None:
                    self._notify(waiter)
        if self._calls:
            self._call_back()
        if interrupts.pending:
            interrupts.raise_pending()

    def _call_back(self) -> None:
        """Run what sinks asked to have called, without locks: it may be the user's code."""
        while self._calls:
            try:
                call = self._calls.popleft()
            except IndexError:
                return  # another thread was faster
            call()

    def _flush(self, link: Link) -> None:
        try:
            whole = link.stream.flush()
        except OSError:
            return  # reading will tell
        with self._lock:
            if whole and link.watching_writes and not link.lost:
                link.watching_writes = False
                self._poller.change(link.descriptor, READ)
                self._offer(link)

    def _decode(self, link: Link, happening: Happening) -> Any:
        """The value or the error that a frame brings; runs the user's code, so without the lock."""
        if happening.kind == Kind.RESULT and not happening.flags and isinstance(happening, Frame):
            try:
                return (unpack(happening.body, happening.buffers),)
            except Exception as cause:
                return _unloadable(cause, link)
        if isinstance(happening, Unreadable):
            return TaskExecutionError(
                f"MemoryError: no memory here for the result of {happening.size} bytes",
                worker=link.label,
            )
        assert isinstance(happening, Frame)
        foreign = bool(happening.flags & Flag.BYTECODE) and not link.same_bytecode
        if happening.kind == Kind.RESULT:
            try:
                if foreign:
                    raise SerializationError("it holds bytecode of another interpreter")
                value = unpack(happening.body, happening.buffers)
                if happening.flags & Flag.BATCH and len(value) != happening.count:
                    raise ProtocolError("a batch of results with another number of results")
            except Exception as cause:
                return _unloadable(cause, link)
            return value if happening.flags & Flag.BATCH else (value,)
        if happening.kind == Kind.ERROR:
            report, description, original = unpack_exception(happening.body, not foreign)
            error = TaskExecutionError(report, description, link.label)
            error.__cause__ = original
            return error
        return None

    def _handle(self, link: Link, happening: Any, value: Any) -> None:
        kind = happening.kind
        if self._printer.tails and kind != Kind.OUTPUT:
            self._printer.finish(link.index)
        if kind == Kind.RESULT and not happening.flags and type(value) is tuple:
            job = link.take_one(happening.ident)
            self._unfinished -= 1
            job.function.estimate.update(happening.micros, 1)
            call = job.sink.deliver(job, value[0])  # type: ignore[union-attr]
            if call is not None:
                self._calls.append(call)
            if not link.in_ready or link.pinned:
                self._offer(link)
        elif kind in (Kind.RESULT, Kind.ERROR):
            count = max(1, happening.count)
            jobs = link.take(happening.ident, count)
            self._unfinished -= count
            if isinstance(happening, Frame):
                jobs[0].function.estimate.update(happening.micros, count)
            failed = isinstance(value, BaseException)
            for position, job in enumerate(jobs):
                sink = job.sink
                assert sink is not None
                call = sink.fail(job, value) if failed else sink.deliver(job, value[position])
                if call is not None:
                    self._calls.append(call)
            self._offer(link)
        elif kind == Kind.OUTPUT:
            self._printer.show(link.index, happening)
        elif kind == Kind.PING:
            self._transmit(link, link.stream.connection.send(Kind.PONG, ident=happening.ident))
        elif kind == Kind.GOODBYE:
            raise ProtocolError("the worker said goodbye")
        elif kind in (Kind.STATUS_REPLY, Kind.DRAINING):
            raise ProtocolError(f"a {happening.name} frame in a connection for work")

    # sending

    def _fill(self) -> None:
        """Send queued tasks to the links that have room."""
        passed: list[Link] = []
        while True:
            queue = self._suspects or self._queue or self._low
            if not queue:
                break
            if queue[0].sink is None:
                queue.popleft()  # withdrawn
                continue
            link = self._take_ready()
            if link is None:
                break
            share = -(-len(queue) // (len(self._idle) + len(self._partial) + 1))
            cost = queue[0].function.estimate.cost
            if cost is not None and share * cost < _CHUNK:
                share = int(_CHUNK / cost) + 1
            if self._send(link, queue, share):
                self._offer(link)
            else:
                passed.append(link)  # another may be able to take what is first in the queue
        for link in passed:
            link.in_ready = True
            (self._partial if link.inflight else self._idle).append(link)

    def _send(self, link: Link, queue: deque[Job], share: int) -> bool:
        """Send a link up to `share` tasks in one piece; return whether there were any."""
        segments: list[Buffer] = []
        sent = 0
        while queue and sent < share:
            job = queue[0]
            if job.sink is None:
                queue.popleft()
                continue
            number = link.can_take(job)
            if number <= 0:
                break
            run = _cut(queue, min(number, share - sent))
            sent += len(run)
            try:
                segments += link.encode(run)
            except (FarmError, MemoryError) as error:
                self._fail(run, error)
        if segments:
            self._transmit(link, segments)
        return sent > 0

    def _serve_pinned(self, link: Link) -> None:
        while link.pinned and link.can_take(link.pinned[0]):
            self._send(link, link.pinned, 1)

    def _transmit(self, link: Link, segments: Sequence[Buffer]) -> None:
        try:
            whole = link.stream.send(segments)
        except OSError:
            return  # reading will tell
        if not whole:
            self._watch_writes(link)

    def _watch_writes(self, link: Link) -> None:
        if not link.watching_writes:
            link.watching_writes = True
            self._poller.change(link.descriptor, READ | WRITE)

    def _take_ready(self) -> Optional[Link]:
        while self._idle or self._partial:
            link = self._idle.pop() if self._idle else self._partial.popleft()
            link.in_ready = False
            if link.room:
                return link
        return None

    def _offer(self, link: Link) -> None:
        """Put a link among those with room, if it has any."""
        if link.pinned:
            self._serve_pinned(link)
            if link.pinned:
                return
        if not link.in_ready and link.room:
            link.in_ready = True
            if link.inflight:
                self._partial.append(link)
            else:
                self._idle.append(link)

    def _fail(self, jobs: Iterable[Job], error: BaseException) -> None:
        for job in jobs:
            sink = job.sink
            if sink is not None:
                self._unfinished -= 1
                call = sink.fail(job, error)
                if call is not None:
                    self._calls.append(call)

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
            if not link.same_bytecode:
                python = ".".join(map(str, link.hello.python))
                self._foreign = f"{link.label} ({link.hello.implementation} {python})"
            for job in setup:
                assert job.sink is not None
                job.sink.pending += 1
                self._unfinished += 1
                link.pinned.append(job)
            link.pinned.extend(self._homeless.pop(link.index, ()))
            self._offer(link)
            self._fill()
            self._notify(None)
            if self._pump_thread is None:
                self._ticking = True
                self._pump_thread = threading.Thread(
                    target=self._run_pump, name="farm-pump", daemon=True
                )
                self._pump_thread.start()

    def remove(self, link: Link) -> None:
        """Close a link that nothing is in flight on, or whose tasks are to run elsewhere."""
        with self._reading, self._lock:
            if not link.lost:
                self._say_goodbye(link)
                self._forget(link)
                self._requeue(link, None, "the worker was removed from the kernel", charge=False)
            pinned = self._homeless.pop(link.index, ())
            self._fail(pinned, KernelEndedError(f"{link.label} was removed from the kernel"))
            self._fill()
            self._notify(None)
        self._call_back()

    def _lose(self, link: Link, error: BaseException) -> None:
        """A connection broke: forget the link; its tasks wait for `recover`."""
        if link.lost:
            return
        self._forget(link)
        self._limbo.add(link)
        _log.info("lost %s: %s", link.label, error)
        self._on_loss(link, error)

    def _forget(self, link: Link) -> None:
        link.lost = True
        del self._links[link.descriptor]
        try:
            self._poller.remove(link.descriptor)
        except (OSError, KeyError, ValueError):
            pass  # the descriptor is closed
        link.stream.close()
        self._foreign = next(
            (
                f"{other.label} ({other.hello.implementation})"
                for other in self._links.values()
                if not other.same_bytecode
            ),
            None,
        )

    def recover(self, link: Link, last: Optional[int], reason: str) -> None:
        """Have the tasks of a lost link run elsewhere.

        Args:
            link: The lost link.
            last: The id of the task that its worker started last, where that is known.
            reason: How the worker was lost.
        """
        with self._lock:
            self._limbo.discard(link)
            self._requeue(link, last, reason, charge=True)
            self._fill()
            self._notify(None)
        self._call_back()

    def _requeue(self, link: Link, last: Optional[int], reason: str, *, charge: bool) -> None:
        started, waiting = link.orphans(last)
        again: list[Job] = []
        for job in started:
            if charge:
                job.attempts += 1
            if job.attempts < ATTEMPTS:
                again.append(job)
            else:
                name = job.function.name
                self._fail([job], WorkerLostError(name, link.label, reason, job.attempts))
        again += waiting
        home = self._homeless.setdefault(link.index, deque())
        for job in reversed(again):
            job.cost = -1.0
            if job.sink is not None:
                job.sink.restart(job)
            if job.pin >= 0:
                home.appendleft(job)
            elif job.attempts:
                self._suspects.appendleft(job)
            else:
                self._queue.appendleft(job)
        home.extend(link.pinned)
        link.pinned.clear()
        if not home:
            del self._homeless[link.index]

    @property
    def links(self) -> list[Link]:
        """The connected links, in the order of their workers."""
        with self._lock:
            return sorted(self._links.values(), key=lambda link: link.index)

    @property
    def unfinished(self) -> int:
        """How many tasks were submitted and have not ended."""
        return self._unfinished

    # the pump

    def _run_pump(self) -> None:
        pump = self._pump
        pump.thread = get_ident()
        seen, quiet = -1, 0
        while True:
            _sleep(_TICK)
            with self._lock:
                if self.ended is not None:
                    return
                if self._idle or self._partial:
                    self._fill()
                quiet = quiet + 1 if self._activity == seen else 0
                seen = self._activity
                lead = park = False
                if self._leader is None:
                    lead = quiet >= (1 if self._unfinished else _QUIET_TICKS)
                    if lead:
                        self._leader = pump
                else:
                    park = self._parked = quiet >= _QUIET_TICKS
                self._ticking = not (lead or park)
            self._call_back()
            if park:
                self._parking.acquire()
            elif lead:
                self._lead()
            else:
                continue
            quiet = 0

    def _lead(self) -> None:
        """Read for those who do not wait, until a thread waits or submits a lot."""
        seen = self._activity
        while True:
            self._process(self._poll(None), self._pump)
            with self._lock:
                if self._followers or self._activity != seen or self.ended is not None:
                    self._leader = None
                    self._ticking = True
                    self._appoint()
                    return

    # the end

    def end(self, reason: str) -> None:
        """Fail all unfinished tasks, close all links and end the pump; twice is no error."""
        with self._reading, self._lock:
            if self.ended is not None:
                return
            self.ended = reason
            error = KernelEndedError(reason)
            for queue in (self._suspects, self._queue, self._low, *self._homeless.values()):
                self._fail(queue, error)
                queue.clear()
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
            if self._parked:
                self._parked = False
                self._parking.release()
            pump = self._pump_thread
        self._call_back()
        if pump is not None and pump is not threading.current_thread():
            pump.join()
        self._close_unused()

    def _close_unused(self) -> None:
        """Free the poller once the engine has ended and nobody is in it any more."""
        with self._reading, self._lock:
            if self.ended is None or self._leader is not None or self._closed:
                return
            self._closed = True
            self._poller.close()
            self._bell.close()

    def _say_goodbye(self, link: Link) -> None:
        try:
            link.stream.send(link.stream.connection.send(Kind.GOODBYE))
        except (OSError, ProtocolError):
            pass  # it is gone already

    def _leave_behind(self) -> None:
        """Make the engine unusable in a forked child: its sockets belong to the parent."""
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._followers.clear()
        self._leader = None
        self._closed = True
        self.ended = "this kernel was made before the process forked; make a new one here"


_main_thread = threading.main_thread().ident

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _after_fork() -> None:
    global _main_thread
    _main_thread = threading.main_thread().ident
    for engine in list(_engines):
        engine._leave_behind()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _unloadable(cause: Exception, link: Link) -> TaskExecutionError:
    text = f"the result could not be loaded here: {type(cause).__name__}: {cause}"
    error = TaskExecutionError(text, worker=link.label)
    error.__cause__ = cause
    return error


def _cut(queue: deque[Job], limit: int) -> list[Job]:
    """Take a run off the queue: tasks that one frame can hold."""
    first = queue.popleft()
    run = [first]
    if first.parcel is not None or first.attempts:
        return run
    function, options = first.function, first.options
    while queue and len(run) < limit:
        job = queue[0]
        if (
            job.function is not function
            or job.parcel is not None
            or job.options is not options
            or job.sink is None
        ):
            break
        run.append(queue.popleft())
    return run
