"""The options of command lines that say which mechanism to use, and who may come in."""

from __future__ import annotations

import argparse
from typing import Any, Optional

from .layer import Authenticator
from .registry import find_authenticator
from .tls import TLSAuth

__all__ = ["add_client_options", "add_server_options", "client_auth", "server_auths"]


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Add what `server_auths` reads."""
    _add(
        parser,
        tls="have clients show certificates, and show one: cert.pem, key.pem and ca.pem in DIR, "
        "as farm-admin certs makes them",
        gss="have clients prove who they are by Kerberos (needs farm-gss)",
        gss_tls="the same with TLS to encrypt, which is faster for large data",
    )
    parser.add_argument(
        "--allow",
        action="append",
        metavar="NAME",
        help="of those who prove who they are, let in only NAME; repeatable. With Kerberos it is "
        "the full principal, such as alice@EXAMPLE.COM",
    )


def add_client_options(parser: argparse.ArgumentParser) -> None:
    """Add what `client_auth` reads."""
    _add(
        parser,
        tls="show the certificate in DIR, and have servers show theirs",
        gss="use a ticket of Kerberos (needs farm-gss)",
        gss_tls="the same for a server with --gss-tls",
    )


def _add(parser: argparse.ArgumentParser, *, tls: str, gss: str, gss_tls: str) -> None:
    add = parser.add_argument
    add("--tls", metavar="DIR", help=tls)
    add("--gss", action="store_true", help=gss)
    add("--gss-tls", action="store_true", help=gss_tls)
    add(
        "--gss-service",
        metavar="S",
        help="the service part of the server's principal in Kerberos (default: farm)",
    )


def server_auths(options: argparse.Namespace) -> Optional[list[Authenticator]]:
    """The mechanisms that a server was told to offer, best first; None if it was told none.

    Raises:
        ValueError: The options do not fit together; says which.
        AuthError: A mechanism cannot be used here.
        UnsupportedError: A mechanism is not installed.
    """
    auths: list[Authenticator] = []
    if options.tls is not None:
        auths.append(TLSAuth.from_directory(options.tls, allowed_names=options.allow))
    modes = _gss_modes(options)
    if modes:
        # Names in certificates have no realm; where there are some, only the others are Kerberos's.
        names = options.allow or []
        users = [name for name in names if "@" in name or not auths]
        if not users:
            raise ValueError(
                "nobody could come in by Kerberos: name who may, "
                "for example --allow alice@EXAMPLE.COM"
            )
        auths += [_gss(options, tls=tls, allowed_users=users) for tls in modes]
    if options.allow is not None and not auths:
        raise ValueError(
            "--allow says who may connect of those who prove who they are: "
            "add --tls, --gss or --gss-tls"
        )
    return auths or None


def client_auth(options: argparse.Namespace) -> Optional[Authenticator]:
    """The mechanism that a client was told to use; None if it was told none.

    Raises:
        ValueError: It was told several, or the options do not fit together.
        AuthError: It cannot be used here.
        UnsupportedError: It is not installed.
    """
    modes = _gss_modes(options)
    if len(modes) + (options.tls is not None) > 1:
        raise ValueError("--tls, --gss and --gss-tls are three mechanisms: give the one to use")
    if options.tls is not None:
        return TLSAuth.from_directory(options.tls)
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
