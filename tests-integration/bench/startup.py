"""From nothing to the first result.

Each sample is a fresh interpreter; the clock starts before its first import and stops when it has
the result of ``abs(-5)``. What starts the interpreter itself and what ends it all is not counted.

farm
    ``import farm_client``, ``make_kernel("local?workers=2")``, one ``future(abs, -5).result()``.
Pool, Executor
    The same with a `multiprocessing.Pool` and a `ProcessPoolExecutor` of 2, with the start method
    that is the interpreter's default.
"""

from __future__ import annotations

from effort import Effort
from fresh import run
from table import Table, at_most


def measure(table: Table, effort: Effort) -> None:
    """Several runs; the first, which may compile modules, does not count."""
    samples = effort.interleave(
        {
            "farm": lambda: run("first_farm"),
            "Pool": lambda: run("first_pool"),
            "Executor": lambda: run("first_executor"),
        },
        rounds=effort.of(11, 3),
    )
    peers = {"Pool": samples["Pool"], "Executor": samples["Executor"]}
    table.add("import to first result, local", "s", samples["farm"], at_most(0.35), **peers)
