"""Signals as events."""

import os
import select
import signal
import threading

from farm_server.signals import HANDLED, Signals


def test_signals_are_collected():
    """They wake who waits, and are not fatal."""
    with Signals() as signals:
        assert signals.active
        assert signals.collect() == b""
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGCHLD)
        assert select.select([signals], [], [], 5)[0]
        collected = b""
        while len(collected) < 2:
            select.select([signals], [], [], 5)
            collected += signals.collect()
        assert sorted(collected) == sorted([signal.SIGTERM, signal.SIGCHLD])


def test_handlers_are_restored():
    """A program that served goes on as before."""
    before = [signal.getsignal(number) for number in HANDLED]
    with Signals():
        assert [signal.getsignal(number) for number in HANDLED] != before
    assert [signal.getsignal(number) for number in HANDLED] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_another_thread():
    """There are no signals there, and no error."""
    found = []

    def run():
        with Signals() as signals:
            found.append((signals.active, signals.collect()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(5)
    assert found == [(False, b"")]
