"""Delays: promises whose value is computed when somebody asks for it."""

from __future__ import annotations

from collections.abc import Generator
from concurrent import futures
from concurrent.futures._base import PENDING, RUNNING
from functools import partial
from threading import get_ident
from time import monotonic
from types import TracebackType
from typing import Any, Callable, ClassVar, Optional

from farm_common.errors import FarmError

from .receptacle import Promise

__all__ = ["Delay"]


class Delay(Promise):
    """A promise whose value a function computes in the first thread that forces it; see `delay`.

    Args:
        call: The function, without arguments.
    """

    _noun: ClassVar[str] = "a delay"

    def __init__(self, call: partial[Any]) -> None:
        super().__init__()
        self._call: Optional[Callable[[], Any]] = call
        self._thread = 0  # which computes it, or did
        self._traceback: Optional[TracebackType] = None

    def result(self, timeout: Optional[float] = None) -> Any:
        """Its value; computed here and now unless it is there or another thread is at it.

        Args:
            timeout: How many seconds to wait for another thread; None: for ever.

        Raises:
            concurrent.futures.TimeoutError: The other thread takes longer.
            concurrent.futures.CancelledError: It was cancelled before.
            FarmError: The function needs this very value.
            Exception: What the function raised.
        """
        if not self._wait(timeout):
            raise futures.TimeoutError
        error = self._exception
        if error is not None:
            try:
                raise error.with_traceback(self._traceback)
            finally:
                error = None  # the traceback refers to this frame
        return super().result()

    def exception(self, timeout: Optional[float] = None) -> Optional[BaseException]:
        """What its function raised, or None when there is a value; waits and raises as `result`."""
        if not self._wait(timeout):
            raise futures.TimeoutError
        return super().exception()

    def _conclude(self, state: str, value: Any = None) -> bool:
        taken = super()._conclude(state, value)
        if taken:
            self._call = None  # what it holds may be large
        return taken

    def _wait(self, timeout: Optional[float]) -> bool:
        deadline = None if timeout is None else monotonic() + timeout
        while not self._compute():
            with self._condition:
                if self._state == RUNNING:
                    remaining = None if deadline is None else deadline - monotonic()
                    if remaining is not None and remaining <= 0:
                        return False
                    self._condition.wait(remaining)
        return True

    def _compute(self) -> bool:
        """Compute the value unless another thread does; return whether it is settled now."""
        thread = get_ident()
        if self._state == RUNNING and self._thread == thread:
            raise FarmError("a delay's function cannot force the delay: it needs its own value")
        try:
            with self._condition:
                if self._state != PENDING:
                    return self._state != RUNNING
                self._thread = thread
                self._state = RUNNING
                call = self._call
            assert call is not None
            self._settle(call)
        except BaseException:  # Ctrl-C, say: that is no value, and another thread may try
            with self._condition:
                if self._state == RUNNING and self._thread == thread:
                    self._state = PENDING
                    self._condition.notify_all()
            raise
        return True

    def _settle(self, call: Callable[[], Any]) -> None:
        try:
            value = call()
        except Exception as error:  # noqa: BLE001 (the user's function)
            trace = error.__traceback__
            # Without this frame, which would keep the delay alive.
            self._traceback = trace.tb_next if trace is not None else None
            self.set_exception(error)
        else:
            self.set_result(value)
        self._call = None

    def __await__(self) -> Generator[Any, None, Any]:
        self._compute()
        return super().__await__()
