"""What there is in place of an answer when whoever had the tasks lost them."""

from __future__ import annotations

from typing import NamedTuple

from farm_common.frames import Kind

__all__ = ["Lapse"]


class Lapse(NamedTuple):
    """Some tasks failed together, though none of them raised.

    Attributes:
        ident: The id of the first of them.
        count: How many they are.
        error: What they fail with.
        kind: As of the frame in whose place it stands.
    """

    ident: int
    count: int  # type: ignore[assignment]  # hides tuple.count
    error: BaseException
    kind: int = Kind.ERROR
