"""What the pickles of iterators name: the receiving side of `iterators`.

All functions here are part of the wire format: they stay, and take what they took. They use the
constructors only: Python 3.14 cannot set the state of an iterator of `itertools`.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Optional

__all__ = [
    "accumulate_iterator",
    "chain_iterator",
    "combination_iterator",
    "cycle_iterator",
    "dropwhile_iterator",
    "groupby_iterator",
    "map_iterator",
    "reverse_iterator",
    "sequence_iterator",
    "zip_iterator",
    "zip_longest_iterator",
]


def sequence_iterator(sequence: Any, index: int = 0) -> Iterator[Any]:
    """An iterator over a sequence, at an index."""
    if isinstance(sequence, range):
        return iter(sequence[index:])
    iterator: Iterator[Any] = iter(sequence)
    _set_index(iterator, index, index)
    return iterator


def reverse_iterator(sequence: Any, index: int) -> Iterator[Any]:
    """A reverse iterator; the index is that of the element to come."""
    iterator = reversed(sequence)
    _set_index(iterator, index, len(sequence) - 1 - index)
    return iterator


def _set_index(iterator: Any, index: int, steps: int) -> None:
    if steps > 0:
        if hasattr(iterator, "__setstate__"):
            iterator.__setstate__(index)
        else:
            _advance(iterator, steps)


def _advance(iterator: Iterator[Any], steps: int) -> None:
    collections.deque(itertools.islice(iterator, steps), maxlen=0)


def zip_iterator(iterators: Sequence[Any], strict: bool) -> Iterator[Any]:
    """A `zip`; the strict one raises `TypeError` before Python 3.10, which has none."""
    make: Any = zip
    made: Iterator[Any] = make(*iterators, strict=True) if strict else make(*iterators)
    return made


def map_iterator(
    function: Callable[..., Any], iterators: Sequence[Any], strict: bool
) -> Iterator[Any]:
    """A `map`; the strict one raises `TypeError` before Python 3.14, which has none."""
    make: Any = map
    options = {"strict": True} if strict else {}
    made: Iterator[Any] = make(function, *iterators, **options)
    return made


def cycle_iterator(
    saved: Sequence[Any], rest: Optional[Iterator[Any]], index: int
) -> Iterator[Any]:
    """An `itertools.cycle`.

    Args:
        saved: What it gave in its first round so far.
        rest: What is to come in the first round; None if that is over.
        index: Of the element to come, in a later round.
    """
    if rest is None:
        iterator = itertools.cycle(saved)
        _advance(iterator, index % len(saved) if saved else 0)
    else:
        iterator = itertools.cycle(itertools.chain(saved, rest))
        _advance(iterator, len(saved))
    return iterator


def accumulate_iterator(
    iterator: Iterator[Any], function: Optional[Callable[..., Any]], total: Any
) -> Iterator[Any]:
    """An `itertools.accumulate` that gave `total`, which is not None, last."""
    accumulated = itertools.accumulate(iterator, function, initial=total)
    next(accumulated)
    return accumulated


def chain_iterator(source: Iterator[Any], *active: Iterator[Any]) -> Iterator[Any]:
    """An `itertools.chain` over what an iterator gives, after the one that it is in, if any."""
    return itertools.chain.from_iterable(itertools.chain(active, source) if active else source)


def combination_iterator(
    name: str, args: Sequence[Any], indices: Optional[Sequence[int]], given: bool
) -> Iterator[Any]:
    """An iterator of `itertools` over arrangements of what is in pools.

    Args:
        name: ``"product"``, ``"permutations"``, ``"combinations"`` or
            ``"combinations_with_replacement"``.
        args: What that takes; with all pools of a product.
        indices: Where in its pools the elements of the arrangement are that it gave last, or
            will give next; None where it is at its start.
        given: Whether that was given.
    """
    make = getattr(itertools, name)
    iterator: Iterator[Any] = make(*args)
    if indices is not None:
        if name == "product":
            shadow = make(*(range(len(pool)) for pool in args))
        else:
            shadow = make(range(len(args[0])), *args[1:])
        wanted = tuple(indices)
        for current in shadow:
            if current == wanted and not given:
                break
            next(iterator)
            if current == wanted:
                break
    return iterator


def dropwhile_iterator(iterator: Iterator[Any]) -> Iterator[Any]:
    """An `itertools.dropwhile` that drops nothing any more."""
    return itertools.dropwhile(_never, iterator)


def _never(_: Any) -> bool:
    return False


def groupby_iterator(
    iterator: Iterator[Any], key: Optional[Callable[..., Any]], value: Any, inside: bool
) -> Iterator[Any]:
    """An `itertools.groupby`.

    Args:
        iterator: What it is yet to take.
        key: Its function.
        value: The element that it took last.
        inside: Whether that is in the group that it gave last, not in the next one.
    """
    groups = itertools.groupby(itertools.chain((value,), iterator), key)
    if inside:
        next(groups)
    return groups


def zip_longest_iterator(iterators: Sequence[Any], fill: Any) -> Iterator[Any]:
    """An `itertools.zip_longest`."""
    return itertools.zip_longest(*iterators, fillvalue=fill)
