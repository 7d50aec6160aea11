"""What a user's code does when values are loaded and futures are done harms itself at most.

A server that lies about its results is no better, and harms its own connection at most.
"""

import threading

import pytest

import farm_client as farm

BOUND = 20.0


class Exits:
    """Raises SystemExit when it is loaded."""

    def __reduce__(self):
        return exec, ("raise SystemExit(4)",)


class ExitsError(Exception):
    """Likewise."""

    __reduce__ = Exits.__reduce__


def fail():
    error = ExitsError("text")
    error.exits = Exits()
    raise error


@pytest.fixture
def busy(paper, connect):
    """A kernel whose only worker waits for ``paper.events["gate"]``."""
    paper.workers = 1
    kernel = connect()
    for _ in range(5):  # so that tasks like these are known to be short, and sent together
        assert result_of(farm.future(abs, -1)) == 1
    farm.future("paper:wait", "gate")
    assert paper.started["gate"].wait(BOUND)
    return kernel


@pytest.fixture
def finishes():
    """Asserts that a call returns; what hangs must not hang the tests."""

    def finishes_(call, *args):
        thread = threading.Thread(target=call, args=args, daemon=True)
        thread.start()
        thread.join(BOUND)
        assert not thread.is_alive()

    return finishes_


def result_of(future):
    """Its value or error, asked for by a thread that may hang."""
    return future.exception(BOUND) or future.result()


# what is loaded


def test_a_result_that_exits_when_it_is_loaded(kernel, finishes):
    """Its task fails, here as anywhere; the kernel goes on, and ends in order."""
    with pytest.raises(farm.TaskExecutionError) as caught:
        farm.future(Exits).result(BOUND)
    assert caught.value.report == "the result could not be loaded here: SystemExit: 4"
    assert isinstance(caught.value.__cause__, SystemExit)
    assert kernel.broadcast_task(abs, -1) == [1, 1]
    finishes(kernel.end, True)


def test_an_error_that_exits_when_it_is_loaded(kernel, finishes):
    """How it says that it is pickled is not asked; what exits in it is text."""
    with pytest.raises(farm.TaskExecutionError, match=r"ExitsError: text") as caught:
        farm.future(fail).result(BOUND)
    assert type(caught.value.__cause__) is ExitsError
    assert "Exits object" in caught.value.__cause__.exits
    assert kernel.broadcast_task(abs, -1) == [1, 1]
    finishes(kernel.end, True)


@pytest.mark.parametrize("task", [Exits, fail])
def test_nobody_waits_for_what_exits(busy, paper, finishes, task):
    """The kernel's own thread reads it, survives it, and reads on."""
    failed, done = threading.Event(), threading.Event()
    first, second = farm.future(task), farm.future(abs, -1)
    first.add_done_callback(lambda _: failed.set())
    second.add_done_callback(lambda _: done.set())
    paper.events["gate"].set()
    assert failed.wait(BOUND)
    assert done.wait(BOUND)
    assert isinstance(first.exception(), farm.TaskExecutionError)
    assert second.result() == 1
    finishes(busy.end, True)


# what is called back


def test_a_callback_that_needs_another_waiting_thread(busy, paper):
    """Who waits for a result gets it while the callback waits for him."""
    called, go = threading.Event(), threading.Event()
    first, second = farm.future(abs, -1), farm.future(abs, -2)

    def callback(_):
        if go.wait(BOUND):
            called.set()

    def wait():
        if result_of(second) == 2:
            go.set()

    first.add_done_callback(callback)
    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    paper.events["gate"].set()
    assert called.wait(BOUND)
    thread.join(BOUND)
    assert result_of(first) == 1


def test_a_callback_that_waits_for_a_result(busy, paper):
    """It gets it, also when nobody else reads."""
    values, done = [], threading.Event()
    first, second = farm.future(abs, -1), farm.future("paper:wait", "later")

    def callback(_):
        paper.events["later"].set()
        values.append(farm.force(second, BOUND))
        values.append(farm.force(farm.future(abs, -3), BOUND))
        done.set()

    first.add_done_callback(callback)
    paper.events["gate"].set()
    assert done.wait(BOUND)
    assert values == ["later", 3]


def test_a_callback_that_wants_a_lock(busy, paper, finishes):
    """Who waits for a result with that lock held gets it."""
    lock, called = threading.Lock(), threading.Event()
    first, second = farm.future(abs, -1), farm.future("paper:wait", "later")
    values = []

    def callback(_):
        paper.events["later"].set()  # so it comes when the lock is held and wanted
        with lock:
            called.set()

    def force():
        with lock:
            paper.events["gate"].set()
            values.append(result_of(second))

    first.add_done_callback(callback)
    finishes(force)
    assert values == ["later"]
    assert called.wait(BOUND)


@pytest.mark.parametrize("wait", [False, True])
def test_a_callback_that_ends_the_kernel(busy, paper, finishes, wait):
    """It ends there, and may be ended here too; no thread is left."""
    before = set(threading.enumerate())
    future, ended = farm.future(abs, -1), threading.Event()

    def callback(_):
        busy.end(wait)
        ended.set()

    future.add_done_callback(callback)
    paper.events["gate"].set()
    assert ended.wait(BOUND)
    assert future.result() == 1
    finishes(busy.end)
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("farm-"):
            thread.join(BOUND)
            assert not thread.is_alive()


# lies


@pytest.mark.parametrize(
    ("content", "count", "batch"),
    [
        (7, 2, True),
        ((1, 2), 2, True),
        ({1: 1, 2: 2}, 2, True),
        ([1], 2, True),
        ([1, 2, 3], 2, True),
        ([1, 2], 1, True),
        ([], 1, True),
        (7, 2, False),
        ([1, 2, 3], 3, True),
        (7, 1 << 31, False),
    ],
)
def test_a_server_that_lies_about_its_results(busy, paper, content, count, batch):
    """It loses that connection; its tasks run again on the next, and none is lost."""
    paper.lies.append(("gate", 1, False))
    first, second = farm.future(abs, -1), farm.future(abs, -2)
    paper.lies.append((content, count, batch))
    paper.events["gate"].set()
    assert result_of(first) == 1
    assert result_of(second) == 2
    assert [client.role for client, _ in paper.greeted] == ["control", "work", "work"]
    assert not paper.lies
