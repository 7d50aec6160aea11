"""Several hosts in network namespaces, a bridge between them, and links that can be pulled.

Run by a test inside a namespace of its own (``unshare -n``), so that nothing of it is left when it
ends, however it ends. What it finds it prints, as one line of JSON for each scenario.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from census import children, descendants
from deaths import grace
from ledger import Ledger
from links import Link, make_bridge, until

import farm_client as farm
from farm_common import sockets

BOUND = 60.0

#: By what the waits for dead peers are divided, so that a test need not take minutes.
_SOONER = 20

# The server of a host, which begins when the host's network is there.
_SERVER = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import hosts
hosts.hurry()
sys.stdin.readline()
from farm_server.cli import main
main()
"""


def hurry() -> None:
    """Have this process find out sooner that the other end of a connection is gone."""
    sockets._KEEP_ALIVE = tuple(
        (*rest, max(1, value // _SOONER)) if rest[0] != "TCP_KEEPCNT" else (*rest, value)
        for *rest, value in sockets._KEEP_ALIVE
    )
    sockets._SILENCE = getattr(sockets, "_SILENCE", 0.0) / _SOONER


class Host:
    """A host with a server, at the end of a link.

    Args:
        number: Which; its address follows from that.
        options: Of its farm-server.
    """

    def __init__(self, number: int, *options: str) -> None:
        self._options = options or ("--insecure",)
        self.link = Link(number)
        self.address = f"{self.link.place}:11111"
        self.start()

    def start(self) -> None:
        """Switch it on."""
        command = ["unshare", "-n", sys.executable, "-c", _SERVER, self.address]
        command += ["--workers", "2", "--log-level", "critical", *grace(2)]
        self.process = subprocess.Popen(
            [*command, *self._options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.link.lay(self.process.pid)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().startswith("farm-server ready")

    def crash(self) -> None:
        """Switch it off, so that nobody hears of it."""
        self.link.unplug()
        for pid in descendants(self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.end()
        self.link.remove()

    def end(self) -> None:
        """Take it away, if it is there."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate(timeout=BOUND)


def short(hosts: list[Host], kernel: farm.Kernel, ledger: Ledger) -> None:
    """A cable is out for a second: what ran there has one execution and its result."""
    for _ in range(40):
        ledger.submit("sleep", 0.05, attempts=1)
    hosts[0].link.unplug()
    time.sleep(1.0)
    hosts[0].link.plug()
    ledger.close(BOUND)
    assert ledger.outcomes == {"result": 40}, ledger.outcomes
    assert ledger.executions == {1: 40}, ledger.executions


def long(hosts: list[Host], kernel: farm.Kernel, ledger: Ledger) -> None:
    """It is out until both ends have given up: the other host does the work, and all is done."""
    for _ in range(20):
        ledger.submit("sleep", 0.2, attempts=3)
    hosts[0].link.unplug()
    for _ in range(20):
        ledger.submit("nothing", None, attempts=3)
    ledger.close(BOUND)
    assert ledger.outcomes == {"result": 40}, ledger.outcomes
    assert max(ledger.executions) <= 3
    until(lambda: sum(worker.state in ("idle", "busy") for worker in kernel.workers()) == 2)
    until(lambda: not children(hosts[0].process.pid))  # it gave up its client, too
    hosts[0].link.plug()
    until(lambda: all(worker.state == "idle" for worker in kernel.workers()))
    assert kernel.broadcast_task(abs, -1) == [1] * 4


def crash(hosts: list[Host], kernel: farm.Kernel, ledger: Ledger) -> None:
    """A host is gone with all it did, and another takes its address."""
    for _ in range(20):
        ledger.submit("sleep", 0.1, attempts=3)
    hosts[1].crash()
    ledger.close(BOUND)
    assert ledger.outcomes == {"result": 20}, ledger.outcomes
    hosts[1].start()
    until(lambda: all(worker.state == "idle" for worker in kernel.workers()))
    assert kernel.broadcast_task(abs, -1) == [1] * 4


def main() -> None:
    """All scenarios, one after the other."""
    logging.getLogger("farm").setLevel(logging.CRITICAL)
    hurry()
    make_bridge()
    hosts = [Host(number) for number in (1, 2)]
    try:
        with farm.make_kernel([host.address for host in hosts], timeout=BOUND) as kernel:
            farm.set_kernel(kernel)
            for scenario in (short, long, crash):
                began = time.monotonic()
                with tempfile.TemporaryDirectory() as folder:
                    scenario(hosts, kernel, ledger=Ledger(folder))
                took = time.monotonic() - began
                print(json.dumps([scenario.__name__, took]), flush=True)
    finally:
        for host in hosts:
            host.end()


if __name__ == "__main__":
    main()
