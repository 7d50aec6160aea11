"""`farm_client.link`: results find their tasks, and nothing else does."""

import socket
from types import SimpleNamespace

import pytest

from farm_client.link import Link
from farm_common.errors import ProtocolError
from farm_common.testing import stream_pair


@pytest.fixture
def link():
    """A link with two tasks in flight, 1 and 2."""
    greeting, theirs = stream_pair(*socket.socketpair())
    link = Link(greeting.stream, greeting.hello, "worker 0")
    link.inflight.update({number: SimpleNamespace(cost=10.0) for number in (1, 2)})
    link.load = 20.0
    yield link
    greeting.stream.close()
    theirs.close()


def test_results_take_their_tasks(link):
    """What is answered is in flight no more, and weighs nothing."""
    first, second = link.inflight.values()
    assert link.take(1, 2) == [first, second]
    assert (link.inflight, link.load, link.done) == ({}, 0.0, 2)


@pytest.mark.parametrize(("ident", "count"), [(2, 2), (0, 2), (3, 1), (1, 3), (1, 1 << 31)])
def test_results_of_other_tasks(link, ident, count):
    """A wrong answer takes nothing: the tasks are there for another worker."""
    before = dict(link.inflight)
    with pytest.raises(ProtocolError, match="tasks that it does not have"):
        link.take(ident, count)
    assert link.inflight == before


def test_a_result_of_another_task(link):
    """The same for a single one."""
    with pytest.raises(ProtocolError, match="a task that it does not have"):
        link.take_one(3)
    assert len(link.inflight) == 2


def test_no_room_is_none_and_not_less(link):
    """A worker behind on a long task takes no more: who loops until it takes none must end."""
    estimate = SimpleNamespace(cost=500_000.0, most=1)
    job = SimpleNamespace(function=SimpleNamespace(estimate=estimate), attempts=0)
    link.load = 900_000.0
    assert link.can_take(job) == 0


def test_a_worker_that_died_at_birth(link):
    """What it was sent first counts as started, for otherwise it would be sent for ever."""
    first, second = link.inflight.values()
    assert link.orphans(0) == ([first], [second])
