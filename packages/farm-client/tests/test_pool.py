"""Several things at a time."""

import threading

import pytest

from farm_client.pool import at_once
from farm_common.errors import AuthError, KernelCreationError

BOUND = 20.0


def fail(error):
    """What raises an error."""

    def action():
        raise error

    return action


def test_all_at_the_same_time():
    """Each waits for the other; the results are in order."""
    barrier = threading.Barrier(2)
    actions = [lambda: (barrier.wait(BOUND), 1)[1], lambda: (barrier.wait(BOUND), 2)[1]]
    assert at_once(actions, pytest.fail) == [1, 2]


def test_one_needs_no_thread():
    """It is done by who asks."""
    assert at_once([threading.current_thread], pytest.fail) == [threading.current_thread()]


@pytest.mark.parametrize(("reasons", "text"), [("a", "a"), ("ab", "a\nb")])
def test_what_did_not_succeed_in_time(reasons, text):
    """One error tells all, once all have been tried."""
    gave_up = []
    actions = [*(fail(KernelCreationError(reason)) for reason in reasons), lambda: 1]
    with pytest.raises(KernelCreationError) as caught:
        at_once(actions, lambda: gave_up.append(True))
    assert str(caught.value) == text
    assert gave_up == [True]


def test_what_will_never_succeed():
    """It is told at once, and the others have to give up."""
    stop = threading.Event()
    with pytest.raises(AuthError, match="no"):
        at_once([lambda: stop.wait(BOUND), fail(AuthError("no"))], stop.set)
    assert stop.is_set()
