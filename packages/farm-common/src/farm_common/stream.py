"""Moves a connection's bytes over a socket.

A `Stream` is a socket, a security layer and a `Connection`. It is made by `farm_common.greeting`,
once both sides trust each other. After that the socket's own mode decides: on a blocking socket
`send` returns when all is written, on a non-blocking one when the kernel takes no more.

One thread may receive while others send; senders exclude each other.

A stream whose session can be resumed (see `resumption`) outlives its socket: `suspend` gives that
up, `resume` goes on over another. The descriptor stays the same number, for pollers and for who
else has noted it.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from collections.abc import Sequence
from typing import NoReturn, Optional, Union

from .connection import Connection, Happening
from .errors import AuthError
from .frames import Buffer, Kind, byte_view
from .resumption import Resumption
from .security import Layer, PeerIdentity

__all__ = ["Stream"]

_CHUNK = 64 * 1024  # below malloc's mmap threshold: a larger one costs page faults each time
_SEGMENTS = 64  # of one sendmsg; IOV_MAX is 1024 on Linux and at least 16 everywhere
_PIECE = 1 << 29  # of one sendmsg or recv; some kernels fail from 2 GiB on
_WRAP_PIECE = 256 * 1024
_PROTECTED_CHUNK = 256 * 1024  # of what is received for a large frame through a layer


class Stream:
    """A connection over a socket.

    Args:
        sock: A connected socket; the stream closes it.
        connection: The state machine of this end.
        layer: The security layer, once the handshake has chosen one.
        early: What the peer said already in the same bytes that ended the handshake; `receive`
            returns it first.
        peer: Who the peer was shown to be.
    """

    def __init__(
        self,
        sock: socket.socket,
        connection: Connection,
        layer: Layer,
        early: Sequence[Happening] = (),
        peer: Optional[PeerIdentity] = None,
    ) -> None:
        self.sock = sock
        self.connection = connection
        self.layer = layer
        self.peer = peer
        self._clear = layer.transparent
        self._early = list(early)
        self._reader = connection.reader
        # Looked up once: they are called for each message.
        self._recv = sock.recv
        self._send = sock.send
        self._receive_data = connection.receive_data
        self._lock = threading.Lock()
        # Held while the layer makes bytes and they are queued: its peer expects them in order.
        # Never held while waiting for the socket, so that a receiver gets through.
        self._order = threading.Lock()
        self._out: deque[memoryview] = deque()
        #: Counts and keeps what is sent, if the session can be resumed.
        self.resumption: Optional[Resumption] = None
        #: Whether there is no connection: what is sent is kept until there is another.
        self.suspended = False
        # What is still to be protected: a piece at a time, so that the peer takes in one while
        # the next is made, and no second copy of a large value is needed.
        self._plain: deque[memoryview] = deque()
        self._distrust: Optional[str] = None  # why the layer gave up
        self._scratch: Optional[memoryview] = None

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self.sock.fileno()

    def receive(self) -> list[Happening]:
        """Read once from the socket and return what that completes, possibly nothing.

        Raises:
            BlockingIOError: The socket does not block, and nothing is there.
            EOFError: The peer closed; ConnectionError: the connection broke, or was tampered with
                or cut as far as the layer can tell.
            ProtocolError: The peer broke the protocol.
        """
        if self._clear and self._reader.assembling is None and not self._early:
            data = self._recv(_CHUNK)
            if not data:
                self._end()
            return self._receive_data(data) if self.resumption is None else self._take(data)
        if self._early:
            early, self._early = self._early, []
            return early
        if self._clear:
            target = self.connection.target()
            if target is not None:
                size = self.sock.recv_into(target[:_PIECE])
                if not size:
                    raise EOFError("the peer closed the connection in the middle of a frame")
                if self.resumption is None:
                    return self.connection.filled(size)
                happened = self.connection.filled(size)
                return self.resumption.took(size, happened, self._reader.assembling is not None)
            data = self.sock.recv(_CHUNK)
            return self._take(data) if data else self._end()
        return self._receive_protected()

    def _receive_protected(self) -> list[Happening]:
        target = None if self._reader.assembling is None else self.connection.target()
        data: Union[bytes, memoryview]
        if target is None:
            data = self._recv(_CHUNK)
        else:
            if self._scratch is None:
                self._scratch = memoryview(bytearray(_PROTECTED_CHUNK))
            data = self._scratch[: self.sock.recv_into(self._scratch)]
        if not data:
            self._end()
        size = 0
        with self._order:
            if self._distrust is not None:
                raise ConnectionAbortedError(self._distrust)
            try:
                if target is None:
                    plain, answer = self.layer.feed(bytes(data))
                else:
                    size, plain, answer = self.layer.feed_into(data, target)
            except AuthError as error:
                raise self._give_up(error) from error
            if answer:
                self._out.append(memoryview(answer))
        # A sender that holds the lock writes the answer too; to wait for it here would be a
        # deadlock where both peers wait for the other to read.
        if answer and self._lock.acquire(blocking=False):
            try:
                self._flush()
            finally:
                self._lock.release()
        happenings = self.connection.filled(size) if size else []
        if plain:
            happenings += self.connection.receive_data(plain)
        if self.resumption is None:
            return happenings
        taken, within = size + len(plain), self._reader.assembling is not None
        return self.resumption.took(taken, happenings, within)

    def _take(self, data: bytes) -> list[Happening]:
        """What some bytes of the peer's say."""
        resumption = self.resumption
        if resumption is None:
            return self._receive_data(data)
        happened = self._receive_data(data)
        return resumption.took(len(data), happened, self._reader.assembling is not None)

    def _give_up(self, error: AuthError) -> ConnectionAbortedError:
        """Trust the connection no more: a loss, as if it had been cut, for both directions."""
        self._distrust = str(error)
        self._plain.clear()
        try:
            self.sock.shutdown(socket.SHUT_RDWR)  # who waits for it to be readable is woken
        except OSError:
            pass  # not connected any more
        return ConnectionAbortedError(str(error))

    def _end(self) -> NoReturn:
        if self._distrust is not None:
            raise ConnectionAbortedError(self._distrust)
        try:
            self.layer.eof()
        except AuthError as error:
            raise ConnectionAbortedError(str(error)) from error
        whole = "" if self.connection.idle else " in the middle of a frame"
        raise EOFError(f"the peer closed the connection{whole}")

    def send(self, segments: Sequence[Buffer]) -> bool:
        """Write segments after everything sent before.

        The segments must not change until they are written.

        Returns:
            Whether all is written; never False on a blocking socket.

        Raises:
            ConnectionError, OSError: The connection broke.
        """
        if not self._clear:
            with self._order:
                if self.resumption is not None:
                    self.resumption.keep(segments)
                    if self.suspended:
                        return True
                self._plain.extend(map(byte_view, segments))
            return self.flush()
        with self._lock:
            if self.resumption is not None:
                self.resumption.keep(segments)
                if self.suspended:
                    return True
            if not self._out and len(segments) == 1:
                # The common case: one small frame, which the kernel takes at once.
                first = segments[0]
                try:
                    sent = self._send(first)
                except BlockingIOError:
                    sent = 0
                if sent == len(first):
                    return True
                self._out.append(memoryview(first)[sent:])
            else:
                self._out.extend(byte_view(segment) for segment in segments)
            return self._flush()

    def flush(self) -> bool:
        """Write what `send` could not; return whether all is written."""
        while True:
            with self._lock:
                if not self._flush():
                    return False
            if not self.writing:  # else the layer answered between the last write and the release
                return True

    @property
    def pending(self) -> bool:
        """Whether `receive` has something to return without the socket being readable."""
        return bool(self._early)

    @property
    def writing(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._out or self._plain)

    def close(self) -> None:
        """Close the socket, also for other processes that share it; twice is no error."""
        if not self._clear:
            self._part()
        self.cut()
        self.sock.close()

    def cut(self) -> None:
        """End the connection and keep the descriptor: who receives or sends is told so."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # not connected any more

    # a session that outlives its connection

    def outlive(self) -> None:
        """Have the session be one that can be resumed; before anything is sent or received."""
        self.resumption = Resumption(self.connection.surplus)
        self._early = self.resumption.took(0, self._early)

    def acknowledgement(self) -> list[Buffer]:
        """The frame that tells the peer what has arrived, if it should be told now."""
        resumption = self.resumption
        if resumption is None or not resumption.owing:
            return []
        return self.connection.send(Kind.ACK, ident=resumption.confirm())

    def secure(self) -> None:
        """Copy what is kept in memory that others may change; nobody may be receiving."""
        assert self.resumption is not None
        with self._lock, self._order:
            self.resumption.secure()

    def suspend(self) -> None:
        """Take note that the connection is lost. Nobody may be receiving, others may send."""
        self.cut()
        assert self.resumption is not None
        with self._lock, self._order:
            self.suspended = True
            self._out.clear()
            self._plain.clear()
            self.resumption.secure()

    def resume(self, successor: Stream, received: int) -> None:
        """Go on over another connection. Nobody may be receiving, others may send.

        Args:
            successor: A stream over that connection whose handshake is over; its socket is this
                one's now.
            received: What the peer has taken in of this session, in bytes.

        Raises:
            ProtocolError: The two sides do not agree on what was sent.
            OSError: The descriptor cannot be replaced.
        """
        resumption = self.resumption
        assert resumption is not None
        assert self.suspended
        with self._lock, self._order:
            resumption.acknowledge(received)
            descriptor = self.sock.fileno()
            os.set_blocking(successor.fileno(), self.sock.gettimeout() is None)
            os.dup2(successor.fileno(), descriptor, inheritable=False)
            successor.sock.close()
            self.layer, self._clear = successor.layer, successor.layer.transparent
            self.peer, self._distrust = successor.peer, None
            waiting = self._out if self._clear else self._plain
            waiting.extend(byte_view(segment) for segment in resumption.rest())
            early = successor.connection.take_rest()
            if early:
                self._early += self._take(early)
            self.suspended = False

    def _part(self) -> None:
        """Have the layer say goodbye, unless that would mean to wait."""
        if not self.writing and self._order.acquire(blocking=False):
            try:
                self.sock.setblocking(False)
                farewell = self.layer.farewell()
                if farewell:
                    self.sock.send(farewell)
            except (AuthError, OSError):
                pass  # the connection is gone already
            finally:
                self._order.release()

    def _protect(self) -> None:
        """Have the layer make bytes of the next piece of what is to be sent.

        Raises:
            ConnectionError: The layer does not any more.
        """
        with self._order:
            if self._distrust is not None:
                raise ConnectionAbortedError(self._distrust)
            plain = self._plain
            room = _WRAP_PIECE
            while plain and room > 0:
                view = plain.popleft()
                if len(view) > room:
                    plain.appendleft(view[room:])
                    view = view[:room]
                room -= len(view)
                try:
                    wrapped = self.layer.wrap(view)
                except AuthError as error:
                    raise self._give_up(error) from error
                if wrapped:
                    self._out.append(memoryview(wrapped))

    def _flush(self) -> bool:
        out = self._out
        while True:
            if not out:
                if not self._plain:
                    return True
                self._protect()
                continue
            try:
                if len(out) == 1:
                    sent = self.sock.send(out[0][:_PIECE])
                else:
                    sent = self.sock.sendmsg(_batch(out))
            except BlockingIOError:
                return False
            while out and sent >= len(out[0]):
                sent -= len(out.popleft())
            if sent:
                out[0] = out[0][sent:]


def _batch(out: deque[memoryview]) -> list[memoryview]:
    batch: list[memoryview] = []
    total = 0
    # By index: a receiver may append an answer of the layer's at the same time.
    for index in range(min(len(out), _SEGMENTS)):
        batch.append(out[index][: _PIECE - total])
        total += len(batch[-1])
        if total >= _PIECE:
            break
    return batch
