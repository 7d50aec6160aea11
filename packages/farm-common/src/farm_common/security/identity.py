"""Who a peer was shown to be: what rights, logs and tables go by."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PeerIdentity"]


class PeerIdentity(NamedTuple):
    """The name that a security mechanism gave a peer.

    Two connections are of the same peer if their identities are equal. The mechanism belongs to
    it: an ``alice`` that one mechanism vouches for need not be the ``alice`` of another.

    Attributes:
        mechanism: The name of the `Authenticator`, for example ``"tls"``.
        name: The peer's name there; `Layer.peer`.
    """

    mechanism: str
    name: str

    def __str__(self) -> str:
        return f"{self.name} ({self.mechanism})"
