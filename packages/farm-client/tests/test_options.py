"""Categories and priorities are the context's, and travel with each task."""

import contextvars
import json
import threading

import pytest

import farm_client as farm
from farm_client.options import Options, current_options


def test_without_a_with_there_are_none():
    """None stands for the defaults."""
    assert current_options() is None


def test_they_nest_and_end():
    """The inner one counts, the outer one comes back, also after an error."""
    with farm.task_category("a"):
        with farm.task_priority("low"), farm.task_category(3):
            assert current_options() == Options(3, True)
        with pytest.raises(KeyError), farm.task_priority("low"):
            raise KeyError
        assert current_options() == Options("a", False)
        with farm.task_priority("low"), farm.task_priority("default"):
            assert current_options() == Options("a", False)
    assert current_options() is None


def test_they_belong_to_the_context():
    """Another thread and another context do not see them."""
    seen = []
    with farm.task_category("mine"):
        thread = threading.Thread(target=lambda: seen.append(current_options()))
        thread.start()
        thread.join()
        inside = contextvars.copy_context()
    assert seen == [None]
    assert inside.run(current_options) == Options("mine")


@pytest.mark.parametrize("category", [None, b"x", ("a",), [1], object])
def test_bad_categories(category):
    """Strings, numbers and booleans only: they travel as JSON."""
    text = "a task category is a string or a number, not"
    with pytest.raises(TypeError, match=text), farm.task_category(category):
        pass


@pytest.mark.parametrize("category", [float("nan"), float("inf"), float("-inf")])
def test_categories_that_are_no_json(category):
    """Servers would not understand them."""
    text = f"a task category is a finite number, not {category}"
    with pytest.raises(ValueError, match=text), farm.task_category(category):
        pass


def test_categories_are_sent(kernel, paper):
    """Only where they are not the default."""
    channel = farm.make_channel()
    channel.submit(abs, -1)
    for category in ("sim", 3, True, 1.5):
        with farm.task_category(category):
            channel.submit(abs, -1)
    assert list(channel) == [1] * 5
    sent = [json.loads(call)["category"] for call in paper.calls]
    assert sorted(map(str, sent)) == sorted(["sim", "3", "True", "1.5"])


def test_low_priority_tasks_wait_until_there_are_no_others(paper, connect):
    """Also those submitted after them go first."""
    paper.workers = 1
    channel = connect().make_channel()
    channel.submit("paper:wait", "gate")
    with farm.task_priority("low"):
        channel.submit("paper:echo", "low")
    channel.submit("paper:echo", "default")
    paper.events["gate"].set()
    assert [channel.receive() for _ in range(3)] == ["gate", ("default", 0), ("low", 0)]
