"""Futures: concurrent.futures' in every respect, awaitable, and light."""

import asyncio
import gc
import pickle
import threading
from concurrent import futures

import pytest

import farm_client as farm


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


def test_a_value(kernel):
    """result(), force() and exception() tell the same."""
    future = farm.future(abs, -1)
    assert isinstance(future, futures.Future)
    assert future.result() == 1
    assert farm.force(future) == 1
    assert future.exception() is None
    assert future.done()
    assert not future.running()
    assert not future.cancelled()
    assert not future.cancel()


def test_force_of_anything_else():
    """Is the thing itself."""
    assert farm.force(3) == 3
    stdlib = futures.Future()
    assert farm.force(stdlib) is stdlib


def test_an_error(kernel):
    """It is raised each time, and told by exception()."""
    future = farm.future("operator:truediv", 1, 0)
    for _ in range(2):
        with pytest.raises(farm.TaskExecutionError, match="ZeroDivisionError"):
            future.result()
    assert isinstance(future.exception(), farm.TaskExecutionError)
    assert type(future.exception().__cause__) is ZeroDivisionError


def test_time_outs(busy):
    """result() raises concurrent.futures' error, force() the builtin one."""
    with pytest.raises(futures.TimeoutError):
        busy.result(timeout=0)
    with pytest.raises(futures.TimeoutError):
        busy.exception(timeout=0.01)
    with pytest.raises(TimeoutError, match=r"no result within 0\.01 s"):
        farm.force(busy, 0.01)
    assert busy.running()


def test_the_tools_of_the_standard_library(kernel):
    """wait and as_completed work, mixed with other futures too."""
    stdlib = futures.Future()
    stdlib.set_result(0)
    fs = [farm.future(abs, value) for value in range(20)] + [stdlib]
    done, pending = futures.wait(fs, timeout=20)
    assert not pending
    assert sum(future.result() for future in done) == sum(range(20))
    fs = [farm.future(abs, value) for value in range(20)]
    assert sorted(f.result() for f in futures.as_completed(fs, timeout=20)) == list(range(20))


@pytest.mark.parametrize("when", ["FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED"])
def test_waiting_for_some(busy, paper, when):
    """The conditions of concurrent.futures.wait."""
    failing = farm.future("operator:truediv", 1, 0)
    last = farm.future("paper:wait", "last")
    waiter = []
    thread = threading.Thread(
        target=lambda: waiter.append(futures.wait([busy, failing, last], 20, when))
    )
    thread.start()
    paper.events["gate"].set()
    if when == "ALL_COMPLETED":
        paper.events["last"].set()
    thread.join()
    done = waiter[0].done
    assert done >= {"FIRST_COMPLETED": set()}.get(when, {busy, failing})
    assert (last in done) == (when == "ALL_COMPLETED")
    paper.events["last"].set()


def test_callbacks(busy, paper):
    """Called once each, in order; at once when it is done already; errors in them are logged."""
    called = []
    event = threading.Event()
    busy.add_done_callback(lambda f: called.append((1, f)))
    busy.add_done_callback(lambda f: 1 / 0)
    busy.add_done_callback(lambda f: called.append((2, f)))
    busy.add_done_callback(lambda f: event.set())
    paper.events["gate"].set()
    assert event.wait(20)
    busy.add_done_callback(lambda f: called.append((3, f)))
    assert called == [(1, busy), (2, busy), (3, busy)]


def test_cancelling_what_was_not_sent(busy, paper):
    """It never runs, and everybody who waits is told."""
    future = farm.future("paper:wait", "victim")
    called = []
    future.add_done_callback(called.append)
    outcome = []
    waiter = threading.Thread(target=lambda: outcome.append(futures.wait([future], 20)))
    waiter.start()
    assert not future.running()
    assert future.cancel()
    assert future.cancel()
    assert future.cancelled()
    assert future.done()
    waiter.join()
    assert outcome[0].done == {future}
    assert called == [future]
    for ask in (future.result, future.exception, lambda: farm.force(future)):
        with pytest.raises(futures.CancelledError):
            ask()
    assert futures.wait([future], 20).done == {future}
    assert list(futures.as_completed([future], 20)) == [future]
    paper.events["gate"].set()
    assert busy.result() == "gate"
    assert farm.force(farm.future(abs, -1)) == 1
    assert not paper.started["victim"].is_set()


def test_cancelling_what_runs(busy):
    """Is too late."""
    assert busy.running()
    assert not busy.cancel()
    assert not busy.cancelled()


def test_cancelling_from_two_threads(busy):
    """Both are told that it is cancelled."""
    for _ in range(200):
        future = farm.future(abs, 1)
        answers = []
        thread = threading.Thread(target=lambda f=future, a=answers: a.append(f.cancel()))
        thread.start()
        answers.append(future.cancel())
        thread.join()
        assert answers == [True, True]


def test_awaiting(kernel):
    """In any event loop, many at once, errors too."""

    async def main():
        assert await farm.future(abs, -1) == 1
        got = await asyncio.gather(*(farm.future(abs, v) for v in range(50)))
        assert got == list(range(50))
        with pytest.raises(farm.TaskExecutionError):
            await farm.future("operator:truediv", 1, 0)

    asyncio.run(main())


def test_cancelling_an_await(busy):
    """Withdraws the task that was not sent yet."""
    made = []

    async def wait():
        made.append(farm.future(abs, 1))
        await made[0]

    async def main():
        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert made[0].cancelled()


def test_futures_do_not_travel(kernel):
    """The error says what to do instead."""
    future = farm.future(abs, -1)
    with pytest.raises(farm.FarmError, match=r"a future cannot travel: force\(\) it"):
        pickle.dumps(future)
    with pytest.raises(farm.SerializationError, match=r"force\(\) it, and send its value"):
        farm.future(print, [future])


def test_the_end_of_the_kernel(paper, connect):
    """Unfinished futures fail; whoever waits is told."""
    paper.workers = 1
    kernel = connect()
    fs = [farm.future("paper:wait", "never"), farm.future(abs, 1)]
    assert paper.started["never"].wait(20)
    called = []
    fs[1].add_done_callback(called.append)
    kernel.end()
    for future in fs:
        with pytest.raises(farm.KernelEndedError, match="has ended"):
            future.result()
    assert called == [fs[1]]
    with pytest.raises(farm.NoKernelError):
        farm.future(abs, 1)


def test_a_forgotten_future(kernel):
    """Its task runs, and nothing holds it afterwards."""
    for value in range(50):
        farm.future(abs, value)
    gc.collect()
    assert farm.force(farm.future(abs, -1)) == 1
