"""Kernels: making them of all kinds of addresses, changing them, ending them."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import farm_client as farm

BOUND = 30.0

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def descriptors():
    return set(os.listdir("/proc/self/fd"))


def children():
    path = f"/proc/self/task/{threading.get_native_id()}/children"
    with open(path, encoding="ascii") as file:
        return set(file.read().split())


# making


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:0", "unix"])
def test_each_kind_of_server_address(launch, make, folder, listen):
    """TCP, IPv6 and Unix sockets, as the ready line has them."""
    server = launch(f"unix://{folder}/s" if listen == "unix" else listen, "--workers", "2")
    kernel = make(server.address)
    assert kernel.addresses == [server.address]
    assert kernel.worker_count == 2
    assert sorted(kernel.broadcast_task("farm_client:worker_index")) == [0, 1]


def test_a_pair_is_an_address(launch, make):
    """A host and a port make one address, not two."""
    host, port = launch("127.0.0.1:0", "--workers", "1").address.split(":")
    assert make((host, int(port))).worker_count == 1


def test_several_addresses_make_one_kernel(launch, make):
    """Workers are numbered in the order of the addresses; ?workers= caps those of one."""
    first, second = (launch("127.0.0.1:0", "--workers", "3", "--name", n) for n in "ab")
    kernel = make([f"{first.address}?workers=1", second.address], name="both")
    assert (kernel.name, kernel.worker_count) == ("both", 4)
    workers = kernel.workers()
    assert [worker.index for worker in workers] == [0, 1, 2, 3]
    assert [worker.address for worker in workers] == [first.address] + 3 * [second.address]
    assert [worker.pid for worker in workers] == kernel.broadcast_task("os:getpid")


def test_more_workers_than_the_server_has_are_not_asked_for(make, address):
    """?workers= is a cap."""
    assert make(f"{address}?workers=9").worker_count == 2


def test_what_workers_tell(launch, make):
    """A worker's description is that of its process."""
    server = launch("127.0.0.1:0", "--workers", "1", "--tag", "gpu")
    kernel = make(server.address)
    (worker,) = kernel.workers()
    assert worker.state == "idle"
    assert worker.category is None
    assert worker.tags == ("gpu",)
    assert worker.implementation == sys.implementation.name
    assert worker.python_version == ".".join(map(str, sys.version_info[:3]))
    assert worker.host
    channel = kernel.make_channel()
    for _ in range(5):
        channel.submit(abs, -1)
    assert list(channel) == [1] * 5
    assert kernel.workers()[0].tasks_done == 5


def test_local(make):
    """A private server of so many workers."""
    kernel = make("local?workers=2")
    assert kernel.worker_count == 2
    assert farm.kernel_worker_count() == 2
    assert farm.kernel_name() == "farm-client"
    assert os.getpid() not in farm.broadcast_task("os:getpid")
    assert farm.worker_index() is None


def test_the_first_kernel_is_the_current_one(make, address):
    """While there is none; ``with`` overrides it there, and ends the inner one."""
    assert farm.current_kernel() is None
    first, second = make(address), make(address)
    assert farm.current_kernel() is first
    with second:
        assert farm.current_kernel() is second
    assert second.ended
    assert farm.current_kernel() is first
    assert farm.set_kernel(None) is first
    with pytest.raises(farm.NoKernelError):
        farm.make_channel()


def test_two_kernels_at_once_on_one_server(make, address):
    """They share nothing: each has its own workers."""
    one, two = make(address), make(address)
    assert not set(one.broadcast_task("os:getpid")) & set(two.broadcast_task("os:getpid"))
    one.end()
    assert two.broadcast_task(abs, -1) == [1, 1]


# broadcast and setup


def test_setup_is_replayed_on_a_replaced_worker(launch, make, until):
    """A worker that is killed while idle is replaced, and set up as it was."""
    kernel = make(launch("127.0.0.1:0", "--workers", "2").address)

    def configure(value):
        import os

        os.environ["FARM_TEST"] = value
        return value

    assert kernel.setup(configure, "on") == ["on", "on"]
    victim = kernel.workers()[0].pid
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in [worker.pid for worker in kernel.workers()])
    until(lambda: all(worker.state == "idle" for worker in kernel.workers()))
    assert kernel.broadcast_task("os:getenv", "FARM_TEST") == ["on", "on"]


def test_setup_raises_what_the_task_raised(kernel, fails_with):
    """And such a task is not kept."""
    with fails_with(farm.TaskExecutionError, "ZeroDivisionError"):
        kernel.setup(lambda: 1 / 0)
    assert not kernel._sites.setup


# adding and removing


def test_workers_come_and_go(launch, make):
    """Added ones are set up and used; removed ones finish what they do."""
    first, second = launch("127.0.0.1:0", "--workers", "1"), launch("127.0.0.1:0", "--workers", "1")
    kernel = make(first.address)
    kernel.setup("os:putenv", "FARM", "1")
    kernel.add(second.address)
    assert kernel.worker_count == 2
    assert kernel.broadcast_task("farm_client:worker_index") == [0, 1]
    channel = kernel.make_channel()
    for _ in range(2):
        channel.submit("time:sleep", 0.2)
    kernel.remove(first.address)
    assert list(channel) == [None, None]
    assert kernel.addresses == [second.address]
    channel.submit("farm_client:worker_index")
    assert channel.receive() == 1


def test_removing_without_waiting_starts_tasks_elsewhere(launch, make, until, tmp_path):
    """The task that ran on the removed worker is executed by another."""
    first, second = launch("127.0.0.1:0", "--workers", "1"), launch("127.0.0.1:0", "--workers", "1")
    kernel = make(first.address)
    gate = tmp_path / "gate"

    def wait(path):
        import os
        import time

        while not os.path.exists(path):
            time.sleep(0.01)
        return os.getpid()

    channel = kernel.make_channel()
    channel.submit(wait, str(gate))
    until(lambda: kernel.workers()[0].state == "busy")
    kernel.add(second.address)
    kernel.remove(first.address, wait=False)
    gate.touch()
    assert channel.receive() == kernel.workers()[0].pid


def test_removing_what_is_not_there(kernel, fails_with):
    """Names what there is; and the only address cannot be removed."""
    with fails_with(ValueError, "does not use 127.0.0.1:1", kernel.addresses[0]):
        kernel.remove("127.0.0.1:1")
    with fails_with(ValueError, "end the kernel instead"):
        kernel.remove(kernel.addresses[0])


# ending


@linux
@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("where", ["local?workers=2", "server"])
def test_nothing_is_left_after_the_end(make, address, where, wait, until):
    """No thread, process or descriptor, whatever the kernel was doing."""
    make(address).end()  # what is made once in a process is not counted
    before = descriptors(), threading.active_count(), children()
    kernel = make(where if where != "server" else address)
    channel = kernel.make_channel()
    for _ in range(20):
        channel.submit("time:sleep", 0.005)
    future = farm.future(abs, -1)
    future.add_done_callback(lambda _: None)
    kernel.end(wait)
    kernel.end(wait)
    assert kernel.ended
    assert (descriptors(), threading.active_count(), children()) == before
    assert len(channel) == 20


def test_results_after_a_patient_end(make, address):
    """end(wait=True) lets all tasks finish; their results are still there."""
    kernel = make(address)
    channel = kernel.make_channel()
    for value in range(50):
        channel.submit(abs, -value)
    farm.end_kernel(wait=True)
    assert sorted(channel) == list(range(50))
    with pytest.raises(farm.KernelEndedError):
        channel.submit(abs, 1)
    with pytest.raises(farm.NoKernelError):
        kernel.make_channel()


@linux
def test_an_impatient_end_wakes_receivers_and_stops_tasks(make, address, tmp_path, until):
    """Blocked receivers have the error at once, and running tasks do not run on."""
    kernel = make(address)
    channel = kernel.make_channel()
    errors = []

    def receive():
        try:
            channel.receive()
        except farm.KernelEndedError as error:
            errors.append(error)

    def run(path):
        import os
        import time

        with open(path, "w") as file:
            file.write(str(os.getpid()))
        time.sleep(60)

    pids = tmp_path / "pid"
    channel.submit(run, str(pids))
    threads = [threading.Thread(target=receive) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: pids.exists() and pids.read_text())
    kernel.end()
    for thread in threads:
        thread.join(BOUND)
        assert not thread.is_alive()
    assert len(errors) == 3
    (pid,) = pids.read_text().split()
    until(lambda: not os.path.exists(f"/proc/{pid}"))


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "channel.submit('time:sleep', 60)",
        "import threading; threading.Thread(target=channel.receive, daemon=True).start()",
        "raise SystemExit(3)",
        "farm.future('time:sleep', 60).add_done_callback(print)",
    ],
)
@pytest.mark.parametrize("where", ["local?workers=1", "server"])
def test_a_script_that_never_ends_its_kernel_exits(run, address, where, ending):
    """At once, whatever its tasks do."""
    program = f"""
        import farm_client as farm
        farm.make_kernel({where if where != "server" else address!r})
        channel = farm.make_channel()
        channel.submit(abs, -1)
        print(channel.receive(), flush=True)
        {ending}
    """
    start = time.monotonic()
    done = run(program)
    assert time.monotonic() - start < BOUND / 2
    assert done.stdout.split()[0] == "1"
    assert done.returncode == (3 if "SystemExit" in ending else 0), done.stderr


@linux
def test_a_local_server_ends_with_a_client_that_is_killed(tmp_path, until):
    """No process is left, though nobody ended the kernel."""
    program = (
        "import farm_client as farm, os, time\n"
        "k = farm.make_kernel('local?workers=1')\n"
        "print(*k.broadcast_task('os:getpid'), *k.broadcast_task('os:getppid'), flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        pids = process.stdout.readline().split()
        process.kill()
    until(lambda: not any(os.path.exists(f"/proc/{int(pid)}") for pid in pids))


def test_a_fork_does_not_share_the_kernel(run, address):
    """In a forked child the kernel has ended, and says so; the parent's goes on."""
    program = f"""
        import farm_client as farm, os
        kernel = farm.make_kernel({address!r})
        channel = kernel.make_channel()
        channel.submit(abs, -1)
        assert channel.receive() == 1
        pid = os.fork()
        if pid == 0:
            try:
                channel.submit(abs, -1)
            except farm.KernelEndedError as error:
                print(error, flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        channel.submit(abs, -2)
        print(channel.receive())
    """
    done = run(program)
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert "make a new one here" in first
    assert second == "2"


# losing the server


def test_a_server_that_is_killed_and_started_again(launch, make, until):
    """The kernel goes on with the new one; tasks that ran are run again."""
    server = launch("127.0.0.1:0", "--workers", "2")
    kernel = make(server.address)
    channel = kernel.make_channel()
    for value in range(6):
        channel.submit("builtins:pow", value, 1)
        channel.submit("time:sleep", 0.1)
    server.kill()
    launch(server.address, "--workers", "2")
    got = list(channel)
    assert sorted(value for value in got if value is not None) == list(range(6))
    assert len(got) == 12
    until(lambda: all(worker.state == "idle" for worker in kernel.workers()))


def test_a_broken_connection(launch, make, wire):
    """What was not done is done on the next connection."""
    server = launch("127.0.0.1:0", "--workers", "1")
    link = wire(server.address)
    kernel = make(link.address)
    channel = kernel.make_channel()
    for value in range(20):
        channel.submit("builtins:abs", value)
        channel.submit("time:sleep", 0.01)
    link.cut()
    got = list(channel)
    assert sorted(value for value in got if value is not None) == list(range(20))
