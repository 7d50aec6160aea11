"""What nobody needs any more: taken back, dropped, and killed where it runs; and nothing else."""

import threading
from collections import deque

import pytest

import farm_client as farm
from farm_client import reaper
from farm_client.errand import Errand, drop
from farm_common.kills import pack_killed

TASK = 0x11


@pytest.fixture
def arrived():
    """The queue of errands."""
    return deque()


@pytest.fixture
def send(kernel, paper, arrived):
    """Has a worker wait for an event; returns the errand once it does."""
    paper.kill = paper.kill_what_waits

    def send_(key):
        errand = Errand(kernel._engine, arrived, key)
        errand.submit("paper:wait", (key,))
        assert paper.started[key].wait(20)
        return errand

    return send_


@pytest.fixture
def settle(kernel, bound):
    """Waits until nothing is on its way any more."""

    def settle_():
        engine = kernel._engine
        assert engine.wait(lambda: not engine.unfinished, bound)
        assert not engine._reaper._victims

    return settle_


def link_of(kernel, errand):
    """The link that an errand was sent over."""
    return next(x for x in kernel._engine.links if errand.job in x.inflight.values())


def test_what_runs_is_killed(kernel, paper, arrived, send, settle):
    """The server is told its session and its id alone; its result is dropped, the other goes on."""
    loser, other = send("loser"), send("other")
    link = link_of(kernel, loser)
    ((ident, _),) = link.inflight.items()
    assert drop([loser]) == [loser]
    assert paper.events["loser"].wait(20)  # it was ended
    assert paper.kills[0] == ({link.hello.session: ((ident, ident),)}, False)
    paper.events["other"].set()
    settle()
    assert list(arrived) == [other]
    assert other.outcome() == "other"
    assert not link.lost


def test_what_ends_by_itself_is_left_alone(kernel, paper, arrived, send, settle, monkeypatch):
    """No server is asked about what ends soon: that would cost more than it takes."""
    monkeypatch.setattr(reaper, "PATIENCE_SECONDS", 60.0)
    loser = send("loser")
    drop([loser])
    paper.events["loser"].set()
    settle()
    assert not arrived
    kernel.end()
    assert paper.kills == []


def test_one_request_a_server(kernel, paper, send, settle):
    """Though the tasks run on two of its workers."""
    losers = [send("a"), send("b")]
    drop(losers)
    settle()
    assert max(len(sessions) for sessions, _ in paper.kills) == 2


@pytest.fixture
def pair(paper, connect, arrived):
    """Has one worker wait for one event, and then for another; returns the two errands."""
    paper.workers = 1
    paper.kill = paper.kill_what_waits
    kernel = connect()
    for _ in range(20):  # until it is known to be short, so that a worker is sent two
        for key in ("x", "y", "z"):
            paper.events[key].set()
            farm.future("paper:wait", key)
    engine = kernel._engine
    engine.wait(lambda: not engine.unfinished)
    errands = [Errand(engine, arrived, key) for key in ("first", "second")]
    for errand in errands:
        errand.submit("paper:wait", (errand.key,))
    (link,) = engine.links
    assert engine.wait(lambda: len(link.inflight) == 2, 20)
    assert paper.started["first"].wait(20)
    return errands


def test_what_was_sent_ahead_is_killed_in_its_turn(paper, arrived, pair):
    """When the first has ended the second runs, and the server is asked again."""
    engine = pair[0].engine
    drop(pair)
    assert engine.wait(lambda: not engine.unfinished, 20)
    assert not arrived
    assert paper.started["second"].is_set()
    first, *_, last = paper.kills
    ((_, high),) = next(iter(first[0].values()))
    assert next(iter(last[0].values())) == ((high, high),)


def test_what_waits_behind_a_task_of_others(paper, arrived, pair):
    """The server is asked for nothing as long as that runs."""
    first, second = pair
    engine = first.engine
    (link,) = engine.links
    _, ident = link.inflight
    drop([second])
    later = Errand(engine, arrived, "later")
    later.submit("paper:wait", ("x",))
    paper.events["first"].set()
    assert engine.wait(lambda: not engine.unfinished, 20)
    assert [errand.key for errand in arrived] == ["first", "later"]
    assert first.outcome() == "first"
    assert paper.kills
    assert all(sessions == {link.hello.session: ((ident, ident),)} for sessions, _ in paper.kills)


def test_who_gives_up_does_not_wait(kernel, paper, send, settle):
    """A server that is slow to answer keeps nobody waiting, and other work goes on."""
    answer = threading.Event()

    def kill(sessions, dry_run):
        assert answer.wait(20)
        return paper.kill_what_waits(sessions, dry_run)

    loser = send("loser")
    paper.kill = kill
    drop([loser])
    assert farm.force(farm.future(abs, -1)) == 1
    answer.set()
    settle()


def test_a_worker_that_is_lost(kernel, paper, arrived, send, settle):
    """Takes the task with it: it is not started again."""
    paper.kill = lambda *_: [pack_killed({})]
    loser = send("loser")
    drop([loser])
    before = paper.count(TASK)
    paper.drop()
    settle()
    assert not arrived
    assert paper.count(TASK) == before
    paper.events["loser"].set()


def test_a_server_that_is_too_old(paper, connect, arrived):
    """Is asked for nothing: the task runs to its end, and its result is dropped."""
    paper.hello = {"features": ()}
    kernel = connect()
    engine = kernel._engine
    loser = Errand(engine, arrived, "loser")
    loser.submit("paper:wait", ("loser",))
    assert paper.started["loser"].wait(20)
    drop([loser])
    assert farm.force(farm.future(abs, -1)) == 1
    paper.events["loser"].set()
    assert engine.wait(lambda: not engine.unfinished, 20)
    assert not arrived
    assert paper.kills == []
    assert not any(link.lost for link in engine.links)


def test_a_server_that_cannot_be_asked(kernel, paper, arrived, send, settle, monkeypatch):
    """After a while the connection is given up, for that ends the worker; the other one stays."""
    monkeypatch.setattr(reaper, "DESPAIR_SECONDS", 0.1)
    asked = []

    def kill(sessions, dry_run):
        asked.append(sessions)
        return [b"rubbish"]

    loser, other = send("loser"), send("other")
    link, spared = link_of(kernel, loser), link_of(kernel, other)
    paper.kill = kill
    drop([loser])
    assert kernel._engine.wait(lambda: link.lost, 20)
    assert asked
    assert not spared.lost
    paper.events["loser"].set()
    paper.events["other"].set()
    settle()
    assert [errand.key for errand in arrived] == ["other"]


def test_the_end_of_the_kernel(kernel, paper, arrived, send):
    """Tells nobody of what was given up, and leaves no thread; then there is nothing to drop."""
    errands = [send("a"), send("b")]
    drop(errands[:1])
    kernel.end()
    assert [errand.key for errand in arrived] == ["b"]
    assert drop(errands) == []
    names = {thread.name for thread in threading.enumerate()}
    assert not names & {"farm-reaper", "farm-kill"}


def test_an_orderly_end_waits(kernel, paper, send):
    """Until what was given up is no more."""
    drop([send("loser")])
    kernel.end(wait=True)
    assert paper.events["loser"].is_set()


def test_futures(kernel, paper, send, settle):
    """One that is abandoned is told so at once, and its task is killed."""
    paper.kill = paper.kill_what_waits
    future = farm.future("paper:wait", "a")
    assert paper.started["a"].wait(20)
    future._abandon(farm.FarmError("given up"))
    assert str(future.exception(0)) == "given up"
    settle()
    assert paper.events["a"].is_set()
    assert farm.force(farm.future(abs, -1)) == 1


def test_an_end_while_it_looks(kernel, paper, send, monkeypatch):
    """Is not missed, though there is nothing to do at that moment."""
    reaper_ = kernel._engine._reaper

    def end_meanwhile(since):
        reaper_._over.set()
        reaper_._work.set()
        reaper_._victims.clear()
        return []

    monkeypatch.setattr(reaper_, "_ripe", end_meanwhile)
    drop([send("loser")])
    (thread,) = reaper_._threads
    thread.join(20)
    assert not thread.is_alive()
    paper.events["loser"].set()
