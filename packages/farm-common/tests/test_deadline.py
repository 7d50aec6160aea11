"""Deadlines, on a clock that moves when told to."""

import pytest

from farm_common import Deadline, deadline
from farm_common.testing import FakeClock


@pytest.fixture
def clock(monkeypatch):
    """The clock that deadlines look at."""
    fake = FakeClock()
    monkeypatch.setattr(deadline, "time", fake)
    return fake


def test_counts_down(clock):
    """What remains gets less, ends at 0, and then the deadline has expired."""
    limit = Deadline(10)
    assert (limit.remaining(), limit.expired()) == (10, False)
    clock.advance(9.5)
    assert (limit.remaining(), limit.expired()) == (0.5, False)
    clock.advance(0.5)
    assert (limit.remaining(), limit.expired()) == (0, True)
    clock.advance(100)
    assert (limit.remaining(), limit.expired()) == (0, True)
    assert limit.seconds == 10


def test_never(clock):
    """None is for ever."""
    limit = Deadline(None)
    clock.advance(1e9)
    assert (limit.remaining(), limit.expired(), limit.seconds) == (None, False, None)
    assert limit.cap(5) == 5


@pytest.mark.parametrize("seconds", [0, -1])
def test_at_once(clock, seconds):
    """No time at all has expired from the beginning."""
    assert Deadline(seconds).expired()
    assert Deadline(seconds).remaining() == 0


def test_cap(clock):
    """A step may take what it asks for, or what remains."""
    limit = Deadline(10)
    assert (limit.cap(3), limit.cap(30)) == (3, 10)
    clock.advance(8)
    assert (limit.cap(3), limit.cap(1)) == (2, 1)
    clock.advance(8)
    assert limit.cap(3) == 0
