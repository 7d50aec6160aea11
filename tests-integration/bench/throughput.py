"""Many null tasks, submitted one by one: tasks per second, and the client's CPU time for each.

The time is from before the first submit to after the last result. CPU is the client process's, all
threads, per task. Per round each contestant does as many tasks as take it some tenths of a second.

submit_task
    All ``submit_task(channel, abs, -i)``, then all ``receive_result(channel)``.
future
    All ``future(abs, -i)`` into a list, then the ``result()`` of each.
Pool
    All ``apply_async(abs, (-i,))`` of a `multiprocessing.Pool`, then the ``get()`` of each.
Executor
    All ``submit(abs, -i)`` of a `ProcessPoolExecutor`, then the ``result()`` of each.

The rows with another argument than an integer are ``submit_task`` again. A list may change after
the submit, so it is packed at once, each by itself; that is what they show.
"""

from __future__ import annotations

from contextlib import ExitStack
from time import perf_counter, process_time
from typing import Any, Callable, NamedTuple

import tasks
from effort import Effort
from farms import Farm
from peers import make_executor, make_pool
from table import Table, Target, at_least, at_most

import farm_client as farm


class Spent(NamedTuple):
    """What one round came to."""

    rate: float  # tasks per second
    cpu: float  # microseconds of the client per task


def spend(work: Callable[[int], list[Any]], count: int) -> Spent:
    """Do so many tasks, and look at their results afterwards."""
    cpu = process_time()
    started = perf_counter()
    results = work(count)
    elapsed = perf_counter() - started
    cpu = process_time() - cpu
    if sorted(results) != list(range(count)):
        raise AssertionError("wrong results")
    return Spent(count / elapsed, cpu / count * 1e6)


def through_channel(channel: farm.Channel, count: int) -> list[Any]:
    """All tasks, then all results, in the order in which they complete."""
    submit, receive = farm.submit_task, farm.receive_result
    for i in range(count):
        submit(channel, abs, -i)
    return [receive(channel) for _ in range(count)]


def by_futures(count: int) -> list[Any]:
    """All tasks, then all results, in the order in which they were submitted."""
    future = farm.future
    futures = [future(abs, -i) for i in range(count)]
    return [each.result() for each in futures]


def measure(table: Table, effort: Effort) -> None:
    """The null task, then other arguments."""
    many, some, few = effort.of(100_000, 10_000), effort.of(20_000, 2_000), effort.of(4_000, 400)
    with ExitStack() as stack:
        executor = stack.enter_context(make_executor())
        pool = stack.enter_context(make_pool())
        kernel = stack.enter_context(stack.enter_context(Farm()).kernel())
        channel = kernel.make_channel()

        def by_pool(count: int) -> list[Any]:
            pending = [pool.apply_async(abs, (-i,)) for i in range(count)]
            return [each.get() for each in pending]

        def by_executor(count: int) -> list[Any]:
            futures = [executor.submit(abs, -i) for i in range(count)]
            return [each.result() for each in futures]

        samples = effort.interleave(
            {
                "submit_task": lambda: spend(lambda n: through_channel(channel, n), many),
                "Pool": lambda: spend(by_pool, some),
                "future": lambda: spend(by_futures, many),
                "Executor": lambda: spend(by_executor, few),
            },
            rounds=effort.of(7, 3),
        )
        others = effort.interleave(_others(channel, some), rounds=effort.of(5, 2))
    ways = {name: Spent(*zip(*each)) for name, each in samples.items()}
    pools, executors = ways["Pool"], ways["Executor"]
    pypy = Target(60_000, least=True, implementation="pypy")
    least = at_least(200_000) if at_least(1).applies else pypy
    for name in ("submit_task", "future"):
        ours = ways[name]
        peers = {"Pool": pools.rate, "Executor": executors.rate}
        table.add(f"{name}: tasks", "/s", ours.rate, least, **peers)
        table.compare(f"{name}: over Pool.apply_async", ours.rate, pools.rate, at_least(8.0))
        peers = {"Pool": pools.cpu, "Executor": executors.cpu}
        table.add(f"{name}: CPU per task", "us", ours.cpu, at_most(4.0), **peers)
    for name, rates in others.items():
        table.add(f"{name}: tasks", "/s", rates)


def _others(channel: farm.Channel, count: int) -> dict[str, Callable[[], float]]:
    text, values = "x" * 1000, list(range(10))
    named = dict.fromkeys("abcd", 1)

    def rate(submit: Callable[[], None], expected: Any) -> float:
        started = perf_counter()
        for _ in range(count):
            submit()
        results = [farm.receive_result(channel) for _ in range(count)]
        elapsed = perf_counter() - started
        if results != [expected] * count:
            raise AssertionError("wrong results")
        return count / elapsed

    submit = farm.submit_task
    return {
        "string of 1000": lambda: rate(lambda: submit(channel, len, text), 1000),
        "list of 10": lambda: rate(lambda: submit(channel, tasks.measure, values), 10),
        "4 keyword arguments": lambda: rate(lambda: submit(channel, tasks.keywords, **named), 4),
    }
