"""The thread that calls what users want to have called."""

import threading

from farm_client.callbacks import Callbacks


def test_what_comes_after_the_end_is_called(bound):
    """A thread may have taken a result just before another ended the kernel: somebody may await it.

    No thread stays behind for that.
    """
    before = set(threading.enumerate())
    callbacks = Callbacks()
    calls = []
    callbacks.put(lambda: calls.append(1))
    callbacks.end()
    called = threading.Event()
    callbacks.put(called.set)
    assert called.wait(bound)
    assert calls == [1]
    for thread in set(threading.enumerate()) - before:
        thread.join(bound)
        assert not thread.is_alive()


def test_the_end_without_a_beginning(bound):
    """Starts no thread, and what comes then is called likewise."""
    before = set(threading.enumerate())
    callbacks = Callbacks()
    callbacks.end()
    assert set(threading.enumerate()) == before
    called = threading.Event()
    callbacks.put(called.set)
    assert called.wait(bound)
