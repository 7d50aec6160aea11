"""Timers: values that arrive at a channel without a worker."""

import itertools
import threading
import time

import pytest

import farm_client as farm
import farm_client.timers


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until the test moves it on; timers wait for nothing else.

    ``clock.sleeps`` tells for how long the thread of the timers goes to sleep.
    """
    return Clock(monkeypatch)


class Clock:
    def __init__(self, monkeypatch):
        self.now = 1000.0
        self.slept = []
        monkeypatch.setattr(farm_client.timers, "monotonic", lambda: self.now)

    def watch(self, timers):
        """Have the thread of some timers sleep until it is notified, however long it wants."""
        self.timers = timers
        condition = timers._changed
        wait = condition.wait

        def sleep(seconds):
            self.slept.append(seconds)
            wait()

        condition.wait = sleep

    def move(self, seconds):
        """Let time pass."""
        self.now += seconds
        with self.timers._changed:
            self.timers._changed.notify()


@pytest.fixture
def channel(kernel, clock):
    """A channel whose kernel's timers go by the clock."""
    clock.watch(kernel._engine.timers)
    return kernel.make_channel()


def test_its_value_arrives_when_the_time_has_come(channel, clock):
    """Not before; the object itself; and no worker has anything to do with it."""
    value = object()
    timer = farm.submit_timeout(channel, 5, value)
    assert not timer.done
    assert len(channel) == 1
    assert farm.try_receive_result(channel) == (None, False)
    clock.move(4.9)
    assert farm.try_receive_result(channel) == (None, False)
    clock.move(0.1)
    assert channel.receive() is value
    assert timer.done
    assert len(channel) == 0


def test_real_time(kernel):
    """It takes as long as it was told to, and any receiver waits for it."""
    channel = kernel.make_channel()
    started = time.monotonic()
    farm.submit_timeout(channel, 0.05, "over")
    assert list(channel) == ["over"]
    assert 0.05 <= time.monotonic() - started < 20


def test_at_once(kernel):
    """No time is a time, too."""
    channel = kernel.make_channel()
    farm.submit_timeout(channel, 0, None)
    assert channel.receive() is None


def test_they_arrive_in_the_order_of_their_times(channel, clock):
    """Those of one time in the order in which they were submitted."""
    for seconds in (3, 1, 2, 1):
        farm.submit_timeout(channel, seconds, (seconds, len(channel)))
    clock.move(1)
    assert farm.receive_result(channel) == (1, 1)
    assert farm.receive_result(channel) == (1, 3)
    assert len(channel) == 2
    clock.move(5)
    assert list(channel) == [(2, 2), (3, 0)]


def test_among_tasks(kernel, paper):
    """A limit to a wait: who receives gets what comes first; busy workers do not matter."""
    channel = kernel.make_channel()
    for key in ("a", "b"):
        channel.submit("paper:wait", key)
        assert paper.started[key].wait(20)
    farm.submit_timeout(channel, 0.01, "too late")
    assert channel.receive() == "too late"
    paper.events["a"].set()
    assert channel.receive() == "a"
    paper.events["b"].set()
    assert list(channel) == ["b"]
    assert sum(paper.tasks().values()) == 2


def test_cancelling(channel, clock):
    """Another value arrives, now, and the timer's own never."""
    timer = farm.submit_timeout(channel, 5, "over")
    assert farm.cancel_timeout(timer, "cancelled") is True
    assert timer.done
    assert channel.receive() == "cancelled"
    clock.move(10)
    farm.submit_timeout(channel, 0, "next")
    clock.move(0)
    assert list(channel) == ["next"]


def test_cancelling_again(channel):
    """Only the first one counts."""
    timer = farm.submit_timeout(channel, 5, "over")
    assert farm.cancel_timeout(timer, 1)
    assert farm.cancel_timeout(timer, 2) is False
    assert list(channel) == [1]


def test_cancelling_too_late(channel, clock):
    """Has no effect."""
    timer = farm.submit_timeout(channel, 5, "over")
    clock.move(5)
    assert channel.receive() == "over"
    assert farm.cancel_timeout(timer, "cancelled") is False
    assert len(channel) == 0


def test_cancelling_from_many_threads(channel):
    """One of them succeeds, and its value it is."""
    for _ in range(50):
        timer = farm.submit_timeout(channel, 5, "over")
        start = threading.Barrier(4)
        told = {}

        def cancel(value, timer=timer, start=start, told=told):
            start.wait(20)
            told[value] = farm.cancel_timeout(timer, value)

        threads = [threading.Thread(target=cancel, args=(value,)) for value in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(told.values()) == [False, False, False, True]
        assert told[channel.receive()]
        assert len(channel) == 0


def test_cancelled_ones_are_forgotten(channel):
    """Long before their time, if they are many; what they held is freed at once."""
    timers = channel._engine.timers
    kept = farm.submit_timeout(channel, 10, "kept")
    for number in range(1000):
        assert farm.cancel_timeout(farm.submit_timeout(channel, 1000, "own"), number)
    assert len(timers._queue) < 50
    assert not kept.done
    assert farm.cancel_timeout(kept, "last")
    assert list(channel) == [*range(1000), "last"]


def test_an_earlier_one_is_not_late(channel, clock):
    """The thread that sleeps for the first is woken for one that is due before it."""
    farm.submit_timeout(channel, 100, "late")
    farm.submit_timeout(channel, 1, "early")
    farm.submit_timeout(channel, 1e300, "never")
    clock.move(1)
    assert channel.receive() == "early"
    assert max(clock.slept) <= 86400  # more than that an operating system may not take


def test_one_thread_for_all(kernel):
    """And none before the first one, nor after the kernel."""

    def named():
        return [thread for thread in threading.enumerate() if thread.name == "farm-timers"]

    assert named() == []
    channel = kernel.make_channel()
    for _ in range(20):
        farm.submit_timeout(channel, 1000, None)
    assert len(named()) == 1
    kernel.end()
    assert named() == []


def test_several_channels_and_kernels(connect):
    """Each timer belongs to its channel."""
    channels = [connect().make_channel() for _ in range(2) for _ in range(2)]
    for value, channel in enumerate(channels):
        farm.submit_timeout(channel, 0.001, value)
    assert [channel.receive() for channel in channels] == [0, 1, 2, 3]


def test_a_channel_with_a_capacity(paper, connect):
    """A timer takes a place in it, like a task, and waits for one."""
    channel = connect().make_channel(capacity=1)
    farm.submit_timeout(channel, 0, "first")
    got = []
    thread = threading.Thread(target=lambda: got.append(farm.submit_timeout(channel, 0, "second")))
    thread.start()
    assert channel.receive() == "first"
    assert channel.receive() == "second"
    thread.join(20)
    assert got[0].done


def test_the_end_of_the_kernel(kernel):
    """Does not wait for timers; who waits for one is told, and nothing more arrives."""
    channel = kernel.make_channel()
    timer = farm.submit_timeout(channel, 1000, "never")
    errors = []

    def receive():
        try:
            channel.receive()
        except farm.KernelEndedError as error:
            errors.append(error)

    thread = threading.Thread(target=receive)
    thread.start()
    kernel.end(wait=True)
    thread.join(20)
    assert len(errors) == 1
    assert timer.done
    assert farm.cancel_timeout(timer, "late") is False
    assert len(channel) == 0
    with pytest.raises(farm.KernelEndedError, match="has ended"):
        farm.submit_timeout(channel, 1, None)


@pytest.mark.parametrize(
    ("seconds", "error"),
    [
        *itertools.product([-1, float("nan"), float("inf")], [ValueError]),
        *itertools.product(["1", None, b"1"], [TypeError]),
    ],
)
def test_times_that_are_none(channel, seconds, error):
    """Are refused, and nothing is outstanding."""
    with pytest.raises(error, match="a timeout is a number of seconds from 0 on, not"):
        farm.submit_timeout(channel, seconds, None)
    assert len(channel) == 0
