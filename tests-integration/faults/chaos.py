"""Chaos, and afterwards the books: every task has one outcome, and ran no more often than promised.

A client submits a mixed load to two servers, each behind a proxy, while workers are killed and
stopped, servers killed and started again, connections cut, reset, delayed and refused, tasks killed
and timed out, all at moments that a seed chooses. In between everything is left in peace and the
books are closed. What is done and submitted depends on the seed; how both meet depends on the
machine, so a run that failed need not fail again, but it is told which seed it had.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Callable

from census import children, descendants
from deaths import grace
from fault_proxy import FaultProxy
from ledger import Ledger

import farm_client as farm

__all__ = ["run"]

#: How long the last tasks may take once everything is in peace, in seconds.
_PEACE = 120.0

#: How long one round of chaos is, in seconds.
_ROUND = 8.0


class _Server:
    """A server that can be killed and comes back at the same address, behind a proxy."""

    def __init__(self, folder: str, name: str, seed: int) -> None:
        self._address = f"unix://{folder}/{name}"
        self.process = self._start()
        self.proxy = FaultProxy(self._address, seed=seed)

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "farm_server", self._address, "--workers", "2"]
        process = subprocess.Popen(
            [*command, "--log-level", "critical", *grace(5)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("farm-server ready"), "a server did not start again"
        return process

    def kill(self) -> None:
        self.process.kill()
        self._reap()

    def restart(self) -> None:
        if self.process.poll() is not None:
            self._reap()
            self.process = self._start()

    def end(self) -> None:
        self.proxy.close()
        self.process.terminate()
        self.process.send_signal(signal.SIGTERM)
        self._reap()

    def _reap(self) -> None:
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


class _Chaos:
    """What is done to two servers and a kernel.

    Args:
        servers: The servers.
        kernel: The kernel.
        chance: What chooses.
    """

    def __init__(self, servers: list[_Server], kernel: farm.Kernel, chance: random.Random) -> None:
        self._servers = servers
        self._kernel = kernel
        self._chance = chance
        self.done: dict[str, int] = {}
        self._deeds: dict[str, Callable[[_Server], object]] = {
            "kill a worker": self._kill_worker,
            "stop a worker for a while": self._stop_worker,
            "cut": lambda server: server.proxy.cut(),
            "reset": lambda server: server.proxy.reset(),
            "cut in the middle": self._cut_later,
            "delay": lambda server: server.proxy.both(delay=0.01, jitter=0.02),
            "trickle": lambda server: server.proxy.down(piece=64),
            "refuse": self._refuse,
            "pause": self._pause,
            "kill the server": self._kill_server,
            "kill tasks": lambda server: self._kernel.kill_tasks("doomed"),
            "heal": lambda server: server.proxy.heal(),
        }

    def run(self, seconds: float) -> None:
        """Do one thing after the other; in the end everything is as it should be."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            name = self._chance.choice([*self._deeds])
            self._deeds[name](self._chance.choice(self._servers))
            self.done[name] = self.done.get(name, 0) + 1
            time.sleep(self._chance.expovariate(1 / 0.15))
        for server in self._servers:
            server.restart()
            server.proxy.heal()

    def _worker(self, server: _Server) -> int:
        pids = children(server.process.pid)
        return self._chance.choice(pids) if pids else 0

    def _signal(self, pid: int, number: int) -> None:
        try:
            if pid:
                os.kill(pid, number)
        except ProcessLookupError:
            pass

    def _kill_worker(self, server: _Server) -> None:
        how = self._chance.choice((signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM))
        self._signal(self._worker(server), how)

    def _stop_worker(self, server: _Server) -> None:
        pid = self._worker(server)
        self._signal(pid, signal.SIGSTOP)
        time.sleep(0.1)
        self._signal(pid, signal.SIGCONT)

    def _cut_later(self, server: _Server) -> None:
        server.proxy.down(after=self._chance.randrange(50_000), then="reset")

    def _refuse(self, server: _Server) -> None:
        server.proxy.refuse()
        server.proxy.cut()
        time.sleep(0.1)
        server.proxy.accept()

    def _pause(self, server: _Server) -> None:
        server.proxy.pause()
        time.sleep(0.1)
        server.proxy.go()

    def _kill_server(self, server: _Server) -> None:
        server.kill()
        time.sleep(self._chance.random() * 0.2)
        server.restart()


def _load(ledger: Ledger, chance: random.Random, over: threading.Event) -> None:
    """Submit tasks of all kinds, no faster than they end."""
    kinds = [
        *(("nothing", None),) * 20,
        *(("sleep", 0.01), ("sleep", 0.1), ("spin", 0.002), ("spin", 0.05)) * 2,
        ("fail", None),
        ("large", 300_000),
        ("print", 100),
        ("die", 3),
    ]
    while not over.is_set():
        if ledger.open > 300:
            time.sleep(0.01)
            continue
        for _ in range(chance.randrange(1, 40)):
            what, amount = chance.choice(kinds)
            attempts = 1 if chance.random() < 0.3 else chance.choice((2, 3, 6))
            doomed = chance.random() < 0.05
            timeout = 0.05 if chance.random() < 0.05 else None
            if doomed:
                what, amount = "sleep", 0.3
            ledger.submit(
                what,
                amount,
                attempts,
                category="doomed" if doomed else "default",
                timeout=timeout,
                priority=chance.choice(("default", "low")),
            )
        time.sleep(chance.random() * 0.02)


def run(minutes: float, seed: int, say: Callable[[str], object] = print) -> None:
    """Chaos for some minutes, in rounds, each of which ends with the books.

    Raises:
        AssertionError: Something is not as promised; says what, and the seed.
    """
    say(f"chaos for {minutes:g} minutes with seed {seed}")
    logging.getLogger("farm").setLevel(logging.CRITICAL)
    chance = random.Random(seed)
    folder = tempfile.mkdtemp(prefix="farm-chaos-")
    marks = os.path.join(folder, "marks")
    os.mkdir(marks)
    servers: list[_Server] = []
    try:
        servers += [_Server(folder, name, seed) for name in ("one", "two")]
        kernel = farm.make_kernel(
            [server.proxy.address for server in servers], timeout=60, output="discard"
        )
        with kernel:
            kernel.setup(_prepare, 7)
            _rounds(minutes, servers, kernel, Ledger(marks), chance, say)
    except AssertionError as error:
        raise AssertionError(f"{error} (seed {seed})") from error
    finally:
        families = [server.process.pid for server in servers]
        left = [pid for parent in families for pid in descendants(parent)]
        for server in servers:
            server.end()
        shutil.rmtree(folder, ignore_errors=True)
    _check_gone(left)
    say("nothing is left")


def _rounds(
    minutes: float,
    servers: list[_Server],
    kernel: farm.Kernel,
    ledger: Ledger,
    chance: random.Random,
    say: Callable[[str], object],
) -> None:
    until = time.monotonic() + 60 * minutes
    chaos = _Chaos(servers, kernel, random.Random(chance.random()))
    number = 0
    while time.monotonic() < until:
        number += 1
        over = threading.Event()
        # A context of its own has no current kernel, so the process's is used.
        farm.set_kernel(kernel)
        loader = threading.Thread(
            target=_load, args=(ledger, random.Random(chance.random()), over), daemon=True
        )
        loader.start()
        try:
            chaos.run(min(_ROUND, max(1.0, until - time.monotonic())))
        finally:
            over.set()
            loader.join(60)
        assert not loader.is_alive(), "submitting hangs"
        ledger.close(_PEACE)
        assert kernel.broadcast_task(_prepared) == [7] * 4, "a setup task was not replayed"
        say(
            f"round {number}: {ledger.submitted} tasks so far; "
            f"their outcomes {dict(ledger.outcomes)}; "
            f"how often they ran {dict(sorted(ledger.executions.items()))}"
        )
    say(f"what was done: {dict(sorted(chaos.done.items()))}")


def _prepare(value: int) -> None:
    """What each worker must have been told."""
    import builtins

    builtins.farm_prepared = value  # type: ignore[attr-defined]


def _prepared() -> int:
    import builtins

    return builtins.farm_prepared  # type: ignore[attr-defined, no-any-return]


def _check_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 30
    while any(os.path.exists(f"/proc/{pid}") for pid in pids):
        assert time.monotonic() < deadline, "processes are left behind"
        time.sleep(0.05)
