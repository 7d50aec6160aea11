"""How much work a worker is sent ahead, by how long tasks took."""

import pytest

from farm_client.scheduler import DEPTH, MOST, Estimate


def estimate(*observations):
    """An estimate after these observations of (microseconds, count)."""
    made = Estimate()
    for micros, count in observations:
        made.update(micros, count)
    return made


def test_what_nobody_has_seen():
    """One at a time."""
    assert estimate().cost is None
    assert estimate().most == 1


@pytest.mark.parametrize(
    ("observations", "most"),
    [
        ([(0, 1)], MOST),
        ([(0, 100)], MOST),
        ([(100, 100)], MOST),
        ([(1, 1)] * 50, MOST),
        ([(100, 1)] * 50, 20),
        ([(10_000, 100)] * 50, 20),
        ([(1000, 1)] * 50, 2),
        ([(80_000, 1)], 1),
        ([(80_000, 1)] * 50, 1),
    ],
)
def test_steady_tasks(observations, most):
    """About two milliseconds of work."""
    made = estimate(*observations)
    assert made.most == pytest.approx(most, abs=max(1, most * 0.1))
    assert made.cost * made.most <= max(DEPTH, made.cost)


@pytest.mark.parametrize("every", [2, 5, 10, 20])
def test_a_mix_counts_as_long(every):
    """Short tasks among which there are long ones never queue deep behind one."""
    made = estimate()
    for number in range(400):
        made.update(80_000 if number % every == 0 else 100, 1)
        assert number < every or made.most == 1


def test_short_ones_are_believed_again():
    """When no long ones come any more, the depth grows in a while."""
    made = estimate(*[(80_000, 1)] * 10, *[(1, 1)] * 1000)
    assert made.most > 100
