"""A call of a cognate: what arrives while it looks."""

import operator
import threading
from collections import deque

import pytest

import farm_client as farm
from farm_client.cognate import call as module
from farm_client.cognate import pieces
from farm_client.cognate.call import Call
from farm_client.cognate.pieces import Draws, Slices
from farm_common.parts import ReducePart

gate = threading.Event()


def gated(*values):
    """Add up, when the gate is open."""
    assert gate.wait(20)
    return sum(values)


class Late(deque):
    """Is found empty once, and right after that all that is on its way arrives.

    So another thread may deliver between any two steps of the one that waits.
    """

    call = None

    def __bool__(self):
        call, self.call = self.call, None
        if call is None:
            return len(self) > 0
        assert len(self) == 0
        gate.set()
        # Whoever waits leads, or a thread of the kernel does: here it is a wait of our own.
        assert call._engine.wait(lambda: not call.pending, 20)
        return False


@pytest.fixture
def late(monkeypatch):
    """All calls find out late what has arrived."""
    gate.clear()
    make = Call.__init__

    def init(call, *args, **keywords):
        make(call, *args, **keywords)
        call._done = Late()
        call._done.call = call

    monkeypatch.setattr(Call, "__init__", init)
    monkeypatch.setattr(module, "perf_counter", lambda: 0.0)  # no looks in between


class TestWait:
    @pytest.mark.parametrize("parts", [1, 2, 3])
    def test_all_arrives_after_a_look(self, kernel, late, parts):
        """Nothing is missed: not the last part, nor others that come with it."""
        numbers = list(range(1, 7))
        assert farm.preduce(gated, numbers, initial_value=0, parts=parts) == sum(numbers)
        gate.clear()
        assert farm.pmap(gated, numbers, parts=parts) == numbers


@pytest.fixture
def slow_input(monkeypatch):
    """Any input counts as so slow that results are waited for before it is asked for more."""
    monkeypatch.setattr(pieces, "_PATIENCE", -1.0)
    monkeypatch.setattr(module, "_TURN", -1.0)
    monkeypatch.setattr(module, "_SHARE", 1e9)


class TestSlowInput:
    @pytest.mark.parametrize("ordered", [True, False])
    @pytest.mark.parametrize("window", [None, 1, 10])
    def test_a_stream(self, kernel, slow_input, ordered, window):
        """What an element led to is there before the next is asked for: it may depend on that."""
        got = []

        def source():
            for i in range(50):
                assert got == [-x for x in range(i)]
                yield i

        for value in farm.pmap_iter(operator.neg, source(), ordered=ordered, window=window):
            got.append(value)
        assert got == [-x for x in range(50)]

    def test_a_search(self, kernel, slow_input):
        """It ends when it is decided, also where the input does not."""

        def source():
            yield from (0, 0, 1)
            raise AssertionError("asked for more than was needed")

        assert farm.pfind_if(bool, source()) == 1
        assert farm.psome(bool, source()) is True

    def test_an_error(self, kernel, slow_input):
        """Likewise."""

        def source():
            yield "x"
            raise AssertionError("asked for more than was needed")

        with pytest.raises(farm.TaskExecutionError, match="operand type"):
            farm.pmap(operator.neg, source())

    def test_many_workers(self, kernel, monkeypatch):
        """Each element's own time counts: those before it do not make its worker wait."""
        now = [0.0]
        waits = []

        def source():
            while True:
                now[0] += 1.0
                yield "a"

        monkeypatch.setattr(module, "perf_counter", lambda: now[0])
        with Call(ReducePart(operator.add), Draws((source(),), None)) as call:
            monkeypatch.setattr(call._sizes, "ahead", lambda workers: 50)
            monkeypatch.setattr(call._engine, "wait", lambda ready, timeout: waits.append(timeout))
            while call._number < 50:
                call.submit(most=1)
            assert waits
            assert set(waits) == {module._SHARE}

    def test_a_fast_one(self, kernel, monkeypatch):
        """As many parts are made as should be on their way."""
        monkeypatch.setattr(module, "perf_counter", lambda: 0.0)
        with Call(ReducePart(operator.add), Slices(([0] * 100,), 0, 100), 100) as call:
            call.submit()
            assert call._number >= call._sizes.ahead(kernel.worker_count)

    def test_the_looks_go_on(self, kernel, monkeypatch):
        """With an input that is not slow, but never ends, and workers that are faster than it."""
        now = [0.0]

        def source():
            while True:
                now[0] += 0.001
                yield "a"

        monkeypatch.setattr(module, "perf_counter", lambda: now[0])
        with Call(ReducePart(operator.add), Draws((source(),), None)) as call:
            monkeypatch.setattr(call._sizes, "ahead", lambda workers: 10**9)
            call.submit(most=1)
            assert 1 <= call._number < 1000
            assert call.wait() is not None
