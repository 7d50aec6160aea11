"""Channels: results in the order of completion, to any number of receivers."""

import gc
import threading

import pytest

import farm_client as farm


def test_results_and_errors_take_turns(kernel):
    """An error is raised in the place of its result, and the next result follows."""
    channel = kernel.make_channel()
    channel.submit(abs, -1)
    assert farm.receive_result(channel) == 1
    channel.submit("operator:truediv", 1, 0)
    with pytest.raises(farm.TaskExecutionError) as caught:
        channel.receive()
    assert caught.value.report == "ZeroDivisionError: division by zero"
    assert type(caught.value.__cause__) is ZeroDivisionError
    assert "worker" in caught.value.worker
    farm.submit_task(channel, pow, 2, 3)
    assert channel.receive() == 8


def test_names_of_keywords_are_the_task_s(kernel):
    """None of them is taken by submit itself."""
    channel = kernel.make_channel()
    farm.submit_task(channel, dict, channel=1, task=2, self=3, args=4)
    assert channel.receive() == {"channel": 1, "task": 2, "self": 3, "args": 4}


def test_a_channel_counts_what_is_outstanding(kernel, paper):
    """len() is what was submitted and not received; it is true even when empty."""
    channel = kernel.make_channel()
    assert len(channel) == 0
    assert channel
    channel.submit("paper:wait", "a")
    channel.submit(abs, -1)
    assert len(channel) == 2
    assert channel.receive() == 1
    assert len(channel) == 1
    paper.events["a"].set()
    assert channel.receive() == "a"
    assert len(channel) == 0


def test_iteration_ends_when_nothing_is_outstanding(kernel):
    """What is submitted meanwhile is part of it; an empty channel has none."""
    channel = kernel.make_channel()
    assert list(channel) == []
    channel.submit(abs, 3)
    got = []
    for value in channel:
        got.append(value)
        if value:
            channel.submit(abs, value - 1)
    assert got == [3, 2, 1, 0]


def test_iteration_beside_another_receiver(kernel):
    """It ends, whoever received the last result."""
    channel = kernel.make_channel()
    for value in range(2000):
        channel.submit(abs, value)
    got = [[], []]
    threads = [threading.Thread(target=lambda g=g: g.extend(channel)) for g in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got[0] + got[1]) == list(range(2000))


def test_several_receivers_each_have_a_result(kernel, paper):
    """None of them is told that there is one when another was faster."""
    channel = kernel.make_channel()
    got = []
    threads = [threading.Thread(target=lambda: got.append(channel.receive())) for _ in range(5)]
    for thread in threads:
        thread.start()
    for value in range(1, 6):
        channel.submit(abs, value)
    for thread in threads:
        thread.join()
    assert sorted(got) == [1, 2, 3, 4, 5]


def test_trying(kernel, paper):
    """(None, False) when there is nothing in time; never a lost result."""
    channel = kernel.make_channel()
    assert farm.try_receive_result(channel) == (None, False)
    channel.submit("paper:wait", "a")
    assert farm.try_receive_result(channel) == (None, False)
    assert farm.try_receive_result(channel, 0.01) == (None, False)
    paper.events["a"].set()
    assert farm.try_receive_result(channel, 20) == ("a", True)
    channel.submit("math:no_such_name")
    with pytest.raises(farm.TaskExecutionError):
        farm.try_receive_result(channel, 20)


def test_looking_is_enough(kernel):
    """A program that never waits, but looks again and again, has its results."""
    channel = kernel.make_channel()
    channel.submit(abs, -1)
    while True:
        result, present = farm.try_receive_result(channel)
        if present:
            break
    assert result == 1


def test_fast_receives(kernel):
    """So many and no more."""
    channel = kernel.make_channel()
    for value in range(10):
        channel.submit(abs, value)
    first = list(farm.do_fast_receives(channel, 7))
    assert len(first) == 7
    assert sorted(first + list(channel)) == list(range(10))
    assert list(farm.do_fast_receives(channel, 0)) == []


def test_capacity(kernel, paper):
    """The submit that is one too many waits until a result is received."""
    channel = farm.make_channel(capacity=2)
    channel.submit("paper:wait", "a")
    channel.submit("paper:wait", "b")
    done = threading.Event()

    def third():
        channel.submit(abs, -3)
        done.set()

    thread = threading.Thread(target=third)
    thread.start()
    paper.events["a"].set()
    assert paper.started["b"].wait(20)
    assert not done.wait(0.05)  # "a" is there, but nobody received it
    assert channel.receive() == "a"
    assert done.wait(20)
    thread.join()
    paper.events["b"].set()
    assert sorted(map(str, channel)) == ["3", "b"]


@pytest.mark.parametrize("capacity", [0, -1, True, 1.0, "1"])
def test_bad_capacities(kernel, capacity):
    """A whole number above 0."""
    with pytest.raises(ValueError, match="a channel's capacity is a whole number above 0, not"):
        kernel.make_channel(capacity=capacity)


def test_a_blocked_submit_ends_with_the_kernel(connect):
    """With the error of any submit after the end."""
    kernel = connect()
    channel = kernel.make_channel(capacity=1)
    channel.submit("paper:wait", "never")
    errors = []

    def second():
        try:
            channel.submit(abs, 1)
        except farm.KernelEndedError as error:
            errors.append(error)

    thread = threading.Thread(target=second)
    thread.start()
    kernel.end()
    thread.join()
    assert len(errors) == 1


def test_an_error_that_is_raised_twice_does_not_grow(kernel):
    """Each raise begins a new traceback."""
    channel = kernel.make_channel()
    for _ in range(3):
        channel.submit("operator:truediv", 1, 0)
        with pytest.raises(farm.TaskExecutionError) as caught:
            channel.receive()
        frames = []
        tb = caught.value.__traceback__
        while tb is not None:
            frames.append(tb)
            tb = tb.tb_next
        assert len(frames) < 8


def test_a_forgotten_channel_costs_nothing(kernel, paper):
    """Its tasks run, and the kernel goes on."""
    for value in range(50):
        kernel.make_channel().submit(abs, value)
    gc.collect()
    channel = kernel.make_channel()
    channel.submit(abs, -1)
    assert channel.receive() == 1
