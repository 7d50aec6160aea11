"""Workers that die: who is told, who is charged, and what their successors know."""

import itertools
import os
import signal
import sys

import pytest

import farm_client as farm

BOUND = 30.0

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")


@pytest.fixture
def current(make, launch):
    """A kernel of one worker, as the current one."""
    kernel = make(launch("127.0.0.1:0", "--workers", "1").address)
    farm.set_kernel(kernel)
    return kernel


@pytest.fixture
def mark(tmp_path):
    """A task that appends a line to a file, and may die then; and how often each did."""
    path = str(tmp_path / "marks")

    def task(number, fatal):
        import os

        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{number}\n".encode())
        os.close(descriptor)
        if fatal:
            os.kill(os.getpid(), 9)
        return number

    def count(number):
        with open(path) as file:
            return sum(int(line) == number for line in file)

    return task, count


def test_who_is_charged(current, mark):
    """Of many tasks that were sent together, the one that kills its worker; the others run once.

    They may be started once only, so being charged would show.
    """
    task, count = mark
    warm = [farm.future(task, -1, False) for _ in range(300)]  # until they are known to be short
    assert all(future.result(BOUND) == -1 for future in warm)
    with farm.task_options(attempts=1):
        futures = [farm.future(task, number, number == 0) for number in range(200)]
    error = futures[0].exception(BOUND)
    assert isinstance(error, farm.WorkerLostError)
    assert (error.attempts, error.reason) == (1, "it was killed by SIGKILL")
    assert [future.result(BOUND) for future in futures[1:]] == list(range(1, 200))
    assert [count(number) for number in range(200)] == [1] * 200


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_how_often(current, mark, attempts):
    """As often as it may be started, which the error tells, as well as who and where."""
    task, count = mark
    with farm.task_options(attempts=attempts):
        error = farm.future(task, 7, True).exception(BOUND)
    times = "once" if attempts == 1 else f"{attempts} times"
    assert str(error) == (
        f"task {task.__qualname__} was started {times}, and each time its worker died; last "
        f"worker 0 at {current.addresses[0]}: it was killed by SIGKILL"
    )
    assert error.attempts == attempts
    assert count(7) == attempts


def test_what_its_successors_know(current):
    """Setup tasks ran there before any other, in their order, and shared values are there."""

    def prepare(what):
        import builtins

        builtins.farm_prepared = [*getattr(builtins, "farm_prepared", ()), what]

    def look(shared):
        import builtins
        import os

        return builtins.farm_prepared, sum(shared.value), os.getpid()

    current.setup(prepare, "one")
    current.setup(prepare, "two")
    shared = farm.shared(list(range(100_000)))
    seen = []
    for _ in range(8):
        futures = [farm.future(look, shared) for _ in range(20)]
        (pid,) = current.broadcast_task("os:getpid")
        os.kill(pid, signal.SIGKILL)
        futures += [farm.future(look, shared) for _ in range(20)]
        for future in futures:
            prepared, total, pid = future.result(BOUND)
            assert (prepared, total) == (["one", "two"], 4_999_950_000)
            seen.append(pid)
    assert len(set(seen)) >= 8


def test_an_idle_worker_is_replaced(current, until):
    """Nobody has to submit anything for it, and no task is charged."""
    pids = set()
    for number in itertools.count():
        (pid,) = (worker.pid for worker in current.workers())
        pids.add(pid)
        if number == 5:
            break
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: current.workers()[0].pid != pid)
    assert len(pids) == 6
    with farm.task_options(attempts=1):
        assert farm.future(abs, -1).result(BOUND) == 1


def test_all_workers_at_once(make, launch, until):
    """Each is replaced, and tasks that wait are not charged."""
    kernel = make(launch("127.0.0.1:0", "--workers", "6").address)
    farm.set_kernel(kernel)
    before = kernel.broadcast_task("os:getpid")
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    with farm.task_options(attempts=1):
        futures = [farm.future(abs, -number) for number in range(100)]
    assert [future.result(BOUND) for future in futures] == list(range(100))
    assert not set(before) & set(kernel.broadcast_task("os:getpid"))
