"""A kernel as an executor: what concurrent.futures promises, and errors as they were raised."""

import asyncio
import gc
import threading
import time
import traceback
import weakref
from concurrent import futures

import pytest

import farm_client as farm

AFTER_SHUTDOWN = "cannot schedule new futures after shutdown"


class OddError(Exception):
    """An error that needs two arguments."""

    def __init__(self, code, text):
        super().__init__(code, text)
        self.code = code


def fail(code):
    raise OddError(code, "odd")


def fail_from(code):
    try:
        raise KeyError("before")
    except KeyError as error:
        raise OddError(code, "odd") from error


def add(x, y=0):
    return x + y


@pytest.fixture
def executor(kernel):
    """An executor of the paper kernel's two workers."""
    return kernel.executor()


@pytest.fixture
def busy(paper, connect):
    """An executor whose only worker is busy until ``paper.events["gate"]`` is set."""
    paper.workers = 1
    executor = connect().executor()
    gate = executor.submit("paper:wait", "gate")
    assert paper.started["gate"].wait(20)
    yield executor
    paper.events["gate"].set()
    gate.result(20)


class TestSubmitting:
    def test_is_an_executor(self, executor):
        """Libraries ask by isinstance, and Dask how many tasks it runs at once."""
        assert isinstance(executor, futures.Executor)
        assert executor._max_workers == 2
        assert repr(executor) == "<KernelExecutor of 'farm-client': 0 unfinished tasks>"

    def test_results(self, executor):
        """Positional and keyword arguments, also those of submit's own names; names of tasks."""
        future = executor.submit(add, 1, y=2)
        assert isinstance(future, futures.Future)
        assert isinstance(future, farm.Future)
        assert future.result(20) == 3
        assert future.exception() is None
        assert executor.submit(dict, self=1, fn=2).result(20) == {"self": 1, "fn": 2}
        assert executor.submit("operator:neg", 1).result(20) == -1
        assert farm.force(executor.submit(abs, -4)) == 4

    def test_without_a_task(self, executor):
        """Is a TypeError, also with keywords that look like one."""
        with pytest.raises(TypeError):
            executor.submit()
        with pytest.raises(TypeError):
            executor.submit(fn=abs, arg=1)

    def test_what_cannot_be_submitted(self, executor):
        """Is raised by submit, and nothing waits for it afterwards."""
        with pytest.raises(farm.InvalidTaskError):
            executor.submit(3)
        with pytest.raises(farm.SerializationError):
            executor.submit(print, threading.Lock())
        executor.shutdown()

    def test_many_executors(self, kernel):
        """Each has an end of its own."""
        first, second = kernel.executor(), kernel.executor()
        first.shutdown()
        assert second.submit(abs, -1).result(20) == 1


class TestErrors:
    def test_the_original(self, executor):
        """Its type, arguments and attributes; the cause has the worker's traceback."""
        future = executor.submit(fail, 7)
        for _ in range(2):
            with pytest.raises(OddError) as caught:
                future.result(20)
            error = caught.value
            assert (type(error), error.args, error.code) == (OddError, (7, "odd"), 7)
            cause = error.__cause__
            assert type(cause) is farm.TaskExecutionError
            assert cause.__cause__ is None
            assert 'raise OddError(code, "odd")' in cause.description
            assert cause.worker.startswith("worker ")
            text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
            assert text.count('raise OddError(code, "odd")') == 1
            assert text.index("direct cause") > text.index("raise OddError")

    def test_asking_for_it(self, executor):
        """exception() has what result() raises, the same one each time."""
        future = executor.submit(fail, 7)
        error = future.exception(20)
        assert (type(error), error.code) == (OddError, 7)
        assert type(error.__cause__) is farm.TaskExecutionError
        assert future.exception() is error

    def test_who_raises_it_does_not_change_it(self, executor):
        """Each who asks has a traceback of his own."""
        future = executor.submit(fail, 7)
        errors = []
        for _ in range(2):
            with pytest.raises(OddError) as caught:
                future.result(20)
            errors.append(caught.value)
        assert errors[0] is not errors[1]
        assert len(traceback.extract_tb(errors[0].__traceback__)) == len(
            traceback.extract_tb(errors[1].__traceback__)
        )

    def test_one_that_had_a_cause(self, executor):
        """Is told of by the remote traceback."""
        error = executor.submit(fail_from, 7).exception(20)
        assert "KeyError: 'before'" in error.__cause__.description
        assert "KeyError: 'before'" in str(error.__cause__)

    def test_one_that_cannot_be_rebuilt(self, executor):
        """Is the TaskExecutionError, with its description."""

        def fail_here():
            exec(
                "class Local(Exception):\n"
                "    def __reduce__(self): raise TypeError\n"
                "    def __reduce_ex__(self, protocol): raise TypeError\n"
                "Local.__module__ = 'nowhere'\n"
                "raise Local('gone')",
                {"__name__": "nowhere"},
            )

        with pytest.raises(farm.TaskExecutionError, match="Local: gone") as caught:
            executor.submit(fail_here).result(20)
        assert "Traceback" in str(caught.value)

    def test_a_result_that_cannot_be_loaded(self, executor):
        """Is an error of here, with the reason as its cause: the task raised nothing."""
        future = executor.submit(make_bomb)
        with pytest.raises(farm.TaskExecutionError, match="could not be loaded here") as caught:
            future.result(20)
        assert type(caught.value.__cause__) is OddError

    def test_farm_futures_of_the_same_kernel(self, kernel, executor):
        """Raise TaskExecutionError as ever."""
        executor.submit(fail, 1).exception(20)
        with pytest.raises(farm.TaskExecutionError) as caught:
            farm.force(farm.future(fail, 1))
        assert type(caught.value.__cause__) is OddError

    def test_a_worker_that_dies(self, executor):
        """Is a WorkerLostError."""
        with pytest.raises(farm.WorkerLostError):
            executor.submit("paper:die").result(20)

    def test_no_kernel_any_more(self, kernel, executor, paper):
        """Unfinished futures and later submissions fail, shutdown does not."""
        future = executor.submit("paper:wait", "never")
        assert paper.started["never"].wait(20)
        kernel.end()
        with pytest.raises(farm.KernelEndedError):
            future.result(20)
        with pytest.raises(farm.KernelEndedError, match="has ended"):
            executor.submit(abs, 1)
        executor.shutdown()
        with pytest.raises(farm.NoKernelError, match="make another"):
            kernel.executor()


class Bomb:
    def __reduce__(self):
        return fail, (3,)


def make_bomb():
    return Bomb()


class TestTools:
    def test_wait_and_as_completed(self, executor):
        """As with any futures, mixed with others; an error counts as one."""
        fs = [executor.submit(abs, -number) for number in range(20)]
        assert futures.wait(fs, 20).not_done == set()
        assert {f.result() for f in futures.as_completed(fs)} == set(range(20))
        failing = executor.submit(fail, 1)
        done = futures.wait([failing, futures.Future()], 20, futures.FIRST_EXCEPTION).done
        assert done == {failing}

    def test_cancelling(self, busy, paper):
        """What was not sent never runs."""
        future = busy.submit("paper:wait", "victim")
        told = []
        future.add_done_callback(told.append)
        assert future.cancel()
        assert told == [future]
        with pytest.raises(futures.CancelledError):
            future.result()
        paper.events["gate"].set()
        assert busy.submit(abs, -1).result(20) == 1
        assert not paper.started["victim"].is_set()

    def test_callbacks(self, busy, paper):
        """Find the future done, with the original error."""
        told = futures.Future()
        future = busy.submit(fail, 3)
        future.add_done_callback(lambda f: told.set_result(type(f.exception())))
        paper.events["gate"].set()
        assert told.result(20) is OddError

    def test_asyncio(self, executor):
        """run_in_executor, wrap_future and await: all raise what the task raised."""

        async def main():
            loop = asyncio.get_running_loop()
            assert await loop.run_in_executor(executor, add, 1, 2) == 3
            assert await asyncio.wrap_future(executor.submit(abs, -1)) == 1
            assert await executor.submit(abs, -2) == 2
            for failing in (
                loop.run_in_executor(executor, fail, 5),
                asyncio.wrap_future(executor.submit(fail, 5)),
                executor.submit(fail, 5),
            ):
                with pytest.raises(OddError) as caught:
                    await failing
                assert type(caught.value.__cause__) is farm.TaskExecutionError

        asyncio.run(main())

    def test_cancelling_an_await(self, busy):
        """Withdraws the task."""
        made = []

        async def main():
            async def wait():
                made.append(busy.submit(abs, 1))
                await made[0]

            task = asyncio.ensure_future(wait())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        assert made[0].cancelled()


class TestMap:
    @pytest.mark.parametrize("chunksize", [1, 2, 3, 10, 100])
    def test_results(self, executor, chunksize):
        """In order, up to the end of the shortest; whatever the chunks."""
        got = executor.map(pow, range(10), range(20), chunksize=chunksize)
        assert list(got) == [n**n for n in range(10)]
        assert list(executor.map(abs, [], chunksize=chunksize)) == []

    def test_a_name(self, executor):
        """Is called element by element, with any chunksize."""
        assert list(executor.map("operator:neg", range(5), chunksize=2)) == [0, -1, -2, -3, -4]

    def test_a_task_only(self, executor):
        """Can be in chunks, too."""
        assert list(executor.map(only_there, range(3), chunksize=2)) == [1, 2, 3]

    def test_a_closure(self, executor):
        """Has what it captured in each chunk."""
        offset = 10
        assert list(executor.map(lambda x: x + offset, range(4), chunksize=3)) == [10, 11, 12, 13]

    def test_submits_at_once(self, executor, paper):
        """Not only when the results are asked for."""
        executor.map("paper:wait", ["first"])
        assert paper.started["first"].wait(20)
        paper.events["first"].set()
        executor.shutdown()

    @pytest.mark.parametrize("chunksize", [1, 2])
    def test_an_error(self, executor, chunksize):
        """Comes in its place, as it was raised, and ends the iterator."""
        got = executor.map(divmod, [1, 1, 1, 1], [2, 3, 0, 5], chunksize=chunksize)
        assert [next(got), next(got)] == [(0, 1), (0, 1)]
        with pytest.raises(ZeroDivisionError):
            next(got)
        assert list(got) == []

    def test_a_time_out(self, busy, paper):
        """Is raised by the iterator, and cancels what was not sent."""
        got = busy.map("paper:wait", ["second", "third"], timeout=0.01)
        with pytest.raises(futures.TimeoutError):
            next(got)
        busy.shutdown(wait=False)
        paper.events["gate"].set()
        busy.shutdown()
        assert not paper.started["second"].is_set()
        assert not paper.started["third"].is_set()

    @pytest.mark.parametrize(("chunksize", "first"), [(1, "first"), (2, ["first", "second"])])
    def test_closing(self, busy, paper, chunksize, first):
        """Cancels what was not sent, in chunks too."""
        got = busy.map(add, range(6), chunksize=chunksize)
        gate, *submitted = busy._open
        assert farm.fulfill(submitted[0], first)
        assert next(got) == "first"
        got.close()
        assert all(future.cancelled() for future in submitted[1:])
        assert list(busy._open) == [gate]

    def test_forgetting_the_results(self, busy, paper):
        """Cancels nothing: all is done that was submitted."""
        busy.map("paper:wait", ["one", "two"])
        for key in ("gate", "one", "two"):
            paper.events[key].set()
        busy.shutdown()
        assert paper.started["two"].is_set()

    def test_an_element_that_cannot_travel(self, busy, paper):
        """Is raised at once, and what was submitted before is cancelled."""
        with pytest.raises(farm.SerializationError):
            busy.map("paper:wait", ["victim", threading.Lock()])
        paper.events["gate"].set()
        busy.shutdown()
        assert not paper.started["victim"].is_set()

    def test_a_bounded_buffer(self, executor):
        """No more is read than results were asked for, plus so many."""
        read = []

        def source():
            for number in range(100):
                read.append(number)
                yield number

        got = executor.map(abs, source(), buffersize=3)
        assert len(read) == 3
        assert [next(got), next(got)] == [0, 1]
        assert len(read) == 5
        assert list(got) == list(range(2, 100))

    @pytest.mark.parametrize("keyword", ["chunksize", "buffersize"])
    def test_nonsense(self, executor, keyword):
        """Is a ValueError at once."""
        with pytest.raises(ValueError, match=f"{keyword} is how many, at least 1, not 0"):
            executor.map(abs, [1], **{keyword: 0})

    def test_holds_no_result(self, executor):
        """The iterator forgets what it gave."""
        for chunksize in (1, 4):
            for thing in executor.map(make_thing, range(10), chunksize=chunksize):
                reference = weakref.ref(thing)
                del thing
                gc.collect()
                assert reference() is None


@farm.deftask(local=False)
def only_there(x):
    return x + 1


class Thing:
    pass


def make_thing(_):
    return Thing()


class TestShutdown:
    def test_is_the_end_of_the_executor(self, kernel, executor):
        """Not of the kernel; twice is no error."""
        executor.shutdown()
        executor.shutdown(wait=False)
        for submit in (lambda: executor.submit(abs, 1), lambda: executor.map(abs, [1])):
            with pytest.raises(RuntimeError, match=AFTER_SHUTDOWN):
                submit()
        assert "shut down" in repr(executor)
        assert not kernel.ended
        assert farm.force(farm.future(abs, -1)) == 1

    def test_waits(self, kernel, executor, paper):
        """For the tasks of this executor, not for others of the kernel."""
        other = farm.future("paper:wait", "other")
        future = executor.submit("paper:wait", "mine")
        ended = threading.Event()
        thread = threading.Thread(target=lambda: (executor.shutdown(), ended.set()))
        thread.start()
        assert paper.started["mine"].wait(20)
        assert not ended.is_set()
        paper.events["mine"].set()
        thread.join(20)
        assert future.done()
        assert not other.done()
        paper.events["other"].set()

    def test_without_waiting(self, busy, paper):
        """What was submitted still runs."""
        future = busy.submit(abs, -3)
        busy.shutdown(wait=False)
        assert not future.done()
        paper.events["gate"].set()
        assert future.result(20) == 3

    def test_cancelling(self, busy, paper):
        """What was not sent; what runs is waited for."""
        fs = [busy.submit(abs, number) for number in range(5)]
        thread = threading.Thread(target=lambda: busy.shutdown(cancel_futures=True))
        thread.start()
        futures.wait(fs, 20)
        assert all(future.cancelled() for future in fs)
        assert thread.is_alive()
        paper.events["gate"].set()
        thread.join(20)
        assert not thread.is_alive()

    def test_what_was_cancelled_before(self, busy, paper):
        """Is not waited for."""
        busy.submit(abs, 1).cancel()
        paper.events["gate"].set()
        busy.shutdown()

    def test_a_context_manager(self, kernel):
        """Waits on exit."""
        with kernel.executor() as executor:
            future = executor.submit(time.sleep, 0.01)
        assert future.done()
        with pytest.raises(RuntimeError, match=AFTER_SHUTDOWN):
            executor.submit(abs, 1)

    def test_from_many_threads(self, kernel):
        """Every task that was accepted is waited for."""
        for _ in range(30):
            executor = kernel.executor()
            accepted = []

            def submit(executor=executor, accepted=accepted):
                try:
                    while True:
                        accepted.append(executor.submit(abs, -1))
                except RuntimeError:
                    pass

            threads = [threading.Thread(target=submit) for _ in range(3)]
            for thread in threads:
                thread.start()
            executor.submit(abs, -1).result(20)
            executor.shutdown()
            for thread in threads:
                thread.join(20)
            assert all(future.done() for future in accepted)

    def test_abandoning(self, connect, paper):
        """Nothing waits any more: what runs is killed, the rest never runs, and all are told so."""
        paper.workers = 1
        paper.kill = paper.kill_what_waits
        kernel = connect()
        executor = kernel.executor()
        running = executor.submit("paper:wait", "a")
        waiting = executor.submit("paper:wait", "b")
        assert paper.started["a"].wait(20)
        executor._abandon()
        assert "given up" in str(running.exception(0))
        assert waiting.cancelled()
        executor.shutdown()
        assert kernel.executor().submit(abs, -1).result(20) == 1
        assert "a" in paper.killed
        assert not paper.started["b"].is_set()
