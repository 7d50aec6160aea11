"""Kerberos (GSSAPI) authentication for farm.

This release reserves the name and the entry point; it has no Kerberos mechanism yet.
Importing it needs no ``gssapi``, so that a program may import it unconditionally and is told
what is missing at the place where it asks for Kerberos.
"""

from .__about__ import __version__
from .auth import GSSAuth

__all__ = ["GSSAuth", "__version__"]
