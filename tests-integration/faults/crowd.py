"""Large numbers: kernels, connections and deaths at one server, and what they cost it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from typing import Callable

import deaths
from census import resident, sample
from soak import curve

import farm_client as farm

__all__ = ["run"]


def run(scale: float, seed: int, say: Callable[[str], object] = print) -> None:
    """64 kernels; 1,000 connections of one client; 1,000 killed clients; 10,000 connections.

    Args:
        scale: The part of these numbers to do; 1 is all.
        seed: What chance depends on.
        say: Takes each line of the report.

    Raises:
        AssertionError: Something is left at the server, or it grew.
    """
    logging.getLogger("farm").setLevel(logging.CRITICAL)
    command = [sys.executable, "-m", "farm_server", "127.0.0.1:0", "--workers", "2"]
    server = subprocess.Popen(
        [*command, "--log-level", "critical", "--max-connections", "2000", *deaths.grace(1)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        address = server.stdout.readline().split()[2]
        empty = sample(server.pid, 0.0)
        _kernels(address, max(2, round(64 * scale)), say)
        _connections(address, server.pid, max(2, round(1000 * scale)), say)
        before = deaths.settle(server.pid, empty)
        for name, act, count in (
            ("killed clients", deaths.kill_clients, max(10, round(1000 * scale))),
            ("connections that come and go", deaths.come_and_go, max(10, round(10_000 * scale))),
        ):
            began = time.monotonic()
            points = act(address, server.pid, count, seed, max(1, count // 10))
            after = deaths.settle(server.pid, before)
            say(f"{count} {name} in {time.monotonic() - began:.0f} s:")
            for line in curve([*points, after._replace(at=time.monotonic() - began)]):
                say(line)
            assert after.memory < before.memory + 8, f"the server grew by {name}"
    finally:
        server.send_signal(signal.SIGTERM)
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)


def _kernels(address: str, count: int, say: Callable[[str], object]) -> None:
    began = time.monotonic()
    kernels = [farm.make_kernel(f"{address}?workers=1", timeout=100) for _ in range(count)]
    made = time.monotonic() - began
    channels = [kernel.make_channel() for kernel in kernels]
    for value in range(500):
        for number, channel in enumerate(channels):
            channel.submit(divmod, 1000 * number + value, 1000)
    for number, channel in enumerate(channels):
        assert sorted(channel) == [(number, value) for value in range(500)]
    took = time.monotonic() - began - made
    for kernel in kernels:
        kernel.end()
    say(f"{count} kernels: made in {made:.1f} s, {500 * count} tasks in {took:.1f} s")


def _connections(address: str, server: int, count: int, say: Callable[[str], object]) -> None:
    began = time.monotonic()
    before = resident(os.getpid())
    # The server advertises two; each address is as many more of them.
    kernel = farm.make_kernel([f"{address}?workers=2"] * (count // 2), timeout=300)
    with kernel:
        made = time.monotonic() - began
        assert len(set(kernel.broadcast_task("os:getpid"))) == 2 * (count // 2)
        channel = kernel.make_channel()
        for value in range(50 * count):
            channel.submit(abs, -value)
        assert sorted(channel) == list(range(50 * count))
        took = time.monotonic() - began - made
        say(
            f"{2 * (count // 2)} connections of one client: made in {made:.1f} s, a broadcast and "
            f"{50 * count} tasks in {took:.1f} s; the client grew by "
            f"{resident(os.getpid()) - before:.0f} MB, the server has {resident(server):.0f} MB"
        )
