"""What nobody needs any more is ended where it runs, soon; and nothing else is."""

import itertools
import os
import threading
import time

import pytest

import farm_client as farm
from farm_common.shipping.importable import ship_by_value

# The servers have no module of this name, and need none.
ship_by_value(__name__)

BOUND = 30.0

#: What is ended is to be so within a second on an idle machine; the tests' has other things to do.
PROMPT = 3.0


def mark(folder, name):
    """Leave a mark."""
    with open(os.path.join(folder, f"{name}-{os.getpid()}-{time.monotonic_ns()}"), "w"):
        pass


def endless(folder):
    """Leave a mark at the beginning and at the end, and go on for ever between them."""
    mark(folder, "begun")
    try:
        while True:
            time.sleep(0.001)
    finally:
        mark(folder, "ended")


def busy(folder):
    """The same in C, which no signal interrupts on some interpreters."""
    mark(folder, "begun")
    any(itertools.repeat(0))


def once_begun(folder, value):
    """Return a value, or raise it, once something is marked as begun."""
    while not any(name.startswith("begun") for name in os.listdir(folder)):
        time.sleep(0.001)
    if isinstance(value, BaseException):
        raise value
    return value


@pytest.fixture
def folder(tmp_path):
    """Where marks are left."""
    return str(tmp_path)


@pytest.fixture
def marks(folder):
    """How many marks of a name there are."""

    def count(name):
        return sum(each.startswith(name) for each in os.listdir(folder))

    return count


@pytest.fixture
def idle(kernel, until):
    """Sees that the workers are idle soon, that they are the same, and that they work."""
    farm.set_kernel(kernel)
    before = kernel.broadcast_task(os.getpid)

    def check(same=True):
        until(lambda: kernel.task_categories_running() == [None, None], PROMPT)
        assert not kernel._engine.unfinished
        after = kernel.broadcast_task(os.getpid)
        assert sum(a == b for a, b in zip(before, after)) >= (2 if same else 1)
        assert farm.pmap(abs, [-1, -2, -3]) == [1, 2, 3]

    return check


def act(folder, what):
    """Act as an element says."""
    return endless(folder) if what == "endless" else once_begun(folder, what)


SEARCHES = {
    "pfind_if": lambda f, seq: farm.pfind_if(f, seq, parts=len(seq)),
    "psome": lambda f, seq: farm.psome(f, seq, parts=len(seq)),
    "pnotany": lambda f, seq: not farm.pnotany(f, seq, parts=len(seq)),
    "por": lambda f, seq: farm.por(*[lambda x=x: f(x) for x in seq]),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_that_is_decided(idle, folder, marks, until, name):
    """Its other part runs its ``finally`` blocks and ends; the worker stays."""
    assert SEARCHES[name](lambda x: act(folder, x), [7, "endless"])
    until(lambda: marks("ended") == 1, PROMPT)
    idle()
    assert marks("begun") == 1


def test_many_endless_parts(idle, folder, marks):
    """Parts that were sent ahead are ended too, and those that wait never begin."""
    assert farm.pfind_if(lambda x: act(folder, x), [7] + ["endless"] * 100, parts=101) == 7
    idle()
    assert marks("ended") == marks("begun") <= 10


@pytest.mark.parametrize(
    "call",
    [
        lambda f, seq: farm.pmap(f, seq, parts=2),
        lambda f, seq: farm.pmap_into([0] * 2, f, seq, parts=2),
        lambda f, seq: farm.preduce(max, seq, key=f, parts=2),
        lambda f, seq: farm.psort(seq, key=f, parts=2),
        lambda f, seq: farm.premove_if(f, seq, parts=2),
        lambda f, seq: list(farm.pmap_iter(f, seq, ordered=False)),
        lambda f, seq: farm.pfuncall(max, *[lambda x=x: f(x) for x in seq]),
    ],
    ids=["pmap", "pmap_into", "preduce", "psort", "premove_if", "pmap_iter", "pfuncall"],
)
def test_an_error(idle, folder, marks, until, call):
    """Ends the other part."""
    with pytest.raises(farm.TaskExecutionError, match="ZeroDivisionError"):
        call(lambda x: act(folder, x), ["endless", ZeroDivisionError()])
    until(lambda: marks("ended") == 1, PROMPT)
    idle()


def test_a_stream_that_is_closed(idle, folder, marks, until):
    """Ends what is under way, though its input is endless."""
    inputs = itertools.chain([1], itertools.repeat("endless"))
    with farm.pmap_iter(lambda x: act(folder, x), inputs) as stream:
        assert next(stream) == 1
    until(lambda: marks("ended") == marks("begun") >= 1, PROMPT)
    idle()


def test_a_loop_in_c(idle, folder, marks):
    """Is ended with its worker, which is replaced; the other worker stays."""
    assert farm.por(lambda: busy(folder), lambda: once_begun(folder, 7)) == 7
    idle(same=False)
    assert marks("begun") == 1  # it is not started again


def test_short_losers_are_not_interrupted(idle, folder, marks):
    """What is over within milliseconds goes on until it is."""

    def short(x):
        if x:
            return once_begun(folder, x)
        mark(folder, "begun")
        time.sleep(0.005)
        mark(folder, "whole")
        return False

    for _ in range(10):
        assert farm.pfind_if(short, [7, 0], parts=2) == 7
        idle()
    assert marks("whole") == marks("begun")


def test_siblings(idle, make, address, folder, until):
    """Tasks of other calls, of other threads and of other kernels are not affected."""
    other = make(address)

    def neighbour(n):
        time.sleep(0.4)
        return n

    with farm.task_options(attempts=1):
        channel = other.make_channel()
        for n in range(2):
            channel.submit(neighbour, n)
        got = []
        thread = threading.Thread(target=lambda: got.append(farm.pmap(neighbour, range(2))))
        thread.start()
        for _ in range(5):
            value = farm.pfind_if(lambda x: act(folder, x), [7, "endless"], parts=2)
            assert value == 7
            idle_future = farm.future(neighbour, 5)
            assert farm.force(idle_future, BOUND) == 5
        thread.join(BOUND)
    assert got == [[0, 1]]
    assert sorted(channel.receive() for _ in range(2)) == [0, 1]
    idle()


def test_a_tree(idle, folder, marks, until):
    """`Ptree.clear` ends the nodes that run."""
    tree = farm.Ptree()
    tree.define("root", ["bad", "endless"], lambda *args: args)
    tree.define("bad", [], lambda: once_begun(folder, ZeroDivisionError()))
    tree.define("endless", [], lambda: endless(folder))
    with pytest.raises(farm.TaskExecutionError):
        tree.call("root")
    assert not marks("ended")
    tree.clear()
    until(lambda: marks("ended") == 1, PROMPT)
    idle()


def test_joblib(idle, folder, marks, until):
    """An error of one call ends the others."""
    joblib = pytest.importorskip("joblib")
    farm.joblib.register()
    calls = [joblib.delayed(act)(folder, what) for what in ("endless", ZeroDivisionError())]
    with joblib.parallel_config(backend="farm"), pytest.raises(ZeroDivisionError):
        joblib.Parallel(n_jobs=2, batch_size=1)(calls)
    until(lambda: marks("ended") == 1, PROMPT)
    idle()


CTRL_C = """
import itertools, os, signal, sys, threading, time
import farm_client as farm

address, folder, call = sys.argv[1:]

def endless(x=None):
    open(os.path.join(folder, f"begun-{os.getpid()}-{time.monotonic_ns()}"), "w").close()
    while True:
        pass

def wait():
    until = time.monotonic() + 10
    while len(os.listdir(folder)) < 2 and time.monotonic() < until:
        time.sleep(0.001)
    if len(os.listdir(folder)) < 2:
        print("only", os.listdir(folder), kernel.workers())
    os.kill(os.getpid(), signal.SIGINT)

def tree():
    tree = farm.Ptree()
    tree.define("root", ["a", "b"], max)
    tree.define("a", [], endless)
    tree.define("b", [], endless)
    tree.call("root")

calls = {
    "pmap": lambda: farm.pmap(endless, range(100)),
    "preduce": lambda: farm.preduce(max, range(100), key=endless),
    "pfind_if": lambda: farm.pfind_if(endless, range(100)),
    "pmap_iter": lambda: list(farm.pmap_iter(endless, itertools.count())),
    "por": lambda: farm.por(endless, endless, endless),
    "Ptree": tree,
}

with farm.make_kernel(address) as kernel:
    before = kernel.broadcast_task(os.getpid)
    for _ in range(2):
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        threading.Thread(target=wait).start()
        try:
            calls[call]()
        except KeyboardInterrupt:
            print("interrupted")
        begun = time.monotonic()
        while kernel.task_categories_running() != [None, None]:
            assert time.monotonic() - begun < 3
            time.sleep(0.001)
        print(kernel.broadcast_task(os.getpid) == before, farm.pmap(abs, [-1, -2]))
    kernel.end(wait=True)
"""


@pytest.mark.parametrize("call", ["pmap", "preduce", "pfind_if", "pmap_iter", "por", "Ptree"])
def test_ctrl_c(run, address, folder, call):
    """Ctrl-C ends tasks that would run for ever: soon the same workers are idle, and work."""
    os.mkdir(os.path.join(folder, "marks"))
    done = run(CTRL_C, address, os.path.join(folder, "marks"), call)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["interrupted", "True [1, 2]"] * 2


class TestTimeLimits:
    """The time limit of `task_options` is that of each call of the task."""

    @pytest.mark.parametrize("parts", [None, 1, 2])
    def test_many_calls_in_a_part(self, idle, parts):
        """A part may take longer than that."""
        with farm.task_options(timeout=0.5):
            assert farm.pmap(lambda x: time.sleep(0.02) or x, range(60), parts=parts) == [
                *range(60)
            ]
        idle()

    @pytest.mark.parametrize("parts", [None, 1])
    def test_one_call_that_takes_too_long(self, idle, parts):
        """Ends the cognate."""

        def slow(x):
            while x == 40:
                pass
            return x

        begun = time.monotonic()
        with farm.task_options(timeout=0.3), pytest.raises(farm.TaskTimeoutError) as caught:
            farm.pmap(slow, range(50), parts=parts)
        assert caught.value.timeout == 0.3
        assert time.monotonic() - begun < 0.3 + PROMPT
        idle()

    def test_a_batch_that_becomes_slow(self, idle):
        """Elements that take longer than those before them trip nothing."""

        def uneven(x):
            time.sleep(0.05 if x > 5000 else 0)
            return x

        with farm.task_options(timeout=0.4):
            assert len(farm.pmap(uneven, range(5040))) == 5040
        idle()
