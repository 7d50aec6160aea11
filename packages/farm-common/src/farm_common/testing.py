"""Helpers for the tests of whatever is built on farm-common.

A `ConnectionPair` is two connections and a link that exists in memory only: what one end sends,
the other receives, in pieces of any size. A `FakeClock` stands in for ``time`` where a `Deadline`
is tested. `stream_pair` runs both sides of the handshake over two sockets that the caller made.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any, Optional

from .address import Address
from .connection import Connection, Happening
from .deadline import Deadline
from .frames import Kind
from .greeting import Greeting, client_handshake, server_handshake
from .handshake import ClientHello, Offer, Preamble, Select, ServerHello
from .interpreter import hello_fields
from .security import Authenticator, NoAuth
from .states import Role
from .stream import Stream

__all__ = [
    "ConnectionPair",
    "FakeClock",
    "client_hello",
    "cut",
    "server_hello",
    "stream_pair",
]

_LIMIT = 1 << 26


def client_hello(**changes: Any) -> ClientHello:
    """A client's hello that describes this interpreter, with the given fields changed."""
    fields = {**hello_fields(_LIMIT), "role": "work", "name": "test", "index": 0}
    return ClientHello(**{**fields, **changes})


def server_hello(**changes: Any) -> ServerHello:
    """A server's hello that describes this interpreter, with the given fields changed."""
    fields = {
        **hello_fields(_LIMIT),
        "server": "5e",
        "name": "test",
        "host": "localhost",
        "pid": 1,
        "workers": 2,
        "tags": (),
        "session": "00112233445566778899aabbccddeeff",
    }
    return ServerHello(**{**fields, **changes})


def cut(data: bytes, size: int) -> Iterator[bytes]:
    """Yield `data` in pieces of `size` bytes; 0 is all of it at once."""
    for start in range(0, len(data), size or max(1, len(data))):
        yield data[start : start + (size or len(data))]


class ConnectionPair:
    """A client and a server with nothing but memory between them.

    Args:
        piece: How many bytes arrive at a time; 0 is all that was sent at once.
        client: The client's end, where it should not be an ordinary one.
        server: The server's end, likewise.
    """

    def __init__(
        self,
        *,
        piece: int = 0,
        client: Optional[Connection] = None,
        server: Optional[Connection] = None,
    ) -> None:
        self.piece = piece
        self.client = client or Connection(Role.CLIENT, frame_limit=_LIMIT)
        self.server = server or Connection(Role.SERVER, frame_limit=_LIMIT)

    def end(self, role: Role) -> Connection:
        """The end that has this role."""
        return self.client if role is Role.CLIENT else self.server

    def deliver(self, sender: Role, data: bytes) -> list[Happening]:
        """Give the bytes to the other end and return what it makes of them."""
        receiver = self.server if sender is Role.CLIENT else self.client
        happened: list[Happening] = []
        for piece in cut(data, self.piece):
            happened += receiver.receive_data(piece)
        return happened

    def preamble(self, sender: Role) -> list[Happening]:
        """Send a preamble and return what the other end makes of it."""
        return self.deliver(sender, self.end(sender).send_preamble())

    def send(self, sender: Role, kind: int, body: bytes = b"", **fields: Any) -> list[Happening]:
        """Send a frame and return what the other end makes of it."""
        segments = self.end(sender).send(kind, body, **fields)
        return self.deliver(sender, b"".join(segments))

    def open(
        self, client: Optional[ClientHello] = None, server: Optional[ServerHello] = None
    ) -> ConnectionPair:
        """Do the whole handshake without security, and return the pair."""
        self.preamble(Role.CLIENT)
        self.preamble(Role.SERVER)
        self.send(Role.SERVER, Kind.OFFER, Offer(("none",)).encode())
        self.send(Role.CLIENT, Kind.SELECT, Select("none").encode())
        self.client.layer_established()
        self.server.layer_established()
        self.send(Role.CLIENT, Kind.HELLO, (client or client_hello()).encode())
        self.send(Role.SERVER, Kind.HELLO, (server or server_hello()).encode())
        return self


class FakeClock:
    """Time that passes when told to: put it in place of the module ``time``."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def monotonic(self) -> float:
        """The time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def stream_pair(
    client_sock: Any,
    server_sock: Any,
    *,
    auth: Optional[Authenticator] = None,
    server_auths: Sequence[Authenticator] = (),
    hello: Optional[ClientHello] = None,
    answer: Optional[ServerHello] = None,
    seconds: float = 10.0,
) -> tuple[Greeting, Stream]:
    """Introduce the two ends of a socket pair to each other.

    Each side closes its socket when its handshake fails, as client and server do.

    Args:
        client_sock: A blocking socket.
        server_sock: The blocking socket at the other end.
        auth: The client's mechanism; none by default.
        server_auths: What the server offers; the client's mechanism by default.
        hello: What the client says of itself.
        answer: What the server says of itself.
        seconds: The time limit of each side.

    Returns:
        What the client knows of the server, and the server's stream.

    Raises:
        Exception: What the client's side raised, or else the server's; the other error is its
            ``__context__``.
    """
    auth = auth or NoAuth()
    hello = hello or client_hello()
    served: list[Stream] = []
    failed: list[BaseException] = []

    def greet(_hello: ClientHello, _preamble: Preamble) -> ServerHello:
        return answer or server_hello()

    def serve() -> None:
        offered = server_auths or [auth]
        deadline = Deadline(seconds)
        try:
            served.append(server_handshake(server_sock, b"", offered, greet, deadline, _LIMIT)[0])
        except BaseException as error:  # noqa: BLE001 (raised again in the caller's thread)
            failed.append(error)
            server_sock.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        greeting = client_handshake(
            client_sock, Address("unix", path="/test"), auth, hello, Deadline(seconds)
        )
    except BaseException as error:
        client_sock.close()
        thread.join()
        error.__context__ = failed[0] if failed else None
        raise
    thread.join()
    if failed:
        raise failed[0]
    return greeting, served[0]
