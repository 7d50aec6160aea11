"""Promises that no task fulfils: receptacles for a value that the program puts in itself."""

from __future__ import annotations

from collections.abc import Generator
from concurrent import futures
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED, PENDING
from typing import TYPE_CHECKING, Any, ClassVar, Optional

from farm_common.errors import FarmError

__all__ = ["CANCELLED_STATES", "DONE_STATES", "Promise"]

CANCELLED_STATES = frozenset({CANCELLED, CANCELLED_AND_NOTIFIED})
DONE_STATES = frozenset({CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED})


class Promise(futures.Future):  # type: ignore[type-arg]
    """A value that will be there later; made by `promise`, and fulfilled once.

    It is a `concurrent.futures.Future` too: ``wait``, ``as_completed`` and ``add_done_callback``
    work on it, ``set_exception`` makes each `force` raise, and it can be awaited. No engine is
    behind it, so who waits for it sleeps; results of tasks are read by others meanwhile.
    """

    #: What it is called in messages.
    _noun: ClassVar[str] = "a promise"

    if TYPE_CHECKING:  # what the base class has, and its type stubs have not

        def _invoke_callbacks(self) -> None: ...

    def fulfill(self, value: Any) -> bool:
        """Give it a value, unless it has one, or somebody is about to give it one.

        Args:
            value: What `force` returns from now on.

        Returns:
            Whether this is its value now.
        """
        return self._conclude(FINISHED, value)

    def cancel(self) -> bool:
        """Give it up: there will be no value.

        Returns:
            Whether it is cancelled now.
        """
        return self._conclude(CANCELLED_AND_NOTIFIED) or self._state in CANCELLED_STATES

    def _conclude(self, state: str, value: Any = None) -> bool:
        """Go into a last state, if nobody else did or is about to."""
        with self._condition:
            if self._state != PENDING:
                return False
            self._result = value
            self._state = state
            for waiter in self._waiters:
                if state == FINISHED:
                    waiter.add_result(self)
                else:
                    waiter.add_cancelled(self)
            self._condition.notify_all()
        self._invoke_callbacks()
        return True

    def _wait(self, timeout: Optional[float]) -> bool:
        """Wait until there is a value, an error, or nothing to wait for; return whether so."""
        with self._condition:
            return self._condition.wait_for(self.done, timeout)

    def __await__(self) -> Generator[Any, None, Any]:
        import asyncio  # takes 40 ms; few programs need it

        # Shielded: who gives up waiting must not take the value from the others who wait.
        return asyncio.shield(asyncio.wrap_future(self)).__await__()

    def __reduce__(self) -> Any:
        raise FarmError(f"{self._noun} cannot travel: force() it, and send its value")
