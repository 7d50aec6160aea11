"""One thread's wait for everything at once: descriptors, and the time."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable
from typing import Protocol, Union

from .timers import Timers

__all__ = ["READ", "WRITE", "Loop"]

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class _Descriptor(Protocol):
    def fileno(self) -> int: ...


class Loop:
    """Calls what waits for a descriptor or for the time, one after the other.

    Args:
        clock: Says what time it is, in seconds.

    Attributes:
        timers: What is to be called later.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.timers = Timers(clock)
        self._selector = selectors.DefaultSelector()

    def add(self, what: Union[int, _Descriptor], action: Callable[[int], object]) -> None:
        """Call `action`, with what can be done, whenever something can be read.

        Raises:
            OSError: The system cannot wait for that.
        """
        self._selector.register(what, READ, action)

    def ask(self, what: _Descriptor, *, write: bool) -> None:
        """Say whether to call the action also when something can be written."""
        action = self._selector.get_key(what).data
        self._selector.modify(what, READ | WRITE if write else READ, action)

    def ignore(self, what: Union[int, _Descriptor]) -> None:
        """Wait for this no more, if it was waited for."""
        try:
            self._selector.unregister(what)
        except (KeyError, ValueError):
            pass

    def watch(self, descriptor: int, action: Callable[[], None]) -> None:
        """Call `action` when the other end of a pipe is closed; what is written there is lost."""

        def ready(_: int) -> None:
            if not os.read(descriptor, 1 << 12):
                self._selector.unregister(descriptor)
                action()

        try:
            self.add(descriptor, ready)
        except PermissionError:  # a file or /dev/null, which is at its end already
            action()

    def step(self) -> None:
        """Wait for something to happen, and do what follows from it."""
        for key, events in self._selector.select(self.timers.wait()):
            key.data(events)
        self.timers.run()

    def close(self) -> None:
        """Close what is used to wait, and nothing that is waited for."""
        self._selector.close()
