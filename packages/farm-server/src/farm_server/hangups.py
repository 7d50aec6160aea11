"""Clients that hang up, seen without reading what they have sent."""

from __future__ import annotations

import select
from collections.abc import Callable

from .child import Child
from .loop import Loop

__all__ = ["Hangups"]

#: Linux's number; PyPy does not name it.
_RDHUP = getattr(select, "EPOLLRDHUP", 0x2000)


class Hangups:
    """Watches the connections of sessions; where the system does not tell, it does nothing.

    Args:
        loop: Waits for them.
        left: Called with each session whose client has hung up, once.
    """

    def __init__(self, loop: Loop, left: Callable[[Child], None]) -> None:
        self._left = left
        self._watched: dict[int, Child] = {}
        # Nested in the loop's selector, which cannot wait for hang-ups alone.
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        if self._epoll is not None:
            loop.add(self._epoll, lambda _: self.look())

    def watch(self, child: Child) -> None:
        """Wait for the end of a session's connection."""
        if self._epoll is not None:
            self._epoll.register(child.sock, _RDHUP)
            self._watched[child.sock.fileno()] = child

    def unwatch(self, child: Child) -> None:
        """Wait for it no more; its socket is still open."""
        descriptor = child.sock.fileno()
        if self._watched.pop(descriptor, None) is not None and self._epoll is not None:
            # Explicitly: what a task started may have the socket, and epoll would keep it too.
            self._epoll.unregister(descriptor)

    def look(self) -> None:
        """See who has hung up."""
        if self._epoll is None:
            return
        for descriptor, _events in self._epoll.poll(0):
            child = self._watched.pop(descriptor, None)
            if child is not None:
                self._epoll.unregister(descriptor)
                self._left(child)

    def saw(self, child: Child) -> bool:
        """Whether the client of a session that was watched has hung up."""
        return self._epoll is not None and child.sock.fileno() not in self._watched

    def close(self) -> None:
        """Close what is used to wait."""
        if self._epoll is not None:
            self._epoll.close()
