"""Hands requests to an executor, in a thread of its own."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Executor, Future
from itertools import count
from queue import SimpleQueue
from typing import Any, Callable, Optional

from farm_common import guest
from farm_common.handshake import ClientHello

from .request import Request

__all__ = ["Answer", "Counter", "Failed", "Refused"]

#: What is not larger than this, in bytes, is sent with each request that needs it.
_SMALL = 16 << 10

#: How long to wait for the thread at the end, in seconds; it may be inside the executor.
_END = 1.0


class Failed(Exception):  # noqa: N818  (nobody raises it)
    """A request did not come back as it should; its cause is what the executor said."""


class Refused(Failed):
    """The executor does not take requests any more."""


#: What comes of a request: the ids of what its worker lacks, and the frames; or why there are none.
Answer = Any


class Counter:
    """Where the requests for one executor go over.

    The engine hands over with its lock held. An executor's ``submit`` starts processes, waits for
    locks of its own, and talks to a scheduler elsewhere; so it is called by a thread that holds
    nothing.

    Args:
        executor: The user's.
        hello: What the client says of itself.

    Attributes:
        broken: Why the executor takes nothing any more; None while it does.
    """

    def __init__(self, executor: Executor, hello: ClientHello) -> None:
        self._executor = executor
        self._hello = hello.encode()
        self.broken: Optional[str] = None
        self._queue: SimpleQueue[Optional[tuple[Request, int, Callable[[Request, Answer], None]]]]
        self._queue = SimpleQueue()
        self._sent: set[bytes] = set()  # the ids of what some worker was sent, and is large
        # Some executors take calls with equal arguments for equal.
        self._token = os.urandom(8).hex()
        self._numbers = count()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="farm-counter", daemon=True)

    def start(self) -> None:
        """Begin to hand over what is put there."""
        self._thread.start()

    def put(self, request: Request, index: int, answer: Callable[[Request, Answer], None]) -> None:
        """Hand a request over, soon.

        Args:
            request: The tasks.
            index: The number of the worker that they are meant for.
            answer: Called with what comes of it, from any thread, and possibly from this one.
        """
        self._queue.put((request, index, answer))

    def forget(self, ident: bytes) -> None:
        """Send something again when it is needed again."""
        self._sent.discard(ident)

    def end(self) -> None:
        """Hand nothing over any more; twice is no error."""
        self._ended = True
        self._queue.put(None)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_END)

    def _run(self) -> None:
        while True:
            entry = self._queue.get()
            if entry is None or self._ended:
                return
            request, index, answer = entry
            if request.take():
                self._submit(request, index, answer)
            entry = request = answer = None  # type: ignore[assignment]  # it may be large

    def _submit(
        self, request: Request, index: int, answer: Callable[[Request, Answer], None]
    ) -> None:
        try:
            left_out, body = self._gather(request)
        except BaseException as error:  # noqa: BLE001 (packing runs the user's code)
            answer(request, _because(Failed(), error))
            return
        ticket = f"{self._token}-{next(self._numbers)}"
        try:
            future = self._executor.submit(guest.run, self._hello, index, left_out, body, ticket)
        except BaseException as error:  # noqa: BLE001 (the executor's; some raise odd things)
            answer(request, _because(Refused(), error))
            return
        request.future = future
        if not self._ended:
            future.add_done_callback(lambda done: answer(request, _outcome(done)))

    def _gather(self, request: Request) -> tuple[bytes, bytes]:
        """The ids of what a request leaves out, and its frames."""
        left_out, frames = [], []
        for item in request.items:
            if item.ident in self._sent and not request.whole:
                left_out.append(item.ident)
                continue
            frame = item.encode()
            frames.append(frame)
            if len(frame) > _SMALL:
                self._sent.add(item.ident)
        return b"".join(left_out), b"".join((*frames, request.task))


def _outcome(future: Future[Any]) -> Answer:
    if future.cancelled():
        return Failed("it was cancelled")
    error = future.exception()
    return future.result() if error is None else _because(Failed(), error)


def _because(failure: Failed, error: BaseException) -> Failed:
    failure.__cause__ = error
    text = str(error)
    failure.args = (f"{type(error).__name__}: {text}" if text else type(error).__name__,)
    return failure
