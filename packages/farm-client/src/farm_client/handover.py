"""Who waits, who reads, and how one hands over to the other.

There is no I/O thread in the way of a round trip: whoever waits for a result reads it, from
whichever worker is ready. At most one thread at a time, the *leader*, blocks in the poller; the
other waiting threads, the *followers*, sleep each on a lock of its own. A *pump* thread leads when
no user's thread does.

Locks, always taken in this order:

``_reading``
    held while bytes are read and decoded; so each link is read by one thread at a time.
``_lock``
    held while state changes; never while a thread blocks or runs the user's code.

Why no wake-up is lost:

1. State that somebody waits for changes only under ``_lock``, and each change is followed, under
   the same hold of the lock, by ``_notify``, which looks at every waiter.
2. A waiter looks at its condition and becomes leader or follower under one hold of ``_lock``. So
   a change comes before the look, and is seen, or after it, and is notified.
3. While there are waiters there is a leader: a waiter that finds none becomes it, and a leader that
   leaves names a waiter its successor, under ``_lock``. If the leader is the pump, the waiter rings
   the bell, and the pump gives way.
4. The leader blocks only in the poller, without locks; the poller watches every link and the bell.
   A result makes its link readable and stays readable until it is read. What changes otherwise
   (a task cancelled, the kernel ended) is notified by a thread that is not the leader, which rings
   the bell if the leader is concerned. The bell stays rung until the leader silences it, and
   who silences it looks at all waiters afterwards; nobody else may, for the leader might sleep
   through it.
5. A follower's lock is released once: when its condition holds or when it is named leader. It was
   acquired before the follower joined, so a release that comes before the follower sleeps is kept.
6. Where no user's thread waits, the pump leads, or ticks: every millisecond it looks whether it is
   wanted. It stops ticking only to lead, or to sleep while a waiter leads; the waiter that leaves
   last wakes it. So a reply that nobody waits for is read too, and a task that was not sent at
   once, in the hope of company, is sent within a tick.

`tests/test_engine_stress.py` tries to refute this, without time-outs that could hide a miss.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable
from threading import get_ident
from time import monotonic, perf_counter, sleep
from typing import Any, Callable, Optional, TypeVar

from farm_common.errors import FarmError
from farm_common.memory import trim

from . import interrupts
from .callbacks import Callbacks
from .inside import lockless
from .interrupts import protected
from .poller import Bell, make_poller

__all__ = ["Handover", "Waiter", "note_fork"]

T = TypeVar("T")

#: How often the pump looks, in seconds, and after how many quiet looks it leads or sleeps.
_TICK = 0.001
_QUIET_TICKS = 20

#: How long to look out for a reply before going to sleep, in seconds.
_LOOK_OUT = 40e-6

#: How long the main thread sleeps at a time, in seconds. A signal that comes just before it falls
#: asleep does not wake it, and Python calls the handler only once something else does.
_NAP = 0.5

_yield = getattr(os, "sched_yield", tuple)  # where there is none, nothing is called in its place


class Waiter:
    """A thread that waits for a condition."""

    __slots__ = ("done", "lock", "ready", "thread", "woken")

    def __init__(self, ready: Callable[[], Any]) -> None:
        self.ready = ready
        self.done = False
        self.woken = False
        self.thread = get_ident()
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


class Handover(ABC):
    """The threads of one kernel: waiters, a leader among them, and the pump.

    A subclass says what there is to read and to send.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._poller = make_poller()
        self._poll = self._poller.poll
        self._bell = Bell()
        self._poller.add(self._bell.fileno())
        #: Why nothing can be submitted any more; None while it can.
        self.ended: Optional[str] = None
        #: How many tasks were submitted and have not ended.
        self.unfinished = 0
        self._closed = False
        #: Whether the only task in flight is a short one.
        self._brief = False
        self._calls: deque[Callable[[], object]] = deque()
        self._callbacks = Callbacks()
        self._activity = 0  # of users' threads
        self._followers: list[Waiter] = []
        self._leader: Optional[Waiter] = None
        self._rung = False
        self._ticking = False
        self._parking = threading.Lock()
        self._parking.acquire()
        self._parked = False
        self._pump = Waiter(bool)
        self._stepping: set[int] = set()  # the threads that read without being the leader
        self._pump_thread: Optional[threading.Thread] = None

    @abstractmethod
    def _process(self, events: Iterable[tuple[int, int]], waiter: Optional[Waiter]) -> None:
        """Read what is ready, deliver it, send what there is room for, and `_notify`."""

    @abstractmethod
    def _fill(self) -> None:
        """Send queued tasks to workers with room; called with the lock held."""

    def wait(self, ready: Callable[[], Any], timeout: Optional[float] = None) -> bool:
        """Block until a condition holds.

        Args:
            ready: The condition: cheap, without side effects; called with the engine's lock held.
                What it looks at changes only by delivered results or is told by `notify`.
            timeout: Seconds after which to give up.

        Returns:
            Whether it holds; False also when the kernel ended.

        Raises:
            FarmError: This thread waits or reads already: the user's code interrupted it there.
        """
        if ready():
            return True
        waiter = Waiter(ready)
        try:
            try:
                self._enter(waiter)
                self._take_part(waiter, None if timeout is None else monotonic() + timeout)
            finally:
                self._leave(waiter)
        except BaseException:
            self._leave(waiter)  # an interrupt may come right before the other; twice is no harm
            raise
        return bool(ready())

    def _take_part(self, waiter: Waiter, deadline: Optional[float]) -> None:
        """Lead or follow until the waiter's condition holds or the deadline passes."""
        longest = _NAP if waiter.thread == _main_thread else None
        remaining: Optional[float] = None
        nap = longest
        while not waiter.done:
            if deadline is not None:
                remaining = max(0.0, deadline - monotonic())
                nap = remaining if longest is None else min(remaining, longest)
            if self._leader is waiter:
                events = self._look_out() if self._brief else []
                self._process(events or self._poll(nap), waiter)
            else:
                assert waiter.lock is not None
                waiter.lock.acquire(True, -1 if nap is None else nap)
            if remaining == 0.0:
                break  # not earlier: who only ever looks must read, too

    def _look_out(self) -> list[tuple[int, int]]:
        """Look for a reply that is due any moment, for a few microseconds.

        A thread that sleeps on one core and is woken from another loses more than the reply takes
        (20 to 50 microseconds on a virtual machine). A worker on the same core gets it at once.
        """
        self._brief = False
        until = perf_counter() + _LOOK_OUT
        while True:
            events = self._poll(0)
            if events or perf_counter() >= until:
                return events
            _yield()

    def call_later(self, call: Callable[[], object]) -> None:
        """Have something called by another thread, after the next result; takes no lock."""
        self._calls.append(call)

    def notify(self) -> None:
        """Have all waiters look at their conditions."""
        with self._lock:
            self._notify(None)

    @protected
    def change(self, act: Callable[[], T]) -> T:
        """Change what waiters look at, and have them look.

        Args:
            act: Makes the change; called with the engine's lock held.

        Returns:
            What it returns.
        """
        try:
            with self._lock:
                result = act()
                self._notify(None)
        finally:
            if interrupts.pending:
                interrupts.raise_pending()
        return result

    @protected
    def _enter(self, waiter: Waiter) -> None:
        if waiter.thread == _main_thread:
            interrupts.guard()
        with self._lock:
            self._activity += 1
            self._fill()
            if waiter.ready() or self.ended is not None:
                waiter.done = True
                return
            leader = self._leader
            if leader is None and waiter.thread not in self._stepping:
                self._leader = waiter
            else:
                self._refuse_nested(waiter.thread)
                waiter.follow()
                self._followers.append(waiter)
                if leader is self._pump:
                    self._ring()
        if interrupts.pending:
            interrupts.raise_pending()

    def _refuse_nested(self, thread: int) -> None:
        """Raise `FarmError` if a thread waits or reads already; called with the lock held.

        Nobody would read what it waits for: that is its own task, further down its stack.
        """
        leader = self._leader
        nested = thread in self._stepping or (leader is not None and leader.thread == thread)
        if not nested and thread == _main_thread:  # others get no signals in their sleep
            nested = any(waiter.thread == thread for waiter in self._followers)
        if nested:
            raise FarmError(
                "this thread was interrupted, by a signal handler or to load a result, where it "
                "waits for results itself, so it cannot wait for others there: do that in another "
                "thread, or later"
            )

    @protected
    def _leave(self, waiter: Waiter) -> None:
        with self._lock:
            self._activity += 1
            if self._leader is waiter:
                self._leader = None
                if self._followers or self._parked:
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
        self._unpark()

    def _notify(self, current: Optional[Waiter]) -> None:
        """Wake the waiters whose conditions hold; `current` is the calling thread's own."""
        leader = self._leader
        ended = self.ended is not None
        if leader is not None and not leader.done and (ended or leader.ready()):
            leader.done = True
            if leader is not current:
                self._ring()
        for waiter in self._followers:
            if not waiter.done and (ended or waiter.ready()):
                waiter.done = True
                waiter.wake()

    def _ring(self) -> None:
        if not self._rung:
            self._rung = True
            self._bell.ring()

    def _call_back(self) -> None:
        """Have called what sinks asked for; without locks, and not here: it is the user's code."""
        while self._calls:
            try:
                call = self._calls.popleft()
            except IndexError:
                return  # another thread was faster
            self._callbacks.put(call)

    def _run_pump(self) -> None:
        pump = self._pump
        pump.thread = get_ident()
        seen, quiet = -1, 0
        while True:
            sleep(_TICK)
            with self._lock:
                if self.ended is not None:
                    return
                self._fill()
                quiet = quiet + 1 if self._activity == seen else 0
                seen = self._activity
                lead = park = False
                if self._leader is None:
                    lead = quiet >= (1 if self.unfinished else _QUIET_TICKS)
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
        if not self.unfinished:
            trim()
        seen = self._activity
        while True:
            self._process(self._poll(None), self._pump)
            with self._lock:
                if self._followers or self._activity != seen or self.ended is not None:
                    self._leader = None
                    self._ticking = True
                    self._appoint()
                    return

    def _start_pump(self) -> None:
        """Start the pump unless it runs; called with the lock held."""
        if self._pump_thread is None:
            self._ticking = True
            self._pump_thread = threading.Thread(
                target=self._run_pump, name="farm-pump", daemon=True
            )
            self._pump_thread.start()

    def _unpark(self) -> None:
        """Wake the pump if it sleeps; called with the lock held."""
        if self._parked:
            self._parked = False
            self._ticking = True
            self._parking.release()

    def _close_unused(self) -> None:
        """Free the poller once the engine has ended and nobody is in it any more."""
        with self._reading, self._lock:
            if self.ended is None or self._leader is not None or self._closed:
                return
            self._closed = True
            self._poller.close()
            self._bell.close()

    def _abandon(self) -> None:
        """Forget all threads: in a forked child there are none of them."""
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._followers.clear()
        self._leader = None
        if not self._closed:
            self._closed = True
            self._poller.close()
            self._bell.close()


for _function in (Handover.wait, Handover._take_part, Handover._look_out):
    lockless(_function)

_main_thread = threading.main_thread().ident


def note_fork() -> None:
    """Take note that this is another process: its main thread is another one too."""
    global _main_thread
    _main_thread = threading.main_thread().ident
