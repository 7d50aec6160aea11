"""How long who waits sleeps at a time."""

import threading

import pytest

import farm_client as farm
from farm_client.handover import _NAP


@pytest.fixture
def naps(kernel, monkeypatch):
    """How long threads looked at the links: their names, and the time."""
    engine = kernel._engine
    poll = engine._poll
    seen = []

    def spy(timeout):
        seen.append((threading.current_thread().name, timeout))
        return poll(timeout)

    monkeypatch.setattr(engine, "_poll", spy)
    return seen


@pytest.mark.parametrize("timeout", [None, 20.0, _NAP / 2])
def test_the_main_thread_naps(kernel, paper, naps, timeout):
    """A signal that comes just before it falls asleep is heard soon: it never sleeps for long."""
    future = farm.future("paper:wait", "a")
    releasing = threading.Timer(0.01, paper.events["a"].set)
    releasing.start()
    assert farm.force(future, timeout) == "a"
    releasing.join()
    mine = [nap for name, nap in naps if name == threading.main_thread().name]
    assert mine
    assert max(mine) <= min(_NAP, timeout or _NAP)


def test_several_naps(kernel, paper, naps, monkeypatch):
    """After each it goes on waiting."""
    monkeypatch.setattr("farm_client.handover._NAP", 0.001)
    future = farm.future("paper:wait", "a")

    def release():
        while len(naps) < 5:
            assert not future.done()
        paper.events["a"].set()

    releasing = threading.Thread(target=release)
    releasing.start()
    assert farm.force(future) == "a"
    releasing.join()


def test_others_sleep(kernel, paper, naps):
    """They get no signals."""
    future = farm.future("paper:wait", "a")
    got = []
    waiting = threading.Thread(target=lambda: got.append(farm.force(future)), name="waiting")
    waiting.start()
    while not any(name == "waiting" for name, _ in naps):
        assert waiting.is_alive()
    paper.events["a"].set()
    waiting.join(20)
    assert got == ["a"]
    assert {nap for name, nap in naps if name == "waiting"} == {None}
