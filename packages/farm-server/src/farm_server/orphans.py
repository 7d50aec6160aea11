"""Sessions whose connection is lost, as the parent sees them.

The parent knows of a loss by itself, or is told by the session. It counts the time: when that is
over, or the room is needed for others, the session is ended. Until then the client's next
connection is offered to the session. That may be unable to answer for a while. So that the client
waits for it, the parent itself sends the preamble that says that the session is there.

::

    connected -> orphaned -> offered -> resumed: connected
                    |           |
                    |           +- refused, or lost again: orphaned
                    +-- the time is over -> ended
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any, Optional

from farm_common.frames import HEADER_SIZE, Kind, encode_frame
from farm_common.handshake import Preamble

from .arrival import Arrival
from .child import Child
from .timers import Timers

__all__ = ["Orphans", "said_goodbye"]

log = logging.getLogger("farm.server")

#: How many connections a session may be offered at once: its client makes one after the other.
_OFFERS = 8

#: How often to look whether the client that an offer is from still waits, in seconds.
_PATIENCE = 1.0

_GOODBYE = b"".join(map(bytes, encode_frame(Kind.GOODBYE)))
_PEEK = 1 << 16
_DONT_WAIT = getattr(socket, "MSG_DONTWAIT", 0)


class Orphans:
    """Sessions without a connection.

    Args:
        timers: Of the parent's loop.
        grace: How long they may be so, in seconds.
        end: Ends a session.
        replaced: Called with a session and its new socket, which takes the place of the old.
    """

    def __init__(
        self,
        timers: Timers,
        grace: float,
        end: Callable[[Child], None],
        replaced: Callable[[Child, socket.socket], None],
    ) -> None:
        self._timers = timers
        self._grace = grace
        self._end = end
        self._replaced = replaced
        self._children: dict[Child, None] = {}  # the longest without a connection first
        self._closed = False

    def add(self, child: Child, why: object = "the client hung up") -> None:
        """Take note that a session's connection is lost, and why; twice is no error."""
        if child.orphaned is not None or child.ending or child.ended:
            return
        child.orphaned = began = self._timers.clock()
        self._children[child] = None
        log.info("process %d goes on without %s: %s", child.pid, child.peer, why)
        if self._closed:
            self.expire(child)
        else:
            self._timers.after(self._grace, lambda: self._look(child, began))

    def remove(self, child: Child) -> None:
        """Take note that a session has ended."""
        self._children.pop(child, None)
        for sock in child.offers.values():
            sock.close()
        child.offers.clear()

    def expire(self, child: Child) -> None:
        """End a session that has no connection."""
        self._children.pop(child, None)
        child.expired = True
        log.info("process %d was without %s for too long", child.pid, child.peer)
        self._end(child)

    def close(self) -> None:
        """End all sessions that have no connection, now and whenever one loses its own."""
        self._closed = True
        for child in list(self._children):
            self.expire(child)

    def give_way(self) -> bool:
        """End the session that has been without a connection for longest, if there is one."""
        for child in self._children:
            self.expire(child)
            return True
        return False

    def offer(self, child: Child, arrival: Arrival) -> bool:
        """Offer a session the connection of its client; return whether it may take that."""
        if len(child.offers) >= _OFFERS:
            return False
        sock = arrival.sock
        try:
            sock.send(Preamble(session=child.session).encode())  # so short that there is room
        except OSError:
            return False
        return child.offer(sock, arrival.start) is not None

    def resumed(self, child: Child, request: dict[str, Any]) -> None:
        """Take note that a session has a connection again."""
        sock = self._taken(child, request)
        if sock is None:
            return
        self._children.pop(child, None)
        child.orphaned = None
        log.info("process %d has %s back", child.pid, child.peer)
        self._replaced(child, sock)

    def refused(self, child: Child, request: dict[str, Any]) -> None:
        """Take note that a session did not take a connection."""
        sock = self._taken(child, request)
        if sock is not None:
            log.info("process %d refused a connection: %s", child.pid, request.get("why"))
            sock.close()

    def _taken(self, child: Child, request: dict[str, Any]) -> Optional[socket.socket]:
        number = request.get("number")
        return child.offers.pop(number, None) if isinstance(number, int) else None

    def _look(self, child: Child, began: float) -> None:
        if child.orphaned != began or child.ending or child.ended:
            return
        if any(_connected(sock) for sock in child.offers.values()):
            # It cannot answer, for its task holds the interpreter; the client waits for that.
            self._timers.after(_PATIENCE, lambda: self._look(child, began))
        else:
            self.expire(child)


def said_goodbye(sock: socket.socket) -> bool:
    """Whether the last thing in a socket is a goodbye that its session could not read yet.

    Under a security layer nobody can tell.
    """
    data = _peek(sock)
    return data is not None and len(data) >= HEADER_SIZE and data.endswith(_GOODBYE)


def _connected(sock: socket.socket) -> bool:
    """Whether the other end has not closed."""
    return _peek(sock) != b""


def _peek(sock: socket.socket) -> Optional[bytes]:
    """What a socket has to be read; nothing at its end, None when there is nothing yet."""
    try:
        return sock.recv(_PEEK, socket.MSG_PEEK | _DONT_WAIT)
    except (BlockingIOError, InterruptedError):
        return None
    except OSError:
        return b""
