"""Servers that do not answer: what is said, how loudly, and how often."""

import errno
import logging


def refusals(count):
    """So many errors of a port that nobody listens on."""
    return [ConnectionRefusedError(errno.ECONNREFUSED, "it is refused") for _ in range(count)]


def test_a_kernel_that_waits_for_ever_for_a_server(paper, connect, attempts, shown):
    """An error after some seconds, once."""
    attempts += refusals(8)
    connect(timeout=None)
    where = paper.address
    assert shown(logging.ERROR) == [
        (
            f"still waiting for {where}: no server listens on {where} (it is refused); "
            f"start one there: farm-server {where}"
        )
    ]


def test_a_kernel_with_a_time_out(paper, connect, attempts, shown):
    """It will raise, so it says nothing."""
    attempts += refusals(8)
    connect()
    assert not shown(logging.WARNING) + shown(logging.ERROR)
