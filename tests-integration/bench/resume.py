"""What it costs that sessions outlive their connections, and what it brings.

continue after a cut
    From the moment in which the connections of a kernel of 2 are shut down until the result of a
    task that is submitted right then. The first attempt to reconnect is made at once.
acknowledged
    Null tasks as in `throughput`, and 1 MB there and back, 16 times at once, with a server that
    keeps what was not acknowledged; beside it one that does not (``--grace 0``).
recovery
    10,000 tasks that sleep for 100 us are queued, and the server is killed and started anew on the
    same port. From the first result to the last, so that the pause before the attempt to connect
    that succeeds is not in it; beside it, the same without that.
"""

from __future__ import annotations

from contextlib import ExitStack
from time import perf_counter
from typing import Any

from effort import Effort
from table import Table, at_least, at_most
from throughput import Spent, spend, through_channel

import farm_client as farm
from farm_server import Server, start_server

_QUEUED = 10_000


def measure(table: Table, effort: Effort) -> None:
    """The three of them."""
    _measure_cuts(table, effort)
    _measure_acknowledgements(table, effort)
    _measure_recovery(table, effort)


def _serve(stack: ExitStack, address: str = "127.0.0.1:0", grace: float = 60.0) -> Server:
    server = start_server(address, background=True, workers=2, grace=grace)
    stack.callback(server.end, wait=False)
    return server


def _connect(stack: ExitStack, server: Server) -> farm.Kernel:
    kernel = farm.make_kernel(server.address, timeout=60)
    stack.callback(kernel.end)
    kernel.broadcast_task(abs, -1)
    return kernel


def _measure_cuts(table: Table, effort: Effort) -> None:
    with ExitStack() as stack:
        kernel = _connect(stack, _serve(stack))
        channel = kernel.make_channel()

        def cut() -> float:
            links = kernel._engine.links
            began = perf_counter()
            for link in links:
                link.stream.cut()
            farm.submit_task(channel, abs, -5)
            if farm.receive_result(channel) != 5:
                raise AssertionError("wrong result")
            return perf_counter() - began

        samples = effort.interleave({"cut": cut}, rounds=effort.of(30, 5))
    table.add("continue after a cut", "s", samples["cut"], at_most(0.1))


def _measure_acknowledgements(table: Table, effort: Effort) -> None:
    many, large = effort.of(100_000, 10_000), effort.of(320, 64)
    with ExitStack() as stack:
        channels = {
            grace: _connect(stack, _serve(stack, grace=grace)).make_channel() for grace in (60, 0)
        }

        def null(grace: int) -> Spent:
            return spend(lambda n: through_channel(channels[grace], n), many)

        def arrays(grace: int) -> float:
            channel, value = channels[grace], bytearray(1_000_000)
            began = perf_counter()
            for start in range(0, large, 16):
                for _ in range(start, start + 16):
                    farm.submit_task(channel, _same, value)
                for _ in range(start, start + 16):
                    if len(farm.receive_result(channel)) != len(value):
                        raise AssertionError("wrong result")
            return 2 * large * len(value) / (perf_counter() - began) / 1e9

        samples = effort.interleave(
            {"with": lambda: null(60), "without": lambda: null(0)}, rounds=effort.of(9, 3)
        )
        ours, theirs = Spent(*zip(*samples["with"])), Spent(*zip(*samples["without"]))
        _compare(table, "null tasks, acknowledged", "/s", ours.rate, theirs.rate)
        name = "null tasks, acknowledged: CPU per task"
        table.add(name, "us", ours.cpu, without=theirs.cpu)
        table.compare(f"{name}, over without", ours.cpu, theirs.cpu, at_most(1.05))
        samples = effort.interleave(
            {"with": lambda: arrays(60), "without": lambda: arrays(0)}, rounds=effort.of(9, 3)
        )
        _compare(table, "arrays, acknowledged", "GB/s", samples["with"], samples["without"])


def _compare(table: Table, name: str, unit: str, ours: Any, theirs: Any) -> None:
    table.add(name, unit, ours, without=theirs)
    table.compare(f"{name}: over without", ours, theirs, at_least(0.95))


def _same(value: Any) -> Any:
    return value


def _nap(number: int) -> int:
    import time

    time.sleep(100e-6)
    return number


def _measure_recovery(table: Table, effort: Effort) -> None:
    def collect(channel: farm.Channel) -> float:
        results = [farm.receive_result(channel)]
        began = perf_counter()
        results += [farm.receive_result(channel) for _ in range(_QUEUED - 1)]
        took = perf_counter() - began
        if sorted(results) != list(range(_QUEUED)):
            raise AssertionError("wrong results")
        return took

    def run() -> float:
        with ExitStack() as stack:
            kernel = _connect(stack, _serve(stack))
            channel = kernel.make_channel()
            links = kernel._engine.links
            for link in links:
                link.draining = True  # so that all of them are queued
            for number in range(_QUEUED):
                farm.submit_task(channel, _nap, number)
            for link in links:
                link.draining = False
                kernel._engine._dispatcher.offer(link)
            return collect(channel)

    def recover() -> float:
        with ExitStack() as stack:
            server = _serve(stack)
            channel = _connect(stack, server).make_channel()
            address = server.address
            server.end(wait=False)
            for number in range(_QUEUED):
                farm.submit_task(channel, _nap, number)
            _serve(stack, address)
            return collect(channel)

    samples = effort.interleave({"run": run, "recover": recover}, rounds=effort.of(7, 2))
    table.add("10,000 after a restart", "s", samples["recover"], run=samples["run"])
    table.compare(
        "10,000 after a restart: over running", samples["recover"], samples["run"], at_most(1.0)
    )
