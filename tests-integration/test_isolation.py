"""Tasks that misbehave: each harms itself at most, and what it printed is not lost."""

import subprocess
import sys

import pytest

import farm_client as farm

BOUND = 30.0

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")


def call(kernel, task, *args, **kwargs):
    """The result of one task."""
    channel = kernel.make_channel()
    channel.submit(task, *args, **kwargs)
    return channel.receive()


# output


@pytest.fixture
def printed(run, address):
    """Runs the body of a task in a program, and returns what the program writes."""

    def printed_(body, output="forward", calls="channel.submit(task); channel.receive()"):
        lines = "\n".join(f"            {line}" for line in body.splitlines())
        done = run(
            f"""
        import farm_client as farm
        def task(*args):
            import os, subprocess, sys, time
{lines}
        with farm.make_kernel("{address}?workers=1", output={output!r}):
            channel = farm.make_channel()
            {calls}
            print("after")
        """
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    return printed_


def test_what_a_task_prints_appears_before_its_result(printed):
    """Labelled with the worker; standard error apart."""
    out, error = printed("print('one\\ntwo')\nprint('tail', end='')\nprint('err', file=sys.stderr)")
    assert out == "[worker 0] one\n[worker 0] two\n[worker 0] tail\nafter\n"
    assert error == "[worker 0] err\n"


@pytest.mark.parametrize("output", ["server", "discard"])
def test_output_that_is_not_forwarded(printed, output):
    """It does not come here."""
    assert printed("print('x'); os.write(1, b'y'); print('z', file=sys.stderr)", output) == (
        "after\n",
        "",
    )


def test_output_from_below_python(printed):
    """By descriptor and from child processes, in order."""
    body = "print('a', flush=True)\nos.write(1, b'b\\n')\nsubprocess.run(['echo', 'c'])\nprint('d')"
    assert printed(body)[0] == "".join(f"[worker 0] {c}\n" for c in "abcd") + "after\n"


def test_output_while_a_task_runs(printed):
    """It does not wait for the end of the task."""
    out, _ = printed(
        "print('now'); time.sleep(30)",
        calls="""channel.submit(task)
            class Out:
                def write(self, text):
                    sys.__stdout__.write(text)
                    if "now" in text: seen.set()
                def flush(self): pass
            import sys, threading
            seen = threading.Event()
            sys.stdout = Out()
            assert seen.wait(20)""",
    )
    assert out == "[worker 0] now\nafter\n"


@pytest.mark.parametrize(
    "body",
    [
        "sys.stdout.close()",
        "os.close(1)",
        "os.close(1); os.close(2)",
        "os.dup2(os.open('/dev/null', os.O_WRONLY), 1)",
        "sys.stdout.detach()",
    ],
)
def test_a_task_that_closes_its_output(printed, body):
    """The next task prints all the same."""
    out, error = printed(
        f"if args: print('fine')\nelse:\n    {body}",
        calls="channel.submit(task); channel.receive(); channel.submit(task, 1); channel.receive()",
    )
    assert out == "[worker 0] fine\nafter\n"
    assert error == ""


def test_a_flood_is_counted(printed):
    """It holds nobody up; what is dropped is said."""
    out, _ = printed("for i in range(100_000): print(i, i); print(500 * 'flood', end='')")
    assert len(out) < 5_000_000
    assert "bytes of output were dropped" in out
    assert out.endswith("after\n")


# isolation


def test_standard_input_is_empty(kernel):
    """A task that asks a question gets no answer, and does not wait for one."""
    with pytest.raises(farm.TaskExecutionError, match="EOFError"):
        call(kernel, input)
    assert call(kernel, "sys:stdin.read") == ""


@pytest.mark.parametrize(
    ("task", "text"),
    [
        (lambda: sys.exit(3), "SystemExit: 3"),
        (lambda: exec("raise KeyboardInterrupt"), "KeyboardInterrupt"),
        (lambda: exec("raise GeneratorExit"), "GeneratorExit"),
        (lambda: exec("raise BaseException('odd')"), "odd"),
        (lambda: exec("def f(): f()\nf()", {}), "RecursionError"),
        (lambda: exec("raise StopIteration(1)"), "StopIteration"),
    ],
)
def test_errors_that_are_no_exceptions(kernel, task, text):
    """They are the task's failure and cost no worker."""
    before = sorted(worker.pid for worker in kernel.workers())
    with pytest.raises(farm.TaskExecutionError, match=text):
        call(kernel, task)
    assert sorted(kernel.broadcast_task("os:getpid")) == before


def test_exceptions_that_cannot_be_pickled(kernel, fails_with):
    """Of what they hold, only that falls back to its text."""

    class Held(Exception):
        def __init__(self, text):
            import threading

            super().__init__(text)
            self.lock = threading.Lock()

    def task():
        raise Held("with a lock")

    with fails_with(farm.TaskExecutionError, "Held: with a lock") as caught:
        call(kernel, task)
    cause = caught.value.__cause__
    assert type(cause) is Held
    assert cause.args == ("with a lock",)
    assert "lock" in cause.lock
    assert call(kernel, abs, -1) == 1


def test_exceptions_with_an_odd_constructor(kernel, fails_with):
    """It is not called again."""

    class Odd(Exception):
        def __init__(self, one, two):
            super().__init__("joined")

    def task():
        raise Odd(1, 2)

    with fails_with(farm.TaskExecutionError, "Odd: joined") as caught:
        call(kernel, task)
    assert type(caught.value.__cause__) is Odd
    assert caught.value.__cause__.args == ("joined",)


def test_exceptions_with_a_broken_text(kernel, fails_with):
    """What raises in __str__ is still reported by its type."""

    class Mute(Exception):
        def __str__(self):
            raise SystemExit("no text")

    def task():
        raise Mute

    with fails_with(farm.TaskExecutionError, "Mute"):
        call(kernel, task)
    assert call(kernel, abs, -1) == 1


def test_a_chain_of_exceptions(kernel):
    """The description tells all of it, with the user's lines; the cause is the original."""

    def task():
        try:
            {}["missing"]
        except KeyError as error:
            raise ValueError("outer") from error

    with pytest.raises(farm.TaskExecutionError) as caught:
        call(kernel, task)
    assert caught.value.report == "ValueError: outer"
    assert "KeyError: 'missing'" in caught.value.description
    assert "The above exception was the direct cause" in caught.value.description
    assert "farm_server" not in caught.value.description
    assert type(caught.value.__cause__) is ValueError


@linux
@pytest.mark.parametrize(
    ("body", "how"),
    [
        ("os._exit(7)", "it exited with status 7"),
        ("os.kill(os.getpid(), 9)", "it was killed by SIGKILL"),
        ("os.kill(os.getpid(), 11)", "it was killed by SIGSEGV"),
        ("os.kill(os.getpid(), 15)", "it was killed by SIGTERM"),
        ("import ctypes; ctypes.string_at(0)", "it was killed by SIGSEGV"),
        ("os.closerange(3, 5000)", "its worker died"),
        ("os.closerange(0, 5000)", "its worker died"),
    ],
)
def test_tasks_that_kill_their_worker(kernel, body, how):
    """After three attempts an error says how; other tasks are unharmed, the workers replaced."""
    channel, others = kernel.make_channel(), kernel.make_channel()

    def killer():
        import os

        exec(body, {"os": os})

    for value in range(30):
        others.submit("builtins:abs", -value)
    channel.submit(killer)
    for value in range(30, 60):
        others.submit("builtins:abs", -value)
    with pytest.raises(farm.WorkerLostError, match=how) as caught:
        channel.receive()
    assert caught.value.attempts == 3
    assert "killer" in str(caught.value)
    assert sorted(others) == list(range(60))
    assert len(set(kernel.broadcast_task("os:getpid"))) == 2


@pytest.mark.parametrize(
    "body",
    [
        "os.closerange(3, 50)",
        "os.close(0)",
        "os.closerange(0, 3)",
        "os.chdir('/tmp/' + '../tmp')",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "signal.signal(signal.SIGINT, signal.SIG_DFL); signal.signal(signal.SIGUSR1, print)",
        "signal.alarm(0); signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 30))",
        "threading.Thread(target=time.sleep, args=(600,)).start()",
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
        "subprocess.Popen(['sleep', '600'])",
        "os.umask(0o777); os.nice(1)",
        "sys.setrecursionlimit(200)",
        "sys.stdin.close(); sys.settrace(None); sys.modules.pop('json', None)",
        "import gc; gc.disable(); gc.collect()",
        "import socket; socket.setdefaulttimeout(0.001)",
        "import builtins; builtins.print = None",
        "import warnings; warnings.simplefilter('error')",
        "import atexit; atexit.register(time.sleep, 600)",
    ],
)
def test_tasks_that_change_their_process(launch, make, body):
    """The stream goes on, the same worker too, and the server ends in time."""
    server = launch("127.0.0.1:0", "--workers", "1")
    kernel = make(server.address)

    def task():
        import os

        exec("import os, signal, subprocess, sys, threading, time\n" + body, {})
        return os.getpid()

    (pid,) = kernel.broadcast_task("os:getpid")
    assert call(kernel, task) == pid
    assert call(kernel, lambda: [1] * 100_000) == [1] * 100_000
    assert call(kernel, "os:getpid") == pid
    kernel.end()
    server.end()
    assert server.process.returncode is not None


def test_a_task_that_forks_and_returns_twice(kernel, until):
    """The child is no worker: one result arrives, and the next tasks are executed once."""

    def fork():
        import os

        return os.fork() >= 0

    channel = kernel.make_channel()
    assert [call(kernel, fork) for _ in range(5)] == [True] * 5
    for value in range(20):
        channel.submit("builtins:abs", -value)
    assert sorted(channel) == list(range(20))


def test_multiprocessing_in_a_task(kernel):
    """A task may use processes of its own."""

    def task():
        import multiprocessing

        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(abs, [-1, -2, -3])

    assert call(kernel, task) == [1, 2, 3]


def test_a_task_that_makes_a_kernel(kernel, address):
    """Tasks are clients, too, if they want to."""

    def task(address):
        import farm_client

        with farm_client.make_kernel(f"{address}?workers=1", timeout=20):
            return farm_client.force(farm_client.future(abs, -5))

    assert call(kernel, task, address) == 5


def test_what_is_left_behind_by_a_task_ends_with_its_session(launch, make, until):
    """A thread that a task left does not keep the worker's process alive."""
    kernel = make(launch("127.0.0.1:0", "--workers", "1").address)

    def task():
        import os
        import threading
        import time

        threading.Thread(target=time.sleep, args=(600,)).start()
        return os.getpid()

    pid = call(kernel, task)
    kernel.end()
    until(lambda: subprocess.run(["kill", "-0", str(pid)], stderr=subprocess.DEVNULL).returncode)


# what runs when values travel


def leaves():
    """A value whose packing raises SystemExit."""

    class Leaves:
        def __reduce__(self):
            raise SystemExit(7)

    return Leaves()


def arrives():
    """A value whose loading raises SystemExit."""

    class Arrives:
        def __reduce__(self):
            return exec, ("raise SystemExit(4)",)

    return Arrives()


@pytest.mark.parametrize(
    ("task", "text"),
    [(leaves, "SystemExit: 7"), (arrives, "the result could not be loaded here: SystemExit: 4")],
)
def test_results_that_exit_on_their_way(kernel, fails_with, task, text):
    """It is their task's failure, and costs neither a worker nor the client's thread."""
    before = kernel.broadcast_task("os:getpid")
    with fails_with(farm.TaskExecutionError, text):
        call(kernel, task)
    assert kernel.broadcast_task("os:getpid") == before
    kernel.end(wait=True)


def test_errors_that_exit_on_their_way(kernel, fails_with):
    """They are told as text."""

    def task(what):
        class Odd(Exception):
            def __reduce__(self):
                if what == "leaves":
                    raise SystemExit(7)
                return exec, ("raise SystemExit(4)",)

        raise Odd("text")

    before = kernel.broadcast_task("os:getpid")
    for what in ("leaves", "arrives"):
        with fails_with(farm.TaskExecutionError, "Odd: text") as caught:
            call(kernel, task, what)
        assert caught.value.__cause__ is None
    assert kernel.broadcast_task("os:getpid") == before


# memory


@linux
def test_memory_that_a_worker_must_not_have(launch, make, fails_with):
    """Results and arguments above --memory-limit fail their task; the server goes on."""
    server = launch("127.0.0.1:0", "--workers", "1", "--memory-limit", "400M")
    kernel = make(server.address)
    (pid,) = kernel.broadcast_task("os:getpid")
    with fails_with(farm.TaskExecutionError, "MemoryError"):
        call(kernel, lambda: bytes(1 << 30))
    with fails_with(farm.SerializationError, "send them in parts"):
        call(kernel, len, bytes(500 << 20))
    with fails_with(farm.TaskExecutionError, "MemoryError"):
        call(kernel, lambda x: [x, x + x, x + x + x], bytes(150 << 20))
    assert call(kernel, len, bytes(20 << 20)) == 20 << 20
    assert call(kernel, "os:getpid") == pid


@linux
@pytest.mark.parametrize("waits", ["future.result(20)", "called.wait(20)"])
def test_memory_that_the_client_does_not_have(run, address, waits):
    """A result that does not fit fails its task; the workers stay, and the kernel goes on."""
    done = run(
        f"""
        import resource, threading
        import farm_client as farm
        kernel = farm.make_kernel("{address}", timeout=20)
        before = kernel.broadcast_task("os:getpid")
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        called = threading.Event()
        future = farm.future(abs, -1)
        future.add_done_callback(lambda _: called.set())
        assert called.wait(20)  # now all threads are there
        called.clear()
        resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20), hard))
        future = farm.future(bytes, 400 << 20)
        future.add_done_callback(lambda _: called.set())
        try:
            {waits}
            future.result(0)
        except farm.TaskExecutionError as error:
            print(error.report)
        assert kernel.broadcast_task("os:getpid") == before
        kernel.end(wait=True)
        """
    )
    assert done.stdout.startswith("MemoryError: no memory here for a result of 4194"), done.stderr
    assert (done.returncode, done.stderr) == (0, "")


# Ctrl-C


INTERRUPTED = """
import os, signal, sys, threading, time
import farm_client as farm

kernel = farm.make_kernel({address!r})
channel = kernel.make_channel()
values = list(range({count}))

def interrupt():
    time.sleep({delay})
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
submitted, got, interrupts = [], [], 0
start = time.monotonic()
try:
    {block}
except KeyboardInterrupt:
    interrupts += 1
print("after", time.monotonic() - start < 5, interrupts)
got += list(channel)
channel.submit(abs, -1)
print(channel.receive(), len(channel), sorted(x for x in got if x is not None) == sorted(submitted))
kernel.end()
print("ended")
"""


@pytest.mark.parametrize(
    ("block", "delay"),
    [
        ("channel.submit('time:sleep', 1); channel.receive()", 0.3),
        ("channel.submit('time:sleep', 1); farm.try_receive_result(channel, 20)", 0.3),
        ("channel.submit('time:sleep', 1); list(channel)", 0.3),
        ("farm.force(farm.future('time:sleep', 1))", 0.3),
        ("kernel.broadcast_task('time:sleep', 1)", 0.3),
        ("c = kernel.make_channel(capacity=1)\n    while True: c.submit('time:sleep', 1)", 0.3),
        ("farm.make_kernel('127.0.0.1:1')", 0.3),
    ],
)
def test_ctrl_c_during_a_wait(run, address, block, delay):
    """KeyboardInterrupt at once; the kernel is usable afterwards."""
    done = run(INTERRUPTED.format(address=address, block=block, delay=delay, count=0))
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["after True 1", "1 0 True", "ended"]


@pytest.mark.parametrize("delay", [0.02, 0.05, 0.11, 0.17])
def test_ctrl_c_during_a_burst(run, address, delay):
    """Every task that was submitted has one result, whenever the interrupt came."""
    block = (
        "for value in values:\n"
        "        submitted.append(value)\n"
        "        try:\n"
        "            channel.submit('builtins:abs', value)\n"
        "        except KeyboardInterrupt:\n"
        "            raise"
    )
    done = run(INTERRUPTED.format(address=address, block=block, delay=delay, count=2_000_000))
    assert done.stderr == ""
    first, second, _ = done.stdout.splitlines()
    assert first == "after True 1"
    assert second.startswith("1 0 ")


@pytest.mark.parametrize("delay", [0.02, 0.05, 0.11])
def test_ctrl_c_during_receives(run, address, delay):
    """What was not received before is received after it; nothing comes twice."""
    done = run(
        f"""
        import os, signal, threading, time
        import farm_client as farm

        kernel = farm.make_kernel({address!r})
        channel = kernel.make_channel()
        count = 100_000
        for value in range(count):
            channel.submit("builtins:abs", value)
        threading.Timer({delay}, os.kill, (os.getpid(), signal.SIGINT)).start()
        got = []
        try:
            for value in farm.do_fast_receives(channel, count):
                got.append(value)
            time.sleep(10)
        except KeyboardInterrupt:
            print("interrupted")
        got += list(channel)
        # The interrupt may come when a value has left the channel and is not in the list yet.
        print(count - len(got) in (0, 1), len(set(got)) == len(got), len(channel))
        """
    )
    assert done.stderr == ""
    assert done.stdout == "interrupted\nTrue True 0\n"


def test_ctrl_c_does_not_end_a_local_server(run):
    """The terminal's Ctrl-C is for the client."""
    done = run(
        """
        import os, signal, time
        import farm_client as farm
        kernel = farm.make_kernel("local?workers=1")
        pids = kernel.broadcast_task("os:getpid")
        try:
            os.killpg(0, signal.SIGINT)
            time.sleep(1)
        except KeyboardInterrupt:
            print("interrupted")
        print(kernel.broadcast_task("os:getpid") == pids)
        """,
        start_new_session=True,
    )
    assert done.stdout == "interrupted\nTrue\n"
