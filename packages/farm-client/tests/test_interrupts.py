"""Ctrl-C does not tear what is protected, and is raised at its end."""

import contextlib
import signal
import threading
import time

import pytest

from farm_client import interrupts
from farm_client.interrupts import breakable, broken, guard, protected, raise_pending, unguard


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


@breakable
def load(action, began):
    """Do what may never end."""
    action()


def loading(action, began):
    """A protected function that has something loaded; says what came of that, and at its end."""
    steps = []

    @protected
    def change():
        try:
            load(action, began=began)
            steps.append("loaded")
        except BaseException as error:
            steps.append(type(error).__name__)
            steps.append(broken())
        raise_pending()

    try:
        change()
    except KeyboardInterrupt:
        steps.append("the end")
    return steps


def test_what_takes_long_is_left():
    """The interrupt is raised in it, and at the end of the protected function."""
    assert loading(interrupt, time.monotonic() - 60) == ["KeyboardInterrupt", True, "the end"]
    assert not broken()


def test_what_takes_no_time_is_not():
    """It is done, and the interrupt is raised at the end only."""
    assert loading(interrupt, time.monotonic()) == ["loaded", "the end"]


def test_the_second_interrupt():
    """Somebody is impatient."""

    def twice():
        interrupt()
        interrupt()

    assert loading(twice, time.monotonic()) == ["KeyboardInterrupt", True, "the end"]


def test_an_error_that_looks_like_an_interrupt():
    """What is loaded may raise anything: that is not the user's Ctrl-C."""

    def fail():
        raise KeyboardInterrupt

    assert loading(fail, time.monotonic() - 60) == ["KeyboardInterrupt", False]


def test_what_is_protected_within():
    """It is not left halfway, whatever it is called by."""
    steps = []

    @protected
    def change():
        interrupt()
        steps.append("change")

    assert loading(change, time.monotonic() - 60) == ["loaded", "the end"]
    assert steps == ["change"]
