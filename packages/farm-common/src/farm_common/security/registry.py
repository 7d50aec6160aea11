"""Finds the mechanisms of other wheels by their entry points, so that nobody imports them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..errors import UnsupportedError
from .layer import Authenticator

if TYPE_CHECKING:
    from importlib import metadata

__all__ = ["find_authenticator"]

#: The group of entry points that mechanisms are announced in.
GROUP = "farm.auth"


def find_authenticator(name: str) -> type[Authenticator]:
    """The `Authenticator` class that a wheel announces under `name`.

    Raises:
        UnsupportedError: No installed wheel has it; names those that are there.
        ImportError: The wheel is there and cannot be imported.
    """
    found = {entry.name: entry for entry in _entry_points()}
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise UnsupportedError(
            f"no installed package brings the security mechanism {name!r} (found: {known}); "
            f"pip install farm-{name}"
        )
    loaded: type[Authenticator] = found[name].load()
    return loaded


def _entry_points() -> list[metadata.EntryPoint]:
    from importlib import metadata  # brings the email package: 15 ms and 2 MB for few users

    if sys.version_info >= (3, 10):
        return list(metadata.entry_points(group=GROUP))
    else:  # noqa: RET505 (a type checker calls what follows the block unreachable)
        return list(metadata.entry_points().get(GROUP, ()))  # 3.9 has no group=
