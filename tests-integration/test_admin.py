"""farm-admin against real servers."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

import farm_admin
import farm_client as farm
from farm_common.address import parse_address
from farm_common.deadline import Deadline
from farm_common.greeting import connect_stream
from farm_common.handshake import ClientHello
from farm_common.interpreter import hello_fields
from farm_common.security import NoAuth
from farm_server import start_server

BOUND = 10.0


@pytest.fixture
def server():
    """A server with a name and a tag."""
    with start_server("127.0.0.1:0", background=True, name="n", workers=2, tags=["gpu"]) as started:
        yield started
        started.end(wait=False)


@pytest.fixture
def worker(server):
    """A client's connection to it."""
    hello = ClientHello(**hello_fields(1 << 20), role="work", name="kernel 1", index=4)
    greeting = connect_stream(parse_address(server.address), NoAuth(), hello, Deadline(BOUND))
    greeting.stream.sock.settimeout(BOUND)
    yield greeting
    greeting.stream.close()


def admin(*arguments):
    """Run the command; its exit status, output and errors."""
    done = subprocess.run(
        [sys.executable, "-m", "farm_admin", *arguments],
        capture_output=True,
        text=True,
        timeout=3 * BOUND,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_ping(server):
    """As a function and as a command."""
    assert farm_admin.ping(server.address)
    code, out, _ = admin("ping", server.address)
    assert code == 0
    assert out.startswith(f"{server.address} answers (")


def test_status(server, worker):
    """What the server says is true."""
    status = farm_admin.status(server.address)
    assert status.name == "n"
    assert status.pid == server.pid
    assert status.addresses == server.addresses
    assert (status.workers, status.tags, status.draining) == (2, ("gpu",), False)
    assert 0 <= status.uptime < 60
    (session,) = status.sessions
    assert session.index == 4
    assert session.pid == worker.hello.pid
    assert session.kernel == "kernel 1"
    assert session.state == "idle"
    assert session.task is session.category is None
    assert (session.tasks_done, session.busy) == (0, 0.0)
    assert 0 <= session.age <= status.uptime


def test_the_status_command(server, worker):
    """As a table, and as JSON."""
    code, out, _ = admin("status", server.address)
    assert code == 0
    assert "1 connection (0 busy)" in out
    row = out.splitlines()[-1].split()
    assert row[:4] == [str(worker.hello.pid), "kernel", "1", "4"]
    code, out, _ = admin("status", "--json", server.address)
    assert code == 0
    (found,) = json.loads(out)
    assert found["ok"] is True
    assert found["name"] == "n"
    assert worker.hello.pid in [session["pid"] for session in found["sessions"]]


def test_end(server, worker):
    """No new connections; the one in progress is unaffected."""
    code, out, _ = admin("end", server.address)
    assert (code, out) == (0, f"{server.address} takes no new connections\n")
    code, _, err = admin("ping", server.address, "--timeout", "0.1")
    assert code == 1
    assert err.startswith(f"farm-admin: no server listens on {server.address} (")
    assert alive(server.pid)
    worker.stream.close()
    wait_for(lambda: not alive(server.pid))


def test_end_an_idle_server(server):
    """It is gone soon."""
    farm_admin.end_server(server.address)
    wait_for(lambda: not alive(server.pid))
    with pytest.raises(ConnectionError, match="no server listens on"):
        farm_admin.end_server(server.address)


def test_a_full_server_can_be_looked_at_and_ended():
    """Connections for control do not count."""
    with start_server("127.0.0.1:0", background=True, max_connections=1) as started:
        hello = ClientHello(**hello_fields(1 << 20), role="work", name="k", index=0)
        address = parse_address(started.address)
        greeting = connect_stream(address, NoAuth(), hello, Deadline(BOUND))
        assert len(farm_admin.status(started.address).sessions) == 1
        farm_admin.end_server(started.address)
        greeting.stream.close()


def test_a_watcher_does_not_hold_a_draining_server(server):
    """Who only looks is told to go."""
    hello = ClientHello(**hello_fields(1 << 20), role="control", name="watcher")
    address = parse_address(server.address)
    watcher = connect_stream(address, NoAuth(), hello, Deadline(BOUND)).stream
    watcher.sock.settimeout(BOUND)
    farm_admin.end_server(server.address)
    with pytest.raises(EOFError):
        watcher.receive()
    watcher.close()
    wait_for(lambda: not alive(server.pid))


def test_ping_waits_for_a_server_to_start():
    """So that scripts need not sleep."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(farm_admin.ping(address, timeout=BOUND))
    )
    thread.start()
    with start_server(address, background=True):
        thread.join(2 * BOUND)
    assert answers == [True]


def test_several_servers(server):
    """One that is missing does not hide the others, and shows in the status."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        missing = f"127.0.0.1:{taken.getsockname()[1]}"
        code, out, err = admin("status", missing, server.address, "--timeout", "5")
    assert code == 1
    assert out.startswith(f"{server.address}  n\n")
    assert err.startswith(f"farm-admin: no server listens on {missing} (")
    assert err.count("\n") == 1


def test_wrong_usage():
    """Status 2."""
    assert admin("status", "nonsense")[0] == 2
    assert admin("frobnicate", "127.0.0.1:1")[0] == 2


def alive(pid):
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return os.path.isdir("/proc/self") is False


def wait_for(condition):
    """Wait for something that another process does."""
    deadline = Deadline(BOUND)
    while not condition():
        assert not deadline.expired(), "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def kernel(server):
    """A kernel of a program of this user's."""
    made = farm.make_kernel(f"{server.address}", name="mine", timeout=BOUND)
    yield made
    made.end()


def test_kill(server, kernel, until):
    """The tasks that were meant end with a named error; others, and those that wait, go on."""
    with farm.task_category("sim"):
        doomed = [farm.future(time.sleep, 60) for _ in range(2)]
        waiting = farm.future(abs, -3)
    until(lambda: [s.task for s in farm_admin.status(server.address).sessions].count(None) == 0)
    code, out, _ = admin("kill", server.address, "--category", "other")
    assert (code, out) == (0, f"{server.address}  no such task of yours runs\n")
    found = farm_admin.kill_tasks(server.address, kernel="mine", dry_run=True)
    assert {session.pid for session in found} == {worker.pid for worker in kernel.workers()}
    code, out, _ = admin("kill", server.address, "--category", "sim")
    assert code == 0
    assert out.count("ended task ") == 2
    for future in doomed:
        with pytest.raises(farm.TaskKilledError):
            future.result(BOUND)
    assert waiting.result(BOUND) == 3


def test_top(server, kernel):
    """What runs is at the top."""
    busy = farm.future(time.sleep, 60)
    code, out, _ = admin("top", server.address, "--count", "2", "--interval", "0.2")
    assert code == 0
    last = out.rpartition(f"{server.address}  n")[2].splitlines()
    assert "workers busy" in last[0]
    assert " mine " in last[2]
    assert " busy " in last[2]
    farm.kill_tasks("default")
    with pytest.raises(farm.TaskKilledError):
        busy.result(BOUND)
