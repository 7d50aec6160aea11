"""The user's code in the middle of farm's own: signal handlers, finalizers, what loads a result."""

import signal
import threading
from concurrent import futures

import pytest

import farm_client as farm
from farm_client.inside import is_inside
from farm_common.frames import Kind


class Asking:
    """Asks for another result when it is loaded."""

    def __reduce__(self):
        return ask, ()


GATE = None


def ask():
    """What is called where the result is loaded."""
    return GATE.result()


@pytest.fixture
def handle():
    """Makes something the handler of a signal."""
    before = signal.getsignal(signal.SIGTERM)
    yield lambda call: signal.signal(signal.SIGTERM, lambda *_: call())
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def interrupt(monkeypatch):
    """Lets a signal come while the main thread looks for results."""

    def interrupt_(kernel):
        engine = kernel._engine
        poll = engine._poll

        def interrupted(timeout):
            if threading.current_thread() is threading.main_thread():
                monkeypatch.undo()
                signal.raise_signal(signal.SIGTERM)
            return poll(timeout)

        monkeypatch.setattr(engine, "_poll", interrupted)

    return interrupt_


def ended(kernel, bound):
    """Whether a kernel ends in time, and the thread that ends it."""
    kernel._engine.wait(bool, bound)
    for thread in threading.enumerate():
        if thread.name == "farm-end":
            thread.join(bound)
    return kernel.ended


def test_what_is_inside(kernel):
    """The engine's code; who waits is inside if asked for."""
    assert not is_inside(waiting=True)
    assert kernel._engine.change(lambda: [is_inside(waiting=False) for _ in "a"]) == [True]
    seen = []
    kernel._engine.wait(lambda: seen.append(is_inside(waiting=False)) or True)
    kernel._engine.wait(lambda: seen.append(is_inside(waiting=True)) or True)
    assert seen == [False, True]


def test_a_handler_cannot_wait(kernel, paper, handle, interrupt):
    """Where the thread waits already: told at once; it is not affected, nor is the kernel."""
    held, other = farm.future("paper:wait", "held"), farm.future("paper:wait", "other")

    def wait():
        with pytest.raises(farm.FarmError, match="cannot wait for others there"):
            other.result()
        paper.events["held"].set()

    handle(wait)
    interrupt(kernel)
    assert held.result() == "held"
    paper.events["other"].set()
    assert other.result() == "other"


def test_a_result_cannot_wait_for_another_while_it_is_loaded(kernel, paper, monkeypatch, bound):
    """It is the error of its task, and not the end of all waiting."""
    monkeypatch.setattr(f"{__name__}.GATE", farm.future("paper:wait", "gate"))
    with pytest.raises(farm.TaskExecutionError, match="cannot wait for others there"):
        farm.future(Asking).result(bound)
    paper.events["gate"].set()
    assert GATE.result(bound) == "gate"


def test_a_handler_ends_the_kernel(kernel, paper, handle, interrupt, bound):
    """At once, where the thread only waits."""
    future = farm.future("paper:wait", "held")
    handle(kernel.end)
    interrupt(kernel)
    with pytest.raises(farm.KernelEndedError):
        future.result(bound)


def test_a_handler_ends_the_kernel_that_is_waited_for(kernel, paper, handle, interrupt, bound):
    """What is unfinished ends first, and what waits for it goes on meanwhile."""
    future = farm.future("paper:wait", "held")

    def end():
        kernel.end(wait=True)
        assert not kernel.ended
        paper.events["held"].set()

    handle(end)
    interrupt(kernel)
    assert future.result(bound) == "held"
    assert ended(kernel, bound)


def test_the_end_in_the_middle_of_a_change(kernel, bound):
    """Comes when that is over."""
    kernel._engine.change(kernel.end)
    assert ended(kernel, bound)


def test_finalizers_in_the_middle_of_a_change(kernel, paper, monkeypatch, bound):
    """What they release and cancel is so a little later: the lock is their own thread's."""
    shared = farm.shared([1])
    assert farm.future(lambda: shared.value).result() == [1]
    held = [farm.future("paper:wait", "held") for _ in range(2)]
    future = farm.future(abs, -1)
    released = threading.Event()
    forget = kernel._engine._packer.forget
    monkeypatch.setattr(kernel._engine._packer, "forget", lambda it: (forget(it), released.set()))
    assert not kernel._engine.change(future.cancel)
    kernel._engine.change(shared.release)
    paper.events["held"].set()
    assert [each.result() for each in held] == ["held", "held"]
    assert futures.wait([future], bound).done == {future}
    assert released.wait(bound)
    kernel.broadcast_task(abs, -1)  # waits for the lock, which is held until all have been told
    assert paper.count(Kind.RELEASE) == paper.count(Kind.SHARED) == 1
