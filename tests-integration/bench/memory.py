"""What idle workers and queued tasks occupy; Linux only, it is read from ``/proc``.

idle worker
    Resident size (RSS) and proportional share (PSS: what is shared with the forking server counts
    in parts) of the larger of two workers that have executed a null task. Beside it a bare
    interpreter that waits for its input, and a worker of a `multiprocessing.Pool`, which is forked
    from this program and so has what it has imported.
queued task
    The growth of a fresh client's resident size by submitting tasks ``abs(-i)`` while both workers
    execute a long one, by the number of tasks. The integers are counted.
"""

from __future__ import annotations

import os
import subprocess
import sys
from time import sleep

from effort import Effort
from farms import Farm
from fresh import run
from peers import make_pool
from table import Table, at_most


def occupied(pid: int) -> tuple[float, float]:
    """Resident size and proportional share of a process, in MB."""
    sizes = {}
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name in ("Rss", "Pss"):
                sizes[name] = int(rest.split()[0]) * 1024 / 1e6
    return sizes["Rss"], sizes["Pss"]


def measure(table: Table, effort: Effort) -> None:
    """Idle workers, then queued tasks."""
    if not os.path.exists("/proc/self/smaps_rollup"):
        table.skip("idle workers and queued tasks", "needs the /proc of Linux")
        return
    _measure_workers(table)
    count = effort.of(1_000_000, 100_000)
    with Farm() as place:
        for way in ("submit_task", "future"):
            size = run("queued", place.address(), count, way)
            table.add(f"queued, {way}, {count:,} tasks: each", "B", [size], at_most(1000))


def _measure_workers(table: Table) -> None:
    with make_pool() as pool, Farm() as place:
        peer = occupied(pool.apply(os.getpid))
        bare = _bare()
        kernel = place.kernel()
        sleep(0.5)  # what ends late has ended
        sizes = [occupied(info.pid) for info in kernel.workers()]
    for number, (name, target) in enumerate((("RSS", at_most(20.0)), ("PSS", None))):
        peers = {"bare_interpreter": [bare[number]], "Pool": [peer[number]]}
        size = max(each[number] for each in sizes)
        table.add(f"idle worker's {name}", "MB", [size], target, **peers)


def _bare() -> tuple[float, float]:
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        size = occupied(process.pid)
        process.communicate(b"\n")
    return size
