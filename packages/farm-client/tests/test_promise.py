"""Promises, delays, chains and speculations: lparallel's rules."""

import asyncio
import copy
import gc
import os
import pickle
import signal
import sys
import threading
import traceback
import weakref
from concurrent import futures

import pytest

import farm_client as farm
from farm_client.promise import Chain, Delay


@pytest.fixture
def busy(paper, connect):
    """A kernel whose only worker is busy until ``paper.events["gate"]`` is set."""
    paper.workers = 1
    kernel = connect()
    gate = farm.future("paper:wait", "gate")
    assert paper.started["gate"].wait(20)
    yield gate
    paper.events["gate"].set()
    kernel.end(wait=True)


@pytest.fixture
def aside():
    """Calls a function in a thread of its own; returns what gives its result, or raises."""
    started = []

    def call(function, *args):
        box = futures.Future()

        def run():
            try:
                box.set_result(function(*args))
            except BaseException as error:
                box.set_exception(error)

        started.append(threading.Thread(target=run))
        started[-1].start()
        return lambda: box.result(20)

    yield call
    for thread in started:
        thread.join(20)
        assert not thread.is_alive()


class TestPromise:
    def test_it_is_fulfilled_once(self):
        """The first value stays; who comes later is told so, and his value is ignored."""
        promise = farm.promise()
        assert isinstance(promise, farm.Promise)
        assert not farm.is_fulfilled(promise)
        assert farm.fulfill(promise, 3) is True
        assert farm.is_fulfilled(promise)
        assert farm.fulfill(promise, 4) is False
        assert farm.force(promise) == farm.force(promise) == 3

    @pytest.mark.parametrize("value", [None, False, farm.FarmError("a value, not raised")])
    def test_any_value_will_do(self, value):
        """Also false ones, and errors, which are not raised."""
        promise = farm.promise()
        assert farm.fulfill(promise, value)
        assert farm.is_fulfilled(promise)
        assert farm.force(promise) is value

    def test_force_waits(self, aside):
        """In any number of threads, without a kernel."""
        promise = farm.promise()
        got = [aside(farm.force, promise) for _ in range(5)]
        assert farm.fulfill(promise, "x")
        assert [get() for get in got] == ["x"] * 5

    @pytest.mark.parametrize("timeout", [0, 0.01, -1])
    def test_force_with_a_time_out(self, timeout):
        """Raises the builtin TimeoutError, whatever Python it is."""
        promise = farm.promise()
        with pytest.raises(TimeoutError, match=f"no result within {timeout} s"):
            farm.force(promise, timeout)
        farm.fulfill(promise, 1)
        assert farm.force(promise, timeout) == 1

    def test_one_of_many_fulfills_it(self, aside):
        """However many threads try at once, one is told that it did, and its value it is."""
        for _ in range(50):
            promise = farm.promise()
            start = threading.Barrier(4)

            def attempt(value, promise=promise, start=start):
                start.wait(20)
                return farm.fulfill(promise, value)

            told = [get() for get in [aside(attempt, value) for value in range(4)]]
            assert sorted(told) == [False, False, False, True]
            assert told[farm.force(promise)]

    def test_an_error_in_place_of_a_value(self):
        """set_exception has every force raise it."""
        promise = farm.promise()
        promise.set_exception(KeyError("k"))
        assert farm.is_fulfilled(promise)
        assert not farm.fulfill(promise, 1)
        for _ in range(2):
            with pytest.raises(KeyError, match="k"):
                farm.force(promise)

    def test_cancelling_it(self, aside):
        """Ends the waiting of all, and it cannot be fulfilled any more."""
        promise = farm.promise()
        called = []
        promise.add_done_callback(called.append)
        waiting = aside(futures.wait, [promise], 20)
        assert promise.cancel()
        assert promise.cancel()
        assert called == [promise]
        assert waiting().done == {promise}
        assert farm.is_fulfilled(promise)
        assert not farm.fulfill(promise, 1)
        with pytest.raises(futures.CancelledError):
            farm.force(promise)
        fulfilled = farm.promise()
        farm.fulfill(fulfilled, 1)
        assert not fulfilled.cancel()

    def test_the_tools_of_the_standard_library(self, kernel):
        """wait, as_completed and callbacks work, mixed with futures."""
        promise, future = farm.promise(), farm.future(abs, -1)
        called = []
        promise.add_done_callback(called.append)
        assert futures.wait([promise, future], 20, futures.FIRST_COMPLETED).done == {future}
        waiting = futures.as_completed([promise, future], 20)
        assert next(waiting) is future
        farm.fulfill(promise, 2)
        assert next(waiting) is promise
        assert called == [promise]
        assert isinstance(promise, futures.Future)
        assert isinstance(future, farm.Promise)

    def test_a_task_s_callback_fulfills_it(self, kernel):
        """Who waits for the promise need not know of the task."""
        promise = farm.promise()
        farm.future(abs, -5).add_done_callback(lambda f: farm.fulfill(promise, f.result() + 1))
        assert farm.force(promise, 20) == 6

    def test_awaiting(self):
        """Any number of tasks may; one that gives up takes it from nobody."""

        async def main():
            promise = farm.promise()

            async def wait():
                return await promise

            tasks = [asyncio.ensure_future(wait()) for _ in range(3)]
            await asyncio.sleep(0)
            tasks[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
            threading.Thread(target=farm.fulfill, args=(promise, 7)).start()
            assert await asyncio.gather(*tasks[1:]) == [7, 7]
            assert await promise == 7

        asyncio.run(main())

    def test_it_does_not_travel(self, kernel):
        """Neither as an argument nor captured; the error says what to do instead."""
        promise = farm.promise()
        text = r"a promise cannot travel: force\(\) it, and send its value"
        with pytest.raises(farm.FarmError, match=text):
            pickle.dumps(promise)
        with pytest.raises(farm.FarmError, match=text):
            copy.copy(promise)
        with pytest.raises(farm.SerializationError, match=text):
            farm.future(print, [promise])
        with pytest.raises(farm.SerializationError, match=text):
            farm.future(lambda: farm.fulfill(promise, 1))


class TestWhatIsNoPromise:
    @pytest.mark.parametrize("thing", [3, None, [1], "x", futures.Future(), Exception("x")])
    def test_is_its_own_value(self, thing):
        """force returns the object itself; it is fulfilled, and cannot be."""
        assert farm.force(thing) is thing
        assert farm.force(thing, 0) is thing
        assert farm.is_fulfilled(thing) is True
        assert farm.fulfill(thing, 4) is False


class TestFulfillingAFuture:
    def test_that_has_not_started(self, busy, paper):
        """Takes it over: its task never runs, and the value is the one given."""
        future = farm.future("paper:wait", "victim")
        called = []
        future.add_done_callback(called.append)
        assert not farm.is_fulfilled(future)
        assert farm.fulfill(future, "mine") is True
        assert called == [future]
        assert farm.is_fulfilled(future)
        assert not future.cancelled()
        assert not future.cancel()
        assert farm.force(future) == future.result() == "mine"
        assert future.exception() is None
        assert farm.fulfill(future, "again") is False
        paper.events["gate"].set()
        assert busy.result() == "gate"
        assert farm.force(farm.future(abs, -1)) == 1
        assert not paper.started["victim"].is_set()

    def test_tells_all_who_wait(self, busy, aside):
        """By force, by the tools of the standard library, and by await."""
        future = farm.future(abs, 1)
        waiting = [aside(farm.force, future), aside(lambda: futures.wait([future], 20).done)]

        async def wait():
            threading.Thread(target=farm.fulfill, args=(future, "v")).start()
            return await future

        assert asyncio.run(wait()) == "v"
        assert waiting[0]() == "v"
        assert waiting[1]() == {future}

    def test_that_runs(self, busy):
        """Is too late: the worker is about to fulfil it."""
        assert farm.fulfill(busy, 1) is False
        assert not farm.is_fulfilled(busy)

    def test_that_has_ended(self, kernel):
        """Is too late."""
        future = farm.future(abs, -1)
        assert farm.force(future) == 1
        assert farm.fulfill(future, 2) is False
        assert farm.force(future) == 1

    def test_that_was_cancelled(self, busy):
        """Is too late, and the other way round."""
        future = farm.future(abs, -1)
        assert future.cancel()
        assert farm.fulfill(future, 2) is False
        assert future.cancelled()

    def test_while_another_thread_cancels(self, busy, aside):
        """One of the two is told that it succeeded, and so it is."""
        for _ in range(200):
            future = farm.future(abs, 1)
            cancelled = aside(future.cancel)
            fulfilled = farm.fulfill(future, 2)
            assert cancelled() is not fulfilled
            assert future.cancelled() is not fulfilled

    def test_lets_the_kernel_end(self, busy, connect, paper):
        """Nothing waits for the task any more."""
        future = farm.future(abs, 1)
        farm.fulfill(future, 2)
        paper.events["gate"].set()
        farm.end_kernel(wait=True)
        assert farm.force(future) == 2


class TestForcingFutures:
    def test_of_another_kernel(self, paper, connect):
        """A future belongs to the kernel it was submitted to, whichever is the current one."""
        first, second = connect(), connect()
        farm.set_kernel(first)
        one = farm.future(abs, -1)
        with second:
            two = farm.future(abs, -2)
            assert farm.force(one) == 1
            assert farm.force(two) == 2
        assert farm.current_kernel() is first
        assert farm.force(one) == 1
        assert farm.force(two) == 2

    def test_in_any_thread(self, busy, paper, aside):
        """All get the value, and all get the error."""
        bad = farm.future("operator:truediv", 1, 0)
        values = [aside(farm.force, busy) for _ in range(4)]
        errors = [aside(farm.force, bad) for _ in range(4)]
        paper.events["gate"].set()
        assert [get() for get in values] == ["gate"] * 4
        for get in errors:
            with pytest.raises(farm.TaskExecutionError, match="ZeroDivisionError"):
                get()

    def test_its_error_is_raised_each_time(self, kernel):
        """The same error, free of the traceback of an earlier force."""
        future = farm.future("operator:truediv", 1, 0)
        depths = []
        for _ in range(3):
            with pytest.raises(farm.TaskExecutionError) as caught:
                farm.force(future)
            depths.append(len(traceback.extract_tb(caught.value.__traceback__)))
        assert len(set(depths)) == 1

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
    def test_in_a_forked_child(self, busy):
        """Its kernel has ended there, so it says so instead of waiting for ever."""
        pid = os.fork()
        if pid == 0:
            try:
                farm.force(busy)
            except farm.KernelEndedError as error:
                os._exit(0 if "before the process forked" in str(error) else 2)
            except BaseException:
                os._exit(3)
            os._exit(4)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
    def test_in_a_child_that_was_forked_at_a_bad_moment(self, busy):
        """What another thread held in the parent is not waited for."""
        with sys.modules[farm.Future.__module__]._making:
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)
                os._exit(0 if busy._condition else 2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


class TestSpeculate:
    def test_its_task_waits_until_no_other_does(self, paper, connect):
        """Also those submitted after it go first."""
        paper.workers = 1
        connect()
        order = []
        done = threading.Event()
        gate = farm.future("paper:wait", "gate")
        low = farm.speculate("paper:echo", "low")
        low.add_done_callback(lambda f: (order.append(f.result()[0]), done.set()))
        default = farm.future("paper:echo", "default")
        default.add_done_callback(lambda f: order.append(f.result()[0]))
        paper.events["gate"].set()
        assert farm.force(low) == ("low", 0)
        assert done.wait(20)
        assert order == ["default", "low"]
        assert farm.force(gate) == "gate"

    def test_it_is_a_future(self, kernel):
        """With arguments, keywords and a category; a priority that surrounds it comes back."""
        with farm.task_category("guess"):
            future = farm.speculate(dict, task=1, self=2)
        assert isinstance(future, farm.Future)
        assert farm.force(future) == {"task": 1, "self": 2}
        with pytest.raises(farm.TaskExecutionError, match="ZeroDivisionError"):
            farm.force(farm.speculate("operator:truediv", 1, 0))

    def test_without_a_kernel(self):
        """Raises as `future` does."""
        with pytest.raises(farm.NoKernelError):
            farm.speculate(abs, 1)


class TestDelay:
    def test_it_runs_once_in_the_thread_that_forces_it(self):
        """Not before, not again, and without a kernel."""
        calls = []

        def compute(*args, **keywords):
            calls.append(threading.get_ident())
            return args, keywords

        delay = farm.delay(compute, 1, function=2, self=3)
        assert calls == []
        assert not farm.is_fulfilled(delay)
        assert farm.force(delay) == ((1,), {"function": 2, "self": 3})
        assert farm.is_fulfilled(delay)
        assert farm.force(delay) == ((1,), {"function": 2, "self": 3})
        assert calls == [threading.get_ident()]

    def test_others_wait_meanwhile(self, aside):
        """They get the same value, or give up in time."""
        started, gate, calls = threading.Event(), threading.Event(), []

        def compute():
            calls.append(1)
            started.set()
            assert gate.wait(20)
            return object()

        delay = farm.delay(compute)
        got = [aside(farm.force, delay)]
        assert started.wait(20)
        assert not farm.is_fulfilled(delay)
        got += [aside(farm.force, delay) for _ in range(3)]
        with pytest.raises(TimeoutError, match="no result within 0 s"):
            farm.force(delay, 0)
        with pytest.raises(TimeoutError):
            farm.force(delay, 0.01)
        with pytest.raises(futures.TimeoutError):
            delay.result(0)
        with pytest.raises(futures.TimeoutError):
            delay.exception(0)
        assert not farm.fulfill(delay, 1)
        assert not delay.cancel()
        gate.set()
        assert len({get() for get in got}) == 1
        assert calls == [1]

    def test_its_error_is_the_plain_one(self):
        """Raised by each force, with where it came from, and no more than that."""
        calls = []

        def fail():
            calls.append(1)
            raise KeyError("plain")

        delay = farm.delay(fail)
        depths = set()
        for _ in range(3):
            with pytest.raises(KeyError, match="plain") as caught:
                farm.force(delay)
            frames = traceback.extract_tb(caught.value.__traceback__)
            assert frames[-1].name == "fail"
            depths.add(len(frames))
        assert len(depths) == 1
        assert calls == [1]
        assert farm.is_fulfilled(delay)
        assert isinstance(delay.exception(), KeyError)

    def test_an_error_that_is_a_time_out(self):
        """Is the function's, not that of the force."""

        def fail():
            raise futures.TimeoutError("the function's")

        delay = farm.delay(fail)
        for _ in range(2):
            with pytest.raises(futures.TimeoutError, match="the function's"):
                farm.force(delay, 20)

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
    def test_an_interrupt_is_no_result(self, kind):
        """It leaves the delay as it was; the next force computes the value."""
        errors = [kind]

        def compute():
            if errors:
                raise errors.pop()
            return 5

        delay = farm.delay(compute)
        with pytest.raises(kind):
            farm.force(delay)
        assert not farm.is_fulfilled(delay)
        assert farm.force(delay) == 5

    def test_after_an_interrupt_one_of_those_who_wait_computes_it(self, aside):
        """They do not wait for ever."""
        started, gate, errors = threading.Event(), threading.Event(), [SystemExit]

        def compute():
            if errors:
                started.set()
                assert gate.wait(20)
                raise errors.pop()
            return 5

        delay = farm.delay(compute)
        first = aside(farm.force, delay)
        assert started.wait(20)
        others = [aside(farm.force, delay) for _ in range(3)]
        gate.set()
        with pytest.raises(SystemExit):
            first()
        assert [get() for get in others] == [5, 5, 5]

    def test_fulfilling_it_first(self):
        """Takes it over: its function is never called."""
        delay = farm.delay(pytest.fail, "called")
        assert farm.fulfill(delay, 3)
        assert farm.force(delay) == 3
        assert not farm.fulfill(delay, 4)

    def test_cancelling_it_first(self):
        """Its function is never called, and there is no value."""
        delay = farm.delay(pytest.fail, "called")
        assert delay.cancel()
        with pytest.raises(futures.CancelledError):
            farm.force(delay)

    def test_one_that_needs_itself(self):
        """Is an error rather than a thread that waits for itself; it can be fulfilled no more."""
        delay = farm.delay(lambda: farm.force(delay))
        for _ in range(2):
            with pytest.raises(farm.FarmError, match="cannot force the delay: it needs its own"):
                farm.force(delay)

    def test_it_may_force_others(self, kernel):
        """Delays, futures and promises."""
        inner = farm.delay(lambda: farm.force(farm.future(abs, -3)))
        assert farm.force(farm.delay(lambda: farm.force(inner) + 1)) == 4

    def test_awaiting(self):
        """Computes it in the event loop's thread."""
        delay = farm.delay(threading.get_ident)

        async def main():
            return await delay

        assert asyncio.run(main()) == threading.get_ident()

    def test_result_and_exception(self):
        """Compute it as force does."""
        assert farm.delay(abs, -1).result() == 1
        assert farm.delay(abs, -1).exception() is None

    @pytest.mark.parametrize("function", [3, None, "operator:add"])
    def test_what_cannot_be_called(self, function):
        """Is refused at once; a task's name is none of ours."""
        with pytest.raises(TypeError, match="a delay calls a function of this program, not"):
            farm.delay(function)

    def test_it_does_not_travel(self):
        """The error says what to do instead."""
        with pytest.raises(farm.FarmError, match=r"a delay cannot travel: force\(\) it"):
            pickle.dumps(farm.delay(abs, 1))

    @pytest.mark.skipif(sys.implementation.name == "pypy", reason="PyPy frees things later")
    def test_what_it_held_is_freed(self):
        """Once there is a value, the function and its arguments are forgotten."""

        class Large:
            pass

        gc.disable()
        try:
            for settle in (
                farm.force,
                lambda delay: farm.fulfill(delay, 1),
                lambda delay: delay.cancel(),
            ):
                large = Large()
                seen = weakref.ref(large)
                delay = farm.delay(id, large)
                del large
                assert seen() is not None
                settle(delay)
                assert seen() is None
        finally:
            gc.enable()


class TestChain:
    def test_it_stands_for_its_object(self):
        """force, fulfill and is_fulfilled go through it, through any number of them."""
        promise = farm.promise()
        chain = farm.chain(farm.chain(promise))
        assert not farm.is_fulfilled(chain)
        assert farm.fulfill(chain, 3)
        assert not farm.fulfill(chain, 4)
        assert farm.is_fulfilled(chain)
        assert farm.force(chain) == farm.force(promise) == 3

    def test_of_no_promise(self):
        """It forces to the object, and cannot be fulfilled."""
        chain = farm.chain(5)
        assert farm.force(chain) == 5
        assert farm.is_fulfilled(chain)
        assert not farm.fulfill(chain, 6)

    def test_force_goes_one_level(self):
        """A promise whose value is a promise gives that promise, through a chain too."""
        inner, outer = farm.promise(), farm.promise()
        farm.fulfill(outer, inner)
        assert farm.force(outer) is inner
        assert farm.force(farm.chain(outer)) is inner
        assert farm.is_fulfilled(outer)

    def test_a_chain_as_a_value_relays(self, kernel):
        """To a future, a delay, a promise, and further."""
        last = farm.promise()
        for object_, value in [
            (farm.future(abs, -5), 5),
            (farm.delay(abs, -6), 6),
            (last, 7),
            (farm.chain(last), 7),
            (8, 8),
        ]:
            promise = farm.promise()
            farm.fulfill(promise, farm.chain(object_))
            farm.fulfill(last, 7)
            assert farm.force(promise) == value
        delay = farm.delay(lambda: farm.chain(farm.delay(lambda: farm.chain(farm.delay(abs, 3)))))
        assert farm.force(delay) == 3

    def test_errors_come_through(self, kernel):
        """Those of the object that it stands for."""
        chain = farm.chain(farm.future("operator:truediv", 1, 0))
        with pytest.raises(farm.TaskExecutionError, match="ZeroDivisionError"):
            farm.force(chain)

    def test_the_time_is_that_of_the_whole(self):
        """A time-out is not begun anew at each link."""
        outer = farm.promise()
        farm.fulfill(outer, farm.chain(farm.promise()))
        with pytest.raises(TimeoutError, match=r"no result within 0\.01 s"):
            farm.force(outer, 0.01)
        with pytest.raises(TimeoutError, match="no result within 0 s"):
            farm.force(farm.chain(outer), 0)

    def test_a_taken_over_future_relays_too(self, busy):
        """As any promise does."""
        future = farm.future(abs, 1)
        assert farm.fulfill(farm.chain(future), farm.chain(3))
        assert farm.force(future) == 3

    def test_in_a_circle(self):
        """Is an error rather than a thread that runs for ever."""
        promise = farm.promise()
        chain = farm.chain(promise)
        farm.fulfill(promise, chain)
        for x in (promise, chain):
            with pytest.raises(farm.FarmError, match="a chain leads back to itself"):
                farm.force(x)

    def test_it_does_not_travel(self):
        """The error says what to do instead."""
        with pytest.raises(farm.FarmError, match=r"a chain cannot travel: force\(\) it"):
            pickle.dumps(farm.chain(1))

    def test_it_says_what_it_is(self):
        """In its repr."""
        assert repr(farm.chain(5)) == "<Chain to 5>"
        assert type(farm.chain(5)) is Chain
        assert type(farm.delay(abs)) is Delay
