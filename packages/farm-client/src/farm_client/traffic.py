"""Reads what workers send, matches it to tasks, and takes in links that come and go.

How threads take turns is the matter of `handover`, which task goes where that of `dispatcher`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Callable, Optional

from farm_common.errors import AuthError, KernelEndedError, ProtocolError
from farm_common.frames import Frame, Kind
from farm_common.greeting import Greeting
from farm_common.shipping import Shared

from . import interrupts
from .crew import Crew
from .decoder import Decoder
from .dispatcher import Dispatcher
from .handover import Handover, Waiter
from .interrupts import protected
from .job import Job
from .leave import is_unheard
from .lender import Lender
from .library import Library
from .link import Link
from .output import Printer
from .packer import Packer
from .poller import READ, WRITE

if TYPE_CHECKING:
    from .trace import Trace

__all__ = ["Traffic"]

_log = logging.getLogger("farm.client")

#: Errors of a connection after which its session can go on over another. (`AuthError` is a
#: security layer's, which misses something.)
_LOSSES = (EOFError, OSError, AuthError)


class Traffic(Handover):
    """What goes over the links of one kernel.

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
        self._decode = Decoder(printer).decode
        self._dispatcher = Dispatcher(self._poller, self._fail)
        self._library = library
        self._lender = Lender(library, self._dispatcher.transmit)
        self._packer = Packer(self._release)
        self._crew = Crew(self._packer.functions)
        self._links = self._crew.links  # by descriptor
        #: Links whose workers may not hear that this side has gone; see `leave`.
        self.unheard: list[Link] = []
        self._debts: list[Link] = []  # links whose workers are to be told what has arrived
        self._traces: tuple[Trace, ...] = ()
        #: Who is told how many workers cannot be reached, by the thread for callbacks.
        self.watchers: set[Callable[[int], None]] = set()

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
            traces = self._traces
            now = perf_counter() if traces else 0.0
            arrived, lost = self._read(events)
            with self._lock:
                if self._rung and waiter is not None:
                    # Only the leader may: it might sleep through a bell that others silence.
                    self._bell.silence()
                    self._rung = False
                while self._debts:
                    link = self._debts.pop()
                    self._dispatcher.transmit(link, link.stream.acknowledgement())
                for link, happening, value in arrived:
                    try:
                        self._handle(link, happening, value)
                    except ProtocolError as failure:
                        lost.append((link, failure))
                for trace in traces:
                    trace.settle(now, self.unfinished)
                for link, error in lost:
                    self._lose(link, error)
                self._fill()
                if self._leader is not None:
                    self._notify(waiter)
        for trace in traces:
            trace.relieve()
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
            if link is None or link.away:
                continue  # the bell, or a link that was lost meanwhile
            if mask & WRITE:
                self._flush(link)
                if mask == WRITE:
                    continue
            try:
                arrived += [(link, what, self._decode(link, what)) for what in link.receive()]
                if link.resumption is not None and link.resumption.owing:
                    self._debts.append(link)
                if link.broken is not None:
                    lost.append((link, link.broken))
            except BlockingIOError:
                pass  # another thread was faster
            except (EOFError, OSError, AuthError, ProtocolError) as failure:
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

    def _handle(self, link: Link, happening: Any, value: Any) -> None:
        kind = happening.kind
        if type(value) is tuple and happening.count == 1:
            job = link.take_one(happening.ident)
            for trace in self._traces:
                trace.ended(link, (job,), happening, value)
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
            for trace in self._traces:
                trace.ended(link, jobs, happening, value)
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
        elif kind in (Kind.GOODBYE, Kind.STATUS_REPLY, Kind.DRAINING):
            odd = f"a {happening.name} frame in a connection for work"
            raise ProtocolError("the worker said goodbye" if kind == Kind.GOODBYE else odd)

    def _fail(self, jobs: Iterable[Job], error: BaseException) -> None:
        for job in jobs:
            sink = job.sink
            if sink is not None:
                self.unfinished -= 1
                for trace in self._traces:
                    trace.failed(job, error)
                call = sink.fail(job, error)
                if call is not None:
                    self._calls.append(call)

    def record(self, trace: Trace) -> None:
        """Have what happens told to a trace, too."""
        with self._lock:
            self._traces = (*self._traces, trace)

    def record_no_more(self, trace: Trace) -> None:
        """Have a trace told no more; twice is no error."""
        with self._reading, self._lock:
            self._traces = tuple(other for other in self._traces if other is not trace)

    def _release(self, shared: Shared[Any]) -> None:
        """Make all workers forget a shared value."""
        with self._lock:
            self._packer.forget(shared)
            for link in list(self._links.values()):
                segments = link.release(shared)
                if segments:
                    self._dispatcher.transmit(link, segments)

    # links

    def add(self, link: Link, setup: Iterable[Job] = ()) -> None:
        """Take a connected worker in; `setup` are pinned tasks that it runs first."""
        link.stream.sock.setblocking(False)
        crew = self._crew
        with self._lock:
            if self.ended is not None:
                raise KernelEndedError(self.ended)
            self._poller.add(link.descriptor)
            self._packer.suit(link)
            crew.join(link)
            if crew.picky or crew.special:
                self._dispatcher.sift(crew.demand_of)
            for job in setup:
                assert job.sink is not None
                job.sink.pending += 1
                self.unfinished += 1
                link.pinned.append(job)
            self._dispatcher.settle(link)
            crew.strand(self._dispatcher)
            self._fill()
            self._notify(None)
            self._tell_watchers()
            self._start_pump()
        if link.stream.pending:  # what came together with the server's hello
            self._process([(link.descriptor, READ)], None)

    def remove(self, link: Link) -> None:
        """Close a link that nothing is in flight on, or whose tasks are to run elsewhere."""
        with self._reading, self._lock:
            if not link.lost:
                self._say_goodbye(link, bool(link.inflight))
                self._forget(link)
                self._dispatcher.requeue(
                    link, None, "the worker was removed from the kernel", charge=False
                )
            self._crew.absent.discard(link.index)
            self._crew.strand(self._dispatcher)
            self._dispatcher.evict(
                link, KernelEndedError(f"{link.label} was removed from the kernel")
            )
            self._fill()
            self._notify(None)
        self._call_back()

    def _lose(self, link: Link, error: BaseException, *, give_up: bool = False) -> None:
        """A connection broke: its tasks wait for `resume`, if the session goes on, or `recover`."""
        if link.lost or (link.away and not give_up):
            return
        resumes = link.stream.resumption is not None and isinstance(error, _LOSSES) and not give_up
        known = link.away
        if resumes:
            self._suspend(link)
        else:
            self._disown(link)
        _log.info("lost %s: %s", link.label, error)
        self._tell_watchers()
        if not known:
            self._on_loss(link, error)

    def _suspend(self, link: Link) -> None:
        """Go on without a connection: what is sent to the worker is kept, and nothing much is."""
        link.away = True
        link.watching_writes = False
        self._dispatcher.drop(link)
        self._unwatch(link)
        link.stream.suspend()

    def _disown(self, link: Link) -> None:
        """Forget a link whose tasks are to run elsewhere; they wait for `recover`."""
        self._forget(link)
        self._crew.limbo.add(link)
        self._crew.absent.add(link.index)

    def resume(self, link: Link, greeting: Greeting) -> bool:
        """Have a session go on over a new connection.

        Args:
            link: Its link.
            greeting: What came of the handshake with the server.

        Returns:
            Whether it does; False when nobody needs it any more.

        Raises:
            ProtocolError, OSError: It cannot.
        """
        with self._reading, self._lock:
            if link.lost or self.ended is not None:
                return False
            stream = link.stream
            stream.resume(greeting.stream, greeting.hello.received)
            link.away, link.broken = False, None
            self._poller.add(link.descriptor)
            self._dispatcher.transmit(link, ())
            self._dispatcher.offer(link)
            self._fill()
            self._notify(None)
            self._tell_watchers()
        if stream.pending:  # what came together with the server's hello
            self._process([(link.descriptor, READ)], None)
        return True

    def _tell_watchers(self) -> None:
        if self.watchers:
            away = len(self._crew.absent) + sum(link.away for link in self._links.values())
            for watcher in tuple(self.watchers):
                self._callbacks.put(functools.partial(watcher, away))

    def _forget(self, link: Link) -> None:
        link.lost = True
        self._dispatcher.drop(link)
        self._crew.leave(link)
        self._unwatch(link)
        link.stream.close()

    def _unwatch(self, link: Link) -> None:
        try:
            self._poller.remove(link.descriptor)
        except (OSError, KeyError, ValueError):
            pass  # the descriptor is closed, or was not watched

    def recover(
        self,
        link: Link,
        last: Optional[int],
        reason: str,
        verdict: Optional[str] = None,
        seconds: Optional[float] = None,
    ) -> None:
        """Have the tasks of a lost link run elsewhere.

        Args:
            link: The lost link; it is given up if it was only without a connection.
            last: The id of the task that its worker started last, where that is known.
            reason: How the worker was lost.
            verdict: Why its server ended it together with that task, if so.
            seconds: How long that task had run.
        """
        with self._lock:
            if not link.lost:
                self._disown(link)
            self._crew.limbo.discard(link)
            self._dispatcher.requeue(
                link, last, reason, charge=True, verdict=verdict, seconds=seconds
            )
            self._fill()
            self._notify(None)
        self._call_back()

    @property
    def links(self) -> list[Link]:
        """The connected links, in the order of their workers."""
        with self._lock:
            return sorted(self._links.values(), key=lambda link: link.index)

    def _say_goodbye(self, link: Link, busy: bool) -> None:
        """Tell a worker that this side goes; it may be `busy` with tasks."""
        sent = True
        try:
            link.stream.send(link.stream.connection.send(Kind.GOODBYE))
        except (OSError, ProtocolError):
            sent = False  # it is gone already, or seems so
        if is_unheard(link, busy, sent):
            self.unheard.append(link)
