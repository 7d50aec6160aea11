"""Tasks that do not end by themselves are ended from outside, and nothing else suffers."""

import functools
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

import farm_admin
import farm_client as farm

BOUND = 30.0

#: A second is promised on a machine that has nothing else to do, and the tests' have.
PROMPT = 2.0

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")

# What tasks execute, as text: each for ever.
SOFT = {
    "a loop": "while True: pass",
    "a nap": "time.sleep(1e6)",
    "a blocked socket": "pair = socket.socketpair(); pair[0].recv(1)",
    "a lock": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "an empty queue": "queue.Queue().get()",
    "a thread that does not end": """
thread = threading.Thread(target=time.sleep, args=(1e6,), daemon=True)
thread.start()
thread.join()""",
    "an event loop": "asyncio.run(asyncio.sleep(1e6))",
    "a child process": "subprocess.run(['sleep', '100000'])",
    "a pipe": "os.read(os.pipe()[0], 1)",
    "a deep recursion": """
def dig(depth):
    while not depth: pass
    dig(depth - 1)
dig(300)""",
    "a generator": "any(0 for _ in itertools.count())",
    "a handler of another signal": """
def handle(*_):
    while True: pass
signal.signal(signal.SIGUSR1, handle)
os.kill(os.getpid(), signal.SIGUSR1)
time.sleep(1e6)""",
    "one that catches Exception": """
while True:
    try: time.sleep(1e6)
    except Exception: pass""",
    "one that raises something else": """
try: time.sleep(1e6)
except BaseException: raise ValueError""",
    "one that returns all the same": """
try: time.sleep(1e6)
except BaseException: pass""",
    "one that cleans up": """
try: time.sleep(1e6)
finally: time.sleep(0.05)""",
}
HARD = {
    "one that catches BaseException": """
while True:
    try: time.sleep(1e6)
    except BaseException: pass""",
    "one that does not come out of its finally": """
try: time.sleep(1e6)
finally: time.sleep(1e6)""",
    "a loop in C that holds the interpreter": "any(itertools.repeat(0))",
    "a shell": "os.system('sleep 100000')",
    "a handler of the signal": "signal.signal(signal.SIGURG, signal.SIG_IGN)\nwhile True: pass",
    "blocked signals": """
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
time.sleep(1e6)""",
    "a stopped process": "os.kill(os.getpid(), signal.SIGSTOP)\nwhile True: pass",
}
EITHER = {
    "a regular expression": "re.match('(a+)+$', 60 * 'a' + 'b')",
    "a sum in C": "sum(range(10 ** 13))",
    "a large power": "pow(3, 10 ** 9)",
}
HOSTILE = {**SOFT, **HARD, **EITHER}


BEGIN = """
import asyncio, itertools, os, queue, re, signal, socket, subprocess, threading, time
open({path!r}, "w").close()
"""


@pytest.fixture
def start(tmp_path, until):
    """Has a worker execute a text; returns the future once it does."""

    def start_(text):
        path = str(tmp_path / f"begun-{time.monotonic_ns()}")
        # By the name of a builtin: this module need not be imported there, which takes its time.
        future = farm.future("builtins:exec", BEGIN.format(path=path) + text, {})
        until(lambda: os.path.exists(path))
        return future

    return start_


def runs(future):
    """Wait until a task was sent."""
    while not future.running():
        time.sleep(0.001)
    return future


@pytest.fixture
def check(start):
    """Ends a task that executes a text, and sees that all else goes on."""
    return functools.partial(end, start)


def end(start, kernel, text, how, hard=None):
    """End a task; those that run beside it go on, and those that wait behind it run."""
    before = {worker.index: worker.pid for worker in kernel.workers()}
    with farm.task_options(category="neighbour", attempts=1):
        neighbour = runs(farm.future(time.sleep, 0.3))
    with farm.task_options(category="hostile", timeout=0.5 if how == "timeout" else None):
        task = start(text)
    begun = time.monotonic() + (0.5 if how == "timeout" else 0.0)
    with farm.task_options(attempts=1):
        others = [farm.future(abs, -n) for n in range(20)]
    if how == "kill":
        assert kernel.kill_tasks("hostile") == 1
        assert isinstance(task.exception(BOUND), farm.TaskKilledError)
    else:
        assert isinstance(task.exception(BOUND), farm.TaskTimeoutError)
    assert time.monotonic() - begun < PROMPT
    assert kernel.broadcast_task(abs, -1) == [1, 1]
    assert time.monotonic() - begun < PROMPT
    assert neighbour.result(BOUND) is None
    assert [other.result(BOUND) for other in others] == list(range(20))
    after = {worker.index: worker.pid for worker in kernel.workers()}
    changed = sum(before[index] != after[index] for index in before)
    if hard is not None:
        assert changed == hard


@pytest.fixture
def current(kernel):
    """A kernel of two workers, as the current one."""
    farm.set_kernel(kernel)
    return kernel


@pytest.mark.parametrize("how", ["kill", "timeout"])
@pytest.mark.parametrize("name", SOFT)
def test_tasks_that_can_be_interrupted(current, check, name, how):
    """They end by an exception, and their worker goes on."""
    check(current, SOFT[name], how, hard=0)


@pytest.mark.parametrize("how", ["kill", "timeout"])
@pytest.mark.parametrize("name", HARD)
def test_tasks_that_cannot(current, check, name, how):
    """They end with their worker, and that is replaced."""
    if name == "a loop in C that holds the interpreter" and sys.implementation.name == "pypy":
        pytest.skip("PyPy has no such loops")
    check(current, HARD[name], how, hard=1)


@pytest.mark.parametrize("how", ["kill", "timeout"])
@pytest.mark.parametrize("name", EITHER)
def test_tasks_that_some_interpreters_can_interrupt(current, check, name, how):
    """They end in either way."""
    check(current, EITHER[name], how)


@pytest.mark.parametrize("how", ["kill", "timeout"])
def test_elsewhere(peer, make, server_of, check, how):
    """The same with servers of other interpreters."""
    kernel = make(server_of(peer))
    farm.set_kernel(kernel)
    for text in HOSTILE.values():
        check(kernel, text, how)


def test_what_the_errors_say(current, start):
    """Which task, on which worker, how long it ran, and in which line it was."""
    with farm.task_category("hostile"):
        task = runs(farm.future(time.sleep, 1e6))
        loop = start("def inner():\n    while True: pass\ninner()")
    assert current.kill_tasks("hostile") == 2
    text = str(task.exception(BOUND))
    (label,) = {f"worker {n} at {current.addresses[0]}" for n in (0, 1)} & {task.exception().worker}
    assert text.startswith(f"task sleep was killed on {label} after ")
    assert 0 < task.exception().seconds < BOUND
    assert ", in inner\n" in str(loop.exception(BOUND))
    assert "farm_server" not in str(loop.exception())


def test_nothing_of_a_task_is_left(current, until, start):
    """What it started goes with its worker."""
    if not os.path.isdir("/proc/self"):
        pytest.skip("asks Linux")
    number = str(100_000 + os.getpid())

    def alive():
        for entry in os.listdir("/proc"):
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    if file.read().split(b"\0")[:2] == [b"sleep", number.encode()]:
                        return True
            except OSError:
                pass
        return False

    with farm.task_category("hostile"):
        task = start(f"os.system('sleep {number}')")
    until(alive)
    assert current.kill_tasks("hostile") == 1
    assert isinstance(task.exception(BOUND), farm.TaskKilledError)
    until(lambda: not alive())


def test_a_dry_run(current):
    """It counts, and the tasks go on."""
    with farm.task_category("some"):
        tasks = [runs(farm.future(time.sleep, 0.3)) for _ in range(2)]
    assert current.kill_tasks("some", dry_run=True) == 2
    assert current.kill_tasks("other", dry_run=True) == 0
    assert [task.result(BOUND) for task in tasks] == [None, None]
    assert current.kill_tasks("some", dry_run=True) == 0


def test_pending_tasks_are_untouched(current):
    """Only those that run are killed, and those behind them run then."""
    with farm.task_category("some"):
        running = [runs(farm.future(time.sleep, 1e6)) for _ in range(2)]
        waiting = [farm.future(abs, -n) for n in range(10)]
    assert current.kill_tasks("some") == 2
    assert all(isinstance(task.exception(BOUND), farm.TaskKilledError) for task in running)
    assert [task.result(BOUND) for task in waiting] == list(range(10))


def test_two_kernels_of_one_server(make, address):
    """Neither's kills reach the other's tasks, though the category is the same."""
    kernels = [make(f"{address}?workers=1") for _ in range(2)]
    tasks = []
    for kernel in kernels:
        with kernel_of(kernel), farm.task_category("some"):
            tasks.append(runs(farm.future(time.sleep, 0.5)))
    assert kernels[0].kill_tasks("some") == 1
    assert isinstance(tasks[0].exception(BOUND), farm.TaskKilledError)
    assert tasks[1].result(BOUND) is None


class kernel_of:
    """A kernel as the current one, which does not end with the block."""

    def __init__(self, kernel):
        self.kernel = kernel

    def __enter__(self):
        self.before = farm.set_kernel(self.kernel)

    def __exit__(self, *_):
        farm.set_kernel(self.before)


def test_two_kills_at_once(current, start):
    """Both end; the task is killed once."""
    with farm.task_category("some"):
        task = start(HARD["one that catches BaseException"])
    counts = []
    threads = [
        threading.Thread(target=lambda: counts.append(current.kill_tasks("some"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    assert len(counts) == 4
    assert max(counts) == 1
    assert isinstance(task.exception(BOUND), farm.TaskKilledError)


# what else is sent to the same worker


@pytest.fixture
def step():
    """A task that leaves a trace, and executes a text."""

    def step_(path, number, text):
        import itertools
        import os
        import time

        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{number}\n".encode())
        os.close(descriptor)
        exec(text, {"time": time, "itertools": itertools, "os": os})
        return number

    return step_


@pytest.mark.parametrize("how", ["kill", "timeout"])
@pytest.mark.parametrize("name", ["a loop", "one that catches BaseException", "a loop in C"])
def test_tasks_of_the_same_batch(make, address, tmp_path, until, step, name, how):
    """What was sent before and behind it returns; it and what is behind it run once."""
    text = {**HOSTILE, "a loop in C": "any(itertools.repeat(0))"}[name]
    kernel = make(f"{address}?workers=1")
    channel = kernel.make_channel()
    path = str(tmp_path / "trace")
    for number in range(200):  # until these tasks are known to be short
        channel.submit(step, path, number, "")
    assert sorted(channel) == list(range(200))
    futures = []
    with (
        kernel_of(kernel),
        farm.task_options(category="some", timeout=0.3 if how == "timeout" else None),
    ):
        for number in range(1000, 1040):
            futures.append(farm.future(step, path, number, text if number == 1020 else ""))
    hostile = futures.pop(20)
    if how == "kill":
        # Before that, one of the short tasks could be the one that runs.
        until(lambda: "1020" in Path(path).read_text().split())
        assert kernel.kill_tasks("some") == 1
    error = hostile.exception(BOUND)
    assert type(error) is (farm.TaskKilledError if how == "kill" else farm.TaskTimeoutError)
    assert [future.result(BOUND) for future in futures] == [
        number for number in range(1000, 1040) if number != 1020
    ]
    with open(path) as file:
        trace = [int(line) for line in file if int(line) >= 1000]
    assert trace.count(1020) == 1
    assert all(trace.count(number) == 1 for number in range(1021, 1040))
    assert all(trace.count(number) <= 2 for number in range(1000, 1020))


def test_kills_while_tasks_flow(current):
    """Each task gives its result or was killed; the numbers agree, and no worker is lost."""

    def spin(number, micros):
        from time import perf_counter_ns

        end = perf_counter_ns() + micros * 1000
        while perf_counter_ns() < end:
            pass
        return number

    before = sorted(current.broadcast_task("os:getpid"))
    over = threading.Event()
    counts = []

    def fire():
        while not over.is_set():
            counts.append(current.kill_tasks("some"))

    gun = threading.Thread(target=fire)
    gun.start()
    channel = current.make_channel()
    results, killed, submitted = [], 0, 0
    try:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            with farm.task_options(category="some", attempts=1):
                for n in range(submitted, submitted + 100):
                    channel.submit(spin, n, 20_000 if n % 17 == 0 else n % 5)
            submitted += 100
            while len(channel):
                try:
                    results.append(channel.receive())
                except farm.TaskKilledError:
                    killed += 1
    finally:
        over.set()
        gun.join(BOUND)
    assert len(results) == len(set(results)) == submitted - killed
    assert sum(counts) == killed
    assert sorted(current.broadcast_task("os:getpid")) == before


@pytest.mark.skipif(sys.implementation.name == "pypy", reason="PyPy has no such loops")
def test_tasks_that_end_when_their_worker_is_about_to(make, address):
    """A process is killed only while it is at that task: what is behind it always runs, once."""
    kernel = make(f"{address}?workers=1")
    farm.set_kernel(kernel)

    def hold(count):
        """Hold the interpreter."""
        import itertools
        from time import perf_counter

        begun = perf_counter()
        any(itertools.repeat(0, count))
        return perf_counter() - begun

    count = 10_000_000
    took = min(farm.force(farm.future(hold, count)) for _ in range(3))
    outcomes = {"killed": 0, "returned": 0}
    for n in range(12):
        with farm.task_category("some"):
            task = runs(farm.future(hold, int(count / took * (0.27 + 0.006 * n))))
        with farm.task_options(attempts=1):
            others = [farm.future(abs, -n) for n in range(5)]
        hit = kernel.kill_tasks("some")
        error = task.exception(BOUND)
        assert error is None or isinstance(error, farm.TaskKilledError)
        outcomes["returned" if error is None else "killed"] += 1
        assert hit == (error is not None)
        assert [other.result(BOUND) for other in others] == list(range(5))


# time limits


def test_a_task_that_ends_in_time(current):
    """Its result arrives; the limit is that of one task, and not of those before it."""
    with farm.task_options(timeout=0.5):
        futures = [farm.future(time.sleep, 0.2) for _ in range(10)]
    assert [future.result(BOUND) for future in futures] == [None] * 10


def test_waiting_does_not_count(make, address):
    """The time begins when the task is started."""
    kernel = make(f"{address}?workers=1")
    farm.set_kernel(kernel)
    first = farm.future(time.sleep, 0.5)
    with farm.task_options(timeout=0.3):
        second = farm.future(abs, -1)
    assert second.result(BOUND) == 1
    assert first.result(BOUND) is None


def test_neither_does_the_client(run, launch, until):
    """A client that is stopped cannot end its task; the server does."""
    server = launch("127.0.0.1:0", "--workers", "1")
    program = f"""
        import os, signal, time
        import farm_client as farm
        with farm.make_kernel({server.address!r}) as kernel:
            with farm.task_options(timeout=1):
                task = farm.future(time.sleep, 1e6)
            while not task.running():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGSTOP)
            print(type(task.exception(20)).__name__)
    """
    done = []
    client = threading.Thread(target=lambda: done.append(run(program)))
    client.start()

    def session():
        sessions = farm_admin.status(server.address).sessions
        return sessions[0] if sessions else None

    until(lambda: session() is not None and session().task is not None)
    until(lambda: session().task is None)
    stopped = [
        int(entry)
        for entry in os.listdir("/proc")
        if entry.isdigit() and state(entry) == "T" and b"program.py" in command(entry)
    ]
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    client.join(BOUND)
    assert done[0].stdout == "TaskTimeoutError\n", done[0].stderr


def state(pid):
    """The state of a process, in a letter."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def command(pid):
    """The command line of a process."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def test_broadcasts_have_the_limit_too(current):
    """It is that of each of them."""
    with farm.task_options(timeout=0.2), pytest.raises(farm.TaskTimeoutError):
        current.broadcast_task(time.sleep, 1e6)
    assert current.broadcast_task(abs, -1) == [1, 1]


def test_what_setup_prepared(current, start):
    """It is prepared again in a worker that had to be replaced."""

    def prepare():
        import sys

        sys.prepared = True

    def prepared():
        import sys

        return sys.prepared

    current.setup(prepare)
    with farm.task_category("some"):
        task = start(HARD["blocked signals"])
    assert current.kill_tasks("some") == 1
    assert isinstance(task.exception(BOUND), farm.TaskKilledError)
    assert current.broadcast_task(prepared) == [True, True]


# servers that are about to end


def test_a_server_that_drains(launch, make, start):
    """It cannot be asked any more; the task ends all the same, and the server with it."""
    server = launch("127.0.0.1:0", "--workers", "1")
    kernel = make(server.address)
    farm.set_kernel(kernel)
    with farm.task_category("some"):
        task = start("any(itertools.repeat(0))")
    farm_admin.end_server(server.address)
    assert kernel.kill_tasks("some") == 1
    assert isinstance(task.exception(BOUND), farm.TaskKilledError)
    server.end()


def test_a_time_limit_on_a_server_that_drains(launch, make):
    """The server needs nobody for that."""
    server = launch("127.0.0.1:0", "--workers", "1")
    farm.set_kernel(make(server.address))
    with farm.task_options(timeout=0.5):
        task = runs(farm.future(time.sleep, 1e6))
    farm_admin.end_server(server.address)
    assert isinstance(task.exception(BOUND), farm.TaskTimeoutError)
    server.end()


# attempts and tags


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_attempts(current, tmp_path, step, attempts):
    """A task that ends its worker is started so often, and not more."""
    path = str(tmp_path / "trace")
    with farm.task_options(attempts=attempts):
        task = farm.future(step, path, 1, "os._exit(3)")
    with pytest.raises(farm.WorkerLostError) as caught:
        task.result(BOUND)
    assert caught.value.attempts == attempts
    with open(path) as file:
        assert file.read() == "1\n" * attempts


def test_tags(launch, make):
    """Tasks go to servers that were started with the tag."""
    plain = launch("127.0.0.1:0", "--workers", "1")
    tagged = launch("127.0.0.1:0", "--workers", "1", "--tag", "gpu", "--tag", "big")
    kernel = make([plain.address, tagged.address])
    farm.set_kernel(kernel)
    wanted = {worker.pid for worker in kernel.workers() if "gpu" in worker.tags}
    assert len(wanted) == 1
    with farm.task_options(tags={"gpu"}):
        assert {farm.force(farm.future("os:getpid")) for _ in range(10)} == wanted
    with farm.task_options(tags={"tpu"}), pytest.raises(farm.UnsupportedError, match="tag tpu"):
        farm.future("os:getpid")
