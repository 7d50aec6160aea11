"""A session's connection to its client, lost and found again, as the session's process sees it.

::

    connected -- lost --> suspended: tasks go on, what they give is kept
        ^                     |
        +---- resumed --------+-- the grace is over: the parent ends the process

Whoever reads finds out that the connection is lost: the main thread, or the monitor while a task
runs. The client comes back to the server's address. So the parent reads which session it means, and
passes its socket on; the monitor receives that and starts a thread for the handshake, which may be
slow, and must not keep anybody. A task that holds the interpreter keeps all three; meanwhile the
parent has told the client that the session is there.

Only when the client has proved who it is, its new connection takes the place of the old, be that
lost or not: the old one is cut, so that nobody reads from it or writes to it. The inbox's lock is
held while one takes the place of the other, and nobody reads while the stream is suspended. So what
the client is told has been received is what was received.
"""

from __future__ import annotations

import array
import json
import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Optional, Protocol

from farm_common.errors import AuthError, FarmError, ProtocolError
from farm_common.handshake import ClientHello
from farm_common.resumption import FEATURE
from farm_common.stream import Stream

from .descriptors import raise_descriptor

__all__ = ["LOST", "Handshake", "Lifeline", "Reader"]

#: What a connection that is lost raises in who reads; `AuthError` is a layer's, of what is missing.
LOST = (EOFError, OSError, AuthError)

#: How many sockets one message may bring, and how long it may be.
_SOCKETS = 8
_LINES = 1 << 16

#: Does the server's part of a handshake: given the socket, what was read from it, and what to
#: call once the client is known, which returns how much of the session this side has.
Handshake = Callable[[socket.socket, bytes, Callable[[ClientHello], int]], Stream]


class Reader(Protocol):
    """Who reads the session's stream."""

    @property
    def reading(self) -> AbstractContextManager[object]:
        """Held while something is read."""


class Lifeline:
    """Loses and finds a session's connection.

    Args:
        stream: The session's.
        parent: The socket that the parent's end of which brings the client's new connections.
        handshake: Introduces the two sides to each other again.
        tell: Tells the parent what happens.

    Attributes:
        resumption: The stream's.
    """

    def __init__(
        self,
        stream: Stream,
        parent: socket.socket,
        handshake: Handshake,
        tell: Callable[[dict[str, object]], None],
    ) -> None:
        assert stream.resumption is not None
        self.resumption = stream.resumption
        self._stream = stream
        self._parent = parent
        self._handshake = handshake
        self._tell = tell
        self._reader: Optional[Reader] = None
        self._found: Optional[Callable[[], None]] = None
        self._back = threading.Event()
        self._back.set()
        self._turn = threading.Lock()  # of who changes the two below
        self._latest = 0  # the number of the connection that was the last to prove itself
        self._received = 0  # how much of what was sent its client has
        self._lines = b""
        self._sockets: deque[socket.socket] = deque()

    def attach(self, reader: Reader, found: Callable[[], None]) -> None:
        """Say who reads the stream, and what to call when there is a connection again."""
        self._reader, self._found = reader, found

    def lost(self, error: BaseException) -> None:
        """Take note that the connection is lost, and why; called with the reader's lock held."""
        if self._stream.suspended:
            return
        self._back.clear()
        self._stream.suspend()
        self._say({"ask": "orphaned", "why": str(error) or type(error).__name__})

    def wait(self) -> None:
        """Wait for a connection; the parent ends the process if that takes too long."""
        self._back.wait()

    @property
    def full(self) -> bool:
        """Whether there is no connection, and too much is kept to go on without."""
        return self._stream.suspended and self.resumption.full

    def collect(self) -> bool:
        """Take in what the parent sends; for the monitor.

        Returns:
            Whether there may be more; otherwise the session is to end.
        """
        ints = array.array("i")
        try:
            data, ancillary, _, _ = self._parent.recvmsg(
                _LINES, socket.CMSG_SPACE(_SOCKETS * ints.itemsize)
            )
        except OSError:
            return False
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                ints.frombytes(content[: len(content) - len(content) % ints.itemsize])
        self._sockets += (socket.socket(fileno=raise_descriptor(number)) for number in ints)
        *lines, self._lines = (self._lines + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            threading.Thread(
                target=self._admit,
                args=(message["resume"], self._sockets.popleft(), bytes.fromhex(message["start"])),
                name="farm-resume",
                daemon=True,
            ).start()
        return bool(data)

    def _admit(self, number: int, sock: socket.socket, start: bytes) -> None:
        """Go on over a new connection, if it is the client's."""
        assert self._reader is not None
        assert self._found is not None
        sock.setblocking(True)
        try:
            stream = self._handshake(sock, start, lambda client: self._take_over(number, client))
            with self._turn:
                if number != self._latest:
                    raise ConnectionError("another connection was faster")
                with self._reader.reading:
                    self._stream.resume(stream, self._received)
                    # Before anybody can find out that it is lost again, and say that.
                    self._say({"ask": "resumed", "number": number})
                    self._back.set()
        except (FarmError, OSError, EOFError) as error:
            sock.close()
            self._say({"ask": "refused", "number": number, "why": str(error) or "the end"})
            return
        self._found()
        try:
            self._stream.flush()
        except OSError:
            pass  # it is lost again, which reading will tell

    def _take_over(self, number: int, client: ClientHello) -> int:
        """End the connection that there was, for one whose client has proved who it is.

        Returns:
            How many bytes this side has of what the client sent.
        """
        assert self._reader is not None
        resumption = self.resumption
        if FEATURE not in client.features or client.role != "work":
            raise ProtocolError("only a session for work can go on, of a client that knows how")
        with self._turn:
            if number < self._latest:
                raise ConnectionError("a newer connection was faster")
            self._stream.cut()  # so that whoever reads or writes is done soon
            with self._reader.reading:
                self.lost(ConnectionError("the client made a new connection"))
                if not resumption.acknowledged <= client.received <= resumption.sent:
                    raise ProtocolError(f"the client cannot have {client.received} bytes")
                self._latest, self._received = number, client.received
                return resumption.confirm()

    def _say(self, message: dict[str, object]) -> None:
        try:
            self._tell(message)
        except ConnectionError:
            os._exit(1)  # the parent is gone, or a task closed the descriptor
