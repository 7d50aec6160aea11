"""A long run of everything: what grows, and what does not.

Kernels are made and ended, all kinds of tasks run, workers die, connections break, for as long as
is asked for, with one server. At equal intervals it notes what the server and this client have:
memory, descriptors, children. The end tells the curves; it fails if the last quarter has more than
the second, for in the first caches fill.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Callable

import deaths
from census import Sample, children, sample
from fault_proxy import FaultProxy
from ledger import Ledger

import farm_client as farm

__all__ = ["curve", "run"]

#: How many points a curve has.
_POINTS = 60

#: What the last quarter may have more than the second on average, in MB, and in descriptors.
_MEMORY = {"server": 4.0, "client": 16.0}
_DESCRIPTORS = 2.0


def run(minutes: float, seed: int, say: Callable[[str], object] = print) -> None:
    """Soak for some minutes.

    Raises:
        AssertionError: Something grows, or is not as promised.
    """
    say(f"soak for {minutes:g} minutes with seed {seed}")
    logging.getLogger("farm").setLevel(logging.CRITICAL)
    chance = random.Random(seed)
    command = [sys.executable, "-m", "farm_server", "127.0.0.1:0", "--workers", "2"]
    server = subprocess.Popen(
        [*command, "--log-level", "critical", *deaths.grace(1)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    address = server.stdout.readline().split()[2]
    try:
        with FaultProxy(address, seed) as proxy:
            samples = _soak(minutes, chance, server.pid, address, proxy)
        for name, points in samples.items():
            say(f"{name}:")
            for line in curve(points):
                say(line)
        if minutes >= 2:
            for name, points in samples.items():
                _check(name, points)
    finally:
        server.send_signal(signal.SIGTERM)
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)


def _soak(
    minutes: float, chance: random.Random, server: int, address: str, proxy: FaultProxy
) -> dict[str, list[Sample]]:
    began = time.monotonic()
    interval = max(2.0, 60 * minutes / _POINTS)
    samples: dict[str, list[Sample]] = {"server": [], "client": []}
    number = 0
    while time.monotonic() < began + 60 * minutes:
        until = min(time.monotonic() + interval, began + 60 * minutes)
        while time.monotonic() < until:
            number += 1
            with tempfile.TemporaryDirectory() as folder:
                _life(chance, server, proxy, Ledger(folder), number)
            if number % 5 == 0:
                deaths.come_and_go(address, server, 20, number, 20)
        # Sessions that have just ended are not counted.
        _calm(server)
        gc.collect()
        at = time.monotonic() - began
        samples["server"].append(sample(server, at))
        samples["client"].append(sample(os.getpid(), at))
    return samples


def _life(
    chance: random.Random, server: int, proxy: FaultProxy, ledger: Ledger, number: int
) -> None:
    """One kernel, from its beginning to its end."""
    with farm.make_kernel(proxy.address, timeout=60, output="discard") as kernel:
        with farm.task_category(f"life {number}"):
            channel = kernel.make_channel()
            for value in range(2000):
                channel.submit(abs, -value)
            assert sorted(channel) == list(range(2000))
        shared = farm.shared(bytes(1 << 20))
        assert farm.pmap(lambda n: len(shared.value) + n, range(50))[0] == 1 << 20
        shared.release()
        for what, amount in (("large", 2_000_000), ("print", 1000), ("fail", None), ("die", 3)):
            ledger.submit(what, amount, 3)
        for _ in range(30):
            ledger.submit("sleep", 0.005, 3)
        deed = chance.randrange(4)
        if deed == 0:
            proxy.cut()
        elif deed == 1:
            for pid in children(server):
                with contextlib.suppress(ProcessLookupError):  # one of a kernel that has just ended
                    os.kill(pid, signal.SIGKILL)
        elif deed == 2:
            farm.future("time:sleep", 1e6)
        ledger.close(60)


def _calm(server: int) -> None:
    deadline = time.monotonic() + 120
    while children(server):
        assert time.monotonic() < deadline, "sessions are left at the server"
        time.sleep(0.05)


def curve(points: Sequence[Sample]) -> list[str]:
    """Samples as lines of text, with a bar for the memory."""
    most = max(point.memory for point in points)
    lines = ["      s      MB  descriptors  children"]
    for point in points:
        bar = "#" * round(40 * point.memory / most)
        numbers = f"{point.memory:7.1f} {point.descriptors:12d} {point.children:9d}"
        lines.append(f"{point.at:7.0f} {numbers}  {bar}")
    return lines


def _check(name: str, points: Sequence[Sample]) -> None:
    quarter = max(1, len(points) // 4)
    early, late = points[quarter : 2 * quarter], points[-quarter:]
    for what, most in (("memory", _MEMORY[name]), ("descriptors", _DESCRIPTORS)):
        before, after = (
            sum(getattr(point, what) for point in part) / len(part) for part in (early, late)
        )
        assert after - before <= most, f"{what} of the {name} rose from {before:.1f} to {after:.1f}"
