"""Timers: values that arrive at a channel when their time has come, without a worker."""

from __future__ import annotations

import math
import threading
from heapq import heapify, heappop, heappush
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any, Optional

from farm_common.errors import FarmError, KernelEndedError

if TYPE_CHECKING:
    from .channel import Channel
    from .engine import Engine

__all__ = ["Timer", "Timers", "cancel_timeout", "submit_timeout"]

#: How long the thread sleeps at most, in seconds: an operating system takes no more than so much.
_LONGEST_SLEEP = 86400.0


class Timer:
    """What `submit_timeout` returns: a value on its way to a channel."""

    __slots__ = ("_channel", "_value")

    def __init__(self, channel: Channel, value: Any) -> None:
        self._channel: Optional[Channel] = channel  # None: something has arrived
        self._value = value

    @property
    def done(self) -> bool:
        """Whether its value has arrived at the channel, or another by `cancel_timeout`."""
        return self._channel is None

    def __repr__(self) -> str:
        return f"<Timer at {id(self):#x} {'done' if self.done else 'pending'}>"

    def __reduce__(self) -> Any:
        raise FarmError("a timer cannot travel: it belongs to a channel of this process")

    # with the engine's lock held

    def deliver(self, value: Any) -> bool:
        """Have a value arrive, unless something has; return whether it does."""
        channel = self._channel
        if channel is None:
            return False
        self._channel = self._value = None
        channel.deliver(None, value)
        return True

    def ring(self) -> None:
        """Have its own value arrive, unless something has."""
        self.deliver(self._value)

    def fail(self, error: BaseException) -> None:
        """Have an error arrive, unless something has."""
        channel = self._channel
        if channel is not None:
            self._channel = self._value = None
            channel.fail(None, error)


class Timers:
    """The timers of one kernel, and the thread that looks after them while the kernel lives.

    The engine's lock may be held when `_changed` is taken, but not the other way round.

    Args:
        engine: The kernel's.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changed = threading.Condition(threading.Lock())
        # By the time at which they ring; the number decides between equal times.
        self._queue: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self._cancelled = 0
        self._over = False
        self._thread: Optional[threading.Thread] = None

    def add(self, timer: Timer, seconds: float) -> None:
        """Have a timer ring later."""
        with self._changed:
            heappush(self._queue, (monotonic() + seconds, next(self._numbers), timer))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="farm-timers", daemon=True)
                self._thread.start()
            elif self._queue[0][2] is timer:
                self._changed.notify()

    def note_cancelled(self) -> None:
        """Take note that one more of them will not ring; forget them once they are many."""
        with self._changed:
            self._cancelled += 1
            if self._cancelled > 16 + len(self._queue) // 2:
                self._queue = [entry for entry in self._queue if not entry[2].done]
                heapify(self._queue)
                self._cancelled = 0

    def fail(self, error: BaseException) -> None:
        """End: have an error arrive in place of each; called with the engine's lock held."""
        with self._changed:
            self._over = True
            for _, _, timer in self._queue:
                timer.fail(error)
            self._queue.clear()
            self._changed.notify()

    def join(self) -> None:
        """Wait until the thread has ended, which it does after `fail`."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            timer = self._next()
            if timer is None:
                return
            self._engine.change(timer.ring)

    def _next(self) -> Optional[Timer]:
        """The next timer, when it is time; None at the end."""
        with self._changed:
            while not self._over:
                remaining = _LONGEST_SLEEP
                if self._queue:
                    remaining = self._queue[0][0] - monotonic()
                    if remaining <= 0:
                        return heappop(self._queue)[2]
                self._changed.wait(min(remaining, _LONGEST_SLEEP))
            return None


def submit_timeout(channel: Channel, seconds: float, value: Any) -> Timer:
    """Have a value arrive at a channel after some time, as if a task had slept and returned it.

    It occupies no worker. It counts among the channel's outstanding results, but the end of the
    kernel does not wait for it.

    Args:
        channel: From `make_channel`.
        seconds: After how many seconds.
        value: What arrives; the object itself.

    Returns:
        A timer, for `cancel_timeout`.

    Raises:
        TypeError: `seconds` is no number; ValueError: it is negative or not finite.
        KernelEndedError: The channel's kernel has ended.
    """
    delay = _checked(seconds)
    engine = channel._engine
    timer = Timer(channel, value)

    def add() -> None:
        if engine.ended is not None:
            raise KernelEndedError(engine.ended)
        channel.pending += 1
        engine.timers.add(timer, delay)

    if channel._capacity is None:
        engine.change(add)
    else:
        with channel._gate:
            engine.wait(channel._has_room)
            engine.change(add)
    return timer


def cancel_timeout(timer: Timer, value: Any) -> bool:
    """Have another value arrive at a timer's channel, now; the timer's own will not.

    Args:
        timer: From `submit_timeout`.
        value: What arrives.

    Returns:
        Whether it does. False when the time was over, when the timer was cancelled before, and when
        the kernel ended.
    """
    channel = timer._channel
    if channel is None:
        return False
    engine = channel._engine
    if not engine.change(lambda: timer.deliver(value)):
        return False
    engine.timers.note_cancelled()
    return True


def _checked(seconds: Any) -> float:
    text = f"a timeout is a number of seconds from 0 on, not {seconds!r:.100}"
    if isinstance(seconds, (str, bytes)) or not hasattr(seconds, "__float__"):
        raise TypeError(text)
    if not 0 <= seconds < math.inf:
        raise ValueError(text)
    return float(seconds)
