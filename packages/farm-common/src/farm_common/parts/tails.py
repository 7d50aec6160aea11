"""Runners that call a task on the tails of sequences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable

from ..shipping.shared import Shared
from .mapping import ChainPart, EachPart, MapPart

__all__ = ["ChainTails", "EachTail", "MapTails"]


class MapTails(MapPart):
    """Call the task on the tails of sequences that begin at each of some positions."""

    def calls(self, task: Callable[..., Any], *parts: Any) -> tuple[Iterable[Any], int]:
        """As `MapPart.calls`."""
        return tails(task, *parts)


class EachTail(EachPart):
    """`EachPart` on tails."""

    def calls(self, task: Callable[..., Any], *parts: Any) -> tuple[Iterable[Any], int]:
        """As `MapPart.calls`."""
        return tails(task, *parts)


class ChainTails(ChainPart):
    """`ChainPart` on tails."""

    def calls(self, task: Callable[..., Any], *parts: Any) -> tuple[Iterable[Any], int]:
        """As `MapPart.calls`."""
        return tails(task, *parts)


def tails(
    task: Callable[..., Any], sequences: Shared[Any], starts: Sequence[int]
) -> tuple[Iterable[Any], int]:
    """Calls on the tails of some sequences."""
    return map(task, *[_cut(whole, starts) for whole in sequences.value]), len(starts)


def _cut(whole: Any, starts: Iterable[int]) -> Iterator[Any]:
    return (whole[start:] for start in starts)
