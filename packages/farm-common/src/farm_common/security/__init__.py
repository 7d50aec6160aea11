"""Who may talk to whom, and how what they say is protected.

`layer` is the interface that mechanisms are written against, `identity` what they say of a peer;
`plain` is the mechanism that protects nothing, `tls` the one with certificates; `registry` finds
mechanisms that other wheels bring.
"""

from .identity import PeerIdentity
from .layer import Authenticator, Layer
from .plain import NoAuth, PlainLayer
from .registry import find_authenticator
from .tls import TLSAuth

__all__ = [
    "Authenticator",
    "Layer",
    "NoAuth",
    "PeerIdentity",
    "PlainLayer",
    "TLSAuth",
    "find_authenticator",
]
