"""Three hosts with an sshd, a user and an interpreter each, and one kernel over all of them.

Each host is a network namespace with an address of its own, at the end of a cable that can be
pulled, and a mount namespace, in which its user can reach its interpreter. The client is in a
fourth. Run by a test inside namespaces of its own (``unshare``), so that no process and no link is
left when it ends, however it ends. The users are the test's, as is the folder for sshd.

Reads one JSON object from its standard input, and prints one line of JSON for each scenario.
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
from typing import Any

from ledger import Ledger
from links import Link, make_bridge, until

import farm_client as farm

sys.path.append(str(Path(__file__).parents[1] / "shared"))

from sshd import Sshd

BOUND = 60.0

#: How many workers each host has.
WORKERS = 2

#: A host that does not answer is gone after three of these, in seconds; 7 is what farm sets.
_ALIVE_SECONDS = 1

# The namespaces of a host, until their standard input ends. Where nobody but root can go, an empty
# folder takes the place of what is there, with the interpreter in it at its own path.
_HOST = """
closed=$1 prefix=$2 aside=$3
if [ -n "$closed" ]; then
    mkdir -p "$aside"
    mount --bind "$prefix" "$aside"
    mount -t tmpfs -o mode=755 tmpfs "$closed"
    mkdir -p "$prefix"
    mount --bind "$aside" "$prefix"
fi
echo ready
exec cat
"""


class Host:
    """A host that one can log in to.

    Args:
        number: Which; its address follows from that.
        folder: For its sshd.
        facts: Who its user is, the path of its Python, and where that is installed.
    """

    def __init__(self, number: int, folder: Path, facts: dict[str, str]) -> None:
        self.facts = facts
        self.link = Link(number)
        closed, prefix = facts["closed"], facts["prefix"]
        command = ["unshare", "-n", "-m", "sh", "-eu", "-c", _HOST, "sh", closed, prefix]
        self.process = subprocess.Popen(
            [*command, str(folder / f"aside-{number}")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", "the host does not begin"
        self.link.lay(self.process.pid)
        self.sshd = Sshd(
            folder,
            lines=["ClientAliveInterval 1", "ClientAliveCountMax 3"],
            wrapper=["nsenter", "-t", str(self.process.pid), "-n", "-m"],
            host=self.link.place,
            port=2200 + number,
        )
        user, python = facts["user"], facts["python"]
        self.address = self.sshd.address(user=user, python=python, workers=WORKERS, cache="")

    def processes(self) -> list[int]:
        """What runs there."""
        found = []
        network = os.readlink(f"/proc/{self.process.pid}/ns/net")
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/ns/net") == network:
                    found.append(int(pid))
            except OSError:
                continue  # it has just ended
        return found

    def crash(self) -> None:
        """Switch it off, so that nobody hears of it."""
        self.link.unplug()
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        self.sshd.end()
        self.process.communicate(timeout=BOUND)
        self.link.remove()


def facts_of_worker() -> tuple[str, str, str, str]:
    """Who a worker is, where it is, on what it runs, and where farm-server was found."""
    import getpass
    import os
    import platform

    import farm_server

    version = ".".join(platform.python_version_tuple()[:2])
    python = f"{platform.python_implementation().lower()} {version}"
    # The connection that it was logged in by: client, port, server, port.
    return getpass.getuser(), os.environ["SSH_CONNECTION"].split()[2], python, farm_server.__file__


def together(hosts: list[Host], kernel: farm.Kernel, ledger: Ledger) -> None:
    """All take part, each as its own user in its own interpreter, installed or bare."""
    found = kernel.broadcast_task(facts_of_worker)
    assert len(found) == WORKERS * len(hosts)
    for host in hosts:
        seen = [facts for facts in found if facts[1] == host.link.place]
        assert len(seen) == WORKERS, found
        for user, _, python, where in seen:
            assert (user, python) == (host.facts["user"], host.facts["runs"]), found
            assert ("/.cache/farm/" in where) == (host.facts["installed"] == ""), where
    base = 7
    numbers = range(3000)
    assert farm.pmap(lambda n: n * n + base, numbers) == [n * n + 7 for n in numbers]
    for _ in range(60):
        ledger.submit("sleep", 0.05, attempts=1)
    ledger.submit("large", 5_000_000, attempts=1)
    ledger.close(BOUND)
    assert ledger.outcomes == {"result": 61}, ledger.outcomes
    assert ledger.executions == {1: 61}, ledger.executions


def partition(hosts: list[Host], kernel: farm.Kernel, ledger: Ledger) -> None:
    """A cable is out for two seconds: others work on, and nothing is executed twice."""
    futures = [ledger.submit("sleep", 0.05, attempts=1) for _ in range(150)]
    until(lambda: sum(future.done() for future in futures) >= 10)
    hosts[0].link.unplug()
    began, before = time.monotonic(), sum(future.done() for future in futures)
    until(lambda: sum(future.done() for future in futures) >= before + 40)
    assert not all(future.done() for future in futures)  # it happens in the middle
    time.sleep(max(0.0, began + 2.0 - time.monotonic()))
    hosts[0].link.plug()
    ledger.close(BOUND)
    assert ledger.outcomes == {"result": 150}, ledger.outcomes
    assert ledger.executions == {1: 150}, ledger.executions


def long(hosts: list[Host], kernel: farm.Kernel, ledger: Ledger) -> None:
    """It is out until ssh gives up: the others do its work, and it is back with its cable."""
    for _ in range(60):
        ledger.submit("sleep", 0.1, attempts=3)
    hosts[1].link.unplug()
    ledger.close(BOUND)
    assert ledger.outcomes == {"result": 60}, ledger.outcomes
    rest = WORKERS * (len(hosts) - 1)
    until(lambda: sum(worker.state in ("idle", "busy") for worker in kernel.workers()) == rest)
    hosts[1].link.plug()
    until(lambda: all(worker.state == "idle" for worker in kernel.workers()))
    assert kernel.broadcast_task(abs, -1) == [1] * WORKERS * len(hosts)


def gone(hosts: list[Host], kernel: farm.Kernel, ledger: Ledger) -> None:
    """A host is gone for good: its tasks go to the others."""
    for _ in range(60):
        ledger.submit("sleep", 0.1, attempts=3)
    hosts[2].crash()
    ledger.close(BOUND)
    assert ledger.outcomes == {"result": 60}, ledger.outcomes
    numbers = range(300)
    assert farm.pmap(lambda n: n + 1, numbers) == [n + 1 for n in numbers]


def main() -> None:
    """All scenarios, one after the other."""
    logging.getLogger("farm").setLevel(logging.CRITICAL)
    given: dict[str, Any] = json.load(sys.stdin)
    folder = Path(given["folder"])
    alive = given.get("alive", _ALIVE_SECONDS)
    farm.ssh.options.append(f"ServerAliveInterval={alive}")
    make_bridge()
    hosts = [Host(number, folder, facts) for number, facts in enumerate(given["hosts"], 1)]
    with farm.make_kernel([host.address for host in hosts], timeout=BOUND) as kernel:
        farm.set_kernel(kernel)
        kernel.setup(os.umask, 0)  # the marks of one task may be different users'
        for scenario in (together, partition, long, gone):
            began = time.monotonic()
            with tempfile.TemporaryDirectory() as marks:
                os.chmod(marks, 0o777)
                scenario(hosts, kernel, ledger=Ledger(marks))
            print(json.dumps([scenario.__name__, time.monotonic() - began]), flush=True)


if __name__ == "__main__":
    main()
