"""What is to happen later."""

from farm_server.timers import Timers


class Clock:
    """Time that passes when the test says so."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_calls_are_made_in_order_of_time():
    """Also when they were asked for in another order, or for the same moment."""
    clock, calls = Clock(), []
    timers = Timers(clock)
    for seconds, name in ((2, "c"), (1, "a"), (1, "b"), (9, "d")):
        timers.after(seconds, lambda name=name: calls.append(name))
    timers.run()
    assert calls == []
    clock.now += 2
    timers.run()
    assert calls == ["a", "b", "c"]


def test_how_long_to_wait():
    """Until the next call, never less than nothing, and for ever without one."""
    clock = Clock()
    timers = Timers(clock)
    assert timers.wait() is None
    timers.after(3, lambda: None)
    assert timers.wait() == 3
    clock.now += 5
    assert timers.wait() == 0
    timers.run()
    assert timers.wait() is None


def test_a_cancelled_call_is_not_made_and_not_waited_for():
    """Cancelling twice, or too late, is no error."""
    clock, calls = Clock(), []
    timers = Timers(clock)
    timer = timers.after(1, lambda: calls.append(1))
    timer.cancel()
    timer.cancel()
    assert timers.wait() is None
    clock.now += 2
    timers.run()
    assert calls == []


def test_a_call_may_ask_for_another():
    """What is due now is made in the next run: a chain of them does not hold the loop."""
    clock, calls = Clock(), []
    timers = Timers(clock)

    def again():
        calls.append(clock.now)
        timers.after(1, again)

    timers.after(0, again)
    timers.run()
    assert calls == [100.0]
    assert timers.wait() == 1
