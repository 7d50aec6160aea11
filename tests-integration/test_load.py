"""Many kernels, many connections, and peers that are slow: nobody waits for ever or grows.

The full numbers are those of the session ``crowd``; here there are as many as take seconds.
"""

import os
import resource
import signal
import subprocess
import sys
import threading

import pytest

import farm_admin
import farm_client as farm

BOUND = 60.0

#: What a worker may grow by, in MB: some frames, and where nobody counts references, garbage.
ROOM = 120 if sys.implementation.name == "pypy" else 40

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")


def call(kernel, task, *args):
    """The result of one task."""
    channel = kernel.make_channel()
    channel.submit(task, *args)
    result, present = farm.try_receive_result(channel, BOUND)
    assert present
    return result


# many


def test_64_kernels_on_one_server(launch, make, until):
    """Each gets its own results, all at once; afterwards there is nothing left of them."""
    server = launch("127.0.0.1:0", "--workers", "1")
    kernels = [make(server.address) for _ in range(64)]
    assert len(farm_admin.status(server.address).sessions) == 64
    channels = [kernel.make_channel() for kernel in kernels]
    for value in range(50):
        for number, channel in enumerate(channels):
            channel.submit("builtins:divmod", 1000 * number + value, 1000)
    for number, channel in enumerate(channels):
        assert sorted(channel) == [(number, value) for value in range(50)]
    for kernel in kernels:
        kernel.end()
    until(lambda: not farm_admin.status(server.address).sessions)


CROWD = """
import resource, sys
import farm_client as farm
soft, count = int(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
with farm.make_kernel(f"{sys.argv[1]}?workers={count}", timeout=100) as kernel:
    assert len(set(kernel.broadcast_task("os:getpid"))) == count
    channel = kernel.make_channel()
    for value in range(20 * count):
        channel.submit("builtins:abs", -value)
    assert sorted(channel) == list(range(20 * count))
    print(kernel.worker_count)
"""


def test_150_connections_of_one_client(run, launch, until):
    """More than it may open at first: the soft limit is raised as far as needed."""
    server = launch("127.0.0.1:0", "--workers", "150")
    done = run(CROWD, server.address, "100", "150")
    assert (done.stdout, done.stderr) == ("150\n", "")
    until(lambda: not farm_admin.status(server.address).sessions)


def test_more_connections_than_the_client_may_open(run, launch):
    """It is told at once what to raise."""
    server = launch("127.0.0.1:0", "--workers", "150")
    done = run(
        """
        import resource, sys
        import farm_client as farm
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
        try:
            farm.make_kernel(sys.argv[1])
        except farm.KernelCreationError as error:
            print(error)
        """,
        f"{server.address}?workers=150",
    )
    assert done.stdout.startswith("150 connections to workers need about 1")
    assert "raise its hard limit (ulimit -Hn" in done.stdout
    assert done.stderr == ""


def test_more_connections_than_the_server_may_open(launch, fails_with):
    """The client is told what the server's owner has to raise; those that it has work."""

    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))

    server = launch("127.0.0.1:0", "--workers", "50", preexec_fn=few)
    with fails_with(farm.KernelCreationError, "raise the hard limit of open files"):
        farm.make_kernel(f"{server.address}?workers=50", timeout=1.0)
    with farm.make_kernel(f"{server.address}?workers=4", timeout=BOUND) as kernel:
        assert kernel.broadcast_task(abs, -1) == [1] * 4
    assert "raise the hard limit of open files" in server.end()


# slow


class Watch:
    """The most memory that processes had while a block ran, in MB."""

    def __init__(self, resident, *pids):
        self.most = {pid: resident(pid) for pid in pids}
        self.first = dict(self.most)
        self._resident = resident
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._over.wait(0.02):
            for pid, most in self.most.items():
                self.most[pid] = max(most, self._resident(pid))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(BOUND)

    def growth(self, pid):
        return self.most[pid] - self.first[pid]


@pytest.fixture
def watch(census):
    """Watches the memory of processes."""
    return lambda *pids: Watch(census.resident, *pids)


READER = """
import sys
import farm_client as farm
kernel = farm.make_kernel(sys.argv[1] + "?workers=1", timeout=50)
channel = kernel.make_channel()
(pid,) = kernel.broadcast_task("os:getpid")
for _ in range(100_000):
    channel.submit("builtins:bytes", 2000)
print(pid, flush=True)
sys.stdin.readline()
print(sum(map(len, channel)), flush=True)
kernel.end()
"""


def test_a_client_that_does_not_read(launch, make, watch, until):
    """A worker waits with 200 MB of results: neither it nor the server grows; others are served."""
    server = launch("127.0.0.1:0", "--workers", "1")
    other = make(server.address)
    client = subprocess.Popen(
        [sys.executable, "-c", READER, server.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with client:
        try:
            pid = int(client.stdout.readline())
            client.send_signal(signal.SIGSTOP)
            with watch(pid, server.pid) as watched:
                for _ in range(100):
                    assert call(other, "time:sleep", 0.01) is None
            assert watched.growth(pid) < ROOM
            assert watched.growth(server.pid) < 10
            client.send_signal(signal.SIGCONT)
            client.stdin.write("\n")
            client.stdin.flush()
            with watch(pid) as watched:
                assert client.stdout.readline() == f"{100_000 * 2000}\n"
            assert watched.growth(pid) < ROOM
        finally:
            client.kill()


def test_a_worker_that_is_slow(launch, make, watch, faulty):
    """What it is sent ahead is bounded, however large the tasks are that wait for it."""
    server = launch("127.0.0.1:0", "--workers", "1")
    proxy = faulty(server.address)
    kernel = make(proxy.address)
    (pid,) = kernel.broadcast_task("os:getpid")

    def slow(data, seconds):
        import time

        time.sleep(seconds)
        return len(data)

    channel = kernel.make_channel()
    for _ in range(500):  # until they are known to be short
        channel.submit(slow, b"", 0.0)
    assert sum(channel) == 0
    data = os.urandom(4 << 20)
    before = proxy.passed()[0]
    with watch(pid, server.pid) as watched:
        for _ in range(30):
            channel.submit(slow, data, 0.05)
        for done in range(30):
            assert channel.receive() == len(data)
            # One runs, one is being read, and the rest is in the system's buffers.
            assert proxy.passed()[0] - before < (done + 12) * len(data)
    assert watched.growth(pid) < ROOM
    assert watched.growth(server.pid) < 10


@pytest.mark.parametrize("way", ["pmap_iter", "capacity"])
def test_a_program_that_takes_its_time(kernel, watch, way):
    """Where it says how much may wait for it, the client holds no more than that."""
    size, count = 200_000, 2000  # 400 MB

    def results():
        if way == "pmap_iter":
            farm.set_kernel(kernel)
            yield from farm.pmap_iter("builtins:bytes", (size for _ in range(count)), window=20)
            return
        channel = kernel.make_channel(capacity=20)

        def submit():
            for _ in range(count):
                channel.submit("builtins:bytes", size)

        thread = threading.Thread(target=submit, daemon=True)
        thread.start()
        for _ in range(count):
            yield channel.receive()
        thread.join(BOUND)

    with watch(os.getpid()) as watched:
        for number, result in enumerate(results()):
            assert len(result) == size
            if number % 40 == 0:
                threading.Event().wait(0.01)
    assert watched.growth(os.getpid()) < 100


@pytest.mark.parametrize("slow", ["up", "down"])
def test_a_slow_network(launch, make, watch, faulty, slow):
    """20 MB over a line of 8 MB/s: all of it arrives, and waits with who sends it."""
    server = launch("127.0.0.1:0", "--workers", "1")
    proxy = faulty(server.address)
    kernel = make(proxy.address)
    (pid,) = kernel.broadcast_task("os:getpid")
    getattr(proxy, slow)(rate=8e6)
    channel = kernel.make_channel(capacity=10)
    data = os.urandom(1 << 20)
    echo = "builtins:bytes"

    def submit():
        for _ in range(20):
            channel.submit(echo, data if slow == "up" else len(data))

    with watch(pid, server.pid) as watched:
        thread = threading.Thread(target=submit, daemon=True)
        thread.start()
        for _ in range(20):
            assert channel.receive() == (data if slow == "up" else bytes(len(data)))
        thread.join(BOUND)
    assert watched.growth(pid) < ROOM
    assert watched.growth(server.pid) < 10


# clients that die


def test_clients_that_are_killed(launch, deaths, census):
    """At any moment of their lives, with any work: nothing of them is left at the server."""
    server = launch("127.0.0.1:0", "--workers", "2", "--log-level", "critical", *deaths.grace(1))
    before = census.sample(server.pid, 0.0)
    deaths.kill_clients(server.address, server.pid, 12, seed=5, every=12)
    after = deaths.settle(server.pid, before)
    assert after.memory < before.memory + 5


def test_connections_that_come_and_go(launch, deaths, census):
    """However they are left: nothing of them stays."""
    server = launch("127.0.0.1:0", "--workers", "2", "--log-level", "critical", *deaths.grace(1))
    deaths.come_and_go(server.address, server.pid, 20, seed=5, every=20)
    before = deaths.settle(server.pid, census.Sample(0.0, 0.0, 8, 0))
    deaths.come_and_go(server.address, server.pid, 100, seed=6, every=100)
    after = deaths.settle(server.pid, before)
    assert after.memory < before.memory + 2
