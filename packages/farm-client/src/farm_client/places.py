"""Where workers may be: at an address, or with an executor of the user's."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Union

from farm_common.address import Address, AddressLike, parse_address

if TYPE_CHECKING:
    from .foreign import ForeignSite
    from .site import Site

__all__ = ["Place", "is_at", "list_places", "parse_place"]

#: What `make_kernel` takes.
Place = Union[AddressLike, Executor]


def parse_place(place: Place) -> Union[Address, Executor]:
    """The address that something is a form of, or the executor that it is.

    Raises:
        AddressError: It is neither.
    """
    return place if isinstance(place, Executor) else parse_address(place)


def is_at(site: Union[Site, ForeignSite], place: Union[Address, Executor]) -> bool:
    """Whether a site is that of an address or executor."""
    if site.foreign:
        return site.executor is place
    return not isinstance(place, Executor) and str(site.address) == str(place)


def list_places(places: Union[Place, Iterable[Place]]) -> list[Place]:
    """Some places, of which there may be only one."""
    things: Any = places
    if isinstance(places, (str, Address, Executor)):
        return [places]
    if isinstance(places, tuple) and len(places) == 2:
        port: Any = places[1]
        if isinstance(port, int) or (isinstance(port, str) and port.isdigit()):
            return [things]  # a (host, port) pair; it is not for here to say what is wrong with it
    return list(things) if isinstance(things, Iterable) else [parse_address(things)]
