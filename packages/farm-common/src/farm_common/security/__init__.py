"""Who may talk to whom, and how what they say is protected.

`layer` is the interface that mechanisms are written against; `plain` is the mechanism that
protects nothing; `registry` finds mechanisms that other wheels bring.
"""

from .layer import Authenticator, Layer
from .plain import NoAuth, PlainLayer
from .registry import find_authenticator

__all__ = ["Authenticator", "Layer", "NoAuth", "PlainLayer", "find_authenticator"]
