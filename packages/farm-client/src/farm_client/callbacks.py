"""Runs what users want to have called when their futures are done."""

from __future__ import annotations

import logging
import threading
from queue import SimpleQueue
from typing import Callable, Optional

__all__ = ["Callbacks"]

_log = logging.getLogger("farm.client")

#: How long to wait for a callback when the kernel ends, in seconds.
_END_SECONDS = 1.0


class Callbacks:
    """A thread that calls one thing after the other; started when there is something to call.

    It is a thread of its own because a callback may do anything: wait for another result, for a
    lock, or for somebody who waits for a result. The thread that reads results must not.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Optional[Callable[[], object]]] = SimpleQueue()
        self._thread: Optional[threading.Thread] = None  # there is one while there may be calls
        self._starting = threading.Lock()
        self._over = False

    def put(self, call: Callable[[], object]) -> None:
        """Have something called soon, after all that was put before; also after the end."""
        with self._starting:
            self._calls.put(call)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="farm-callbacks", daemon=True
                )
                self._thread.start()

    def end(self) -> None:
        """Call what was put so far, and end the thread; a callback that hangs is left behind."""
        with self._starting:
            self._over = True
            self._calls.put(None)
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_END_SECONDS)

    def _run(self) -> None:
        while True:
            with self._starting:
                if self._over and self._calls.empty():
                    self._thread = None
                    return
            call = self._calls.get()
            if call is None:
                continue  # only to have a look
            try:
                call()
            except BaseException:  # as concurrent.futures does: tell, and go on
                _log.exception("a callback of a future failed")
