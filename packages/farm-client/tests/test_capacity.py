"""`farm_client.capacity`: room for a kernel's connections."""

import os

import pytest

from farm_client import capacity
from farm_client.capacity import make_room
from farm_common.errors import KernelCreationError

resource = pytest.importorskip("resource")

UNLIMITED = resource.RLIM_INFINITY


class Limits:
    """Stands in for the system's limits.

    Attributes:
        now: The soft and the hard one.
        most: What the system grants at most, whatever the hard limit says.
    """

    def __init__(self, soft, hard, most=1 << 40):
        self.now = soft, hard
        self.most = most

    def get(self, _):
        return self.now

    def set(self, _, limits):
        if limits[0] > self.most:
            raise ValueError("too many")
        self.now = limits


@pytest.fixture
def limits(monkeypatch):
    """Puts limits in place of the system's, for a process that has 10 files open."""

    def install(*numbers):
        limits = Limits(*numbers)
        monkeypatch.setattr(resource, "getrlimit", limits.get)
        monkeypatch.setattr(resource, "setrlimit", limits.set)
        monkeypatch.setattr(capacity, "_open_files", lambda: 10)
        return limits

    return install


@pytest.mark.parametrize(
    ("before", "count", "after"),
    [
        ((1024, 4096), 900, 1024),
        ((1024, 4096), 1000, 1042),
        ((1024, 4096), 4000, 4042),
        ((1024, UNLIMITED), 100_000, 100_042),
        ((UNLIMITED, UNLIMITED), 100_000, UNLIMITED),
        ((100, 100), 58, 100),
    ],
)
def test_the_soft_limit(limits, before, count, after):
    """It is raised where it must be, and no further."""
    system = limits(*before)
    make_room(count)
    assert system.now == (after, before[1])


@pytest.mark.parametrize(
    ("before", "count", "have"), [((100, 100), 91, 100), ((1024, 4096), 5000, 4096)]
)
def test_the_hard_limit(limits, before, count, have):
    """The error says how many there may be, and what to do."""
    system = limits(*before)
    with pytest.raises(KernelCreationError) as caught:
        make_room(count)
    assert str(caught.value) == (
        f"{count} connections to workers need about {count + 42} open files, and this process may "
        f"have {have}: raise its hard limit (ulimit -Hn, or LimitNOFILE= of a systemd unit), or "
        "use fewer workers (?workers=N)"
    )
    assert system.now == before


def test_the_margin_is_not_needed(limits):
    """Where only what else may be opened has no room, nothing is said."""
    limits(100, 100)
    make_room(90)


def test_a_system_that_grants_less_than_it_says(limits):
    """What it has now counts."""
    system = limits(256, UNLIMITED, 1000)
    make_room(240)
    with pytest.raises(KernelCreationError, match="this process may have 282: raise"):
        make_room(2000)
    assert system.now == (282, UNLIMITED)


def test_open_files():
    """What this process has open, where the system tells."""
    before = capacity._open_files()
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(5)]
    try:
        assert capacity._open_files() in (before + 5, 0)
    finally:
        for descriptor in opened:
            os.close(descriptor)
