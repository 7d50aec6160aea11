"""Promises, trees, timers and parallel expressions with real servers."""

import asyncio
import operator
import os
import threading
import time
from concurrent import futures

import pytest

import farm_client as farm
from farm_common.shipping.importable import ship_by_value

# The servers have no module of this name, and need none.
ship_by_value(__name__)


def nap(seconds, value=None):
    """A task that takes a while."""
    time.sleep(seconds)
    return value


def when(path):
    """A task that ends when a file is there."""
    deadline = time.monotonic() + 30
    while not os.path.exists(path):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return path


def meet(folder, mine, other):
    """A task that ends only if another one, with the names exchanged, runs at the same time."""
    open(os.path.join(folder, mine), "w").close()
    when(os.path.join(folder, other))
    return mine


@pytest.fixture
def one(make):
    """A kernel with one worker."""
    return make("local?workers=1")


@pytest.fixture
def gate(tmp_path):
    """A task that ends when its ``open`` is called, and that has started."""
    return Gate(tmp_path)


class Gate:
    def __init__(self, folder):
        self.path = folder / "gate"
        self.running = folder / "running"

    def close(self, until):
        """Keep a worker busy."""

        def wait(running, path):
            open(running, "w").close()
            return when(path)

        future = farm.future(wait, str(self.running), str(self.path))
        until(self.running.exists)
        return future

    def open(self):
        """Let it go on."""
        self.path.touch()


class TestPromises:
    def test_futures_promises_and_delays(self, kernel):
        """One `force` for all of them."""
        promise = farm.promise()
        future = farm.future(nap, 0.05, 3)
        delay = farm.delay(lambda: farm.force(future) * 2)
        future.add_done_callback(lambda f: farm.fulfill(promise, f.result() + 1))
        assert [farm.force(x) for x in (future, promise, delay, farm.chain(delay), 5)] == [
            *(3, 4, 6, 6, 5)
        ]

    def test_a_future_that_has_not_started_is_taken_over(self, one, gate, until, tmp_path):
        """Its task never runs."""
        busy = gate.close(until)
        victim = farm.future(when, str(tmp_path))
        marker = farm.future(os.mkdir, str(tmp_path / "ran"))
        assert farm.fulfill(marker, "mine")
        assert not farm.fulfill(busy, "too late")
        assert farm.fulfill(victim, farm.chain(marker))
        assert farm.force(victim) == "mine"
        gate.open()
        assert farm.force(busy) == str(gate.path)
        assert sorted(farm.force(farm.future(os.listdir, str(tmp_path)))) == ["gate", "running"]

    def test_many_are_taken_over_while_they_are_sent(self, kernel):
        """Each has one value, and `fulfill` has told which."""
        fs = [farm.future(abs, -number) for number in range(5000)]
        ours = {number for number, future in enumerate(fs) if farm.fulfill(future, "ours")}
        for number, future in enumerate(fs):
            assert farm.force(future) == ("ours" if number in ours else number)

    def test_speculations_come_last(self, one, gate, until):
        """A worker with nothing else to do does them."""
        order = []
        gate.close(until)
        fs = [farm.speculate(abs, -1)]
        fs += [farm.future(nap, 0) for _ in range(3)]
        for place, future in enumerate(fs):
            future.add_done_callback(lambda f, place=place: order.append(place))
        gate.open()
        futures.wait(fs, 30)
        farm.end_kernel(wait=True)
        assert order[-1] == 0

    def test_two_kernels(self, make):
        """A future is forced wherever it came from."""
        first, second = make("local?workers=1"), make("local?workers=1")
        farm.set_kernel(first)
        one = farm.future(os.getppid)
        farm.set_kernel(second)
        two = farm.future(os.getppid)
        assert farm.force(one) != farm.force(two)

    def test_awaiting(self, kernel):
        """Futures, promises and delays, while the event loop goes on."""

        async def main():
            promise = farm.promise()
            future = farm.future(nap, 0.1, 1)
            asyncio.get_running_loop().call_later(0.01, farm.fulfill, promise, 2)
            return await asyncio.gather(future, waiting(promise), waiting(farm.delay(abs, -3)))

        async def waiting(x):
            return await x

        assert asyncio.run(main()) == [1, 2, 3]

    def test_giving_up_an_await(self, one, gate, until):
        """Withdraws the task that has not started."""
        gate.close(until)

        async def main():
            future = farm.future(abs, -1)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(future, 0.05)
            return future

        assert asyncio.run(main()).cancelled()
        gate.open()


class TestTimers:
    def test_a_limit_for_a_wait(self, one, gate, until):
        """What is late is received later; the timer occupies no worker."""
        channel = one.make_channel()
        gate.close(until)
        channel.submit(nap, 0, "done")
        farm.submit_timeout(channel, 0.05, "late")
        assert channel.receive() == "late"
        gate.open()
        assert channel.receive() == "done"

    def test_cancelling_one(self, kernel):
        """Its replacement arrives in its place."""
        channel = kernel.make_channel()
        timer = farm.submit_timeout(channel, 60, "late")
        channel.submit(nap, 0.01, "done")
        assert channel.receive() == "done"
        assert farm.cancel_timeout(timer, "in time")
        assert list(channel) == ["in time"]


class TestExpressions:
    def test_plet(self, kernel, tmp_path):
        """Bindings are computed at the same time."""
        folder = str(tmp_path)
        v = farm.plet(a=lambda: meet(folder, "a", "b"), b=lambda: meet(folder, "b", "a"))
        assert v.a + v.b == "ab"

    def test_pfuncall(self, kernel, tmp_path):
        """So are arguments."""
        folder = str(tmp_path)
        a, b = lambda: meet(folder, "a", "b"), lambda: meet(folder, "b", "a")
        assert farm.pfuncall(operator.add, a, b) == "ab"

    def test_por_leaves_the_losers(self, make):
        """It does not wait for them, and those that have not started never do."""
        make("local?workers=2")
        started = time.monotonic()
        slow = [lambda: nap(5)] * 10
        assert farm.por(*slow[:1], lambda: nap(0.05, "fast"), *slow) == "fast"
        assert time.monotonic() - started < 3

    def test_pand(self, kernel):
        """The first false one decides."""
        assert farm.pand(lambda: 1, lambda: nap(0.01, 0), lambda: nap(0.02, 2)) == 0
        assert farm.pand(lambda: 1, lambda: nap(0.02, 2)) == 2


class TestTrees:
    def test_nodes_run_in_parallel(self, kernel, tmp_path):
        """As many as there are workers, as soon as they are free."""
        tree = farm.Ptree()
        tree.define("root", ["a", "b"], operator.add)
        tree.define("a", ["folder"], lambda folder: meet(folder, "a", "b"))
        tree.define("b", ["folder"], lambda folder: meet(folder, "b", "a"))
        tree.define("folder", [], lambda folder=str(tmp_path): folder)
        assert tree.call("root") == "ab"

    def test_a_worker_that_dies_under_a_node(self, kernel, tmp_path):
        """Is an error of the node until clear_errors; then the computation is resumed."""
        good = tmp_path / "good"

        def fragile(value, path):
            if not os.path.exists(path):
                os._exit(7)
            return value + 1

        tree = farm.Ptree()
        tree.define("root", ["fragile", "x"], operator.add)
        tree.define("fragile", ["x", "path"], fragile)
        tree.define("path", [], lambda path=str(good): path)
        tree.define("x", [], lambda: 1)
        for name in ("root", "fragile"):
            with pytest.raises(farm.WorkerLostError, match="it exited with status 7"):
                tree.call(name)
        assert tree.call("x") == 1
        good.touch()
        with pytest.raises(farm.WorkerLostError):
            tree.call("root")
        tree.clear_errors()
        assert tree.call("root") == 3

    def test_threads_with_kernels_of_their_own(self, make):
        """Share one tree."""
        tree = farm.Ptree()
        tree.define(0, [], lambda: 0)
        for name in range(1, 40):
            tree.define(name, [name - 1, name // 2], lambda x, _: x + 1)
        kernels = [make("local?workers=1") for _ in range(2)]
        got = {}

        def call(kernel, name):
            farm.kernel.kernel.context.set(kernel)
            got[name] = tree.call(name)

        threads = [
            threading.Thread(target=call, args=(kernels[name % 2], name))
            for name in (39, 20, 38, 7)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert got == {name: name for name in (39, 20, 38, 7)}

    def test_with_another_interpreter(self, peer, launch, make):
        """At the other end."""
        make(launch(python=peer).address)
        tree = farm.Ptree()
        tree.define("sum", ["a", "b"], operator.add)
        tree.define("a", ["b"], operator.neg)
        tree.define("b", [], "os:getpid")
        assert tree.call("sum") == 0
        tree.define("later", ["b"], lambda b: nap(0, b + 1))
        assert tree.call("later") == tree.call("b") + 1
        assert farm.plet(a="os:getppid").a > 0
        assert farm.por("builtins:int", "os:getpid") > 0


class TestCtrlC:
    PRESS = """
        import os, signal, sys, threading, time
        import farm_client as farm

        def press():
            os.kill(os.getpid(), signal.SIGINT)
    """

    @pytest.mark.parametrize(
        "expression",
        [
            "farm.pand(slow, mark)",
            "farm.por(lambda: slow() and False, mark)",
            "farm.pfuncall(print, slow, mark)",
            "tree.call('root')",
        ],
    )
    def test_gives_up_what_was_submitted(self, run, tmp_path, expression):
        """What has not started never does; the kernel goes on."""
        program = (
            self.PRESS
            + f"""
        def slow():
            time.sleep(1)
            return True

        def mark():
            os.mkdir(sys.argv[1])

        with farm.make_kernel("local?workers=1"):
            tree = farm.Ptree()
            tree.define("root", ["slow", "mark"], max)
            tree.define("slow", [], slow)
            tree.define("mark", [], lambda: os.mkdir({str(tmp_path / "ran")!r}))
            threading.Timer(0.5, press).start()
            try:
                {expression}
            except KeyboardInterrupt:
                print("interrupted")
            print(farm.force(farm.future(abs, -1)))
        """
        )
        done = run(program, str(tmp_path / "ran"))
        assert (done.stdout, done.stderr) == ("interrupted\n1\n", "")
        assert not (tmp_path / "ran").exists()

    def test_ends_the_wait_for_a_promise(self, run):
        """Which needs no kernel."""
        done = run(
            self.PRESS
            + """
        promise = farm.promise()
        threading.Timer(0.3, press).start()
        try:
            farm.force(promise)
        except KeyboardInterrupt:
            print(farm.is_fulfilled(promise))
        """
        )
        assert (done.stdout, done.stderr) == ("False\n", "")
