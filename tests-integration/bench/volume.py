"""Large NumPy arrays to a worker and back.

The task returns its argument. The time of one echo is from the submit to the result, and the speed
is twice the array's size by that time. The raw bound is `raw.Mirror`. Contestants take turns for
every single echo; a ratio is farm's speed over the raw speed of the same round.

The client's memory is measured in a fresh process: its peak resident size after a few echoes, less
its resident size before the array was made (NumPy and farm imported, the kernel connected, one
small echo done), in parts of the array's size. Two of it are the array and the array that came
back, which the program holds at the same time; the result of the echo before is given up first.
"""

from __future__ import annotations

from contextlib import ExitStack
from time import perf_counter
from typing import Any, Callable

import tasks
from effort import Effort
from farms import TRANSPORTS, Farm
from fresh import run
from raw import Mirror
from table import Table, at_least, at_most

import farm_client as farm

try:
    import numpy as np
except ImportError:
    np = None

SIZES = (8, 64)  # MB


def measure(table: Table, effort: Effort) -> None:
    """Each transport, each size."""
    if np is None:
        table.skip("echo of NumPy arrays", "NumPy is not installed for this interpreter")
        return
    for transport in TRANSPORTS:
        for size in SIZES:
            _measure(table, effort, transport, size)
    with Farm() as place:
        for size in SIZES:
            samples = [run("peak", place.address(), size << 20) for _ in range(effort.of(3, 1))]
            name = f"{size} MB, client's peak memory over the array's"
            table.add(name, "x", samples, at_most(2.3))


def _measure(table: Table, effort: Effort, transport: str, size: int) -> None:
    count = size << 20
    value = np.arange(count // 8)
    with ExitStack() as stack:
        raw = stack.enter_context(Mirror(transport, count))
        channel = stack.enter_context(Farm()).kernel(transport).make_channel()

        def echo() -> Any:
            farm.submit_task(channel, tasks.echo, value)
            return farm.receive_result(channel)

        for back in (echo(), np.frombuffer(raw.echo(value), value.dtype)):
            if not np.array_equal(back, value):
                raise AssertionError("wrong results")

        def speed(work: Callable[[], Any]) -> float:
            started = perf_counter()
            back = work()
            elapsed = perf_counter() - started
            assert len(memoryview(back).cast("B")) == count
            return 2 * count / elapsed / 1e9

        rounds = effort.of(40 if size < 32 else 15, 5)
        samples = effort.interleave(
            {"raw": lambda: speed(lambda: raw.echo(value)), "farm": lambda: speed(echo)},
            rounds=rounds,
            warmups=3,
        )
    name = f"{transport}, {size} MB echo"
    table.add(name, "GB/s", samples["farm"], raw=samples["raw"])
    table.compare(f"{name} over raw", samples["farm"], samples["raw"], at_least(0.7))
