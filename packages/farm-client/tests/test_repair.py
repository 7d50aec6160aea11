"""Workers that were lost: who is told, how loudly, and how often."""

import errno
import logging

import farm_client as farm

BOUND = 20.0


def refusals(count):
    """So many errors of a port that nobody listens on."""
    return [ConnectionRefusedError(errno.ECONNREFUSED, "it is refused") for _ in range(count)]


def test_a_worker_that_is_replaced_at_once(paper, connect, attempts, shown):
    """Nobody is told."""
    paper.workers = 1
    connect()
    paper.drop()
    assert farm.force(farm.future(abs, -1), BOUND) == 1
    assert not shown(logging.WARNING) + shown(logging.ERROR)


def test_a_worker_that_stays_lost(paper, connect, attempts, shown):
    """A warning at first, an error once after some seconds, and a warning when it is back."""
    paper.workers = 1
    connect()
    attempts += refusals(8)
    paper.drop()
    assert farm.force(farm.future(abs, -1), BOUND) == 1
    where = paper.address
    reason = f"no server listens on {where} (it is refused); start one there: farm-server {where}"
    assert shown(logging.WARNING) == [
        f"cannot reconnect worker 0 at {where}: {reason}",
        f"worker 0 at {where} is back after 8 s",
    ]
    assert shown(logging.ERROR) == [
        (
            f"worker 0 at {where} has been lost for 5 s: {reason}; "
            "its tasks run on other workers, or wait"
        )
    ]


def test_a_worker_that_is_refused(paper, connect, attempts, shown):
    """What will not change by itself is told as often, in its own words."""
    paper.workers = 1
    connect()
    attempts += [farm.AuthError("not on a Sunday") for _ in range(8)]
    paper.drop()
    assert farm.force(farm.future(abs, -1), BOUND) == 1
    (error,) = shown(logging.ERROR)
    assert " has been lost for 5 s: not on a Sunday; " in error
    assert len(shown(logging.WARNING)) == 2
