"""How functions travel: what the first submit costs, what the later ones do, and what is moved.

first submit
    Of a lambda that was just made, in a file of some hundred lines, until ``submit_task`` returns;
    a worker is idle. As bytecode, which is what equal interpreters use, and as source.
later submits
    Many tasks of one function, as in ``throughput``: of an importable function, of a lambda, and
    of a closure over a number. The ratios are taken within each round.
source over bytecode
    The time of the same many tasks of the closure, on a kernel that was made to send source, over
    that on one that sends bytecode.
1 MB, 200 tasks
    What is sent to each of two workers, in bytes, for 200 tasks of a closure over 1 MB of bytes.
redefined
    What is sent for a function that changed while its neighbours, which captured 1 MB, did not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any, Callable

from effort import Effort
from farms import Farm
from table import Table, at_least, at_most

import farm_client as farm
from farm_common.stream import Stream

MEGABYTE = 1_000_000

CALLS = 200


@contextmanager
def source_forced() -> Iterator[None]:
    """Kernels that are made meanwhile send source to interpreters like this one, too."""
    os.environ["FARM_SHIPPING"] = "source"
    try:
        yield
    finally:
        del os.environ["FARM_SHIPPING"]


@contextmanager
def counted() -> Iterator[dict[int, int]]:
    """Count the bytes that are sent on each connection, by its descriptor."""
    sent: dict[int, int] = {}
    send = Stream.send

    def counting(self: Stream, segments: Any) -> bool:
        ident = self.fileno()
        sent[ident] = sent.get(ident, 0) + sum(memoryview(part).nbytes for part in segments)
        return send(self, segments)

    Stream.send = counting  # type: ignore[method-assign]
    try:
        yield sent
    finally:
        Stream.send = send  # type: ignore[method-assign]


def make_lambda(number: int) -> Callable[[int], int]:
    """A lambda that no kernel has seen: it captured another number."""
    return lambda x: x + number


def many(channel: farm.Channel, task: Callable[[int], int], count: int, expected: int) -> float:
    """Tasks per second."""
    submit, receive = farm.submit_task, farm.receive_result
    started = perf_counter()
    for i in range(count):
        submit(channel, task, i)
    total = sum([receive(channel) for _ in range(count)])
    elapsed = perf_counter() - started
    if total != expected:
        raise AssertionError("wrong results")
    return count / elapsed


def first(channel: farm.Channel, number: int) -> float:
    """Microseconds until the first submit of a lambda returns."""
    task = make_lambda(number)
    started = perf_counter()
    farm.submit_task(channel, task, 1)
    elapsed = perf_counter() - started
    if farm.receive_result(channel) != number + 1:
        raise AssertionError("a wrong result")
    return elapsed * 1e6


def measure(table: Table, effort: Effort) -> None:
    """First and later submits, both ways, and the bytes."""
    count = effort.of(50_000, 5_000)
    with ExitStack() as stack:
        place = stack.enter_context(Farm())
        bytecode = stack.enter_context(place.kernel()).make_channel()
        with source_forced():
            source = stack.enter_context(place.kernel()).make_channel()
        # The very first one imports and indexes; it is the same for each process once.
        begun = [first(bytecode, -1), first(source, -2)]
        rounds = range(effort.of(200, 20))
        table.add("first submit", "us", [first(bytecode, i) for i in rounds], at_most(1000.0))
        table.add("first submit, source", "us", [first(source, i) for i in rounds], at_most(1000.0))
        table.add("the very first, bytecode", "us", begun[:1])
        table.add("the very first, source", "us", begun[1:])

        total = sum(range(count))
        plain, closure = make_plain(), make_lambda(1)
        samples = effort.interleave(
            {
                "importable": lambda: many(bytecode, abs, count, total),
                "lambda": lambda: many(bytecode, plain, count, total),
                "closure": lambda: many(bytecode, closure, count, total + count),
                "source": lambda: many(source, closure, count, total + count),
            },
            rounds=effort.of(7, 3),
        )
        for name in ("importable", "lambda", "closure", "source"):
            table.add(f"later submits: {name}", "/s", samples[name])
        importable = samples["importable"]
        table.compare("lambda over importable", samples["lambda"], importable, at_least(0.7))
        table.compare("closure over importable", samples["closure"], importable, at_least(0.7))
        table.compare(
            "time by source over bytecode", samples["closure"], samples["source"], at_most(1.2)
        )

    with ExitStack() as stack:
        channel = stack.enter_context(stack.enter_context(Farm()).kernel()).make_channel()
        count_bytes(table, channel)


def make_plain() -> Callable[[int], int]:
    """A lambda that captured nothing."""
    return lambda x: x


def count_bytes(table: Table, channel: farm.Channel) -> None:
    """What a large capture and a redefinition cost."""
    data = os.urandom(MEGABYTE)

    def neighbour(i: int) -> int:
        return len(data) + i

    def redefine(number: int) -> Callable[[int], int]:
        def helper(i: int) -> int:
            return i + number

        def task(i: int) -> int:
            return helper(i) if i % 2 else neighbour(i)

        return task

    with counted() as sent:
        for i in range(CALLS):
            channel.submit(neighbour, i)
        if sum(farm.do_fast_receives(channel, CALLS)) != CALLS * MEGABYTE + sum(range(CALLS)):
            raise AssertionError("wrong results")
    table.add("1 MB, 200 tasks: most to a worker", "MB", [max(sent.values()) / 1e6], at_most(1.1))
    task = redefine(1)
    with counted() as sent:
        for i in range(CALLS):
            channel.submit(task, i)
        list(farm.do_fast_receives(channel, CALLS))
    table.add("a function beside it", "MB", [max(sent.values()) / 1e6])
    task = redefine(2)
    with counted() as sent:
        for i in range(CALLS):
            channel.submit(task, i)
        list(farm.do_fast_receives(channel, CALLS))
    table.add("the same, redefined", "MB", [max(sent.values()) / 1e6], at_most(0.1))
