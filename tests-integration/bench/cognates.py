"""The cognates: what default settings make of tiny tasks, even ones and uneven ones.

tiny
    ``pmap(inc, range(n))``: elements per second, beside `multiprocessing.Pool.map`, and beside
    the best number of equal parts, as somebody would set it who tries them all.
even
    400 elements of 5 ms. The figure is the ideal time over the measured one. Ideal is half of the
    time that the elements really took, as they tell: what else there is, is our overhead. Once
    they compute and once they sleep; who wakes up does so on a processor that has gone to sleep.
uneven
    Elements of 0.1 to 100 ms, evenly spread over the orders of magnitude, that get longer, that get
    shorter, and mixed. The figure is the time over that of the best number of equal parts.
sort, reduce
    A million floats and ten million numbers of a NumPy array, over one process that does the same.
stream
    ``pmap_iter`` over a tiny task in ``for``; and in ``async for``, with the longest time for which
    another asyncio task was kept waiting.
"""

from __future__ import annotations

import asyncio
import functools
import operator
import random
from contextlib import ExitStack
from itertools import count, islice
from statistics import median
from time import perf_counter
from typing import Any, Callable, Optional

import tasks
from effort import Effort
from farms import Farm
from peers import make_pool
from table import Table, at_least, at_most

import farm_client as farm

#: The numbers of equal parts that are tried by hand.
_PARTS = (2, 4, 8, 16, 32, 64)


def timed(work: Callable[[], Any], expected: Any = None) -> float:
    """How long something takes; what it returns must be what is expected, if anything is."""
    started = perf_counter()
    result = work()
    elapsed = perf_counter() - started
    if expected is not None and result != expected:
        raise AssertionError("wrong results")
    return elapsed


def measure(table: Table, effort: Effort) -> None:
    """All of the above."""
    with ExitStack() as stack:
        pool = stack.enter_context(make_pool())
        stack.enter_context(stack.enter_context(Farm()).kernel())
        for number in (200_000, 1_000_000):
            _tiny(table, effort, pool, number)
        _even(table, effort)
        _uneven(table, effort)
        _sort(table, effort)
        _reduce(table, effort)
        _stream(table, effort)


def _tiny(table: Table, effort: Effort, pool: Any, number: int) -> None:
    values, expected = range(number), list(range(1, number + 1))

    def rate(work: Callable[[], Any]) -> float:
        return number / timed(work, expected)

    def mapped(parts: Optional[int] = None) -> Callable[[], float]:
        return lambda: rate(lambda: farm.pmap(tasks.increment, values, parts=parts))

    samples = effort.interleave(
        {
            "pmap": mapped(),
            "Pool": lambda: rate(lambda: pool.map(tasks.increment, values)),
            **{f"{parts} parts": mapped(parts) for parts in _PARTS},
            "map": lambda: rate(lambda: list(map(tasks.increment, values))),
        },
        rounds=effort.of(9, 3),
    )
    ours, pools = samples["pmap"], samples["Pool"]
    best = max((samples[f"{parts} parts"] for parts in _PARTS), key=median)
    name = f"tiny, {number // 1000}k"
    peers = {"Pool": pools, "best_parts": best, "one_process": samples["map"]}
    table.add(f"{name}: elements", "/s", ours, **peers)
    table.compare(f"{name}: over Pool.map", ours, pools, at_least(1.0))
    table.compare(f"{name}: over the best equal parts", ours, best)


def _even(table: Table, effort: Effort) -> None:
    number, seconds = effort.of(400, 100), 0.005
    for task in (tasks.spin, tasks.nap_for):

        def efficiency(task: Callable[[float], float], parts: Optional[int] = None) -> float:
            started = perf_counter()
            took = farm.pmap(task, [seconds] * number, parts=parts)
            return sum(took) / 2 / (perf_counter() - started)

        samples = effort.interleave(
            {
                "pmap": functools.partial(efficiency, task),
                "2 parts": functools.partial(efficiency, task, 2),
                "each": functools.partial(efficiency, task, number),
            },
            rounds=effort.of(3, 1),
        )
        table.add(
            f"even, {task.__name__}: of ideal",
            "x",
            samples["pmap"],
            at_least(0.97),
            two_parts=samples["2 parts"],
            one_part_each=samples["each"],
        )


def _uneven(table: Table, effort: Effort) -> None:
    number = effort.of(150, 40)
    longer = [0.0001 * 1000 ** (i / (number - 1)) for i in range(number)]
    mixed = longer[:]
    random.Random(1).shuffle(mixed)
    tries = [parts for parts in (*_PARTS, number) if parts <= number]
    for name, values in (("longer", longer), ("shorter", longer[::-1]), ("mixed", mixed)):

        def seconds(values: list[float], parts: Optional[int] = None) -> float:
            return timed(lambda: farm.pmapc(tasks.nap_for, values, parts=parts))

        samples = effort.interleave(
            {
                "pmap": functools.partial(seconds, values),
                **{str(parts): functools.partial(seconds, values, parts) for parts in tries},
            },
            rounds=effort.of(3, 1),
            warmups=0,
        )
        best = min((samples[str(parts)] for parts in tries), key=median)
        ideal = [sum(values) / 2] * len(best)
        table.add(f"uneven, {name}", "s", samples["pmap"], best_parts=best, ideal=ideal)
        table.compare(f"uneven, {name}: over the best parts", samples["pmap"], best, at_most(1.1))


def _sort(table: Table, effort: Effort) -> None:
    number = effort.of(1_000_000, 200_000)
    values = [random.random() for _ in range(number)]
    expected = sorted(values)
    samples = effort.interleave(
        {
            "psort": lambda: timed(lambda: farm.psort(values), expected),
            "sorted": lambda: timed(lambda: sorted(values), expected),
            "with a key": lambda: timed(lambda: farm.psort(values, key=tasks.increment), expected),
            "sorted with a key": lambda: timed(lambda: sorted(values, key=tasks.increment)),
        },
        rounds=effort.of(5, 1),
    )
    table.add(f"sort, {number // 1000}k floats", "s", samples["psort"], sorted=samples["sorted"])
    table.compare("sort: over sorted", samples["psort"], samples["sorted"])
    keyed, alone = samples["with a key"], samples["sorted with a key"]
    table.compare("sort, a tiny key: over sorted", keyed, alone)


def _reduce(table: Table, effort: Effort) -> None:
    try:
        import numpy as np
    except ImportError:
        table.skip("reduce", "no NumPy")
        return
    number = effort.of(10_000_000, 1_000_000)
    values = np.ones(number)
    samples = effort.interleave(
        {
            "preduce": lambda: timed(lambda: farm.preduce(operator.add, values), number),
            "one": lambda: timed(lambda: functools.reduce(operator.add, values), number),
        },
        rounds=effort.of(3, 1),
    )
    name = f"reduce, {number // 1000}k numbers"
    table.add(name, "s", samples["preduce"], functools_reduce=samples["one"])
    table.compare("reduce: over functools.reduce", samples["preduce"], samples["one"])


def _stream(table: Table, effort: Effort) -> None:
    number = effort.of(1_000_000, 100_000)
    expected = sum(range(1, number + 1))
    rates, stalls = [], []
    for _ in range(effort.of(3, 1)):
        stream = farm.pmap_iter(tasks.increment, count())
        rates.append(number / timed(lambda s=stream: sum(islice(s, number)), expected))  # type: ignore[misc]
        stream.close()
        stalls.append(asyncio.run(_longest_stall(number)) * 1e6)
    table.add("stream: elements", "/s", rates)
    table.add("stream: an event loop is kept waiting", "us", stalls, at_most(50_000))


async def _longest_stall(number: int) -> float:
    """For how long another task waits while a stream is used up, in seconds."""
    longest, last = 0.0, perf_counter()

    async def tick() -> None:
        nonlocal longest, last
        while True:
            await asyncio.sleep(0.001)
            now = perf_counter()
            longest, last = max(longest, now - last), now

    ticker = asyncio.ensure_future(tick())
    async with farm.pmap_iter(tasks.increment, count()) as stream:
        async for value in stream:
            if value == number:
                break
    ticker.cancel()
    return longest
