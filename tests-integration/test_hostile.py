"""Tasks that attack what executes them: the server serves on, and the client is told by name.

What a task may do to its own process without harm to others is in `test_isolation`, what it takes
to end one in `test_kill`. These go further, each on the default interpreter and on PyPy.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import farm_admin
import farm_client as farm

BOUND = 30.0

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")

IMPORTS = "import gc, os, signal, socket, stat, subprocess, sys, tempfile, threading, time\n"

SOCKETS = """
for number in range(3, 5000):
    try:
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            {}
    except OSError:
        pass
"""

# After these the same process goes on.
SURVIVED = {
    "a child that comes back with an error": "if not os.fork(): raise ValueError",
    "a child that comes back with an exit": "if not os.fork(): sys.exit(3)",
    "a child that stays": "if not os.fork(): time.sleep(600)",
    "a child that prints for ever": """
if not os.fork():
    while True:
        print('x')
        time.sleep(0.01)""",
    "a child of a thread": "t = threading.Thread(target=os.fork); t.start(); t.join()",
    "a daemon": """
if not os.fork():
    os.setsid()
    if not os.fork(): time.sleep(2)
    os._exit(0)""",
    "threads that print for ever": """
def chat():
    while True: print('y' * 100)
for _ in range(4): threading.Thread(target=chat, daemon=True).start()""",
    "a thread that exits": "threading.Thread(target=sys.exit).start()",
    "300 threads": """
for _ in range(300): threading.Thread(target=time.sleep, args=(600,), daemon=True).start()""",
    "Ctrl-C by hand": "import _thread; _thread.interrupt_main(); time.sleep(0.02)",
    "Ctrl-C by hand, later": """
import _thread
threading.Timer(0.02, _thread.interrupt_main).start()""",
    "all descriptors there are": """
import builtins
builtins.kept = []
try:
    while True: builtins.kept.append(open(os.devnull))
except OSError: pass""",
    "no descriptors any more": """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))""",
    "no files any more": "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))",
    "a small stack": "import resource; resource.setrlimit(resource.RLIMIT_STACK, (65536, 65536))",
    "low descriptors closed": "os.closerange(0, 51)",
    "no paths": "sys.path.clear(); sys.meta_path.clear(); sys.path_hooks.clear()",
    "no hooks": "sys.excepthook = sys.unraisablehook = sys.displayhook = None",
    "hardly any recursion": "sys.setrecursionlimit(60)",
    "output to nowhere": "sys.stdout = sys.stderr = None; del sys.__stdout__",
    "output to a number": "sys.stdout = sys.stderr = 5",
    "output that exits": """
class Exits:
    def write(self, text): raise ValueError
    def flush(self): raise SystemExit
sys.stdout = sys.stderr = Exits()""",
    "handlers set back": """
for number in set(range(1, 32)) - {9, 19}: signal.signal(number, signal.SIG_DFL)""",
    "all signals ignored": """
for number in set(range(1, 32)) - {9, 19}: signal.signal(number, signal.SIG_IGN)""",
    "all signals blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))",
    "a wake-up descriptor": """
import builtins
builtins.pair = socket.socketpair()
builtins.pair[1].setblocking(False)
signal.set_wakeup_fd(builtins.pair[1].fileno())""",
    "a switch interval of minutes": "sys.setswitchinterval(100)",
    "no garbage collection": "gc.disable()",
    "no environment": "os.environ.clear()",
    "a folder that is gone": "d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)",
    "a mask for everything": "os.umask(0o777)",
}

# The same, but hardly anything can be done there any more.
CRIPPLED = {
    "no import": "import builtins; builtins.__import__ = None",
    "no modules": "sys.modules.clear()",
}

# These fail, by an error that says so, and the same process goes on.
FAILED = {
    "a trace that raises": (
        "def trace(*_): raise ValueError('traced')\nsys.settrace(trace)\n(lambda: 0)()",
        "ValueError: traced",
    ),
    "a profile that raises": (
        "def profile(*_): raise ValueError('profiled')\nsys.setprofile(profile)\nlen('')",
        "ValueError: profiled",
    ),
    "a large error": ("raise ValueError('x' * (20 << 20))", "ValueError: xxx"),
    "a circle of causes": (
        "a, b = ValueError('a'), ValueError('b')\na.__cause__, b.__cause__ = b, a\nraise a",
        "ValueError: a",
    ),
    "an error without a text": (
        "class Mute(Exception):\n    def __str__(self): raise RecursionError\nraise Mute",
        "Mute",
    ),
    "an error whose class is gone": (
        "class Gone(Exception): pass\nerror = Gone('gone')\ndel Gone\nraise error",
        "Gone: gone",
    ),
    "one error of many": (
        """
error = None
for n in range(2000):
    e = ValueError(n); e.__context__ = error; error = e
raise error""",
        "ValueError: 1999",
    ),
}

# These end their process, and the error says how.
FATAL = {
    "another program": ("os.execv('/bin/true', ['true'])", "it"),  # which may end unseen
    "another program that goes on": (
        "os.execv('/bin/sleep', ['sleep', '1000'])",
        "its task executed another program in its place, /",
    ),
    "its group killed": ("os.killpg(0, 9)", "it was killed by SIGKILL"),
    "abort": ("os.abort()", "it was killed by SIGABRT"),
    "an alarm": ("signal.alarm(1); time.sleep(20)", "it was killed by SIGALRM"),
    "a timer": (
        "signal.setitimer(signal.ITIMER_REAL, 0.02); time.sleep(20)",
        "it was killed by SIGALRM",
    ),
    "no time any more": (
        """
import resource
soft = int(time.process_time()) + 1
resource.setrlimit(resource.RLIMIT_CPU, (soft, soft + 5))
while True: pass""",
        "it was killed by SIGXCPU",
    ),
    "an exit of a thread": (
        "threading.Timer(0.02, os._exit, (5,)).start(); time.sleep(20)",
        "it exited with status 5",
    ),
    "a real-time signal": ("os.kill(os.getpid(), 40)", "it was killed by signal 40"),
    "no exit status": ("os._exit(0)", "it exited with status 0"),
    "junk to the client": (SOCKETS.format("os.write(number, b'junk' * 100)"), "it "),
    "the connections shut": (
        SOCKETS.format("socket.socket(fileno=os.dup(number)).shutdown(socket.SHUT_RDWR)"),
        "it exited with status 1",
    ),
    "a trace that raises later": (
        "def trace(*_): raise ValueError\nsys.settrace(trace)",
        "it exited with status 1",
    ),
    "no len": ("import builtins; builtins.len = None", "it exited with status 1"),
    "no pickle": ("import pickle; pickle.dumps = pickle.loads = None", "it "),
}

# What these leave behind ends their process after they have returned.
DELAYED = {
    "a timer": "signal.setitimer(signal.ITIMER_REAL, 0.05)",
    "a timer whose handler raises": """
def ring(*_): raise ValueError
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)""",
    "a thread that exits the process": "threading.Timer(0.05, os._exit, (5,)).start()",
    "a thread that kills the process": (
        "threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGSEGV)).start()"
    ),
    "a watchdog": "import faulthandler; faulthandler.dump_traceback_later(0.05, exit=True)",
}


def pytest_generate_tests(metafunc):
    """`python` is the default interpreter and PyPy, where that is another."""
    if "python" in metafunc.fixturenames:
        given = json.loads(os.environ.get("FARM_PYTHONS", "{}"))
        chosen = {name: path for name, path in given.items() if "pypy" in name}
        chosen = {"default": sys.executable, **chosen}
        metafunc.parametrize("python", chosen.values(), ids=chosen.keys(), scope="module")


@pytest.fixture(scope="module")
def place(server_of, python):
    """The address of a server that many hostile tasks have to do with, and the server's pid."""
    address = server_of(python)
    status = farm_admin.status(address)
    return address, status.pid


@pytest.fixture(scope="module")
def bystander(place):
    """A kernel on the same server that nobody attacks."""
    kernel = farm.make_kernel(f"{place[0]}?workers=1", timeout=BOUND)
    yield kernel
    kernel.end()


def children(pid):
    """The processes that a process has, those that wait to be reaped included."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(entry.name))
    return found


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.fixture
def attack(place, bystander, make, until):
    """A kernel of one worker for hostile tasks; afterwards the server is as it was before."""
    address, pid = place
    assert call(bystander, abs, -1) == 1
    until(lambda: len(children(pid)) == 1)
    before = descriptors(pid)
    neighbour = bystander.workers()[0].pid
    kernel = make(f"{address}?workers=1", output="discard")
    yield kernel
    assert call(bystander, abs, -2) == 2
    kernel.end()
    until(lambda: children(pid) == [neighbour])
    until(lambda: descriptors(pid) <= before)


def call(kernel, task, *args, **options):
    """The result of one task, which has 20 seconds."""
    channel = kernel.make_channel()
    with farm.task_options(**options):
        channel.submit(task, *args)
    result, present = farm.try_receive_result(channel, BOUND)
    assert present, "neither a result nor an error"
    return result


def execute(kernel, text):
    """Have a task execute a text, once."""
    return call(kernel, "builtins:exec", IMPORTS + text, {}, attempts=1, timeout=20.0)


@pytest.mark.parametrize("name", [*SURVIVED, *CRIPPLED])
def test_what_a_worker_survives(attack, name):
    """The task returns, and the next ones run in the same process."""
    (pid,) = attack.broadcast_task("os:getpid")
    assert execute(attack, {**SURVIVED, **CRIPPLED}[name]) is None
    for _ in range(3):
        assert call(attack, "os:getpid") == pid
    if name in SURVIVED:
        assert call(attack, lambda: sorted([3, 1, 2])) == [1, 2, 3]


@pytest.mark.parametrize("name", FAILED)
def test_what_is_the_task_s_failure(attack, fails_with, name):
    """An error that says so, and the next tasks run in the same process."""
    body, text = FAILED[name]
    (pid,) = attack.broadcast_task("os:getpid")
    with fails_with(farm.TaskExecutionError, text):
        execute(attack, body)
    for _ in range(3):
        assert call(attack, "os:getpid") == pid


@pytest.mark.parametrize("name", FATAL)
def test_what_ends_the_worker(attack, fails_with, name):
    """An error that says how it ended; another takes its place, and has nothing of it."""
    body, text = FATAL[name]
    (pid,) = attack.broadcast_task("os:getpid")
    with fails_with(farm.WorkerLostError, text) as caught:
        execute(attack, body)
    error = caught.value
    assert (error.task, error.attempts) == ("builtins:exec", 1)
    assert error.worker == f"worker 0 at {attack.addresses[0].partition('?')[0]}"
    assert call(attack, "os:getpid") != pid
    assert call(attack, len, "four") == 4


@pytest.mark.parametrize("name", DELAYED)
def test_what_ends_the_worker_later(attack, until, name):
    """The task has its result; another worker takes the place of the one that ends."""
    (pid,) = attack.broadcast_task("os:getpid")
    assert execute(attack, DELAYED[name]) is None
    until(lambda: attack.workers()[0].pid != pid)
    assert call(attack, "os:getpid") != pid


# on the way


@pytest.fixture
def odd():
    """Makes objects that harm whoever packs or loads them."""

    def make(what):
        class Odd:
            def __init__(self):
                self.what = what

            def __reduce__(self):
                import os
                import threading

                if what == "raises":
                    raise ValueError("not me")
                if what == "dies":
                    os._exit(9)
                if what == "lies":
                    return 5
                if what == "hangs":
                    threading.Event().wait()
                if what == "deep":
                    nested = []
                    for _ in range(100_000):
                        nested = [nested]
                    return list, (nested,)
                if what == "large":
                    raise MemoryError("too large")
                return object.__reduce__(self)

        return Odd()

    return make


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("(n for n in range(3))", "generator"),
        ("threading.Lock()", "lock"),
        ("open(os.devnull)", "TextIOWrapper"),
        ("sys._getframe()", "frame"),
        ("{1: [2, {3: threading.Lock()}]}", "the result -> [1] -> [1] -> [3]: a _thread.lock"),
    ],
)
def test_results_that_cannot_be_pickled(attack, fails_with, value, text):
    """The task fails, with an error that names what it was about."""
    (pid,) = attack.broadcast_task("os:getpid")
    with fails_with(farm.TaskExecutionError, "Serialization", text):
        call(attack, "builtins:eval", value, imported())
    assert call(attack, "os:getpid") == pid


def imported():
    """Names for `eval`; the modules go by name."""
    import threading

    return {"os": os, "sys": sys, "threading": threading}


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("raises", "Odd: not me"),
        ("lies", "must return"),
        ("deep", "nested too deeply"),
        ("large", "Odd: too large"),
    ],
)
def test_results_that_harm_who_packs_them(attack, odd, fails_with, what, text):
    """It is their task's failure."""
    (pid,) = attack.broadcast_task("os:getpid")
    with fails_with(farm.TaskExecutionError, text):
        call(attack, odd, what)
    assert call(attack, "os:getpid") == pid


def test_a_result_that_ends_the_worker_when_it_is_packed(attack, odd, fails_with):
    """The task has lost its worker."""
    with fails_with(farm.WorkerLostError, "it exited with status 9"):
        call(attack, odd, "dies", attempts=1)
    assert call(attack, abs, -3) == 3


def test_a_result_that_is_packed_for_ever(attack, odd, until):
    """The task can be killed all the same."""
    with farm.task_category("hostile"), using(attack):
        future = farm.future(odd, "hangs")
    until(future.running)
    until(lambda: attack.kill_tasks("hostile") == 1)
    assert isinstance(future.exception(BOUND), farm.TaskKilledError)
    assert call(attack, abs, -3) == 3


class using:
    """A kernel as the current one, which does not end with the block."""

    def __init__(self, kernel):
        self.kernel = kernel

    def __enter__(self):
        self.before = farm.set_kernel(self.kernel)

    def __exit__(self, *_):
        farm.set_kernel(self.before)


def test_arguments_that_end_the_worker_when_they_are_loaded(attack, fails_with):
    """The task is to blame, though it never began, and those behind it are not."""

    class Bomb:
        def __reduce__(self):
            return os._exit, (8,)

    channel = attack.make_channel()
    with farm.task_options(attempts=1):
        for number in range(10):
            channel.submit("builtins:abs", -number)
    with fails_with(farm.WorkerLostError, "builtins:type was started 2 times", "status 8"):
        call(attack, "builtins:type", Bomb(), attempts=2)
    assert sorted(channel) == list(range(10))


# memory


def resident(pid):
    """The resident memory of a process, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no such line")


def test_a_result_of_600_megabytes(attack, place, until):
    """It arrives whole, and nobody keeps it: not the worker, not the server, not the client."""
    (pid,) = attack.broadcast_task("os:getpid")
    mine, theirs, server = (resident(each) for each in (os.getpid(), pid, place[1]))
    result = call(attack, lambda: b"farm" * (150 << 20))
    assert len(result) == 600 << 20
    assert result[:4] == result[-4:] == b"farm"
    del result
    assert call(attack, abs, -1) == 1
    until(lambda: resident(pid) < theirs + 100)
    assert resident(place[1]) < server + 20
    if sys.implementation.name != "pypy":  # which frees when it likes
        until(lambda: resident(os.getpid()) < mine + 100)


GROUPS = Path("/sys/fs/cgroup/memory")


@pytest.fixture
def group():
    """A control group of 300 MB, and a command that enters it."""
    own = [
        line.rpartition(":")[2]
        for line in Path("/proc/self/cgroup").read_text().splitlines()
        if ":memory:" in line
    ]
    if own and os.access(GROUPS, os.W_OK):  # version 1
        folder, limit = GROUPS / own[0].lstrip("/"), "memory.limit_in_bytes"
        if not folder.is_dir():  # in a container the path is the host's
            folder = GROUPS
    else:
        folder, limit = Path("/sys/fs/cgroup"), "memory.max"
    folder /= f"farm-test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / limit).write_text(str(300 << 20))
    except OSError as error:
        if folder.is_dir():
            folder.rmdir()
        pytest.skip(f"this user may not make control groups for memory: {error}")
    try:
        yield folder
    finally:
        deadline = time.monotonic() + BOUND
        while True:
            try:
                folder.rmdir()
                break
            except OSError:
                assert time.monotonic() < deadline, "processes are left in the group"
                time.sleep(0.01)


def test_a_worker_that_the_system_kills_for_its_memory(group, python, make, fails_with):
    """The error says out of memory, and the server, in the same group, goes on."""
    enter = f"echo $$ > {group}/cgroup.procs && exec {python} -m farm_server 127.0.0.1:0"
    process = subprocess.Popen(
        ["sh", "-c", f"{enter} --workers 1 --log-level error"], stdout=subprocess.PIPE, text=True
    )
    try:
        kernel = make(process.stdout.readline().split()[2])
        for attempts in (1, 2):
            with fails_with(
                farm.WorkerLostError, "it was killed by SIGKILL, out of memory"
            ) as caught:
                call(kernel, lambda: len(bytearray(800 << 20)), attempts=attempts)
            assert caught.value.attempts == attempts
        assert call(kernel, abs, -1) == 1
        with fails_with(farm.WorkerLostError) as caught:
            call(kernel, "os:kill", *call(kernel, lambda: (os.getpid(), 9)), attempts=1)
        assert "memory" not in str(caught.value)
        kernel.end()
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=BOUND)
