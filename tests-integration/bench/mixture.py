"""Short tasks among long ones: does a queue at a worker keep them waiting?

Twenty tasks of 0.1 ms arrive together every 10 ms, and one of 80 ms every 250 ms, in the middle of
the twenty. All of them sleep, so that the figure is about scheduling and not about who gets a
processor. That is about a third of what two workers can do: a sleep of 0.1 ms takes 0.2 ms, which
makes a fifth of them in short tasks, and long ones are a sixth. The stream is open: tasks arrive
on time, whatever became of those before.

The figure is the 99th percentile of the short tasks' latency: from the moment when the task arrived
to the moment when the program has its result. Two programs see the same stream of arrivals:

farm's depth
    Each task is submitted when it arrives, and the kernel decides how many go to a worker.
depth one
    No worker is ever sent a task while it has one: at most two are submitted and not yet returned,
    and the others wait in the program, first in, first out, with their clock running.

At depth one a short task waits for what arrived before it, but never behind a long task while
the other worker is free. So the ratio says what it costs to send ahead. If short tasks
were stuck behind long ones it would be about twenty.

In one row short and long tasks are the same function, told apart only by its argument; in the
other, two functions.
"""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import Any, Callable

import tasks
from effort import Effort
from farms import Farm
from table import Table, at_most

import farm_client as farm

SHORT, LONG = 0.000_1, 0.080  # seconds
BURST, BURST_EVERY, LONG_EVERY = 20, 0.010, 0.250

#: No result for so long means that something is broken.
_MOST_SECONDS = 10.0

Arrival = tuple[float, bool]  # when, and whether it is a long one


def arrivals(seconds: float) -> list[Arrival]:
    """The stream, for so long."""
    stream: list[Arrival] = []
    for burst in range(round(seconds / BURST_EVERY)):
        when = burst * BURST_EVERY
        tasks_here = [(when, False)] * BURST
        if burst % round(LONG_EVERY / BURST_EVERY) == 5:
            tasks_here.insert(BURST // 2, (when, True))
        stream += tasks_here
    return stream


def drive(
    channel: farm.Channel, stream: list[Arrival], long: Callable[..., Any], depth: int
) -> list[float]:
    """Run a stream of tasks; return the latencies of the short ones, in microseconds.

    Args:
        channel: For the results.
        stream: When the tasks arrive.
        long: The function of the long ones.
        depth: How many may be submitted and not yet returned.
    """
    began: list[float] = []
    took: list[float] = []
    waiting: deque[int] = deque()
    outstanding = done = 0
    start = perf_counter()
    while done < len(stream):
        now = perf_counter()
        while len(began) < len(stream) and start + stream[len(began)][0] <= now:
            waiting.append(len(began))
            began.append(now)
        while waiting and outstanding < depth:
            ident = waiting.popleft()
            if stream[ident][1]:
                farm.submit_task(channel, long, ident, LONG)
            else:
                farm.submit_task(channel, tasks.nap, ident, SHORT)
            outstanding += 1
        pause = _MOST_SECONDS
        if len(began) < len(stream):
            pause = max(0.0, start + stream[len(began)][0] - perf_counter())
        ident, present = farm.try_receive_result(channel, pause)
        if present:
            outstanding -= 1
            done += 1
            if not stream[ident][1]:
                took.append((perf_counter() - began[ident]) * 1e6)
        elif pause == _MOST_SECONDS:
            raise AssertionError(f"{len(stream) - done} results do not come")
    return took


def measure(table: Table, effort: Effort) -> None:
    """With one function, and with two."""
    stream = arrivals(effort.of(3, 1))
    with Farm() as place:
        channel = place.kernel().make_channel()
        for name, long in (("one function", tasks.nap), ("two functions", tasks.doze)):

            def p99(depth: int, long: Callable[..., Any] = long) -> tuple[float, float]:
                took = sorted(drive(channel, stream, long, depth))
                return took[len(took) // 2], took[len(took) * 99 // 100]

            samples = effort.interleave(
                {"farm": lambda: p99(len(stream)), "one": lambda: p99(2)}, rounds=effort.of(3, 1)
            )
            (ours50, ours99), (one50, one99) = (zip(*samples[each]) for each in ("farm", "one"))
            table.add(f"{name}: short tasks' p50", "us", ours50, depth_one=one50)
            table.add(f"{name}: short tasks' p99", "us", ours99, depth_one=one99)
            table.compare(f"{name}: p99 over depth one", ours99, one99, at_most(2.0))
