"""Authentication by Kerberos, found by farm through the entry point ``farm.auth: gss``."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from farm_common.errors import AuthError, UnsupportedError

from .__about__ import __version__

__all__ = ["GSSAuth"]


class GSSAuth:
    """Proof by Kerberos of who the client and the server are.

    This release has no Kerberos mechanism yet. The name and its arguments are fixed, so that
    programs can be written against them, and constructing it ends in one error that says what
    to do instead.

    Args:
        service_name: The service part of the server's principal, ``service_name@host``.
        allowed_users: The full principals that a server accepts. An empty list is nobody.

    Raises:
        AuthError: The ``gssapi`` package cannot be imported.
        UnsupportedError: It can, but this release of farm-gss has nothing to use it for.
    """

    def __init__(self, service_name: str = "farm", *, allowed_users: Iterable[str] = ()) -> None:
        _check_gssapi()
        raise UnsupportedError(
            f"farm-gss {__version__} has no Kerberos mechanism yet. Until a later version has, "
            "let the server listen on a Unix socket, which only its own user can reach, and come "
            "to it from another machine through ssh: "
            "ssh -N -L /tmp/farm.sock:/path/on/server/farm.sock user@host, "
            "then connect to unix:///tmp/farm.sock"
        )


def _check_gssapi() -> None:
    # Not a module-level import: whoever only imports farm_gss must not need a compiler and
    # Kerberos's libraries. An installed gssapi whose libraries are gone raises ImportError too.
    try:
        import_module("gssapi")
    except ImportError as error:
        raise AuthError(
            f"Kerberos authentication needs the Python package gssapi ({error}). "
            "On Debian: apt install gcc python3-dev libkrb5-dev && pip install gssapi"
        ) from error
