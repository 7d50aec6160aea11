"""Kernels over executors that are not farm's: threads, processes, and one that the test plays."""

import functools
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)

import pytest

import farm_client as farm
from farm_client.foreign.size import slots_of
from farm_common import guest
from farm_common.shipping.importable import ship_by_value

# The processes of a pool have no module of this name, and need none.
ship_by_value(__name__)

BOUND = 20.0


class Hands(Executor):
    """An executor that runs a call when the test says so, in the test's thread.

    Attributes:
        calls: The calls that wait, each with its future.
        fails: What `submit` raises, if anything.
    """

    def __init__(self, workers=1):
        self._max_workers = workers
        self.calls = deque()
        self.fails = None
        self.come = threading.Semaphore(0)

    def submit(self, function, /, *args, **kwargs):
        if self.fails is not None:
            raise self.fails
        future = Future()
        if function is guest.introduce:
            future.set_result(function(*args))
            return future
        self.calls.append((future, functools.partial(function, *args, **kwargs)))
        self.come.release()
        return future

    def take(self):
        """The next call that was not cancelled, as soon as there is one."""
        while True:
            assert self.come.acquire(timeout=BOUND)
            future, call = self.calls.popleft()
            if future.set_running_or_notify_cancel():
                return future, call

    def step(self):
        """Run one call."""
        future, call = self.take()
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)


@pytest.fixture
def over():
    """Makes kernels over executors, and ends both."""
    made = []
    farm.set_kernel(None)

    def make(*executors, **keywords):
        made.append(farm.make_kernel(executors, **{"timeout": BOUND, **keywords}))
        return made[-1]

    yield make
    for kernel in made:
        kernel.end()
    farm.set_kernel(None)


@pytest.fixture
def threads(over):
    """A kernel over two threads."""
    with ThreadPoolExecutor(2) as pool:
        yield over(pool)


@pytest.fixture
def hands():
    """An executor that the test plays, of one worker."""
    return Hands()


@pytest.fixture(scope="module")
def pool():
    """Two processes."""
    with spawned(2) as pool:
        yield pool


def spawned(count):
    """A pool of so many processes, which have started."""
    # A fork beside threads is a warning from 3.12 on; PyPy 7.3.11's pools can do nothing else.
    method = "fork" if sys.implementation.name == "pypy" else "spawn"
    pool = ProcessPoolExecutor(count, mp_context=multiprocessing.get_context(method))
    pool.submit(abs, -1).result(BOUND)
    return pool


class TestThreads:
    def test_what_it_is(self, threads):
        """A worker for each thread of the pool; the pool's class stands for an address."""
        assert threads.worker_count == 2
        assert threads.addresses == ["ThreadPoolExecutor"]
        infos = threads.workers()
        assert [info.index for info in infos] == [0, 1]
        assert {(info.address, info.pid, info.state) for info in infos} == {
            ("ThreadPoolExecutor", os.getpid(), "idle")
        }
        assert threads.task_categories_running() == [None, None]

    def test_channel(self, threads):
        """Closures and keyword arguments, as with servers."""
        base = 10
        channel = threads.make_channel()
        for number in range(5):
            channel.submit(lambda x, y=0: base + x + y, number, y=100)
        assert sorted(channel) == [110, 111, 112, 113, 114]

    def test_copies(self, threads):
        """Arguments are the task's own, though it runs in this process."""
        given = [1, 2]
        assert farm.future(lambda values: values.append(3) or values, given).result() == [1, 2, 3]
        assert given == [1, 2]

    def test_captured_copies(self, threads):
        """So is what a task captured."""
        captured = {"a": 1}

        def change():
            captured["a"] = 2
            return captured

        assert farm.future(change).result() == {"a": 2}
        assert captured == {"a": 1}

    def test_error(self, threads):
        """It has the traceback of the task, and the original as the cause."""
        with pytest.raises(farm.TaskExecutionError) as caught:
            farm.future(lambda: {}[1]).result()
        assert isinstance(caught.value.__cause__, KeyError)
        assert "farm.future(lambda: {}[1])" in caught.value.description
        assert caught.value.worker.endswith(" at ThreadPoolExecutor")

    def test_error_at_an_element(self, threads):
        """A cognate says at which."""
        with pytest.raises(farm.TaskExecutionError) as caught:
            farm.pmap(lambda x: 1 // x, [1, 2, 0, 3])
        assert caught.value.index == 2
        assert "ThreadPoolExecutor" in caught.value.worker

    def test_only_a_task(self, threads):
        """A function that is only a task may be called there, by others, too."""

        @farm.deftask(local=False)
        def inner():
            return farm.worker_index()

        def outer():
            return inner()

        assert farm.future(outer).result() in (0, 1)
        with pytest.raises(farm.InvalidTaskError):
            inner()

    def test_shared(self, threads):
        """A shared value is there, captured or as an argument, until it is released."""
        handle = farm.shared([1, 2, 3])
        assert farm.pmap(lambda i: handle.value[i], range(3)) == [1, 2, 3]
        assert farm.future(lambda h: sum(h.value), handle).result() == 6
        handle.release()
        with pytest.raises(farm.SerializationError, match="released"):
            farm.future(lambda h: h.value, handle)

    def test_cognates(self, threads):
        """Those of the table, one of each family."""
        assert farm.pmap(lambda x: x + 1, range(5000)) == list(range(1, 5001))
        assert farm.preduce(lambda a, b: a + b, range(1000)) == sum(range(1000))
        assert farm.pfind_if(lambda x: x > 700, range(1000)) == 701
        assert farm.pcount_if(lambda x: x % 3 == 0, range(1000)) == 334
        assert farm.psort([3, 1, 2], reverse=True) == [3, 2, 1]
        assert farm.pand(lambda: 1, lambda: 2) in (1, 2)
        assert list(farm.pmap_iter(abs, iter(range(-50, 0)))) == list(range(50, 0, -1))

    def test_tree(self, threads):
        """Trees of computations."""
        tree = farm.Ptree()
        tree.define("a", [], lambda: 2)
        tree.define("b", ["a"], lambda a: a * 3)
        assert tree.call("b") == 6

    def test_executor(self, threads):
        """Its executor raises the original error, and its end is not that of the pool."""
        with threads.executor() as executor:
            assert list(executor.map(pow, [1, 2], [3, 4])) == [1, 16]
            with pytest.raises(ZeroDivisionError):
                executor.submit(divmod, 1, 0).result(BOUND)
        assert farm.future(abs, -1).result() == 1

    def test_kernel_over_a_kernel(self, over):
        """The executor of a kernel is one like any other."""
        with ThreadPoolExecutor(7) as pool, over(pool).executor() as executor:
            upper = over(executor)
            assert upper.worker_count == 7
            with upper:
                assert farm.pmap(lambda x: x * x, range(100)) == [x * x for x in range(100)]

    def test_large(self, threads):
        """Large arguments and results, which travel out of band."""
        data = bytearray(3_000_000)
        data[-1] = 7
        assert farm.future(pickle.PickleBuffer, data).result()[-1] == 7

    def test_result_that_cannot_travel(self, threads):
        """It is a task's error whose cause says so."""
        with pytest.raises(farm.TaskExecutionError, match="SerializationError"):
            farm.future(threading.Lock).result()


class TestEnd:
    def test_pool_goes_on(self):
        """The end of a kernel is not that of the pool; nothing of the kernel is left behind."""
        with ThreadPoolExecutor(1) as pool:
            before = set(threading.enumerate())
            for _ in range(2):
                with farm.make_kernel(pool, timeout=BOUND):
                    assert farm.future(abs, -1).result() == 1
            assert pool.submit(abs, -2).result(BOUND) == 2
            left = set(threading.enumerate()) - before
            assert {thread.name.partition("-")[0] for thread in left} <= {"ThreadPoolExecutor"}

    def test_waiting(self, over):
        """With `wait` all tasks end first."""
        with ThreadPoolExecutor(2) as pool:
            kernel = over(pool)
            futures = [farm.future(abs, number) for number in range(-100, 0)]
            kernel.end(wait=True)
            assert [future.result() for future in futures] == list(range(100, 0, -1))

    def test_not_waiting(self, over, hands):
        """Without it they fail, and what the executor has not started is cancelled there."""
        kernel = over(hands)
        futures = [farm.future("paper:wait", number) for number in range(5)]
        assert hands.come.acquire(timeout=BOUND)
        assert hands.come.acquire(timeout=BOUND)
        kernel.end()
        for future in futures:
            with pytest.raises(farm.KernelEndedError):
                future.result()
        assert [future.cancelled() for future, _ in hands.calls] == [True, True]

    def test_late_answer(self, over, hands):
        """What arrives after the end is dropped."""
        kernel = over(hands)
        future = farm.future(abs, -1)
        running, call = hands.take()
        kernel.end()
        running.set_result(call())
        with pytest.raises(farm.KernelEndedError):
            future.result(BOUND)


class TestUnsupported:
    @pytest.mark.parametrize(
        ("what", "act"),
        [
            ("broadcast tasks", lambda kernel: kernel.broadcast_task(abs, -1)),
            ("set up each of its workers", lambda kernel: kernel.setup(abs, -1)),
            ("kill tasks that run", lambda kernel: kernel.kill_tasks("default")),
        ],
    )
    def test_by_name(self, over, hands, what, act):
        """It says who cannot do what, and who can."""
        kernel = over(hands)
        with pytest.raises(farm.UnsupportedError) as caught:
            act(kernel)
        assert str(caught.value) == (
            f"Hands cannot {what}: the kernel uses it as a concurrent.futures.Executor, which has "
            f"no way to do that; farm's own servers do"
        )

    def test_timeout(self, over, hands):
        """Nobody there could end a task whose time is up."""
        over(hands)
        with farm.task_options(timeout=1), pytest.raises(farm.UnsupportedError) as caught:
            farm.future(abs, -1)
        assert str(caught.value) == (
            "worker 0 at Hands cannot end tasks whose time is up: use one of farm's own servers, "
            "or submit abs without a timeout"
        )

    def test_tags(self, over, hands):
        """It has none."""
        over(hands)
        with farm.task_options(tags={"gpu"}), pytest.raises(farm.UnsupportedError, match="gpu"):
            farm.future(abs, -1)

    def test_add_after_setup(self, kernel, hands):
        """A kernel whose workers have been set up takes no executor, which could not be."""
        kernel.setup("paper:echo", 1)
        with pytest.raises(farm.UnsupportedError, match="Hands cannot set up"):
            kernel.add(hands)
        assert len(kernel.addresses) == 1


class TestCreation:
    def test_executor_that_is_shut_down(self):
        """It is a `KernelCreationError` that quotes it."""
        pool = ThreadPoolExecutor(1)
        pool.shutdown()
        with pytest.raises(farm.KernelCreationError, match="ThreadPoolExecutor takes no tasks"):
            farm.make_kernel(pool)

    def test_busy(self):
        """An executor that starts nothing in time is said to be busy."""
        release = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(release.wait, BOUND)
            with pytest.raises(farm.KernelCreationError, match="it may be busy"):
                farm.make_kernel(pool, timeout=0.01)
            release.set()

    def test_no_farm_there(self, monkeypatch):
        """Workers without farm-common are told apart, with what to do."""

        def fail(ticket):
            raise ModuleNotFoundError("No module named 'farm_common'")

        monkeypatch.setattr(guest, "introduce", fail)
        with ThreadPoolExecutor(1) as pool:
            with pytest.raises(farm.KernelCreationError) as caught:
                farm.make_kernel(pool)
            assert str(caught.value) == (
                "ThreadPoolExecutor cannot run farm's tasks: ModuleNotFoundError: No module named "
                "'farm_common'; its workers must be able to import farm_common: install "
                "farm-common for them"
            )

    def test_size(self):
        """The number of workers is what executors are known to tell it by."""

        class Client:
            def ncores(self):
                return {"a": 2, "b": 3}

        assert slots_of(Hands(7)) == 7
        executor = Hands(0)
        assert slots_of(executor) == (os.cpu_count() or 1)
        executor.num_workers = 5
        assert slots_of(executor) == 5
        executor.view = [1, 2]
        assert slots_of(executor) == 2
        executor._client = Client()
        assert slots_of(executor) == 5
        executor._client = None
        executor.view = property()  # has no length
        assert slots_of(executor) == 5


class TestInFlight:
    def test_bounded(self, over, hands):
        """Two calls a worker are with the executor, however many tasks there are."""
        over(hands)
        futures = [farm.future(hash, number) for number in range(1000)]
        assert hands.come.acquire(timeout=BOUND)
        assert hands.come.acquire(timeout=BOUND)
        assert len(hands.calls) == 2
        for _ in range(2):
            hands.come.release()
        hands.step()
        assert futures[0].result(BOUND) == 0
        assert len(hands.calls) <= 2

    def test_priority(self, over, hands):
        """What the executor does not have yet keeps its order: low priority last."""
        over(hands)
        futures = [farm.future("os:getpid") for _ in range(2)]
        with farm.task_priority("low"):
            futures.append(farm.future("os:getppid"))
        futures.append(farm.future("os:cpu_count"))
        order = []
        while not all(future.done() for future in futures):
            running, call = hands.take()
            order += [
                name for name in (b"getpid", b"getppid", b"cpu_count") if name in call.args[3]
            ]
            running.set_result(call())
            wait(futures, BOUND if len(order) == 4 else 0)
        assert order == [b"getpid", b"getpid", b"cpu_count", b"getppid"]

    def test_category(self, over, hands):
        """It shows while the executor has a task of it."""
        kernel = over(hands)
        with farm.task_category("sim"):
            future = farm.future(abs, -1)
        running, call = hands.take()
        assert kernel.task_categories_running() == ["sim"]
        running.set_result(call())
        assert future.result(BOUND) == 1


class TestCancel:
    def test_waiting_there(self, over, hands):
        """A task that the executor has and has not started is cancelled there."""
        over(hands)
        future = farm.future(abs, -1)
        assert hands.come.acquire(timeout=BOUND)
        ((foreign, _),) = hands.calls
        while not foreign.cancelled():  # until `submit` has returned there is nothing to cancel
            assert future.cancel() is foreign.cancelled()
        assert future.cancelled()
        with pytest.raises(CancelledError):
            future.result()
        hands.calls.clear()
        again = farm.future(abs, -2)
        hands.step()
        assert again.result(BOUND) == 2

    def test_running(self, over, hands):
        """One that runs is not."""
        over(hands)
        future = farm.future(abs, -1)
        running, call = hands.take()
        assert not future.cancel()
        running.set_result(call())
        assert future.result(BOUND) == 1

    def test_fulfill(self, over, hands):
        """A future that has not started there can be taken over."""
        over(hands)
        future = farm.future(abs, -1)
        assert hands.come.acquire(timeout=BOUND)
        ((foreign, _),) = hands.calls
        while not foreign.cancelled():
            farm.fulfill(future, "mine")
        assert farm.force(future) == "mine"

    def test_many_at_once(self, threads):
        """Whatever is cancelled when, each future ends once, and nothing is left over."""
        futures = []
        submitted = threading.Event()

        def cancel(step):
            assert submitted.wait(BOUND)
            for future in futures[::step]:
                future.cancel()

        cancellers = [threading.Thread(target=cancel, args=(step,)) for step in (2, -3)]
        for canceller in cancellers:
            canceller.start()
        for number in range(1000):
            futures.append(farm.future(pow, number, 2))
            if number == 300:
                submitted.set()
        for canceller in cancellers:
            canceller.join(BOUND)
        assert not wait(futures, BOUND).not_done
        for number, future in enumerate(futures):
            assert future.cancelled() or future.result() == number**2
        engine = threads._engine
        assert engine.wait(lambda: not engine.unfinished, BOUND)
        assert all(not link.inflight and not link._requests for link in engine.links)
        assert farm.future(abs, -1).result() == 1

    def test_by_somebody_else(self, over, hands):
        """A call that was cancelled over there is a lost task."""
        over(hands)
        future = farm.future(abs, -1)
        assert hands.come.acquire(timeout=BOUND)
        hands.calls.popleft()[0].cancel()
        with pytest.raises(farm.WorkerLostError, match="it was cancelled"):
            future.result(BOUND)


class TestFailures:
    def test_engine_loses_a_task(self, over, hands):
        """An error that is the executor's own is no error of the task; others go on."""
        over(hands)
        future = farm.future(abs, -1)
        running, _ = hands.take()
        running.set_exception(MemoryError("the scheduler said so"))
        with pytest.raises(farm.WorkerLostError) as caught:
            future.result(BOUND)
        assert str(caught.value) == (
            "task abs was started once, and each time its worker died; last worker 0 at Hands: "
            "MemoryError: the scheduler said so"
        )
        future = farm.future(abs, -1)
        hands.step()
        assert future.result(BOUND) == 1

    @pytest.mark.parametrize("answer", [None, 5, (b"", b"nonsense", ("", 0, 0)), (b"", b"", 0)])
    def test_odd_answer(self, over, hands, answer):
        """So is an answer that is none."""
        over(hands)
        future = farm.future(abs, -1)
        hands.take()[0].set_result(answer)
        with pytest.raises(farm.WorkerLostError):
            future.result(BOUND)

    def test_broken(self, over, hands):
        """Where there is nobody else, tasks of a broken pool fail, and those to come."""
        kernel = over(hands)
        futures = [farm.future(abs, -1) for _ in range(5)]
        taken = [hands.take()[0] for _ in range(2)]
        hands.fails = BrokenExecutor("no more")
        for running in taken:
            running.set_exception(BrokenExecutor("a process died"))
        for future in futures:
            with pytest.raises(farm.WorkerLostError, match=r"BrokenExecutor: (a process|no more)"):
                future.result(BOUND)
        with pytest.raises(farm.WorkerLostError, match="no more"):
            farm.future(abs, -1).result(BOUND)
        assert not kernel.ended

    def test_broken_among_others(self, connect, paper, hands):
        """Where there is somebody else, they run there."""
        kernel = connect()
        kernel.add(hands)
        assert kernel.worker_count == 3
        futures = [farm.future(abs, number) for number in range(-50, 0)]
        running, _ = hands.take()
        hands.fails = BrokenExecutor("no more")
        running.set_exception(BrokenExecutor("a process died"))
        assert [future.result(BOUND) for future in futures] == list(range(50, 0, -1))
        assert farm.pmap(abs, range(100)) == list(range(100))

    def test_missing(self, over, hands):
        """A worker that lacks what was sent before gets it with the next call."""
        over(hands)
        data = os.urandom(50_000)
        handle = farm.shared(data)

        def tail(h):
            return h.value[-10:]

        first = farm.future(tail, handle)
        hands.step()
        assert first.result(BOUND) == data[-10:]
        second = farm.future(tail, handle)
        running, call = hands.take()
        assert len(call.args[3]) < 50_000
        assert call.args[2] == handle.ident
        running.set_result((handle.ident, b"", ("", 0, 0)))
        running, call = hands.take()
        assert len(call.args[3]) > 50_000
        assert call.args[2] == b""
        running.set_result(call())
        assert second.result(BOUND) == data[-10:]

    def test_no_two_calls_are_equal(self, over, hands):
        """Executors that remember calls run each task all the same."""
        over(hands)
        seen = set()
        for _ in range(3):
            future = farm.future(os.getpid)
            running, call = hands.take()
            seen.add(call.args)
            running.set_result(call())
            future.result(BOUND)
        assert len(seen) == 3


class TestMixed:
    def test_add_and_remove(self, kernel, hands):
        """An executor comes and goes like a server; others do what it cannot."""
        with ThreadPoolExecutor(1) as pool:
            kernel.add(pool)
            assert kernel.worker_count == 3
            assert kernel.addresses[1:] == ["ThreadPoolExecutor"]
            assert farm.pmap(abs, range(100)) == list(range(100))
            with pytest.raises(farm.UnsupportedError):
                kernel.broadcast_task("paper:echo", 1)
            with farm.task_options(timeout=BOUND):
                assert farm.future("paper:echo", 1).result()[0] == 1
            with pytest.raises(ValueError, match="the kernel does not use Hands"):
                kernel.remove(hands)
            kernel.remove(pool)
            assert kernel.worker_count == 2
            assert pool.submit(abs, -1).result(BOUND) == 1

    def test_last(self, over, hands):
        """The only one stays."""
        kernel = over(hands)
        with pytest.raises(ValueError, match="end the kernel instead"):
            kernel.remove(hands)


class TestProcesses:
    def test_closures(self, over, pool):
        """Functions of the moment, which the pool itself could not send."""
        over(pool)
        base = 5
        assert farm.pmap(lambda x: base + x, range(1000)) == list(range(5, 1005))

    def test_processes_are_others(self, over, pool):
        """Tasks run in the processes of the pool."""
        over(pool)
        assert os.getpid() not in farm.pmap(lambda _: os.getpid(), range(4), parts=4)

    def test_error(self, over, pool):
        """As from a server."""
        over(pool)
        with pytest.raises(farm.TaskExecutionError) as caught:
            farm.future(lambda: {}["no such key"]).result()
        assert isinstance(caught.value.__cause__, KeyError)

    def test_shared(self, over, pool):
        """A large value is sent to each process about once, and is there until it is forgotten."""
        over(pool)
        handle = farm.shared(bytes(1_000_000))
        assert farm.pmap(lambda i: len(handle.value) + i, range(8), parts=8) == [
            1_000_000 + i for i in range(8)
        ]

    def test_class(self, over, pool):
        """Instances of a class of the program come back as such."""

        class Point:
            def __init__(self, x):
                self.x = x

        over(pool)
        point = farm.future(lambda p: Point(p.x + 1), Point(1)).result()
        assert (type(point), point.x) == (Point, 2)

    @pytest.mark.skipif(sys.platform == "win32", reason="signals")
    def test_killed(self, over):
        """A pool whose process dies is broken: its tasks are lost, and say why."""
        with spawned(1) as pool:
            over(pool)
            with pytest.raises(farm.WorkerLostError, match="BrokenProcessPool"):
                farm.future(lambda: os.kill(os.getpid(), signal.SIGKILL)).result(BOUND)
            with pytest.raises(farm.WorkerLostError, match="BrokenProcessPool"):
                farm.future(abs, -1).result(BOUND)
