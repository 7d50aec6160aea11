"""A status as text."""

import pytest

from farm_admin import ServerStatus
from farm_admin.table import duration, render


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (0.449, "0.4s"),
        (9.94, "9.9s"),
        (10, "10s"),
        (59.9, "59s"),
        (60, "1m00s"),
        (185, "3m05s"),
        (3599, "59m59s"),
        (7620, "2h07m"),
        (86399, "23h59m"),
        (442800, "5d03h"),
    ],
)
def test_durations(seconds, text):
    """Few characters, two units at most."""
    assert duration(seconds) == text


def test_a_server_with_a_session(status):
    """Aligned columns, numbers to the right."""
    assert render("127.0.0.1:1", ServerStatus.from_json(status)).splitlines() == [
        "127.0.0.1:1  n",
        "  1 connection (1 busy), of at most 1000; asks a kernel for 2",
        "  process 12 on h, up 1h02m, farm-server 0.1.0, cpython 3.13.0",
        "",
        "  PID  KERNEL  INDEX  CLIENT       STATE  CATEGORY  DONE   BUSY   AGE",
        "   13  k           0  127.0.0.1:5  busy   sim       1234  1m01s  0.2s",
    ]


def test_a_draining_server_with_nothing_to_do(status):
    """No table without rows; several addresses and tags are shown."""
    status.update(sessions=[], draining=True, tags=["gpu", "big"], addresses=["a:1", "b:2"])
    assert render("a:1", ServerStatus.from_json(status)).splitlines() == [
        "a:1  n",
        "  draining, 0 connections (0 busy), of at most 1000; asks a kernel for 2",
        "  process 12 on h, up 1h02m, farm-server 0.1.0, cpython 3.13.0",
        "  listens on a:1 b:2",
        "  tags gpu big",
    ]


def test_what_others_call_themselves_cannot_move_the_cursor(status):
    """Kernels choose their names and categories."""
    status["sessions"][0].update(kernel="\x1b[2Jk", category="a\nb")
    text = render("127.0.0.1:1", ServerStatus.from_json(status))
    assert "\x1b" not in text
    assert "?[2Jk" in text
    assert "a?b" in text
