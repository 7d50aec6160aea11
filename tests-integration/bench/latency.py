"""One null task at a time: how long from the call to its result.

Per round and contestant a few thousand calls follow one another, each after the result of the one
before. p50 and p99 are of the calls of a round; the figure is the median over the rounds, and a
ratio is the median of the rounds' ratios. CPU is the client process's, all threads, per call.

raw
    `raw.Caller`: blocking sockets and the same pickle work, with no frames, no threads, no
    choice of worker.
submit_task
    ``submit_task(channel, abs, -5)``, then ``receive_result(channel)``.
future
    ``future(abs, -5).result()``.
Pool.apply
    Of a `multiprocessing.Pool`; its pipes are the same whatever the transport.

Where the system puts the two ends makes more of a difference than anything else: a ping-pong of two
blocking processes may take 12 µs while they share a processor and 80 while they do not, because
an idle processor must be woken up each time, and it changes from round to round. So the
two are also compared where both ends are held on one processor (*together*), and on two (*apart*).
"""

from __future__ import annotations

from contextlib import ExitStack
from time import perf_counter, process_time
from typing import Any, Callable, NamedTuple

from effort import Effort
from farms import TRANSPORTS, Farm
from peers import make_pool
from placement import POSSIBLE, placed
from raw import Caller
from table import Table, at_most

import farm_client as farm


class Trips(NamedTuple):
    """Microseconds of one round's calls."""

    p50: float
    p99: float
    cpu: float


def trips(call: Callable[[], Any], count: int) -> Trips:
    """Make so many calls, one after the other."""
    times = []
    cpu = process_time()
    for _ in range(count):
        started = perf_counter()
        result = call()
        times.append(perf_counter() - started)
        assert result == 5
    cpu = process_time() - cpu
    times.sort()
    p50, p99 = times[count // 2], times[count * 99 // 100]
    return Trips(p50 * 1e6, p99 * 1e6, cpu / count * 1e6)


def measure(table: Table, effort: Effort) -> None:
    """Both transports, one after the other."""
    for transport in TRANSPORTS:
        _measure(table, effort, transport)


def _measure(table: Table, effort: Effort, transport: str) -> None:
    count = effort.of(2000, 300)
    with ExitStack() as stack:
        pool = stack.enter_context(make_pool())
        raw = stack.enter_context(Caller(transport))
        kernel = stack.enter_context(stack.enter_context(Farm()).kernel(transport))
        channel = kernel.make_channel()

        def by_channel() -> Any:
            farm.submit_task(channel, abs, -5)
            return farm.receive_result(channel)

        samples = effort.interleave(
            {
                "raw": lambda: trips(lambda: raw.call("abs", -5), count),
                "submit_task": lambda: trips(by_channel, count),
                "future": lambda: trips(lambda: farm.future(abs, -5).result(), count),
                "Pool": lambda: trips(lambda: pool.apply(abs, (-5,)), count // 4),
            },
            rounds=effort.of(9, 3),
            warmups=2,
        )
        pids = [raw.pid, *(info.pid for info in kernel.workers())]
        pinned = {}
        for name, apart in (("together", False), ("apart", True)) if POSSIBLE else ():
            with placed(pids, apart):
                pinned[name] = effort.interleave(
                    {
                        "raw": lambda: trips(lambda: raw.call("abs", -5), count),
                        "submit_task": lambda: trips(by_channel, count),
                    },
                    rounds=effort.of(7, 3),
                )
    ways = {name: Trips(*zip(*each)) for name, each in samples.items()}
    bound, peer = ways["raw"], ways["Pool"]
    for name in ("submit_task", "future"):
        ours = ways[name]
        prefix = f"{transport}, {name}: "
        table.add(f"{prefix}p50", "us", ours.p50, raw=bound.p50, Pool_apply=peer.p50)
        table.compare(f"{prefix}p50 over raw", ours.p50, bound.p50, at_most(2.0))
        table.compare(f"{prefix}p50 over Pool.apply", ours.p50, peer.p50, at_most(1.0))
        table.add(f"{prefix}p99", "us", ours.p99, raw=bound.p99, Pool_apply=peer.p99)
        table.add(f"{prefix}CPU", "us", ours.cpu, raw=bound.cpu, Pool_apply=peer.cpu)
    for name, samples in pinned.items():
        ours50, raw50 = ([trip.p50 for trip in samples[each]] for each in ("submit_task", "raw"))
        prefix = f"{transport}, {name}, submit_task: p50"
        table.add(prefix, "us", ours50, raw=raw50)
        table.compare(f"{prefix} over raw", ours50, raw50, at_most(2.0))
    if not pinned:
        table.skip(f"{transport}, together and apart", "processes cannot be placed here")
