"""Pollers tell which sockets are ready; the bell wakes who waits in one."""

import select
import socket
import threading

import pytest

from farm_client.poller import READ, WRITE, Bell, Poller, make_poller


@pytest.fixture(params=["selectors", "best"])
def poller(request):
    """Each implementation."""
    made = Poller() if request.param == "selectors" else make_poller()
    yield made
    made.close()


@pytest.fixture
def pair():
    """Two connected sockets."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_reading(poller, pair):
    """Ready as long as there is something to read."""
    ours, theirs = pair
    poller.add(ours.fileno())
    assert list(poller.poll(0)) == []
    theirs.send(b"x")
    for _ in range(2):
        assert list(poller.poll(None)) == [(ours.fileno(), READ)]
    ours.recv(1)
    assert list(poller.poll(0)) == []


def test_the_end_can_be_read(poller, pair):
    """A peer that is gone makes a socket ready."""
    ours, theirs = pair
    poller.add(ours.fileno())
    theirs.close()
    ((descriptor, mask),) = poller.poll(10)
    assert descriptor == ours.fileno()
    assert mask & READ


def test_writing(poller, pair):
    """Only while it is asked for."""
    ours, _ = pair
    poller.add(ours.fileno())
    poller.change(ours.fileno(), READ | WRITE)
    assert list(poller.poll(10)) == [(ours.fileno(), WRITE)]
    poller.change(ours.fileno(), READ)
    assert list(poller.poll(0)) == []


def test_what_was_removed_is_not_watched(poller, pair):
    """And removing it twice fails as the engine expects."""
    ours, theirs = pair
    poller.add(ours.fileno())
    poller.remove(ours.fileno())
    theirs.send(b"x")
    assert list(poller.poll(0)) == []
    with pytest.raises((OSError, KeyError, ValueError)):
        poller.remove(ours.fileno())


def test_the_best_is_epoll_where_there_is_one():
    """It costs a third."""
    made = make_poller()
    made.close()
    assert (type(made) is not Poller) == hasattr(select, "epoll")


def test_a_bell(poller):
    """It rings until it is silenced, however often it was rung."""
    bell = Bell()
    poller.add(bell.fileno())
    for _ in range(100_000):
        bell.ring()
    assert list(poller.poll(None)) == [(bell.fileno(), READ)]
    bell.silence()
    assert list(poller.poll(0)) == []
    threading.Thread(target=bell.ring).start()
    assert list(poller.poll(10)) == [(bell.fileno(), READ)]
    poller.remove(bell.fileno())
    bell.close()
    bell.ring()
    bell.silence()
