"""Kerberos (GSSAPI) authentication for farm.

`GSSAuth` is all there is to it: what `make_kernel`, `start_server` and farm-admin's functions take
as ``auth=``, and what ``farm-server --gss`` makes. Importing it needs no ``gssapi``, so that a
program may import it unconditionally and is told what is missing where it asks for Kerberos.
"""

from .__about__ import __version__
from .auth import GSSAuth

__all__ = ["GSSAuth", "__version__"]
