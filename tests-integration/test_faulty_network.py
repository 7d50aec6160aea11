"""Networks that do all kinds of harm: each task has one outcome, and runs as often as promised.

How often a task was executed tells a file to which each execution appends a line, whatever becomes
of its result.
"""

import collections
import os
import random
import threading

import pytest

import farm_client as farm

BOUND = 60.0


def work(folder, number, seconds, size):
    """Leave a mark; take some time; return something that tells which task it was."""
    import os
    import time

    descriptor = os.open(os.path.join(folder, str(number)), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, b"x")
    os.close(descriptor)
    if seconds:
        time.sleep(seconds)
    return number, bytes([number % 256]) * size


class Ledger:
    """What was submitted, how often it was executed, and what came of it."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.futures = {}

    def submit(self, seconds=0.0, size=0, **options):
        """Submit one more task."""
        number = len(self.futures)
        with farm.task_options(**options):
            self.futures[number] = farm.future(work, self.folder, number, seconds, size)
        return self.futures[number]

    def settle(self):
        """Wait for all outcomes; return the numbers of those that have a result, and the errors."""
        results, errors = [], {}
        for number, future in self.futures.items():
            error = future.exception(BOUND)
            if error is None:
                what, data = future.result()
                assert what == number, "a result of another task"
                assert data == bytes([number % 256]) * len(data)
                results.append(number)
            else:
                errors[number] = error
        return results, errors

    def executions(self):
        """How often each task was executed."""
        return [
            os.path.getsize(os.path.join(self.folder, str(number)))
            if os.path.exists(os.path.join(self.folder, str(number)))
            else 0
            for number in self.futures
        ]


@pytest.fixture
def ledger(tmp_path):
    """A `Ledger`."""
    folder = tmp_path / "marks"
    folder.mkdir()
    return Ledger(folder)


@pytest.fixture
def setting(launch, make, faulty):
    """A server of two workers, the proxy in front of it, and the current kernel behind that."""

    def make_(**keywords):
        server = launch("127.0.0.1:0", "--workers", "2", "--log-level", "critical")
        proxy = faulty(server.address, **keywords)
        kernel = make(proxy.address)
        farm.set_kernel(kernel)
        return server, proxy, kernel

    return make_


def usable(kernel):
    """Every worker answers."""
    assert kernel.broadcast_task(abs, -1) == [1] * kernel.worker_count


# what loses nothing


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("tcp", {"delay": 0.005, "jitter": 0.02}),
        ("tcp", {"piece": 1}),
        ("unix", {"piece": 3, "delay": 0.001}),
        ("tcp", {"rate": 2e5}),
    ],
    ids=["late", "byte by byte", "in threes", "slow"],
)
def test_what_only_takes_longer(setting, ledger, folder, fault, where):
    """Everything arrives, is executed once, and no connection is given up."""
    _, proxy, kernel = setting(**({"path": f"{folder}/p"} if where == "unix" else {}))
    made = proxy.connections
    proxy.both(**fault)
    for number in range(40):
        ledger.submit(size=number * 10)
    results, errors = ledger.settle()
    assert (len(results), errors) == (40, {})
    assert ledger.executions() == [1] * 40
    assert proxy.connections == made
    usable(kernel)


def test_a_pause_is_no_end(setting, ledger):
    """A network that says nothing for a while is waited for."""
    _, proxy, kernel = setting()
    made = proxy.connections
    for _ in range(10):
        ledger.submit(seconds=0.01)
    proxy.pause()
    later = [ledger.submit() for _ in range(10)]
    assert not any(future.done() for future in later)
    proxy.go()
    results, errors = ledger.settle()
    assert (len(results), errors) == (20, {})
    assert ledger.executions() == [1] * 20
    assert proxy.connections == made
    usable(kernel)


# what breaks connections


@pytest.mark.parametrize(("how", "attempts"), [("cut", 1), ("reset", 1), ("cut", 5)])
def test_connections_that_break_again_and_again(setting, ledger, how, attempts):
    """Each task has one outcome; none is executed more often than it may be started.

    With one attempt, an error is one that says so, and a task without a mark may have it too. With
    more attempts than there are cuts there is none.
    """
    _, proxy, kernel = setting()
    break_ = getattr(proxy, how)
    chance = random.Random(7)
    for number in range(120):
        ledger.submit(chance.choice((0.0, 0.0, 0.01)), chance.choice((0, 100)), attempts=attempts)
        if number % 30 == 15:
            threading.Event().wait(chance.random() * 0.05)
            break_()
    results, errors = ledger.settle()
    assert len(results) + len(errors) == 120
    assert all(isinstance(error, farm.WorkerLostError) for error in errors.values())
    executions = ledger.executions()
    assert max(executions) <= attempts
    assert all(executions[number] >= 1 for number in results)
    if attempts > 1:
        assert errors == {}
    usable(kernel)


@pytest.mark.parametrize(("way", "then"), [("up", "reset"), ("down", "cut")])
def test_a_cut_at_every_stage(setting, ledger, way, then):
    """From the first byte on: whatever is lost with a connection is made up for on another."""
    _, proxy, kernel = setting()
    for after in (0, 100, 1000, 20_000):
        getattr(proxy, way)(after=after, then=then)
        proxy.cut()
        first = len(ledger.futures)
        for number in range(5):
            ledger.submit(size=1000 * number)
        made = proxy.connections
        while proxy.connections < made + 1 and after < 1000:
            threading.Event().wait(0.005)  # it tries, and fails again
        proxy.heal()
        proxy.cut()
        assert [ledger.futures[n].exception(BOUND) for n in range(first, first + 5)] == [None] * 5
    results, errors = ledger.settle()
    assert (len(results), errors) == (20, {})
    assert max(ledger.executions()) <= 3
    usable(kernel)


def test_a_large_result_that_is_cut_in_the_middle(setting, ledger):
    """It arrives by another connection."""
    _, proxy, kernel = setting()
    proxy.down(after=5_000_000)
    task = ledger.submit(size=20_000_000)
    made = proxy.connections
    while proxy.connections == made:
        threading.Event().wait(0.005)
    proxy.heal()
    proxy.cut()
    assert task.exception(BOUND) is None
    assert len(ledger.settle()[0]) == 1
    usable(kernel)


@pytest.mark.parametrize("how", ["refuse", "slam", "ignore"])
def test_a_server_that_cannot_be_reached_for_a_while(setting, ledger, how):
    """Tasks wait, and run when it can be."""
    _, proxy, kernel = setting()
    getattr(proxy, how)()
    proxy.cut()
    for _ in range(20):
        ledger.submit()
    made = proxy.connections
    while how != "refuse" and proxy.connections < made + 2:
        threading.Event().wait(0.005)
    assert not any(future.done() for future in ledger.futures.values())
    proxy.heal()
    results, errors = ledger.settle()
    assert (len(results), errors) == (20, {})
    assert ledger.executions() == [1] * 20
    usable(kernel)


# what corrupts


def test_flipped_bits(setting, ledger):
    """Each task has one outcome, if perhaps an error; nobody waits for ever.

    Nothing guards plain connections against this but what TCP does; so a result may be wrong.
    """
    outcomes = collections.Counter()
    for seed in range(2):
        server, proxy, kernel = setting(seed=seed)
        way = proxy.up if seed % 2 else proxy.down
        way(flip=0.002)
        futures = [farm.future(divmod, number, 7) for number in range(60)]
        # A flipped length has the rest of the connection waited for: the end of it helps.
        heal = threading.Timer(0.5, lambda proxy=proxy: (proxy.heal(), proxy.reset()))
        heal.start()
        for future in futures:
            error = future.exception(BOUND)
            outcomes["result" if error is None else type(error).__name__] += 1
            assert error is None or isinstance(error, farm.FarmError)
        heal.join()
        usable(kernel)
        assert server.process.poll() is None
        kernel.end()
    assert sum(outcomes.values()) == 120


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_flipped_bit_at_every_position(launch, make, faulty, fails_with, way):
    """In the handshake, too: the kernel is made, or the error has a name; the server goes on."""
    server = launch("127.0.0.1:0", "--workers", "1", "--log-level", "critical")
    proxy = faulty(server.address)
    outcomes = collections.Counter()
    for position in range(0, 400, 47):
        getattr(proxy, way)(flip_at=position)
        try:
            with farm.make_kernel(proxy.address, timeout=0.4):
                outcomes["made"] += 1
        except farm.KernelCreationError as error:
            outcomes[type(error).__name__] += 1
    proxy.heal()
    assert outcomes["made"] < sum(outcomes.values())
    usable(make(proxy.address))


# the server itself


def test_servers_that_are_killed_and_started_again(launch, make, faulty, ledger):
    """With all connections lost each time: each task has one outcome, within its attempts."""
    server = launch("127.0.0.1:0", "--workers", "2", "--log-level", "critical")
    proxy = faulty(server.address)
    farm.set_kernel(make(proxy.address))
    for round_ in range(2):
        for _ in range(30):
            ledger.submit(seconds=0.002, attempts=5)
            ledger.submit(seconds=0.002, attempts=1)
        ledger.futures[60 * round_].exception(BOUND)
        server.kill()
        server = launch(server.address, "--workers", "2", "--log-level", "critical")
    results, errors = ledger.settle()
    executions = ledger.executions()
    assert len(results) + len(errors) == 120
    for number, error in errors.items():
        assert isinstance(error, farm.WorkerLostError)
        assert number % 2 == 1, "one with five attempts"
    assert all(count <= (1 if number % 2 else 5) for number, count in enumerate(executions))
    assert all(executions[number] for number in results)
    usable(farm.current_kernel())
