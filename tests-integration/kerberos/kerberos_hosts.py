"""A KDC, a server and a client, each a host of its own, and cables between them that are pulled.

Run by a test inside namespaces of its own. The server has a name, which the address says and for
which the client gets its ticket; the client is where the bridge is. What it did it prints, as one
line of JSON for each scenario.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "faults"))

import realm as realms
from hosts import Host, hurry
from ledger import Ledger
from links import Link, make_bridge, until

import farm_client as farm
from farm_gss import GSSAuth

BOUND = 60.0

ALICE = f"alice@{realms.NAME}"


class Kdc:
    """The host of the KDC."""

    def __init__(self, number: int, folder: Path) -> None:
        self.link = Link(number)
        self.process = subprocess.Popen(["unshare", "-n", "cat"], stdin=subprocess.PIPE)
        self.link.lay(self.process.pid)
        enter = ["nsenter", "-t", str(self.process.pid), "-n"]
        self.realm = realms.Realm(folder, host=self.link.place, wrapper=enter)


def begun(folder: str, count: int) -> bool:
    """Whether so many tasks have left their marks."""
    return len(os.listdir(folder)) >= count


def away(kernel: farm.Kernel) -> bool:
    """Whether the kernel has found out that it has no connection to any worker."""
    return all(worker.state == "reconnecting" for worker in kernel.workers())


def work(server: Host, kdc: Kdc, kernel: farm.Kernel, folder: str) -> None:
    """Results come over the network, large ones too."""
    base = 7
    assert farm.pmap(lambda n: n + base, range(500)) == list(range(7, 507))
    ledger = Ledger(folder)
    ledger.submit("large", 3_000_000, attempts=1)
    ledger.close(BOUND)
    assert ledger.executions == {1: 1}


def partition(server: Host, kdc: Kdc, kernel: farm.Kernel, folder: str) -> None:
    """Connections break while tasks run: their results come, from one execution each."""
    ledger = Ledger(folder)
    futures = [ledger.submit("sleep", 1.0, attempts=1) for _ in range(2)]
    until(lambda: begun(folder, 2))
    server.link.unplug()
    rest = [ledger.submit("nothing", None, attempts=1) for _ in range(20)]
    until(lambda: away(kernel))
    assert not any(future.done() for future in [*futures, *rest])
    server.link.plug()
    ledger.close(BOUND)
    assert ledger.outcomes == {"result": 22}, ledger.outcomes
    assert ledger.executions == {1: 22}, ledger.executions


def transfer(server: Host, kdc: Kdc, kernel: farm.Kernel, folder: str) -> None:
    """They break in the middle of large results, with the KDC out of reach: tickets are there."""
    ledger = Ledger(folder)
    futures = [ledger.submit("large", 8_000_000, attempts=1) for _ in range(8)]
    until(lambda: begun(folder, 2))
    kdc.link.unplug()
    server.link.unplug()
    assert not all(future.done() for future in futures)
    until(lambda: away(kernel))
    server.link.plug()
    ledger.close(BOUND)
    assert ledger.outcomes == {"result": 8}, ledger.outcomes
    assert ledger.executions == {1: 8}, ledger.executions
    kdc.link.plug()


def main() -> None:
    """All scenarios in both modes."""
    logging.getLogger("farm").setLevel(logging.CRITICAL)
    hurry()
    folder = Path(sys.argv[1])
    make_bridge()
    kdc = Kdc(1, folder)
    realm = kdc.realm
    realm.user("alice")
    realm.service(f"farm/{realms.HOST}")
    os.environ.update(realm.environment)
    os.environ["KRB5_KTNAME"] = realm.keytab("farm.keytab", f"farm/{realms.HOST}")
    os.environ["KRB5CCNAME"] = realm.ticket("alice")
    server = Host(2, "--gss", "--gss-tls", "--allow", ALICE, "--grace", "60")
    names = folder / "hosts"
    names.write_text(f"127.0.0.1 localhost\n{server.link.place} {realms.HOST}\n")
    # In the mount namespace that the test has made for this process.
    subprocess.run(["mount", "--bind", str(names), "/etc/hosts"], check=True)
    address = f"{realms.HOST}:{server.address.partition(':')[2]}"
    for tls in (False, True):
        with farm.make_kernel(address, auth=GSSAuth(tls=tls), timeout=BOUND) as kernel:
            farm.set_kernel(kernel)
            for scenario in (work, partition, transfer):
                began = time.monotonic()
                with tempfile.TemporaryDirectory() as marks:
                    scenario(server, kdc, kernel, marks)
                mode = "gss-tls" if tls else "gss"
                took = time.monotonic() - began
                print(json.dumps([mode, scenario.__name__, took]), flush=True)


if __name__ == "__main__":
    main()
