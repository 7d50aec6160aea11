"""Errands: tasks that are under way together, received in the order in which they are done."""

from collections import deque

import pytest

import farm_client as farm
from farm_client.errand import Errand, drop, receive


@pytest.fixture
def engine(paper, connect):
    """Of a kernel whose only worker is busy until ``paper.events["gate"]`` is set."""
    paper.workers = 1
    kernel = connect()
    farm.future("paper:wait", "gate")
    assert paper.started["gate"].wait(20)
    yield kernel._engine
    paper.events["gate"].set()
    kernel.end(wait=True)


@pytest.fixture
def arrived():
    """Their queue."""
    return deque()


def test_outcomes(engine, arrived, paper):
    """Values and errors, each with its key."""
    paper.events["gate"].set()
    for key, args in enumerate([(6, 3), (1, 0), (8, 2)]):
        Errand(engine, arrived, key).submit("operator:truediv", args)
    got = [receive(engine, arrived) for _ in range(3)]
    assert [errand.key for errand in got] == [0, 1, 2]
    assert got[0].outcome() == 2
    assert got[2].outcome() == 4
    for _ in range(2):
        with pytest.raises(farm.TaskExecutionError, match="ZeroDivisionError"):
            got[1].outcome()


def test_dropping(engine, arrived, paper):
    """Tells which of them will not arrive; those that wait never run, and none is delivered."""
    done, waiting, never = (Errand(engine, arrived, key) for key in range(3))
    paper.events["gate"].set()
    done.submit(abs, (1,))
    assert receive(engine, arrived) is done
    running = Errand(engine, arrived, 3)
    running.submit("paper:wait.running")  # its worker gets nothing else until it is known
    assert paper.started["running"].wait(20)
    waiting.submit("paper:wait.waiting")
    assert set(drop([done, running, waiting, never])) == {running, waiting, never}
    assert engine.unfinished == 1  # it is still there, on its worker
    assert drop([running, waiting]) == []  # again
    paper.events["running"].set()
    assert farm.force(farm.future(abs, -1)) == 1
    assert not arrived
    assert engine.unfinished == 0
    assert not paper.started["waiting"].is_set()


@pytest.mark.parametrize("place", ["queue", "worker"])
def test_dropping_what_was_interrupted_while_it_was_submitted(
    engine, arrived, paper, monkeypatch, place
):
    """Ctrl-C between the submit and the note of it loses no task."""
    submit = engine.submit
    if place == "worker":
        paper.events["gate"].set()

    def interrupted(*args):
        submit(*args)
        if place == "worker":
            assert paper.started["victim"].wait(20)
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "submit", interrupted)
    errand = Errand(engine, arrived, 1)
    with pytest.raises(KeyboardInterrupt):
        errand.submit("paper:wait", ("victim",))
    monkeypatch.undo()
    assert drop([errand]) == [errand]
    paper.events["gate"].set()
    paper.events["victim"].set()
    assert farm.force(farm.future(abs, -1)) == 1
    assert paper.started["victim"].is_set() == (place == "worker")
    assert not arrived


def test_the_end_of_the_kernel(engine, arrived):
    """Fails what is under way; afterwards nothing arrives, and that is an error."""
    errand = Errand(engine, arrived, 1)
    errand.submit(abs, (1,))
    engine.end("it is over")
    with pytest.raises(farm.KernelEndedError, match="it is over"):
        receive(engine, arrived).outcome()
    with pytest.raises(farm.KernelEndedError, match="it is over"):
        receive(engine, arrived)
    with pytest.raises(farm.KernelEndedError, match="it is over"):
        errand.submit(abs, (1,))
