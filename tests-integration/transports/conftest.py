"""Which interpreters meet over which transports, and the table of what came of it.

FARM_MATRIX=all takes all ordered pairs of the interpreters of FARM_PYTHONS over each transport.
Otherwise each interpreter is the client of the next one, and the transports take turns: one that
needs no ssh and one that does, so that each interpreter is at either end of both kinds.
FARM_MATRIX_PAIRS takes those pairs of which one end, at least, is among the names in it.
FARM_MATRIX_WRITE is the folder of the docs with the page that keeps the table.
"""

import collections
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matrix_tables
import pytest
from sshd import SSHD, Sshd, bare, make_place

FOLDER = Path(__file__).parent
THIS = ("pypy" if "pypy" in sys.implementation.name else "") + "{}.{}".format(*sys.version_info)
PYTHONS = json.loads(os.environ.get("FARM_PYTHONS", "{}")) or {THIS: sys.executable}
EVERYTHING = os.environ.get("FARM_MATRIX") == "all"
ENDS = frozenset(os.environ.get("FARM_MATRIX_PAIRS", "").split())

#: How they are called, and what the table says above them.
TRANSPORTS = {
    "unix": "Unix socket",
    "tcp": "TCP",
    "ssh": "ssh, farm-server installed",
    "bare": "ssh, bare Python",
}

#: How long one server may keep a client busy, in seconds; PyPy is slow to begin.
BOUND = 60

HEADS = ("client", "server")
PAGE = "transport-matrix.md"

#: What the table says, and who runs which version.
rows = collections.defaultdict(dict)


def cells():
    """Each client, server and transport."""
    names = sorted(PYTHONS, key=matrix_tables.order)
    if EVERYTHING:
        for client in names:
            for server in names:
                if not ENDS or not ENDS.isdisjoint((client, server)):
                    yield from ((client, server, transport) for transport in TRANSPORTS)
        return
    # Once around; with one interpreter alone twice, so that each transport has its turn.
    for turn in range(max(len(names), 2)):
        client, server = (names[(turn + step) % len(names)] for step in (0, 1))
        for transport in [*TRANSPORTS][turn % 2 :: 2]:
            yield client, server, transport


def pytest_generate_tests(metafunc):
    """`client` and `server` are the names of interpreters."""
    if "transport" in metafunc.fixturenames:
        found = list(cells())
        ids = [f"{client}-to-{server}-by-{transport}" for client, server, transport in found]
        metafunc.parametrize(("client", "server", "transport"), found, ids=ids)


@pytest.fixture(scope="session")
def why_not():
    """Why a transport cannot be tried here; empty if it can."""
    missing = [name for name, path in (("ssh", shutil.which("ssh")), ("sshd", SSHD)) if not path]

    def why_not_(transport):
        return f"no {' and no '.join(missing)}" if missing and transport in ("ssh", "bare") else ""

    return why_not_


@pytest.fixture(scope="session")
def addresses():
    """The address of a server on an interpreter, by a transport, and what may be cached there."""
    started, folders = {}, []

    def launched(name):
        if name not in started:
            folders.append(tempfile.mkdtemp(prefix="farm-"))
            listen = f"unix://{folders[-1]}/socket"
            command = [PYTHONS[name], "-m", "farm_server", listen, "127.0.0.1:0", "--workers=2"]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            started[name] = process
            line = process.stdout.readline()
            assert line.startswith("farm-server ready "), f"the server on {name} does not start"
            process.addresses = line.split()[2:]
        return started[name].addresses

    def address(name, transport):
        if transport in ("unix", "tcp"):
            return launched(name)[("unix", "tcp").index(transport)]
        if "sshd" not in started:
            # Both folders are where interpreters that have another root see them, see ci/root.
            folders.append(make_place(Path("~")))
            started["sshd"] = Sshd(folders[-1])
            folders.append(tempfile.mkdtemp(prefix="farm-"))
            started["sshd"].cache = folders[-1]
        sshd = started["sshd"]
        python = PYTHONS[name] if transport == "ssh" else bare(PYTHONS[name])
        return sshd.address(python=python, workers=2, cache=sshd.cache)

    yield address
    for one in started.values():
        if isinstance(one, Sshd):
            one.end()
        else:
            one.kill()
            one.communicate(timeout=BOUND)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def visits(request, addresses, why_not):
    """What a client found at each server that the tests of this run have for it."""
    known = {}

    def visit(client):
        jobs = []
        for item in request.session.items:
            params = item.callspec.params if hasattr(item, "callspec") else {}
            server, transport = params.get("server"), params.get("transport")
            # Those of the corpus have clients and servers, too.
            if transport and params["client"] == client and not why_not(transport):
                jobs.append((server, transport, addresses(server, transport)))
        done = subprocess.run(
            [PYTHONS[client], str(FOLDER / "client.py")],
            input=json.dumps(jobs),
            capture_output=True,
            text=True,
            timeout=BOUND * len(jobs),
            check=False,
        )
        found = {(one["server"], one["transport"]): one for one in map(json.loads, lines(done))}
        for server, transport, _ in jobs:  # a client that died has no more to say
            ended = f"the client ended with status {done.returncode}:\n{done.stderr}"
            found.setdefault((server, transport), {"results": {"client": ended}})
        assert done.stderr == "" or done.returncode, done.stderr
        return found

    def visits_(client):
        if client not in known:
            known[client] = visit(client)
        return known[client]

    return visits_


def lines(done):
    return [line for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.fixture
def tabulate():
    """Puts a cell into the table that is printed at the end."""

    def tabulate_(client, server, transport, text):
        rows[client, server][TRANSPORTS[transport]] = text
        rows[client, server]["run on"] = dt.datetime.now(dt.timezone.utc).date().isoformat()

    return tabulate_


def pytest_terminal_summary(terminalreporter):
    """Print the table, and keep it where the docs have it."""
    if not rows:
        return
    columns = [*TRANSPORTS.values(), "run on"]
    terminalreporter.section("transports")
    for line in matrix_tables.markdown(HEADS, columns, rows):
        terminalreporter.write_line(line)
    where = os.environ.get("FARM_MATRIX_WRITE")
    if where:
        matrix_tables.write(Path(where) / PAGE, "transports", HEADS, lambda _: columns, rows)
