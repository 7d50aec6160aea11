"""Which task goes to which worker."""

from collections import deque
from types import SimpleNamespace

import pytest

from farm_client.dispatcher import Dispatcher


class PaperLink(SimpleNamespace):
    """A link that takes nothing."""

    def can_take(self, job):
        return 0


@pytest.fixture
def dispatcher():
    return Dispatcher(None, None)


def test_a_link_that_is_not_settled_yet(dispatcher):
    """What is pinned to a worker that is just being replaced comes after its setup tasks."""
    link = PaperLink(index=3, lost=False, away=False, settled=False, pinned=deque())
    dispatcher.pin(link, "broadcast")
    assert list(link.pinned) == []
    link.pinned.append("setup")
    dispatcher.settle(link)
    assert list(link.pinned) == ["setup", "broadcast"]
    dispatcher.pin(link, "later")
    assert list(link.pinned) == ["setup", "broadcast", "later"]
