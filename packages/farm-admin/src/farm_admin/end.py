"""The end of a server, without harm to what it is doing."""

from __future__ import annotations

from typing import Optional

from farm_common.address import Address, AddressLike, parse_address
from farm_common.deadline import Deadline
from farm_common.errors import AddressError
from farm_common.security import Authenticator

from .control import Control

__all__ = ["check_lasting", "end_server"]


def end_server(
    address: AddressLike, auth: Optional[Authenticator] = None, timeout: Optional[float] = 10
) -> None:
    """Have a server take no new connections, and exit when the last one ends.

    Returns as soon as the server takes no more; connections in progress are unaffected, and it
    may serve them for long.

    Args:
        address: Where it listens.
        auth: How to prove who we are; it must match the server's.
        timeout: Seconds to wait for its answer; None is for ever.

    Raises:
        AddressError: The address cannot be understood.
        AuthError, ProtocolError: The server will not do, now or later.
        ConnectionError: There is no server.
        TimeoutError: It did not answer in time.
    """
    parsed = parse_address(address)
    check_lasting(parsed)
    with Control(parsed, auth, Deadline(timeout)) as control:
        control.drain()


def check_lasting(address: Address, purpose: str = "end") -> None:
    """Refuse an address whose server has no life of its own.

    Args:
        address: The address.
        purpose: What was to be done with the server.

    Raises:
        AddressError: It is one.
    """
    if address.kind == "ssh":
        raise AddressError(
            f"{str(address)!r} has no server to {purpose}: one that is started over ssh is there "
            "for the kernel or the command that started it, and ends with that"
        )
