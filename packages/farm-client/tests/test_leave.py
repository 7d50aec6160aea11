"""Kernels that end when their workers cannot be told so over their own connections."""

import logging
from types import SimpleNamespace

import pytest

import farm_client as farm
from farm_client.leave import is_unheard, take_leave
from farm_common.deadline import Deadline
from farm_common.interpreter import FEATURES
from farm_common.resumption import FEATURE as RESUME

BOUND = 20.0


@pytest.fixture
def one(paper, connect):
    """A kernel of one worker, whose session can go on."""
    paper.workers = 1
    paper.grace = 60
    return connect()


def make_link(**changes):
    """As much of a link as `is_unheard` looks at: a quiet one, of a session that can go on."""
    values = {"leaves": True, "away": False, "writing": False, "plain": True, "kept": 0}
    values.update(changes)
    layer = SimpleNamespace(transparent=values["plain"])
    resumption = SimpleNamespace(unacknowledged=values["kept"])
    return SimpleNamespace(
        resumption=resumption if values.get("resumes", True) else None,
        leaves=values["leaves"],
        away=values["away"],
        stream=SimpleNamespace(writing=values["writing"], layer=layer),
        hello=SimpleNamespace(session=values.get("session", "00" * 16)),
    )


@pytest.mark.parametrize(
    ("changes", "busy", "sent", "unheard"),
    [
        ({}, True, True, False),
        ({}, False, True, False),
        ({}, False, False, True),
        ({"away": True}, False, True, True),
        ({"writing": True}, False, True, True),
        ({"plain": False}, True, True, True),
        ({"plain": False}, False, True, False),
        ({"kept": 100_000}, True, True, True),
        ({"kept": 100_000}, False, True, False),
        ({"kept": 1_000}, True, True, False),
        ({"writing": True, "leaves": False}, True, False, False),
        ({"away": True, "resumes": False}, True, False, False),
    ],
)
def test_who_may_not_hear_it(changes, busy, sent, unheard):
    """Where it was not sent, not whole, or cannot be found among what a busy worker has to read.

    Servers that cannot be told, and sessions that end with their connection, are left alone.
    """
    assert is_unheard(make_link(**changes), busy, sent) is unheard


class Wall:
    """An address whose server does as it is told, and takes its time."""

    def __init__(self, error=None):
        self.error = error
        self.told = []
        self.limits = []

    def leave(self, sessions, deadline):
        self.limits.append(deadline.seconds)
        self.told += sessions
        if self.error is not None:
            raise self.error


def test_each_address_is_told_of_its_own(caplog):
    """One that does not answer keeps none of the others from it; the log says so."""
    caplog.set_level(logging.INFO, "farm.client")
    links = [make_link(session=f"{number:032x}") for number in range(4)]
    first, second, third = Wall(TimeoutError("it is silent")), Wall(), Wall()
    unheard = [links[0], links[2]]
    take_leave([(first, links[:2]), (second, links[2:3]), (third, links[3:])], unheard)
    assert (first.told, second.told, third.told) == (["0" * 32], [f"{2:032x}"], [])
    assert unheard == []
    assert all(0 < limit <= 3 for limit in first.limits + second.limits)
    assert "it is silent" in caplog.text


def test_not_for_ever(monkeypatch):
    """When the time for all is over, no more addresses are asked."""
    monkeypatch.setattr("farm_client.leave.Deadline", lambda seconds: Deadline(0))
    link, wall = make_link(), Wall()
    take_leave([(wall, [link])], [link])
    assert wall.told == []


def test_a_lost_connection(paper, one):
    """The end of the kernel is told to the server over another."""
    (link,) = one._engine.links
    farm.future("paper:wait", "key")
    assert paper.started["key"].wait(BOUND)
    paper.drop()
    one.end()
    assert paper.left.get(timeout=BOUND) == [link.hello.session]


def test_an_idle_worker(paper, one):
    """It reads the goodbye itself: no other connection is made for it."""
    one.end()
    paper.join()
    assert paper.left.empty()
    assert [client.role for client, _ in paper.greeted] == ["control", "work"]


def test_a_server_that_cannot_be_told(paper, connect):
    """It is of an earlier release, and is asked nothing."""
    paper.workers = 1
    paper.grace = 60
    earlier = [feature for feature in FEATURES if feature != "leave"]
    assert earlier != list(FEATURES)
    paper.hello = {"features": (*earlier, RESUME)}
    kernel = connect()
    farm.future("paper:wait", "key")
    assert paper.started["key"].wait(BOUND)
    paper.drop()
    kernel.end()
    paper.events["key"].set()
    paper.sessions.clear()
    paper.join()
    assert paper.left.empty()
