"""Makes room where more clients come than may be unauthenticated at a time.

Those who are there are given a moment: a handshake takes milliseconds, and some round trips. After
that, while others wait, who has been at it longest gives way; a client of ours tries again. And
who came last is served first. So connections that lead nowhere, however many, hold up a good one
by no more than that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Optional

from .child import Child
from .timers import Timer, Timers

__all__ = ["Crowd"]

#: How long a session may take to be admitted while others wait for its place, in seconds.
PATIENCE = 1.0


class Crowd:
    """Ends sessions that were not admitted, one at a time, when their places are wanted.

    Args:
        timers: The listener's.
        end: Ends a session; its place is free a little later.
        retry: Tries to start sessions again.
    """

    def __init__(
        self, timers: Timers, end: Callable[[Child], None], retry: Callable[[], None]
    ) -> None:
        self._timers = timers
        self._end = end
        self._retry = retry
        self._timer: Optional[Timer] = None

    def make_room(self, children: Iterable[Child]) -> None:
        """See that there will be a place.

        Args:
            children: All sessions, the oldest first.
        """
        places = [child for child in children if child.role is None]
        if self._timer is not None or any(child.killed for child in places) or not places:
            return  # it is under way
        rest = places[0].started + PATIENCE - self._timers.clock()
        if rest <= 0:
            self._end(places[0])
        else:
            self._timer = self._timers.after(rest, self._again)

    def _again(self) -> None:
        self._timer = None
        self._retry()
