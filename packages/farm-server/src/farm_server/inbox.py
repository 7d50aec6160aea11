"""Reads a worker's connection: for the thread that serves it, and for those that wait for answers.

The main thread reads between tasks and is no reader while it runs one. A task, or a thread that a
task left behind, may import a module that only the client has; then it asks, and blocks until
somebody has read the answer. Who does? Not the thread that asks: in the main thread a signal
handler of the user's may raise at any moment, and what was received would be lost. So:

1. Bytes are read under ``_reading`` only, by the main thread in `receive` or by the monitor in
   `help`. So there is one reader at a time, and frames have one order.
2. While the main thread is in `receive`, it reads, and gives each answer to whoever waits for it
   before it returns the rest. An answer never waits behind a task that came with it.
3. While it is not, and a question is open, the monitor listens. It is called by whoever asks, and
   wakes by itself a few milliseconds after the main thread has begun a task. It reads only what is
   there, so it never sleeps with ``_reading``, and the main thread never waits long for it.
   It puts aside what is no answer; the main thread takes that first, so order is kept.
4. A question is entered before it is sent, so its answer finds it. An end of the connection is
   noted before the open questions are failed, and a question looks for that note after it was
   entered: so each is answered, or fails, or the connection is still there.
5. Neither reader may ask, for nobody else reads: a finalizer that the garbage collector runs there
   gets an `ImportError` instead.
"""

from __future__ import annotations

import select
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import AbstractContextManager
from itertools import count
from threading import get_ident
from typing import Callable, Optional, Protocol, Union

from farm_common.connection import Happening
from farm_common.errors import ProtocolError
from farm_common.frames import Frame, Kind, Unreadable
from farm_common.shipping.modules import GivenModule, unpack_module
from farm_common.states import State
from farm_common.stream import Stream

from .lifeline import LOST, Lifeline

__all__ = ["Helper", "Inbox"]


class Helper(Protocol):
    """A thread that calls `Inbox.help` when the connection is readable and the inbox is wanted."""

    @property
    def ident(self) -> Optional[int]:
        """The thread's identifier."""

    def call(self) -> None:
        """Make it look whether that is so."""


class _Question:
    """What a thread waits for."""

    __slots__ = ("answer", "event")

    def __init__(self) -> None:
        self.event = threading.Event()
        self.answer: Union[Frame, Unreadable, None] = None


class Inbox:
    """What the client sends.

    Args:
        stream: The connection, open, on a blocking socket.
    """

    def __init__(self, stream: Stream) -> None:
        #: Reads while the thread that serves does not.
        self.helper: Optional[Helper] = None
        #: What becomes of the session when the connection is lost; None: it ends.
        self.lifeline: Optional[Lifeline] = None
        self._stream = stream
        self._connection = stream.connection
        self._receive = stream.receive
        self._reading = threading.Lock()
        self._reader = 0  # the thread that holds it
        self._backlog: deque[Happening] = deque()
        self._questions: dict[int, _Question] = {}
        self._numbers = count(1)
        self._broken: Optional[BaseException] = None
        self._poll: Optional[select.poll] = None

    def receive(self) -> list[Happening]:
        """What is to be handled next; blocks. For the thread that serves the connection.

        Raises:
            EOFError, OSError, ProtocolError: The connection is over, and so is the session.
        """
        while True:
            with self._reading:
                self._reader = get_ident()
                try:
                    if self._backlog:
                        happenings = list(self._backlog)
                        self._backlog.clear()
                        return happenings
                    if self._broken is not None:
                        raise self._broken
                    if not self._stream.suspended:
                        happenings = self._receive()
                        return self._sort(happenings) if self._questions else happenings
                except LOST as error:
                    if error is self._broken or not self._lose(error):
                        raise
                except BaseException as error:
                    self._break(error)
                    raise
                finally:
                    self._reader = 0
            assert self.lifeline is not None
            self.lifeline.wait()

    @property
    def reading(self) -> AbstractContextManager[object]:
        """Held while something is read."""
        return self._reading

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._questions) and self._broken is None

    def help(self) -> None:
        """Read what is there, unless somebody else reads; does not block. For the helper."""
        # Looked at here: what woke the helper may have been read by the main thread since.
        self._look(lambda: self.wanted and self._readable(), once=True)

    def glance(self) -> None:
        """Read once if something is there; for the thread that serves, between two tasks."""
        self._look(self._readable, once=True)

    def exhaust(self) -> None:
        """Read to the end, unless somebody else reads: the client has hung up. For the helper."""
        self._look(self._readable, once=False)

    def _look(self, readable: Callable[[], bool], once: bool) -> None:
        if not self._reading.acquire(False):
            return
        self._reader = get_ident()
        try:
            while (
                self._broken is None
                and self._connection.state is State.OPEN
                and not self._stream.suspended
                and readable()
            ):
                self._backlog += self._sort(self._receive())
                if once:
                    break
        except LOST as error:
            self._lose(error)
        except BaseException as error:  # noqa: BLE001 (who serves the connection raises it)
            self._break(error)
        finally:
            self._reader = 0
            self._reading.release()

    def ask(self, name: str) -> GivenModule:
        """Ask the client for a module and wait for the answer; from any thread of this process.

        Raises:
            ConnectionError: There is no answer, as the connection is over.
            RuntimeError: This thread must not wait.
        """
        helper = self.helper
        if get_ident() in (self._reader, None if helper is None else helper.ident):
            raise RuntimeError("the thread that would read the answer cannot wait for it")
        question = _Question()
        number = next(self._numbers)
        self._questions[number] = question
        try:
            if self._broken is None and self._connection.state is State.OPEN:
                segments = self._connection.send(Kind.IMPORT, name.encode(), ident=number)
                try:
                    self._stream.send(segments)
                except OSError:
                    if self.lifeline is None:
                        raise
                if helper is not None:
                    helper.call()
                question.event.wait()
        except (OSError, ProtocolError):
            pass  # it is over, which reading will tell the others
        finally:
            self._questions.pop(number, None)
        answer = question.answer
        if answer is None:
            raise ConnectionError("the connection is over")
        if not isinstance(answer, Frame):
            return GivenModule("none", reason=f"gave {answer.size} bytes, too many for this worker")
        return unpack_module(answer.body)

    def _sort(self, happenings: Iterable[Happening]) -> list[Happening]:
        """Give answers to those who wait for them; return the rest."""
        rest: list[Happening] = []
        for happening in happenings:
            question: Optional[_Question] = None
            if isinstance(happening, (Frame, Unreadable)) and happening.kind == Kind.MODULE:
                question = self._questions.pop(happening.ident, None)
                if question is not None:
                    question.answer = happening
                    question.event.set()
            if question is None:
                rest.append(happening)
        if self._connection.state is not State.OPEN:
            self._break(EOFError("the client said goodbye"))
        return rest

    def _readable(self) -> bool:
        if self._stream.pending:
            return True
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._stream.fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

    def _lose(self, error: BaseException) -> bool:
        """The connection is over; return whether the session goes on."""
        if self.lifeline is None or self._connection.state is not State.OPEN:
            self._break(error)
            return False
        self.lifeline.lost(error)
        return True

    def _break(self, error: BaseException) -> None:
        """Nothing more is going to be read: fail all that wait."""
        if self._broken is None:
            self._broken = error
        for question in list(self._questions.values()):
            question.event.set()
