"""The interface of security mechanisms.

A mechanism is an `Authenticator`: a name, and a way to make a `Layer` for each connection. A
layer is sans-I/O: it turns plain bytes into wire bytes and back, and has a handshake of its own
that starts right after the client's SELECT frame. A scheme that only proves who somebody is, and
does not encrypt, passes the bytes through once its handshake is done.

Raise `AuthError` from any method to refuse the peer: the connection is closed and the text is
what the user sees on this side. Nothing of the peer's has been unpickled before the layer is
established.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Optional

from ..address import Address
from ..frames import Buffer

__all__ = ["Authenticator", "Layer"]


class Layer(ABC):
    """One connection's security, between the socket and the frames."""

    #: Whether the peer is trusted; set by the layer, during `start` or `feed`.
    established = False

    #: What the peer was shown to be, where the mechanism knows; for logs and for the board.
    peer: Optional[str] = None

    #: Whether bytes pass unchanged once established; the layer is then taken out of the way.
    transparent = False

    def start(self) -> bytes:
        """The first bytes to send; none when the peer speaks first."""
        return b""

    @abstractmethod
    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take in bytes from the wire.

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
