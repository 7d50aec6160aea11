"""Moves a connection's bytes over a socket: the only module of farm-common that knows sockets.

A `Stream` is a socket, a security layer and a `Connection`. It is made by `client_handshake` or
`server_handshake`, which block until both sides trust each other, within a `Deadline`. After
that the socket's own mode decides: on a blocking socket `send` returns when all is written, on a
non-blocking one when the kernel takes no more.

One thread may receive while others send; senders exclude each other.

A stream whose session can be resumed (see `resumption`) outlives its socket: `suspend` gives that
up, `resume` goes on over another. The descriptor stays the same number, for pollers and for who
else has noted it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable, NoReturn, Optional, Union

from .address import Address
from .connection import Connection, Happening
from .deadline import Deadline
from .errors import AuthError, IncompatibleVersionError, ProtocolError
from .frames import Buffer, Frame, Kind, byte_view
from .handshake import (
    NEW_SESSION,
    ClientHello,
    Offer,
    Preamble,
    Refusal,
    Select,
    ServerHello,
)
from .memory import allocate
from .peer import is_trusted, peer_uid, user_name
from .resumption import Resumption
from .security import Authenticator, Layer, NoAuth, PeerIdentity
from .states import Role

__all__ = [
    "HANDSHAKE_SECONDS",
    "Greeting",
    "Stream",
    "client_handshake",
    "connect",
    "connect_stream",
    "is_silent",
    "physical_memory",
    "server_handshake",
    "tune",
    "unreachable",
]

#: How long a peer has from its first byte until both sides trust each other.
HANDSHAKE_SECONDS = 10.0

#: What a layer's own handshake may take, in bytes received.
_LAYER_LIMIT = 256 * 1024

#: How long a peer that the layer refused has to take note.
_PARTING_SECONDS = 1.0

_CHUNK = 64 * 1024  # below malloc's mmap threshold: a larger one costs page faults each time
_SOCKET_BUFFER = 1 << 20
_KEEP_ALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))

#: After how many seconds without an acknowledgement a peer is gone. Not by TCP_USER_TIMEOUT: Linux
#: also applies that to a peer that acknowledges and has no room, because it is stopped or busy.
_SILENCE = 20.0
_TCP_INFO = 11 if sys.platform.startswith("linux") else None  # PyPy does not name it
_INFO_SIZE = 60  # of the part that all kernels have
_SEGMENTS = 64  # of one sendmsg; IOV_MAX is 1024 on Linux and at least 16 everywhere
_PIECE = 1 << 29  # of one sendmsg or recv; some kernels fail from 2 GiB on
_WRAP_PIECE = 256 * 1024
_PROTECTED_CHUNK = 256 * 1024  # of what is received for a large frame through a layer


def physical_memory() -> int:
    """The machine's memory in bytes: no frame can be larger."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not POSIX, or not told
        return 1 << 36


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


@dataclass(frozen=True)
class Greeting:
    """What a client knows of the server once the handshake is over."""

    stream: Stream
    hello: ServerHello
    preamble: Preamble


def connect(address: Address, deadline: Deadline) -> socket.socket:
    """Open a socket to a TCP or Unix address, with farm's socket options.

    Raises:
        OSError: Nobody listens there, or no such host; TimeoutError: no answer in time.
    """
    if address.kind == "unix":
        return _connect(socket.AF_UNIX, address.path, address, deadline)
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except UnicodeError:  # an empty or overlong part between two dots
        raise socket.gaierror(socket.EAI_NONAME, f"no host {address.host!r}") from None
    failure: Optional[OSError] = None
    for index, (family, _, _, _, place) in enumerate(found):
        remaining = deadline.remaining()
        if remaining is not None:  # one silent address must leave time for the others
            remaining /= len(found) - index
        try:
            return _connect(family, place, address, Deadline(remaining))
        except OSError as error:
            # The first is the one that the system prefers, and says most.
            failure = failure or error
    raise failure or socket.gaierror(socket.EAI_NONAME, f"no host {address.host!r}")


def _connect(family: int, place: Any, address: Address, deadline: Deadline) -> socket.socket:
    remaining = deadline.remaining()
    if remaining == 0:
        raise TimeoutError(f"no answer from {address.endpoint} in time")
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(remaining)
        sock.connect(place)
        if address.kind == "tcp" and sock.getsockname() == sock.getpeername():
            # Trying a loopback port that nobody listens on may pick that port for this end.
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        tune(sock)
    except BaseException as error:
        sock.close()
        if isinstance(error, socket.timeout):  # not a TimeoutError before 3.10
            raise TimeoutError(f"no answer from {address.endpoint} in time") from None
        raise
    return sock


def tune(sock: socket.socket) -> None:
    """Set the options that every connection of farm has.

    Where nothing is on its way to it, a machine that is gone is noticed within half a minute. For
    the other case see `is_silent`.

    Raises:
        OSError: Some systems say so when the peer is gone already.
    """
    if sock.family == getattr(socket, "AF_UNIX", None):
        # TCP sizes its buffers itself, and a size that is set would turn that off.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE:
        option = getattr(socket, name, None)  # not all systems have all of them
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def is_silent(sock: socket.socket) -> bool:
    """Whether the machine at the other end of a TCP connection is gone, as far as one can tell.

    It is, if it was sent something again and again and has not acknowledged anything for a while.
    A process that is stopped, or too busy to read, is not: its system acknowledges. To be asked
    every few seconds; always False for other sockets, and where the system does not tell.
    """
    if _TCP_INFO is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _INFO_SIZE)
    except OSError:
        return False  # it is closed, which reading will tell
    if len(info) < _INFO_SIZE:
        return False
    retransmits, probes = info[2], info[3]
    (unacknowledged,) = struct.unpack_from("=I", info, 24)
    (age,) = struct.unpack_from("=I", info, 56)  # of the last acknowledgement, in ms
    # One probe may be on its way to a peer that has no room.
    return age >= _SILENCE * 1000 and ((unacknowledged > 0 and retransmits > 0) or probes > 1)


def unreachable(address: Address, error: BaseException) -> str:
    """Say why a server cannot be talked to, and what to do next.

    Args:
        address: A TCP or Unix address.
        error: An `OSError` or `EOFError` of `connect_stream`, or of the connection later.

    Returns:
        One line that names the address and has the system's own reason in it.
    """
    where = address.endpoint
    reason = str(getattr(error, "strerror", None) or error)
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return f"unknown host {address.host!r} in {where} ({reason}); check how it is spelt"
    if isinstance(error, ConnectionRefusedError) and not error.errno:
        return f"{where}: {reason}"  # in the server's own words
    if isinstance(error, (ConnectionRefusedError, FileNotFoundError)):
        return f"no server listens on {where} ({reason}); start one there: farm-server {where}"
    if isinstance(error, PermissionError):
        return f"{where} belongs to another user ({reason}); have that user start one for you"
    if isinstance(error, (TimeoutError, socket.timeout)):
        why = f" ({reason})" if reason else ""
        return f"{where} is silent{why}; is it a farm server, and does a firewall let you through?"
    if isinstance(error, EOFError):
        return f"{where} closed the connection; is it a farm server?"
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return f"{where} closed the connection ({reason}); is it a farm server?"
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        whose = "this process" if error.errno == errno.EMFILE else "this machine"
        return f"cannot reach {where}: {whose} has too many open files; raise its limit (ulimit -n)"
    return f"cannot reach {where}: {reason or type(error).__name__}"


def connect_stream(
    address: Address,
    auth: Authenticator,
    hello: ClientHello,
    deadline: Deadline,
    session: bytes = NEW_SESSION,
    resume: bool = False,
) -> Greeting:
    """Connect to a server and introduce this side.

    Args:
        address: A TCP or Unix address.
        auth: The security mechanism to use; no other is accepted.
        hello: What to say of this side.
        deadline: For all of it.
        session: The session that this connection replaces, if any.
        resume: Whether that should go on; see `client_handshake`.

    Raises:
        AuthError, ProtocolError, IncompatibleVersionError: The server will not do, now or later.
        OSError, EOFError: It could not be reached, does not answer, or is busy; it may later.
    """
    sock = connect(address, deadline)
    try:
        return client_handshake(sock, address, auth, hello, deadline, session, resume)
    except BaseException:
        sock.close()
        raise


def client_handshake(
    sock: socket.socket,
    address: Address,
    auth: Authenticator,
    hello: ClientHello,
    deadline: Deadline,
    session: bytes = NEW_SESSION,
    resume: bool = False,
) -> Greeting:
    """Do the client's part of the handshake over a connected socket; see `connect_stream`.

    If the session goes on, the server's preamble names it, and the stream that is returned is only
    good for `Stream.resume`. Then there is no time limit for the server's next word: it comes from
    a worker that may be unable to answer for as long as its task keeps the interpreter. That there
    is one, the preamble says; shut the socket down to wait no longer.
    """
    connection = Connection(Role.CLIENT, frame_limit=hello.frame_limit, allocate=allocate)
    driver = _Handshake(sock, connection, deadline)
    driver.send(connection.send_preamble(session, resume))
    preamble = driver.next()
    assert isinstance(preamble, Preamble)
    if isinstance(auth, NoAuth):
        _check_owner(sock, address)
    if preamble.session != NEW_SESSION:
        if not resume or preamble.session != session:
            raise ProtocolError("the server goes on with a session that it was not asked for")
        connection.hold = True
        driver.wait()
        driver.deadline = Deadline(HANDSHAKE_SECONDS)
    offer = Offer.decode(_admitted(driver.next()).body)
    if auth.name not in offer.mechanisms:
        raise AuthError(_no_common_mechanism(address, auth.name, offer.mechanisms))
    driver.send(*connection.send(Kind.SELECT, Select(auth.name).encode()))
    driver.secure(auth.client_layer(address), b"", auth.name)
    driver.send(*connection.send(Kind.HELLO, hello.encode()))
    answer = ServerHello.decode(_admitted(driver.next()).body)
    return Greeting(driver.stream(), answer, preamble)


def _check_owner(sock: socket.socket, address: Address) -> None:
    """Refuse a server of another user of this machine: what it answers could run code here.

    Anybody can listen where the user's own server does not yet, or any more. Called once the
    server has spoken, see `peer_uid`.
    """
    uid = peer_uid(sock)
    user = address.options.get("user")
    if uid is None or is_trusted(uid) or user in (str(uid), user_name(uid).partition(" ")[0]):
        return
    name = user_name(uid)
    raise AuthError(
        f"the server at {address.endpoint} belongs to another user of this machine, {name}, "
        f"and its answers could run code as you; if you trust that user: "
        f"{address.endpoint}?user={name.partition(' ')[0]}"
    )


def server_handshake(
    sock: socket.socket,
    start: bytes,
    auths: Sequence[Authenticator],
    greet: Callable[[ClientHello, Preamble], Union[ServerHello, Refusal]],
    deadline: Deadline,
    frame_limit: int,
    meet: Optional[Callable[[Optional[PeerIdentity]], None]] = None,
    *,
    session: bytes = NEW_SESSION,
    check: Optional[Callable[[str, Layer], None]] = None,
) -> tuple[Stream, ClientHello]:
    """Do the server's part of the handshake over an accepted socket.

    Args:
        sock: The socket.
        start: What was read from it already; at least the client's preamble.
        auths: The mechanisms to offer, best first.
        greet: Makes this side's hello from the client's, or says why there will be none; may
            also raise `AuthError`.
        deadline: For all of it.
        frame_limit: The largest frame to accept once the connection is open, in bytes.
        meet: Told before `greet` is called who the client is, as far as the mechanism knows; may
            raise `AuthError`, too.
        session: The session that goes on, if one does; then this side's preamble is on its way
            already.
        check: Called before that with the mechanism's name and the layer; may raise `AuthError`.

    Raises:
        AuthError, ProtocolError, OSError, EOFError: There is no session;
            ConnectionRefusedError: `greet` did not want one.
    """
    connection = Connection(Role.SERVER, frame_limit=frame_limit, allocate=allocate)
    driver = _Handshake(sock, connection, deadline)
    try:
        preamble = driver.next(start)
    except IncompatibleVersionError:
        # The client must learn our versions, to say which side to upgrade.
        with contextlib.suppress(OSError):
            driver.send(Preamble().encode())
        raise
    assert isinstance(preamble, Preamble)
    own = connection.send_preamble(session)
    if session == NEW_SESSION:
        driver.send(own)
    names = tuple(auth.name for auth in auths)
    driver.send(*connection.send(Kind.OFFER, Offer(names).encode()))
    select = Select.decode(_frame(driver.next()).body)
    chosen = [auth for auth in auths if auth.name == select.mechanism]
    if not chosen:
        raise AuthError(f"the client selected {select.mechanism!r}, which was not offered")
    layer = chosen[0].server_layer()
    driver.secure(layer, connection.take_rest(), chosen[0].name)
    hello: ClientHello = ClientHello.decode(_frame(driver.next()).body)
    try:
        layer.admit()
        if check is not None:
            check(chosen[0].name, layer)
        if meet is not None:
            meet(driver.peer)
        answer = greet(hello, preamble)
    except AuthError as error:
        driver.send(*connection.send(Kind.REFUSE, Refusal("auth", str(error)).encode()))
        raise
    if isinstance(answer, Refusal):
        driver.send(*connection.send(Kind.REFUSE, answer.encode()))
        raise ConnectionRefusedError(answer.message)
    driver.send(*connection.send(Kind.HELLO, answer.encode()))
    return driver.stream(), hello


class _Handshake:
    """Drives a connection over a blocking socket until it is open."""

    def __init__(self, sock: socket.socket, connection: Connection, deadline: Deadline) -> None:
        self.peer: Optional[PeerIdentity] = None
        self._sock = sock
        self._connection = connection
        self.deadline = deadline
        self._layer: Optional[Layer] = None
        self._happened: deque[Happening] = deque()

    def next(self, data: bytes = b"") -> Happening:
        """The next thing that the peer says; `data` was received from it already."""
        while not self._happened:
            if not data:
                data = self._receive()
            if self._layer is not None:
                data, answer = self._feed(self._layer, data)
                self._write(answer)
            if data:
                self._happened.extend(self._connection.receive_data(data))
            data = b""
        return self._happened.popleft()

    def wait(self) -> None:
        """Wait for the peer to say something, as long as the connection is there."""
        if not self._happened and self._connection.idle:
            self._sock.settimeout(None)
            if not self._sock.recv(1, socket.MSG_PEEK):
                raise EOFError("the peer closed the connection during the handshake")

    @property
    def layer(self) -> Layer:
        """The layer, once there is one."""
        assert self._layer is not None
        return self._layer

    def send(self, *segments: Buffer) -> None:
        for segment in segments:
            wrapped = segment if self._layer is None else self._layer.wrap(segment)
            try:
                self._write(wrapped)
            except ConnectionError:
                self._heed_farewell()
                raise

    def secure(self, layer: Layer, data: bytes, mechanism: str) -> None:
        """Run the layer's own handshake; `data` was received from the peer already."""
        self._layer = layer
        layer.deadline = self.deadline
        self._write(layer.start())
        received = 0
        while True:
            received += len(data)
            if received > _LAYER_LIMIT:
                raise ProtocolError("the peer's security handshake does not end")
            plain, answer = self._feed(layer, data) if data else (b"", b"")
            self._write(answer)
            if layer.established:
                break
            data = self._receive()
        if layer.peer is not None:
            self.peer = PeerIdentity(mechanism, layer.peer)
        self._connection.layer_established()
        if plain:
            self._happened.extend(self._connection.receive_data(plain))

    def stream(self) -> Stream:
        self._sock.settimeout(None)
        return Stream(
            self._sock, self._connection, self.layer, tuple(self._happened), peer=self.peer
        )

    def _feed(self, layer: Layer, data: bytes) -> tuple[bytes, bytes]:
        try:
            return layer.feed(data)
        except AuthError:
            self._part(layer)
            raise

    def _part(self, layer: Layer) -> None:
        """Let the peer know why; what is refused here may be a mistake of its user's.

        The peer may have said more meanwhile, and a socket that is closed with bytes unread takes
        back what was sent; so they are read, within bounds.
        """
        patience = Deadline(self.deadline.cap(_PARTING_SECONDS))
        with contextlib.suppress(OSError, EOFError):
            self._write(layer.farewell())
            self._sock.shutdown(socket.SHUT_WR)
            for _ in range(_LAYER_LIMIT // _CHUNK):
                remaining = patience.remaining()
                if remaining == 0:
                    break
                self._sock.settimeout(remaining)
                if not self._sock.recv(_CHUNK):
                    break

    def _heed_farewell(self) -> None:
        """Writing failed: if the peer has said why in terms of the layer, raise that."""
        if self._layer is None:
            return
        with contextlib.suppress(OSError, EOFError):
            while True:
                self._layer.feed(self._receive())

    def _write(self, data: Buffer) -> None:
        if len(data):
            self._limited(lambda: self._sock.sendall(data))

    def _receive(self) -> bytes:
        data: bytes = self._limited(lambda: self._sock.recv(_CHUNK))
        if not data:
            if self._layer is not None:
                self._layer.eof()
            raise EOFError("the peer closed the connection during the handshake")
        return data

    def _limited(self, operation: Callable[[], Any]) -> Any:
        remaining = self.deadline.remaining()
        if remaining == 0:
            raise TimeoutError("the peer was too slow during the handshake")
        try:
            self._sock.settimeout(remaining)
            return operation()
        except socket.timeout:  # not a TimeoutError before 3.10
            raise TimeoutError("the peer was silent during the handshake") from None


def _frame(happening: Happening) -> Frame:
    if not isinstance(happening, Frame):
        raise ProtocolError("expected a frame")
    return happening


def _admitted(happening: Happening) -> Frame:
    """The frame, unless the server refused."""
    frame = _frame(happening)
    if frame.kind != Kind.REFUSE:
        return frame
    refusal = Refusal.decode(frame.body)
    if refusal.reason == "auth":
        raise AuthError(f"the server refused: {refusal.message}")
    if refusal.reason in ("busy", "draining"):
        raise ConnectionRefusedError(f"the server refused: {refusal.message}")
    raise ProtocolError(f"the server refused: {refusal.message}")


def _no_common_mechanism(address: Address, ours: str, theirs: Sequence[str]) -> str:
    offered = ", ".join(repr(name) for name in theirs)
    if ours == "none":
        return f"{address.endpoint} asks for authentication ({offered}): pass auth= to match"
    return (
        f"{address.endpoint} does not offer {ours!r}, only {offered}: "
        f"start it with the same auth=, or connect without"
    )
