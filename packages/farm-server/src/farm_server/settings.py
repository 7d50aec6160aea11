"""How a server was set up: checked once, then passed around."""

from __future__ import annotations

import operator
import socket
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Optional, Union

from farm_common.address import Address, AddressLike, parse_address
from farm_common.errors import AddressError
from farm_common.security import Authenticator, NoAuth

from .limits import usable_processors

__all__ = ["GRACE", "MAX_CONNECTIONS", "Settings", "make_settings"]

MAX_CONNECTIONS = 1000

#: For how many seconds sessions go on without a connection.
GRACE = 60.0
_LONGEST_GRACE = 1_000_000


class Settings(NamedTuple):
    """What `start_server` was asked for.

    Attributes:
        addresses: Where to listen.
        name: What the server calls itself.
        workers: How many connections it wants from one kernel.
        auths: The security mechanisms that it offers.
        insecure: Whether it may listen to others without authentication.
        tags: Its labels.
        max_connections: How many sessions it serves at once.
        memory_limit: What each worker may allocate, in bytes.
        grace: For how many seconds a session goes on without a connection; 0: it ends at once.
        local_users: Whether every user of this machine may connect.
    """

    addresses: tuple[Address, ...]
    name: str
    workers: int
    auths: tuple[Authenticator, ...]
    insecure: bool = False
    tags: tuple[str, ...] = ()
    max_connections: int = MAX_CONNECTIONS
    memory_limit: Optional[int] = None
    grace: float = GRACE
    local_users: bool = False

    @property
    def authenticates(self) -> bool:
        """Whether every client must prove who it is."""
        return not any(isinstance(auth, NoAuth) for auth in self.auths)

    def advertised(self, workers: Optional[int] = None) -> int:
        """How many connections to ask a kernel for: no more than are served.

        Args:
            workers: What the address that it came to says of that, if anything.
        """
        return min(workers or self.workers, self.max_connections)


def make_settings(
    addresses: Union[AddressLike, Iterable[AddressLike]],
    *,
    name: Optional[str] = None,
    workers: Optional[int] = None,
    auth: Union[Authenticator, Sequence[Authenticator], None] = None,
    insecure: bool = False,
    tags: Iterable[str] = (),
    max_connections: int = MAX_CONNECTIONS,
    memory_limit: Optional[int] = None,
    grace: float = GRACE,
    allow_local_users: bool = False,
) -> Settings:
    """Check what the user gave and fill in what was left out; see `start_server`.

    Raises:
        AddressError: An address cannot be understood, or is none to listen on.
        ValueError: A number is out of its range.
        TypeError: Something is of another type than it may be.
    """
    parsed = _addresses(addresses)
    if name is not None and not isinstance(name, str):
        raise TypeError(f"a server's name is a string, not {name!r:.100}")
    for what, number in (("workers", workers), ("max_connections", max_connections)):
        if number is None:
            continue
        try:
            operator.index(number)
        except TypeError:
            raise TypeError(f"{what} is a whole number above 0, not {number!r:.100}") from None
        if number < 1:
            raise ValueError(f"{what}={number} is not above 0")
    labels = _labels(tags)
    if not 0 <= grace <= _LONGEST_GRACE:
        raise ValueError(f"grace={grace} is not a number of seconds from 0 to {_LONGEST_GRACE}")
    if auth is None:
        auths: tuple[Authenticator, ...] = (NoAuth(),)
    elif isinstance(auth, Authenticator):
        auths = (auth,)
    else:
        auths = _mechanisms(auth)
        if not auths:
            raise ValueError("auth= is an empty list, and nobody could connect: leave it out")
    names = [one.name for one in auths]
    if len(set(names)) < len(names):
        raise ValueError(f"auth= has two mechanisms of one name: {', '.join(names)}")
    return Settings(
        addresses=parsed,
        name=socket.gethostname() if name is None else name,
        workers=usable_processors() if workers is None else workers,
        auths=auths,
        insecure=insecure,
        tags=labels,
        max_connections=max_connections,
        memory_limit=memory_limit,
        grace=grace,
        local_users=allow_local_users,
    )


def _mechanisms(given: Any) -> tuple[Authenticator, ...]:
    """Several mechanisms; raises `TypeError` where they are none."""
    auths = tuple(given) if isinstance(given, Iterable) else (given,)
    if not all(isinstance(auth, Authenticator) for auth in auths):
        raise TypeError(f"auth is an Authenticator, or several, not {given!r:.100}")
    return auths


def _labels(tags: Any) -> tuple[str, ...]:
    """The tags, of which there may be only one; raises `TypeError`."""
    labels = (tags,) if isinstance(tags, str) else tags
    if isinstance(labels, bytes) or not isinstance(labels, Iterable):
        raise TypeError(f'tags are strings, such as ["gpu"], not {tags!r:.100}')
    labels = tuple(labels)
    if not all(isinstance(label, str) for label in labels):
        raise TypeError(f'tags are strings, such as ["gpu"], not {tags!r:.100}')
    return labels


def _addresses(given: Union[AddressLike, Iterable[AddressLike]]) -> tuple[Address, ...]:
    single = isinstance(given, (str, Address)) or (
        isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], int)
    )
    things: Any = given
    if single or not isinstance(things, Iterable):  # what is neither, parse_address refuses
        things = (things,)
    parsed = tuple(parse_address(item) for item in things)
    if not parsed:
        raise AddressError("no address to listen on: give one, for example '127.0.0.1:11111'")
    for address in parsed:
        if address.kind not in ("tcp", "unix"):
            raise AddressError(
                f"a server cannot listen on {str(address)!r}: "
                "give host:port or unix:///absolute/path"
            )
        if "user" in address.options:
            raise AddressError(
                f"user= in {str(address)!r} is for clients, who say by it whose server they "
                "trust; whom a server trusts, --allow and --allow-local-users say"
            )
    return parsed
