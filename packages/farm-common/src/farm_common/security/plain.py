"""The mechanism that protects nothing: for Unix sockets, loopback and tunnels."""

from __future__ import annotations

from ..address import Address
from ..frames import Buffer
from .layer import Authenticator, Layer

__all__ = ["NoAuth", "PlainLayer"]


class PlainLayer(Layer):
    """Passes bytes through, and trusts whoever can connect."""

    established = True
    transparent = True

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """The bytes themselves, and no answer."""
        return data, b""

    def wrap(self, data: Buffer) -> bytes:
        """The bytes themselves."""
        return bytes(data)


class NoAuth(Authenticator):
    """What is used when no ``auth=`` is given."""

    name = "none"

    def client_layer(self, address: Address) -> Layer:
        """A layer that passes bytes through."""
        return PlainLayer()

    def server_layer(self) -> Layer:
        """A layer that passes bytes through."""
        return PlainLayer()
