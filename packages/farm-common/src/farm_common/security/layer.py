"""The interface of security mechanisms.

A mechanism is an `Authenticator`: a name, and a way to make a `Layer` for each connection. A
layer is sans-I/O: it turns plain bytes into wire bytes and back, and has a handshake of its own
that starts right after the client's SELECT frame. A scheme that only proves who somebody is, and
does not encrypt, passes the bytes through once its handshake is done.

Raise `AuthError` from any method to refuse the peer: the connection is closed and the text is
what the user sees on this side; what `Layer.farewell` returns is still sent. Nothing of the peer's
has been unpickled before the layer is established.

Proving who somebody is and deciding whether they may come in are two things. The first is done by
the handshake, and `Layer.peer` is its outcome. The second is `Layer.admit`, which a server asks
once the layer is established: its refusal can be told to the client, through the layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Optional

from ..address import Address
from ..deadline import Deadline
from ..frames import Buffer

__all__ = ["Authenticator", "Layer"]


class Layer(ABC):
    """One connection's security, between the socket and the frames."""

    #: Whether the peer is trusted; set by the layer, during `start` or `feed`.
    established = False

    #: Who the peer was shown to be, where the mechanism knows; set before `established`. It is for
    #: logs, and what a client may do to sessions depends on it: equal names are the same peer.
    peer: Optional[str] = None

    #: Whether bytes pass unchanged once established; the layer is then taken out of the way.
    transparent = False

    #: Until when the layer's handshake must be over, set before `start`; for a layer that has to
    #: ask somebody else, as a client of Kerberos asks its KDC.
    deadline: Optional[Deadline] = None

    def start(self) -> bytes:
        """The first bytes to send; none when the peer speaks first."""
        return b""

    @abstractmethod
    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take in bytes from the wire; only from the peer's first bytes on.

        Returns:
            The plain bytes they hold, and bytes to send to the peer in answer.

        Raises:
            AuthError: The peer is not trusted, or its bytes were tampered with.
        """

    @abstractmethod
    def wrap(self, data: Buffer) -> bytes:
        """The wire bytes for plain bytes; called only once established.

        Raises:
            AuthError: The layer may protect nothing more, for example when tickets expired.
        """

    def feed_into(self, data: Buffer, target: memoryview) -> tuple[int, bytes, bytes]:
        """Do what `feed` does, with plain bytes where they are wanted, to spare a copy.

        Called only once established. A layer that cannot do better leaves it as it is.

        Args:
            data: Bytes from the wire; not to be kept.
            target: Where the plain bytes belong, as many as there is room for.

        Returns:
            How many were put there, the plain bytes after those, and bytes to send in answer.

        Raises:
            AuthError: As for `feed`.
        """
        plain, answer = self.feed(bytes(data))
        size = min(len(plain), len(target))
        target[:size] = plain[:size]
        return size, plain[size:], answer

    def admit(self) -> None:
        """Decide whether the peer, now known, may come in; called once established, by servers.

        Raises:
            AuthError: It may not; the text is sent to it.
        """

    def farewell(self) -> bytes:
        """What to send before the connection is closed, also after an error; may be nothing."""
        return b""

    def eof(self) -> None:
        """Take note that the peer closed.

        Raises:
            AuthError: It may not do so at this point: something may have been cut off.
        """


class Authenticator(ABC):
    """A security mechanism as the user configured it, for one side or both."""

    #: What the two sides call the mechanism: short, lower case, for example ``"tls"``.
    name: str

    @abstractmethod
    def client_layer(self, address: Address) -> Layer:
        """A layer for a connection that this side opened to `address`."""

    @abstractmethod
    def server_layer(self) -> Layer:
        """A layer for a connection that this side accepted."""

    def prepare_server(self) -> None:
        """Get ready to make layers for clients; called once, before a server listens.

        Sessions are forks of the process that it is called in, so what is made here is made once.

        Raises:
            AuthError: There would be nobody whom it could let in: a key is missing, for example.
        """
