"""Options of tasks are the context's; what servers must know of them travels with each task."""

import contextlib
import contextvars
import enum
import json
import re
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import farm_client as farm
from farm_client.options import Options, current_options


def test_without_a_with_there_are_none():
    """None stands for the defaults."""
    assert current_options() is None


def options():
    """The options in force, as keywords of `task_options`."""
    there = current_options() or Options()
    return {
        "category": there.category,
        "priority": "low" if there.low else "default",
        "timeout": there.timeout,
        "attempts": there.attempts,
        "tags": there.tags,
    }


DEFAULTS = {
    "category": "default",
    "priority": "default",
    "timeout": None,
    "attempts": 3,
    "tags": frozenset(),
}


def test_they_nest_and_end():
    """The inner one counts, the outer one comes back, also after an error."""
    with farm.task_category("a"):
        with farm.task_priority("low"), farm.task_category(3):
            assert options() == {**DEFAULTS, "category": 3, "priority": "low"}
        with pytest.raises(KeyError), farm.task_priority("low"):
            raise KeyError
        assert options() == {**DEFAULTS, "category": "a"}
        with farm.task_priority("low"), farm.task_priority("default"):
            assert options() == {**DEFAULTS, "category": "a"}
    assert current_options() is None


def test_each_option_nests_by_itself():
    """A block changes what it names; all else stays as it is around it."""
    with farm.task_options(timeout=5, attempts=1, tags={"gpu"}, priority="low", category="a"):
        outer = options()
        assert outer == {
            "category": "a",
            "priority": "low",
            "timeout": 5.0,
            "attempts": 1,
            "tags": {"gpu"},
        }
        with farm.task_options():
            assert options() == outer
        for change in ({"timeout": None}, {"attempts": 2}, {"tags": ()}, {"priority": "default"}):
            with farm.task_options(**change):
                assert options() == {**outer, **change, "tags": set(change.get("tags", {"gpu"}))}
        with farm.task_category("b"):
            assert options() == {**outer, "category": "b"}
    assert current_options() is None


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "category": st.sampled_from(["a", 1, True, 1.5, ("x", 1), b"c"]),
                "priority": st.sampled_from(["default", "low"]),
                "timeout": st.sampled_from([None, 1, 2.5]),
                "attempts": st.integers(1, 5),
                "tags": st.sets(st.sampled_from(["gpu", "big"])),
            },
        ),
        max_size=6,
    )
)
def test_any_nest(changes):
    """The innermost block that names an option decides, and nothing is left behind."""
    expected = dict(DEFAULTS)
    with contextlib.ExitStack() as stack:
        for change in changes:
            expected.update(change)
            stack.enter_context(farm.task_options(**change))
            there = options()
            assert there == expected
            assert type(there["category"]) is type(expected["category"])
    assert current_options() is None


def test_they_belong_to_the_context():
    """Another thread and another context do not see them."""
    seen = []
    with farm.task_options(category="mine", timeout=3):
        thread = threading.Thread(target=lambda: seen.append(current_options()))
        thread.start()
        thread.join()
        inside = contextvars.copy_context()
    assert seen == [None]
    assert inside.run(options) == {**DEFAULTS, "category": "mine", "timeout": 3.0}


def test_equal_options_are_one_object():
    """So tasks travel together, also if each has a block of its own."""

    def made(category):
        with farm.task_options(category=category, timeout=3):
            return current_options()

    assert made("a") is made("a")
    assert made(1) is made(1)
    assert made(1) is not made(True)
    assert made(True).category is True
    for n in range(1000):
        made(n)
    assert made("a") == made("a")


@pytest.mark.parametrize("category", [None, [1], {}, ("a", [])])
@pytest.mark.parametrize("take", [farm.task_category, lambda c: farm.task_options(category=c)])
def test_bad_categories(category, take):
    """Anything hashable will do, but None."""
    text = re.escape(f"a task category is any hashable value but None, not {category!r}")
    with pytest.raises(TypeError, match=text), take(category):
        pass


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"timeout": 0}, ValueError, "timeout is seconds above 0, or None for no limit, not 0"),
        ({"timeout": -1.5}, ValueError, "not -1.5"),
        ({"timeout": float("inf")}, ValueError, "not inf"),
        ({"timeout": float("nan")}, ValueError, "not nan"),
        ({"timeout": "5"}, TypeError, "not '5'"),
        ({"timeout": [5]}, TypeError, "timeout is seconds"),
        ({"attempts": 0}, ValueError, "attempts is a whole number above 0, not 0"),
        ({"attempts": 1.5}, ValueError, "not 1.5"),
        ({"attempts": True}, ValueError, "not True"),
        ({"attempts": None}, ValueError, "not None"),
        ({"priority": "high"}, ValueError, "'default' or 'low', not 'high'"),
        ({"tags": b"gpu"}, TypeError, "tags is a set of strings"),
        ({"tags": [1]}, TypeError, "tags is a set of strings"),
        ({"tags": None}, TypeError, "tags is a set of strings"),
    ],
)
def test_bad_options(keywords, error, text):
    """They are refused where they are written, and change nothing."""
    with pytest.raises(error, match=re.escape(text)), farm.task_options(**keywords):
        pass
    assert current_options() is None


def test_a_single_tag():
    """A string is one tag, and not its letters; as for a server."""
    with farm.task_options(tags="gpu"):
        assert current_options().tags == {"gpu"}


class Odd:
    """A category that cannot be shown."""

    def __repr__(self):
        raise RuntimeError


class Color(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("category", "label"),
    [
        ("sim", "sim"),
        ("x" * 300, "x" * 200),
        ("\ud800", "?"),
        (3, 3),
        (True, True),
        (1.5, 1.5),
        (10**30, "1" + 30 * "0"),
        pytest.param(10**5000, "int", id="more digits than are shown"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (b"x", "b'x'"),
        (("a", 1), "('a', 1)"),
        (Color.RED, "<Color.RED: 1>"),
        (Odd(), "Odd"),
    ],
)
def test_what_servers_are_told_of_a_category(kernel, paper, category, label):
    """Itself where JSON can say it, or else as it is shown; it never fails a task."""
    channel = farm.make_channel()
    with farm.task_category(category):
        channel.submit(abs, -1)
    assert channel.receive() == 1
    (sent,) = paper.calls
    assert json.loads(sent) == {"category": label}


def test_options_are_sent(kernel, paper):
    """Only where they are not the default."""
    channel = farm.make_channel()
    channel.submit(abs, -1)
    for category in ("sim", 3, True, 1.5):
        with farm.task_category(category):
            channel.submit(abs, -1)
    with farm.task_options(timeout=2, attempts=1):
        channel.submit(abs, -1)
    with farm.task_options(attempts=1, priority="low"):
        channel.submit(abs, -1)
    assert list(channel) == [1] * 7
    sent = [json.loads(call) for call in paper.calls]
    assert sorted(map(str, sent)) == sorted(
        map(str, [*({"category": c} for c in ("sim", 3, True, 1.5)), {"timeout": 2.0}])
    )


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
