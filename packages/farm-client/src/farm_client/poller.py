"""Waits for sockets: epoll where there is one, `selectors` elsewhere."""

from __future__ import annotations

import select
import selectors
import socket
from typing import Optional

__all__ = ["READ", "WRITE", "Bell", "Poller", "make_poller"]

READ = 1
WRITE = 4  # these are the values of EPOLLIN and EPOLLOUT


class Poller:
    """Which descriptors are ready, by `selectors`: works everywhere."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def add(self, descriptor: int, events: int = READ) -> None:
        """Watch a descriptor."""
        self._selector.register(descriptor, _to_selector(events))

    def change(self, descriptor: int, events: int) -> None:
        """Watch a descriptor for other events."""
        self._selector.modify(descriptor, _to_selector(events))

    def remove(self, descriptor: int) -> None:
        """Stop watching a descriptor."""
        self._selector.unregister(descriptor)

    def poll(self, timeout: Optional[float]) -> list[tuple[int, int]]:
        """Wait for at most `timeout` seconds (None: for ever) and return what is ready."""
        return [
            (key.fd, (READ if events & selectors.EVENT_READ else 0) | (WRITE if events & 2 else 0))
            for key, events in self._selector.select(timeout)
        ]

    def close(self) -> None:
        """Free the poller's own descriptor."""
        self._selector.close()


class _Epoll(Poller):
    """The same by epoll, which costs a third of it."""

    def __init__(self) -> None:
        self._epoll = select.epoll()

    def add(self, descriptor: int, events: int = READ) -> None:
        self._epoll.register(descriptor, events)

    def change(self, descriptor: int, events: int) -> None:
        self._epoll.modify(descriptor, events)

    def remove(self, descriptor: int) -> None:
        self._epoll.unregister(descriptor)

    def poll(self, timeout: Optional[float]) -> list[tuple[int, int]]:
        return self._epoll.poll(-1 if timeout is None else timeout)  # PyPy takes no None

    def close(self) -> None:
        self._epoll.close()


def make_poller() -> Poller:
    """The best poller that this system has."""
    return _Epoll() if hasattr(select, "epoll") else Poller()


def _to_selector(events: int) -> int:
    mask = 0
    if events & READ:
        mask |= selectors.EVENT_READ
    if events & WRITE:
        mask |= selectors.EVENT_WRITE
    return mask


class Bell:
    """Wakes a thread that waits in a poller."""

    def __init__(self) -> None:
        self._ear, self._hand = socket.socketpair()
        self._ear.setblocking(False)
        self._hand.setblocking(False)

    def fileno(self) -> int:
        """The descriptor that becomes readable."""
        return self._ear.fileno()

    def ring(self) -> None:
        """Make it readable; ringing it again changes nothing."""
        try:
            self._hand.send(b"!")
        except (BlockingIOError, OSError):
            pass  # it rings already, or nobody listens any more

    def silence(self) -> None:
        """Make it unreadable."""
        try:
            while len(self._ear.recv(512)) == 512:
                pass
        except (BlockingIOError, OSError):
            pass

    def close(self) -> None:
        """Free its descriptors."""
        self._ear.close()
        self._hand.close()
