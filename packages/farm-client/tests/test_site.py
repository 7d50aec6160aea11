"""Servers that do not answer: what is said, how loudly, and how often."""

import errno
import itertools
import logging

import pytest

import farm_client as farm
from farm_client import site as site_module
from farm_common.testing import FakeClock

BOUND = 20.0


def refusals(count):
    """So many errors of a port that nobody listens on."""
    return [ConnectionRefusedError(errno.ECONNREFUSED, "it is refused") for _ in range(count)]


@pytest.fixture
def attempts(monkeypatch, caplog):
    """Lets the next so many attempts to connect fail, each after a second of no real time."""
    clock = FakeClock()
    monkeypatch.setattr(site_module, "time", clock)
    connect = site_module.connect_stream
    failures = []

    def attempt(*args):
        if failures:
            clock.advance(1.0)
            raise failures.pop()
        return connect(*args)

    monkeypatch.setattr(site_module, "connect_stream", attempt)
    monkeypatch.setattr(site_module, "backoff", lambda: itertools.repeat(0.0))
    caplog.set_level(logging.INFO, "farm.client")
    return failures


def shown(caplog, level):
    """What was logged at a level, in order."""
    return [r.getMessage() for r in caplog.records if r.levelno == level]


def test_a_worker_that_is_replaced_at_once(paper, connect, attempts, caplog):
    """Nobody is told."""
    paper.workers = 1
    connect()
    paper.drop()
    assert farm.force(farm.future(abs, -1), BOUND) == 1
    assert not shown(caplog, logging.WARNING) + shown(caplog, logging.ERROR)


def test_a_worker_that_stays_lost(paper, connect, attempts, caplog):
    """A warning at first, an error once after some seconds, and a warning when it is back."""
    paper.workers = 1
    connect()
    attempts += refusals(8)
    paper.drop()
    assert farm.force(farm.future(abs, -1), BOUND) == 1
    where = paper.address
    reason = f"no server listens on {where} (it is refused); start one there: farm-server {where}"
    assert shown(caplog, logging.WARNING) == [
        f"cannot reconnect worker 0 at {where}: {reason}",
        f"worker 0 at {where} is back after 8 s",
    ]
    assert shown(caplog, logging.ERROR) == [
        (
            f"worker 0 at {where} has been lost for 5 s: {reason}; "
            "its tasks run on other workers, or wait"
        )
    ]


def test_a_worker_that_is_refused(paper, connect, attempts, caplog):
    """What will not change by itself is told as often, in its own words."""
    paper.workers = 1
    connect()
    attempts += [farm.AuthError("not on a Sunday") for _ in range(8)]
    paper.drop()
    assert farm.force(farm.future(abs, -1), BOUND) == 1
    (error,) = shown(caplog, logging.ERROR)
    assert " has been lost for 5 s: not on a Sunday; " in error
    assert len(shown(caplog, logging.WARNING)) == 2


def test_a_kernel_that_waits_for_ever_for_a_server(paper, connect, attempts, caplog):
    """An error after some seconds, once."""
    attempts += refusals(8)
    connect(timeout=None)
    where = paper.address
    assert shown(caplog, logging.ERROR) == [
        (
            f"still waiting for {where}: no server listens on {where} (it is refused); "
            f"start one there: farm-server {where}"
        )
    ]


def test_a_kernel_with_a_time_out(paper, connect, attempts, caplog):
    """It will raise, so it says nothing."""
    attempts += refusals(8)
    connect()
    assert not shown(caplog, logging.WARNING) + shown(caplog, logging.ERROR)
