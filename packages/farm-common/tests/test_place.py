"""A process knows whether it is a worker."""

import pytest

from farm_common import place


def test_outside_of_workers_there_is_no_index():
    """None."""
    assert place.worker_index() is None


@pytest.mark.parametrize("index", [0, 7])
def test_a_worker_has_one(monkeypatch, index):
    """0 is one, too."""
    monkeypatch.setattr(place, "_index", None)
    place.enter_worker(index)
    assert place.worker_index() == index
