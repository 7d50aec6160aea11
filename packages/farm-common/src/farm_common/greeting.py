"""How the two ends of a socket get to know and to trust each other, within a `Deadline`.

`client_handshake` and `server_handshake` block until both sides do; then there is a `Stream`. The
messages are those of `handshake`, in the order of `states`; their bytes are `Connection`'s matter.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional, Union

from .address import Address
from .connection import Connection, Happening
from .deadline import Deadline
from .errors import AuthError, IncompatibleVersionError, ProtocolError
from .frames import Buffer, Frame, Kind
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
from .security import Authenticator, Layer, NoAuth, PeerIdentity
from .sockets import connect
from .states import Role
from .stream import Stream

__all__ = [
    "HANDSHAKE_SECONDS",
    "Greeting",
    "client_handshake",
    "connect_stream",
    "server_handshake",
]

#: How long a peer has from its first byte until both sides trust each other.
HANDSHAKE_SECONDS = 10.0

#: What a layer's own handshake may take, in bytes received.
_LAYER_LIMIT = 256 * 1024

#: How long a peer that the layer refused has to take note.
_PARTING_SECONDS = 1.0

_CHUNK = 64 * 1024


@dataclass(frozen=True)
class Greeting:
    """What a client knows of the server once the handshake is over."""

    stream: Stream
    hello: ServerHello
    preamble: Preamble


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
