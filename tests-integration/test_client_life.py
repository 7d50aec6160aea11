"""The client's own life: interrupts, forks, exits, and what is left afterwards."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import farm_client as farm

BOUND = 60.0

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")


@pytest.fixture
def program(tmp_path):
    """Runs a program with any interpreter; returns what came of it."""

    def run(text, *arguments, python=sys.executable, **keywords):
        script = tmp_path / "life.py"
        script.write_text(text, encoding="utf-8")
        return subprocess.run(
            [python, str(script), *arguments],
            capture_output=True,
            text=True,
            timeout=BOUND,
            check=False,
            **keywords,
        )

    return run


def clients():
    """The interpreters that play the client: this one, and PyPy where that is another."""
    given = json.loads(os.environ.get("FARM_PYTHONS", "{}"))
    return {"this": sys.executable, **{n: p for n, p in given.items() if "pypy" in n}}


each_client = pytest.mark.parametrize("python", clients().values(), ids=clients().keys())


# Ctrl-C

WAITS = """
import asyncio, concurrent.futures as futures, contextlib, json, os, signal, sys, threading, time
import farm_client as farm

kernel = farm.make_kernel(sys.argv[1] + "?workers=2", timeout=30)
LONG = 1e6
nap = "time:sleep"

def doze(*_):
    import time
    time.sleep(1e6)

def filled(*tasks):
    channel = kernel.make_channel()
    for task in tasks or (nap, nap):
        channel.submit(task, LONG)
    return channel

def at_capacity():
    channel = kernel.make_channel(capacity=1)
    while True:
        channel.submit(nap, LONG)

def in_a_tree():
    tree = farm.Ptree()
    tree.define("slow", (), doze)
    tree.call("slow")

def in_a_timer():
    channel = kernel.make_channel()
    farm.submit_timeout(channel, 900.0, None)
    channel.receive()

def beside_a_thread():
    future = farm.future(nap, LONG)
    threading.Thread(target=future.exception, daemon=True).start()
    future.result()

def awaited():
    async def main():
        await farm.future(nap, LONG)
    asyncio.run(main())

def drained():
    executor = kernel.executor()
    executor.submit(time.sleep, LONG)
    executor.shutdown(wait=True)

NAPS = [LONG] * 10
CASES = {
    "receive": lambda: filled().receive(),
    "try_receive": lambda: farm.try_receive_result(filled(), 500),
    "iterate": lambda: list(filled()),
    "do_fast_receives": lambda: list(farm.do_fast_receives(filled(), 2)),
    "submit at capacity": at_capacity,
    "submit_timeout": in_a_timer,
    "force": lambda: farm.force(farm.future(nap, LONG)),
    "force in time": lambda: farm.force(farm.future(nap, LONG), 500),
    "force a promise": lambda: farm.force(farm.promise()),
    "force a chain": lambda: farm.force(farm.chain(farm.future(nap, LONG))),
    "force a delay": lambda: farm.force(farm.delay(time.sleep, LONG)),
    "result": lambda: farm.future(nap, LONG).result(),
    "exception": lambda: farm.future(nap, LONG).exception(),
    "beside a thread": beside_a_thread,
    "futures.wait": lambda: futures.wait([farm.future(nap, LONG)]),
    "as_completed": lambda: list(futures.as_completed([farm.future(nap, LONG)])),
    "await": awaited,
    "broadcast": lambda: kernel.broadcast_task(nap, LONG),
    "setup": lambda: kernel.setup(nap, LONG),
    "pmap": lambda: farm.pmap(nap, NAPS),
    "pmap in parts": lambda: farm.pmap(nap, NAPS, parts=2),
    "pmapc": lambda: farm.pmapc(nap, NAPS),
    "pdotimes": lambda: farm.pdotimes(10, doze),
    "preduce": lambda: farm.preduce(doze, range(10)),
    "pmap_reduce": lambda: farm.pmap_reduce(nap, doze, NAPS),
    "psort": lambda: farm.psort(list(range(1000)), key=doze),
    "pfind_if": lambda: farm.pfind_if(nap, NAPS),
    "psome": lambda: farm.psome(nap, NAPS),
    "pevery": lambda: farm.pevery(nap, NAPS),
    "pcount_if": lambda: farm.pcount_if(nap, NAPS),
    "premove_if": lambda: farm.premove_if(nap, NAPS),
    "pmap_iter": lambda: list(farm.pmap_iter(nap, NAPS)),
    "pmap_iter without end": lambda: [0 for _ in farm.pmap_iter(abs, iter(int, 1)) if False],
    "plet": lambda: farm.plet(x=doze).x,
    "pfuncall": lambda: farm.pfuncall(max, doze, doze),
    "pand": lambda: farm.pand(doze, doze),
    "por": lambda: farm.por(doze, doze),
    "Ptree": in_a_tree,
    "executor": lambda: kernel.executor().submit(time.sleep, LONG).result(),
    "executor.map": lambda: list(kernel.executor().map(time.sleep, NAPS)),
    "executor.shutdown": drained,
    "make_kernel": lambda: farm.make_kernel("127.0.0.1:1"),
    "add": lambda: kernel.add("127.0.0.1:1"),
    "end": lambda: (filled(), kernel.end(wait=True)),
}

def usable():
    while kernel.task_categories_running() != [None, None]:
        kernel.kill_tasks("default")
    channel = farm.make_channel()
    channel.submit(abs, -1)
    assert channel.receive() == 1
    assert kernel.broadcast_task(abs, -2) == [2, 2]
    assert farm.force(farm.future(abs, -3), 30) == 3
    assert farm.pmap(abs, range(-5, 0)) == [5, 4, 3, 2, 1]

for name, wait in CASES.items():
    print("case", name, flush=True)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        wait()
        print("returned", flush=True)
    except KeyboardInterrupt:
        pass
    timer.join()
    usable()
print("done", len(CASES))
"""


@each_client
def test_ctrl_c_in_every_wait(program, address, python):
    """Each wait ends, by KeyboardInterrupt, and the kernel can do everything afterwards.

    What they wait for takes days; so where one did not end, the program would not.
    """
    done = program(WAITS, address, python=python)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[-1] == f"done {len(lines) - 1}", lines[-2:]


ENDLESS = """
import os, signal, sys, threading, time
import farm_client as farm
from farm_client import interrupts

class Endless:
    def __init__(self, *how):
        self.how = how

    def __reduce__(self):
        return self.how

def make():
    import time
    time.sleep(0.5)  # until then the main thread waits, so that it is the one that loads this
    return Endless(time.sleep, (1e6,))

def loads():
    frame = sys._current_frames()[threading.main_thread().ident]
    while frame is not None and frame.f_code not in interrupts._breakable:
        frame = frame.f_back
    return frame is not None

def press():
    deadline = time.monotonic() + 20
    while not loads() and time.monotonic() < deadline:
        time.sleep(0.01)
    for _ in range(2):
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

kernel = farm.make_kernel(sys.argv[1] + "?workers=2", timeout=30)
for _ in range(3):
    kernel.broadcast_task(abs, -1)
    future = farm.future(make)
    threading.Thread(target=press).start()
    try:
        future.result(30)
        print("returned")
    except KeyboardInterrupt:
        print("interrupted", type(future.exception(30).__cause__).__name__)
    print(farm.pmap(abs, range(-5, 0)))
"""


@each_client
def test_ctrl_c_while_a_result_takes_for_ever_to_load(program, address, python):
    """At the second one its task fails, at the latest, and the kernel can do everything."""
    done = program(ENDLESS, address, python=python)
    assert done.stderr == ""
    assert done.stdout == "interrupted KeyboardInterrupt\n[5, 4, 3, 2, 1]\n" * 3


# forks

# Python 3.12 and later warn of forks in programs that have threads, as those with a kernel do.
FORKED = """
import os, signal, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import farm_client as farm

kernel = farm.make_kernel(sys.argv[1], timeout=30)
channel = kernel.make_channel()
channel.submit(abs, -1)
future = farm.future("time:sleep", 0.3)
executor = kernel.executor()
signal.alarm(50)

def child():
    signal.alarm(20)
    said = {}
    for name, act in {
        "submit": lambda: channel.submit(abs, -1),
        "receive": lambda: (channel.receive(), channel.receive()),
        "try": lambda: (channel.receive(), farm.try_receive_result(channel, 5)),
        "force": lambda: farm.force(future),
        "pmap": lambda: farm.pmap(abs, [-1, -2]),
        "future": lambda: farm.future(abs, -1),
        "broadcast": lambda: kernel.broadcast_task(abs, -1),
        "setup": lambda: kernel.setup(abs, -1),
        "executor": lambda: executor.submit(abs, -1).result(),
        "pmap_iter": lambda: list(farm.pmap_iter(abs, [-1])),
        "make_channel": kernel.make_channel,
    }.items():
        try:
            act()
            said[name] = "no error"
        except farm.FarmError as error:
            said[name] = str(error)
    assert kernel.kill_tasks("default") == 0
    kernel.workers()
    kernel.end(wait=True)
    kernel.end()
    with farm.make_kernel(sys.argv[1].partition("?")[0] + "?workers=1", timeout=30):
        assert farm.force(farm.future(abs, -7)) == 7
    for name, text in said.items():
        print(name, "ok" if "make a new one here" in text else text, flush=True)
"""

WAYS = {
    "os.fork": """
pid = os.fork()
if not pid:
    try:
        child()
    finally:
        sys.stdout.flush()
        os._exit(0)
os.waitpid(pid, 0)
""",
    "multiprocessing": """
import multiprocessing
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
assert process.exitcode == 0
""",
    "a normal exit": """
pid = os.fork()
if not pid:
    child()
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
""",
}

AFTER = """
channel.submit(abs, -2)
got = sorted([channel.receive(), channel.receive()])
print(got, farm.force(future), kernel.broadcast_task(abs, -3))
"""


def pairs(these, few):
    """Each of some cases with this interpreter, and a few with the other clients, too."""
    return pytest.mark.parametrize(
        ("python", "case"),
        [
            pytest.param(path, case, id=f"{name}-{case}")
            for name, path in clients().items()
            for case in (these if name == "this" else few)
        ],
    )


@pairs(WAYS, ["os.fork"])
@pytest.mark.parametrize("where", ["server", "local?workers=2"])
def test_a_fork_after_make_kernel(program, address, python, case, where):
    """In the child everything that needs the kernel says to make another; the parent's goes on."""
    place = address if where == "server" else where
    done = program(FORKED + WAYS[case] + AFTER, place, python=python)
    assert done.stderr == ""
    *child, parent = done.stdout.splitlines()
    assert len(child) == 11
    assert all(line.endswith(" ok") for line in child), child
    assert parent == "[1, 2] None [3, 3]"


FORKS_IN_TRAFFIC = """
import os, signal, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import farm_client as farm

signal.alarm(50)
kernel = farm.make_kernel(sys.argv[1], timeout=30)
over = threading.Event()

def work():
    while not over.is_set():
        assert farm.pmap(abs, range(-200, 0), parts=20) == list(range(200, 0, -1))

threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
said = []
for number in range(30):
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        signal.alarm(20)
        try:
            farm.future(abs, -1)
        except farm.NoKernelError as error:
            if "before the process forked" in str(error): os.write(writer, b"!")
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    said.append(os.read(reader, 9))
    os.close(reader)
over.set()
for thread in threads:
    thread.join()
print(said == [b"!"] * 30, kernel.broadcast_task(abs, -3))
"""


@each_client
def test_forks_while_tasks_flow(program, address, python):
    """Whatever other threads held at that moment, the child has its error, and does not wait."""
    done = program(FORKS_IN_TRAFFIC, address, python=python)
    assert done.stderr == ""
    assert done.stdout == "True [3, 3]\n"


# exits

ENDINGS = {
    "tasks wait": """
for _ in range(50_000): channel.submit("builtins:abs", -1)
for _ in range(10): channel.submit("time:sleep", 1e6)""",
    "tasks with arguments wait": """
for _ in range(200): channel.submit("builtins:len", bytes(1 << 20))
for _ in range(10): channel.submit("time:sleep", 1e6)""",
    "a thread submits for ever": """
def submit():
    try:
        while True: channel.submit("builtins:abs", -1); channel.receive()
    except farm.KernelEndedError: pass
threading.Thread(target=submit, daemon=True).start()
time.sleep(0.1)""",
    "threads wait": """
futures = [farm.future("time:sleep", 1e6) for _ in range(4)]
for future in futures: threading.Thread(target=future.exception, daemon=True).start()
time.sleep(0.05)""",
    "a callback never returns": """
called = threading.Event()
def wait(_): called.set(); time.sleep(1e6)
farm.future(abs, -1).add_done_callback(wait)
called.wait(20)""",
    "an iterator is half way": """
iterator = farm.pmap_iter("time:sleep", iter(lambda: 0.01, 1))
next(iterator)""",
    "a timer runs": "farm.submit_timeout(channel, 1e6, None)",
    "output floods": """
channel.submit("builtins:exec", "while True: print('flood')", {})
time.sleep(0.2)""",
    "two kernels": """
other = farm.make_kernel(sys.argv[1] + "?workers=1", timeout=30)
other.make_channel().submit("time:sleep", 1e6)""",
    "an error": "raise ValueError('the end')",
    "its worker was just killed": """
pids = kernel.broadcast_task("os:getpid")
channel.submit("time:sleep", 1e6)
for pid in pids: os.kill(pid, signal.SIGKILL)""",
    "the server cannot be reached": """
os.kill(kernel.broadcast_task("os:getppid")[0], signal.SIGSTOP)
for pid in [w.pid for w in kernel.workers()]: os.kill(pid, signal.SIGKILL)
channel.submit("time:sleep", 1e6)
time.sleep(0.1)""",
    "an exit from a thread": """
threading.Thread(target=lambda: (time.sleep(0.05), os.kill(os.getpid(), signal.SIGINT))).start()
channel.submit("time:sleep", 1e6)
try: channel.receive()
except KeyboardInterrupt: sys.exit(0)""",
}

EXIT = """
import os, signal, sys, threading, time
import farm_client as farm
kernel = farm.make_kernel(sys.argv[1], timeout=30, output="discard")
channel = kernel.make_channel()
print(*{w.pid for w in kernel.workers()}, kernel.broadcast_task("os:getppid")[0], flush=True)
"""


@linux
@pairs(ENDINGS, ["threads wait"])
def test_exits_with_an_open_kernel(program, launch, python, case, until):
    """The program ends by itself, silently, whatever is under way; its workers end too.

    They end at once, whatever was being sent. Where a server cannot be reached they end
    after the time that it gives to clients that may come back.
    """
    grace = "1" if case == "the server cannot be reached" else "1000"
    server = launch("127.0.0.1:0", "--workers", "2", "--grace", grace)
    try:
        done = program(EXIT + ENDINGS[case], server.address, python=python)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert done.returncode == (1 if case == "an error" else 0)
    assert done.stderr.strip().splitlines()[-1:] == (
        ["ValueError: the end"] if case == "an error" else []
    )
    *workers, parent = map(int, done.stdout.split())
    assert parent == server.pid
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers))


@linux
@pairs(["tasks wait", "a callback never returns"], [])
def test_exits_with_an_open_local_kernel(program, python, case, until, tmp_path):
    """The private server and its folder go as well."""
    environment = {**os.environ, "TMPDIR": str(tmp_path / "t")}
    (tmp_path / "t").mkdir()
    done = program(EXIT + ENDINGS[case], "local?workers=2", python=python, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in done.stdout.split()))
    assert not list((tmp_path / "t").iterdir())


# what is left


def census():
    """This process's descriptors, threads, children, and its files for sockets."""
    own = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                own.append(entry.name)
        except OSError:
            pass
    return len(os.listdir("/proc/self/fd")), threading.active_count(), len(own)


@linux
def test_twenty_kernels_in_a_row(make, address, until):
    """They leave nothing, however they ended."""

    def one(number):
        kernel = make("local?workers=1" if number % 5 == 4 else address)
        channel = kernel.make_channel()
        for value in range(50):
            channel.submit("builtins:abs", -value)
        farm.submit_timeout(channel, 1e6, None)
        if number % 3 == 0:
            os.kill(kernel.workers()[0].pid, signal.SIGKILL)
        if number % 3 == 1:
            channel.submit("time:sleep", 1e6)
        kernel.end()
        with pytest.raises(farm.KernelCreationError):
            farm.make_kernel([address, "127.0.0.1:1"], timeout=0.01)

    one(0)
    before = census()
    for number in range(20):
        one(number)
    until(lambda: census() <= before)
