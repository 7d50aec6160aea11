"""Ctrl-C does not tear what is protected, and is raised at its end."""

import contextlib
import signal
import threading

import pytest

from farm_client import interrupts
from farm_client.interrupts import guard, protected, raise_pending, unguard


@pytest.fixture(autouse=True)
def guarded(monkeypatch):
    """The guard is in place of Python's own handler."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(interrupts, "_looked", -1.0)
    guard()
    yield
    unguard()
    signal.signal(signal.SIGINT, before)
    assert not interrupts.pending


def interrupt():
    """What Ctrl-C does."""
    signal.raise_signal(signal.SIGINT)


def test_outside_it_is_raised_at_once():
    """As without a kernel."""
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_inside_it_is_raised_at_the_end():
    """Whatever is called there is done, too."""
    steps = []

    def called():
        interrupt()
        steps.append("called")

    @protected
    def change():
        called()
        steps.append("change")
        raise_pending()
        steps.append("never")

    with pytest.raises(KeyboardInterrupt):
        change()
    assert steps == ["called", "change"]


def test_the_outermost_raises():
    """A protected function inside another leaves it to that."""
    steps = []

    @protected
    def inner():
        interrupt()
        raise_pending()
        steps.append("inner")

    @protected
    def outer():
        inner()
        steps.append("outer")
        raise_pending()

    with pytest.raises(KeyboardInterrupt):
        outer()
    assert steps == ["inner", "outer"]


def test_two_are_one():
    """As many as come inside are raised once."""

    @protected
    def change():
        interrupt()
        interrupt()
        raise_pending()

    with pytest.raises(KeyboardInterrupt):
        change()
    raise_pending()


def test_another_thread_does_not_raise_it():
    """It is for the main thread."""
    raised = []

    def other():
        try:
            raise_pending()
        except KeyboardInterrupt:
            raised.append(1)

    @protected
    def change():
        interrupt()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        raise_pending()

    with pytest.raises(KeyboardInterrupt):
        change()
    assert raised == []


def test_a_handler_of_the_program_is_left_alone(monkeypatch):
    """The guard stands in for the default one only."""
    calls = []
    handler = lambda *_: calls.append(1)  # noqa: E731
    signal.signal(signal.SIGINT, handler)
    monkeypatch.setattr(interrupts, "_looked", -1.0)
    guard()
    assert signal.getsignal(signal.SIGINT) is handler
    interrupt()
    unguard()
    assert signal.getsignal(signal.SIGINT) is handler
    assert calls == [1]


def test_the_default_handler_comes_back():
    """When no kernel is left."""
    unguard()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with contextlib.suppress(KeyboardInterrupt):
        interrupt()


def test_a_kernel_guards_and_its_end_unguards(connect, monkeypatch):
    """From the first wait to the end of the last kernel."""
    unguard()
    monkeypatch.setattr(interrupts, "_looked", -1.0)
    first, second = connect(), connect()
    channel = first.make_channel()
    channel.submit(abs, -1)
    channel.receive()
    assert first.broadcast_task(abs, -1) == [1, 1]
    assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    first.end()
    second.end()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_guarding_again_at_once():
    """A kernel that is made right after another one ended is guarded, too."""
    unguard()
    guard()
    assert signal.getsignal(signal.SIGINT) is interrupts._handle
