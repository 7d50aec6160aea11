"""The options of command lines that say which mechanism to use, and who may come in."""

from __future__ import annotations

import argparse
from typing import Any, Optional

from .layer import Authenticator
from .registry import find_authenticator

__all__ = ["add_client_options", "add_server_options", "client_auth", "server_auths"]


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Add what `server_auths` reads."""
    _add(parser, "offer Kerberos", "offer Kerberos over TLS, faster for large data")
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="NAME",
        help="let in who proves to be NAME, such as alice@EXAMPLE.COM; repeatable",
    )


def add_client_options(parser: argparse.ArgumentParser) -> None:
    """Add what `client_auth` reads."""
    _add(parser, "use Kerberos", "use Kerberos over TLS")


def _add(parser: argparse.ArgumentParser, gss: str, gss_tls: str) -> None:
    add = parser.add_argument
    add("--gss", action="store_true", help=f"{gss} (needs farm-gss)")
    add("--gss-tls", action="store_true", help=f"{gss_tls} (needs farm-gss)")
    add(
        "--gss-service",
        metavar="NAME",
        help="with either: the service part of the server's principal (default: farm)",
    )


def server_auths(options: argparse.Namespace) -> Optional[list[Authenticator]]:
    """The mechanisms that a server was told to offer, best first; None if it was told none.

    Raises:
        ValueError: The options do not fit together; says which.
        AuthError: A mechanism cannot be used here.
        UnsupportedError: A mechanism is not installed.
    """
    modes = _gss_modes(options)
    if not modes:
        if options.allow:
            raise ValueError("--allow lets in who proves a name: say how, for example --gss")
        return None
    if not options.allow:
        raise ValueError(
            "nobody could come in: name who may, for example --allow alice@EXAMPLE.COM"
        )
    return [_gss(options, tls=tls, allowed_users=options.allow) for tls in modes]


def client_auth(options: argparse.Namespace) -> Optional[Authenticator]:
    """The mechanism that a client was told to use; None if it was told none.

    Raises:
        ValueError: It was told several, or the options do not fit together.
        AuthError: It cannot be used here.
        UnsupportedError: It is not installed.
    """
    modes = _gss_modes(options)
    if len(modes) > 1:
        raise ValueError("--gss and --gss-tls are two mechanisms: give the one to use")
    return _gss(options, tls=modes[0]) if modes else None


def _gss_modes(options: argparse.Namespace) -> list[bool]:
    """Whether with TLS, for each way of Kerberos that was asked for."""
    modes = [tls for tls, wanted in ((True, options.gss_tls), (False, options.gss)) if wanted]
    if options.gss_service is not None and not modes:
        raise ValueError("--gss-service belongs to --gss or --gss-tls: give one of them, too")
    return modes


def _gss(options: argparse.Namespace, **keywords: Any) -> Authenticator:
    mechanism: Any = find_authenticator("gss")  # whose arguments only it knows
    service = {} if options.gss_service is None else {"service_name": options.gss_service}
    auth: Authenticator = mechanism(**service, **keywords)
    return auth
