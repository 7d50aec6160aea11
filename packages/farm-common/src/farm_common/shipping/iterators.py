"""Reduces iterators: where they are, and what is to come.

CPython's and PyPy's say it alike, but for some, and cannot be told the other's. So what they say
is read, and what is sent are constructor calls (`rebuild_iterators`). From Python 3.14 on those of
`itertools` say nothing, and do not travel from there.
"""

from __future__ import annotations

import array
import collections
import itertools
import operator
import sys
import threading
import types
import warnings
from typing import Any, Callable

from . import rebuild_iterators as rebuild
from .refusals import Refusal, refuse

__all__ = ["REDUCERS"]

_PYPY = sys.implementation.name == "pypy"

_quiet = threading.Lock()


def _state(iterator: Any) -> tuple[Any, tuple[Any, ...], Any]:
    """What an iterator says of itself: a callable, its arguments, and its state or None."""
    try:
        try:
            function, args, *state = iterator.__reduce__()
        except DeprecationWarning:  # from Python 3.12 on, if warnings are errors
            with _quiet, warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                function, args, *state = iterator.__reduce__()
    except TypeError:
        kind = type(iterator)
        raise Refusal(
            f"an iterator ({kind.__module__}.{kind.__qualname__}) cannot travel: this version of "
            f"Python cannot tell where it is; make a list of it",
            iterator,
        ) from None
    return function, args, state[0] if state else None


def _sequence(iterator: Any) -> Any:
    _, args, index = _state(iterator)
    return rebuild.sequence_iterator, (args[0], index or 0)


def _range(iterator: Any) -> Any:
    _, args, index = _state(iterator)
    if len(args) == 3:  # PyPy: where it is, how many are to come, step
        start, count, step = args
        return rebuild.sequence_iterator, (range(start, start + count * step, step),)
    if (
        len(args) == 4
    ):  # PyPy, for large numbers: start, step, how many in all, how many of them done
        start, step, count, done = args
        return rebuild.sequence_iterator, (range(start + done * step, start + count * step, step),)
    return rebuild.sequence_iterator, (args[0], index or 0)


def _listed(iterator: Any) -> Any:
    """Of a set or a dict: there is nothing to go back to but a list of what is to come."""
    # PyPy 7.3.11 dies of being asked for the state of one that is at its end.
    if _PYPY and operator.length_hint(iterator) == 0:
        return rebuild.sequence_iterator, ([],)
    return rebuild.sequence_iterator, (_state(iterator)[1][0],)


def _reversed(iterator: Any) -> Any:
    function, args, index = _state(iterator)
    if function is not reversed or index is None:  # at its end
        return rebuild.sequence_iterator, ([],)
    return rebuild.reverse_iterator, (args[0], index)


def _deque(iterator: Any) -> Any:
    _, (deque, count), _ = _state(iterator)
    return rebuild.sequence_iterator, (deque, count)


def _reversed_deque(iterator: Any) -> Any:
    _, (deque, count), _ = _state(iterator)
    return rebuild.reverse_iterator, (deque, len(deque) - 1 - count)


def _zip(iterator: Any) -> Any:
    _, args, strict = _state(iterator)
    return (rebuild.zip_iterator, (args, True)) if strict else (zip, args)


def _map(iterator: Any) -> Any:
    _, args, strict = _state(iterator)
    return (rebuild.map_iterator, (args[0], args[1:], True)) if strict else (map, args)


def _generator(generator: Any) -> Any:
    """PyPy has ``iter(function, sentinel)`` as a generator."""
    code = generator.gi_code
    if code.co_name == "iter_generator" and code.co_filename.startswith("<builtin>"):
        frame = generator.gi_frame
        if frame is None:
            return rebuild.sequence_iterator, ([],)
        names = frame.f_locals
        return iter, (names["callable_"], names["sentinel"])
    raise Refusal("a generator cannot travel: make a list of it, or send its function", generator)


# itertools


def _plain(iterator: Any) -> Any:
    return _state(iterator)[:2]


def _until(iterator: Any) -> Any:
    """What ``iter(function, end)`` gives, on PyPy from 8.0 on."""
    if iterator._exhausted:
        return rebuild.sequence_iterator, ([],)
    return iter, (iterator._callable, iterator._sentinel)


def _cycle(iterator: Any) -> Any:
    _, (rest,), (saved, *where) = _state(iterator)
    if _PYPY and len(where) == 1:  # from 8.0 on: 0 in the first round
        return rebuild.cycle_iterator, (saved, None if where[0] else rest, where[0])
    if len(where) == 2:  # PyPy
        index, over = where
        return rebuild.cycle_iterator, (saved, None if over else rest, index)
    if not where[0]:
        return rebuild.cycle_iterator, (saved, rest, 0)
    return rebuild.cycle_iterator, (saved, None, len(saved) - operator.length_hint(rest))


def _islice(iterator: Any) -> Any:
    function, (inner, *bounds), taken = _state(iterator)
    if len(bounds) < 3:  # at its end
        return function, (inner, *bounds)
    start, stop, step = bounds
    if stop is not None:
        stop = max(stop - taken, 0)
    return function, (inner, start - taken, stop, step)


def _accumulate(iterator: Any) -> Any:
    function, args, total = _state(iterator)
    if total is None:  # at its start, or, where the total is None, an islice of another one
        return function, args
    return rebuild.accumulate_iterator, (*args, total)


def _chain(iterator: Any) -> Any:
    _, _, state = _state(iterator)
    return rebuild.chain_iterator, tuple(state) if state else (iter(()),)


def _combinations(name: str) -> Callable[[Any], Any]:
    def reduce(iterator: Any) -> Any:
        function, args, state = _state(iterator)
        if name != "permutations":
            return (
                (function, args)
                if state is None
                else (rebuild.combination_iterator, (name, args, state, True))
            )
        if state is None:
            return function, args
        size = args[1]
        # CPython says where it was; PyPy where it will be next, and whether that is the end.
        if len(state) == 3 and state[2]:
            return function, ((), max(size, 1))
        return rebuild.combination_iterator, (name, args, state[0][:size], len(state) == 2)

    return reduce


def _takewhile(iterator: Any) -> Any:
    function, (predicate, inner), over = _state(iterator)
    return function, (predicate, () if over else inner)


def _dropwhile(iterator: Any) -> Any:
    function, args, begun = _state(iterator)
    return (rebuild.dropwhile_iterator, args[1:]) if begun else (function, args)


def _groupby(iterator: Any) -> Any:
    function, args, state = _state(iterator)
    if state is None:
        return function, args
    value, given, current = state
    return rebuild.groupby_iterator, (*args, value, bool(given == current))


def _zip_longest(iterator: Any) -> Any:
    _, args, fill = _state(iterator)
    return rebuild.zip_longest_iterator, (args, fill)


class _Sequence:
    """One that is iterated over by its indices."""

    def __getitem__(self, index: int) -> Any:
        raise IndexError(index)


def _kinds(*values: Any) -> list[type]:
    return [type(value) for value in values]


_DICT: dict[int, int] = {}
_ODICT: collections.OrderedDict[int, int] = collections.OrderedDict()

REDUCERS: dict[type, Callable[[Any], Any]] = {
    # PyPy has one type for several of these.
    **dict.fromkeys(
        _kinds(
            *(iter([]), iter(()), iter(""), iter("\xe9"), iter(b""), iter(bytearray())),
            *(iter(array.array("b")), iter(_Sequence())),
        ),
        _sequence,
    ),
    **dict.fromkeys(
        _kinds(
            *(iter(_DICT), iter(_DICT.values()), iter(_DICT.items()), iter(_ODICT), iter(set())),
            *(reversed(_DICT), reversed(_DICT.values()), reversed(_DICT.items())),
            *(reversed(_ODICT), iter(_ODICT.items()), iter(_ODICT.values())),
        ),
        _listed,
    ),
    **dict.fromkeys(_kinds(iter(range(0)), iter(range(1 << 100))), _range),
    **dict.fromkeys(_kinds(reversed([]), reversed(())), _reversed),
    type(iter(collections.deque())): _deque,
    type(reversed(collections.deque())): _reversed_deque,
    zip: _zip,
    map: _map,
    types.GeneratorType: _generator,
    **dict.fromkeys(
        (
            *(itertools.count, itertools.repeat, itertools.compress, itertools.filterfalse),
            itertools.starmap,
        ),
        _plain,
    ),
    itertools.cycle: _cycle,
    itertools.islice: _islice,
    itertools.accumulate: _accumulate,
    itertools.chain: _chain,
    **{
        getattr(itertools, name): _combinations(name)
        for name in ("product", "permutations", "combinations", "combinations_with_replacement")
    },
    itertools.takewhile: _takewhile,
    itertools.dropwhile: _dropwhile,
    itertools.groupby: _groupby,
    itertools.zip_longest: _zip_longest,
}

if _PYPY:
    # 7.3.11 dies of being asked for the state of one that is at its end, and nothing says whether
    # one is.
    REDUCERS[enumerate] = refuse
    if hasattr(iter(int, 0), "_sentinel"):
        REDUCERS[type(iter(int, 0))] = _until
