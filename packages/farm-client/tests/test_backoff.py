"""Waits between attempts to connect."""

from itertools import islice

from farm_client.backoff import backoff


def test_waits_grow_to_a_limit():
    """Each between the half and the whole of a doubling, up to two seconds."""
    wholes = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]
    for _ in range(50):
        for wait, whole in zip(islice(backoff(), 9), wholes):
            assert whole / 2 <= wait <= whole


def test_two_do_not_wait_alike():
    """So that many clients do not come back at once."""
    assert list(islice(backoff(), 5)) != list(islice(backoff(), 5))
