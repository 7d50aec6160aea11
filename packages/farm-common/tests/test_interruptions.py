"""The news that a task was ended."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm_common.kills import KILLED, TIMEOUT
from farm_common.shipping import pack_exception, unpack_exception
from farm_common.shipping.interruptions import pack_interruption, unpack_interruption


def raised(depth, error):
    """An exception with a traceback of so many frames below this one."""

    def dig(depth):
        if depth > 1:
            dig(depth - 1)
        raise error

    try:
        dig(depth)
    except BaseException as caught:
        return caught


@pytest.mark.parametrize("reason", [KILLED, TIMEOUT])
def test_there_and_back(reason):
    """The reason, how long the task had run, and where it was."""
    ended = unpack_interruption(pack_interruption(reason, 2.25, raised(2, KeyboardInterrupt())))
    assert ended.reason == reason
    assert ended.seconds == 2.25
    assert ended.description.startswith("Traceback (most recent call last):\n")
    assert ended.description.count("in dig") == 2
    assert "raise error" in ended.description
    assert "2.25 s" in ended.description.splitlines()[-1]


def test_frames_that_are_not_the_user_s():
    """Those at the start are left out by number, those at the end by their file."""
    error = raised(3, ValueError())
    body = pack_interruption(KILLED, 1.0, error, skip=2)
    assert unpack_interruption(body).description.count("in dig") == 2
    body = pack_interruption(KILLED, 1.0, error, tail=__file__)
    assert unpack_interruption(body).description == ""


def test_a_task_that_kept_it_to_itself():
    """There is no traceback."""
    assert unpack_interruption(pack_interruption(KILLED, 1.0, None)).description == ""


def test_a_deep_recursion():
    """The description stays within bounds, with its beginning and its end."""
    namespace = {}
    text = "\n".join(f"def f{n}():\n    f{n + 1}()  # {'x' * 400}\n" for n in range(150))
    exec(compile(text + "def f150():\n    raise KeyError\n", "deep.py", "exec"), namespace)
    with pytest.raises(KeyError) as caught:
        namespace["f0"]()
    ended = unpack_interruption(pack_interruption(KILLED, 1.0, caught.value))
    assert len(ended.description) < 30_000
    assert "in f0\n" in ended.description
    assert ended.description.endswith("the task was killed after 1 s\n")


def test_who_does_not_know_of_it():
    """Reads an error that has no exception."""
    report, description, error = unpack_exception(pack_interruption(KILLED, 2.0, None), True)
    assert report == "TaskKilledError: the task was killed after 2 s"
    assert (description, error) == ("", None)
    report, _, _ = unpack_exception(pack_interruption(TIMEOUT, 2.0, None), True)
    assert report == "TaskTimeoutError: the task ran for longer than it may, 2 s"


def test_an_error_of_the_task_s_own():
    """Is none."""
    assert unpack_interruption(pack_exception(ValueError("killed"), 5).body) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({"interrupted": "killed"}, ("killed", None, "")),
        ({"interrupted": "killed", "seconds": 3}, ("killed", 3, "")),
        ({"interrupted": "killed", "seconds": True}, ("killed", None, "")),
        ({"interrupted": "killed", "seconds": "3"}, ("killed", None, "")),
        ({"interrupted": "drowned"}, None),
        ({"interrupted": None}, None),
        ([], None),
    ],
)
def test_what_others_may_say(text, expected):
    """A reason that is not known is an error of the task's own."""
    data = json.dumps(text).encode()
    assert unpack_interruption(struct.pack("!I", len(data)) + data) == expected


@given(st.binary())
def test_rubbish(body):
    """Is not for here to complain of."""
    assert unpack_interruption(body) is None
