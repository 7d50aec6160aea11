"""A link to one slot of an executor that is not farm's."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from functools import partial
from typing import Any, Callable, Optional, Union

from farm_common.connection import Connection, Happening
from farm_common.errors import FarmError, WorkerLostError
from farm_common.frames import Buffer, Flag, FrameReader, Kind, encode_frame
from farm_common.handshake import ServerHello
from farm_common.security import PlainLayer
from farm_common.shipping import Blob, Shared, pack
from farm_common.states import Role, State
from farm_common.stream import Stream

from ..function import Function
from ..job import Job
from ..lapse import Lapse
from ..link import Link, Seat
from .counter import Answer, Counter, Failed, Refused
from .request import Item, Request

__all__ = ["ForeignLink"]

#: How many requests a slot has with the executor, however long they take: what is done is asked
#: for only after a while, and an executor that knows no next task would idle meanwhile. It does not
#: matter which slot has them, for whoever is free there takes the next.
_LEAST = 2

_NO_LIMIT = 1 << 62


class ForeignStream(Stream):
    """In place of a connection: a socket that is readable when there are answers.

    Args:
        counter: Where requests go.
        index: The number of the worker.
    """

    def __init__(self, counter: Counter, index: int) -> None:
        ear, self._hand = socket.socketpair()
        self._hand.setblocking(False)
        connection = Connection(Role.CLIENT, frame_limit=_NO_LIMIT)
        connection.state = State.OPEN
        super().__init__(ear, connection, PlainLayer())
        self._counter = counter
        self._index = index
        self._answers: deque[tuple[Request, Answer]] = deque()
        #: What is to be handed over with the next `send`.
        self.requests: list[Request] = []

    def send(self, segments: Sequence[Buffer]) -> bool:
        """Hand over the requests that have been made; other frames interest nobody."""
        requests, self.requests = self.requests, []
        for request in requests:
            self._counter.put(request, self._index, self._answer)
        return True

    def again(self, request: Request) -> None:
        """Hand a request over once more, whose worker lacked something."""
        request.again()
        self._counter.put(request, self._index, self._answer)

    def take_answers(self) -> list[tuple[Request, Answer]]:
        """What has come."""
        try:
            while len(self.sock.recv(512)) == 512:
                pass
        except OSError:
            pass  # silent already, or closed
        answers = []
        while self._answers:
            answers.append(self._answers.popleft())
        return answers

    def ring(self) -> None:
        """Have the answers looked at; from any thread."""
        try:
            self._hand.send(b"!")
        except OSError:
            pass  # it rings already, or nobody listens any more

    def close(self) -> None:
        """Free the descriptors."""
        super().close()
        self._hand.close()

    def _answer(self, request: Request, answer: Answer) -> None:
        self._answers.append((request, answer))
        self.ring()


class ForeignLink(Link):
    """One slot of an executor.

    Args:
        counter: Where requests go.
        hello: What a worker of the executor said of itself.
        label: What to call this one in messages.
        index: Its number in the kernel.
        inner: The shared values that others contain, by the ids of those; common to all slots.
        broke: Called when the executor turns out to be broken.
        elsewhere: Whether tasks could run with anybody else.
    """

    foreign = True
    remedy = "use one of farm's own servers"

    def __init__(
        self,
        counter: Counter,
        hello: ServerHello,
        label: str,
        index: int,
        inner: dict[bytes, Sequence[Shared[Any]]],
        broke: Callable[[str], None],
        elsewhere: Callable[[], bool],
    ) -> None:
        self._desk = ForeignStream(counter, index)
        super().__init__(self._desk, hello, label)
        self.index = index
        self._counter = counter
        self._inner = inner
        self._broke = broke
        self._elsewhere = elsewhere
        self._items: dict[bytes, Item] = {}  # what the tasks need that are being encoded
        self._requests: dict[int, Request] = {}  # those under way, by the id of their first task
        self._seats: dict[int, Seat] = {}  # who answered, by the id of the first task

    def ring(self) -> None:
        """Have the engine look at it."""
        self._desk.ring()

    # sending

    @property
    def room(self) -> bool:
        """Whether it should be sent more."""
        few = len(self._requests) < _LEAST and not (self.alone or self.lost or self.draining)
        return few or super().room

    def can_take(self, job: Job) -> int:
        """How many tasks like `job` it should be sent now."""
        most = super().can_take(job)
        if most <= 0 and self.room and not job.attempts:
            return 1
        return most

    def encode(self, jobs: Sequence[Job]) -> list[Buffer]:
        """Make a request of some tasks, to be handed over with the next `send`."""
        self._items = {}
        first = self._next
        segments = super().encode(jobs)
        task = b"".join(segments)
        request = Request(first, len(jobs), list(self._items.values()), task)
        self._items = {}
        self._requests[first] = request
        self._desk.requests.append(request)
        return segments

    def _send_function(
        self, segments: list[Buffer], new: list[Union[Shared[Any], Blob]], function: Function
    ) -> None:
        for shared in function.shared:
            self._send_shared(segments, new, shared)
        for blob in function.blobs:
            self._send_blob(segments, new, blob)
        flags = Flag.BYTECODE if function.bytecode else 0
        self._need(function.ident, partial(_frame, Kind.FUNCTION, function.body, flags))

    def _send_blob(
        self, segments: list[Buffer], new: list[Union[Shared[Any], Blob]], blob: Blob
    ) -> None:
        self._need(blob.ident, lambda: _frame(Kind.SHARED, blob.ident + blob.body))

    def _send_shared(
        self, segments: list[Buffer], new: list[Union[Shared[Any], Blob]], shared: Shared[Any]
    ) -> None:
        if shared.ident in self._items:
            return
        inner = self._inner.get(shared.ident)
        if inner is None:
            # Packed once more when it is sent: kept until then it might take twice the memory.
            inner = pack(shared.value, self.protocol, "a shared value", self.same_bytecode).shared
            self._inner[shared.ident] = inner
        for value in inner:
            self._send_shared(segments, new, value)
        self._need(shared.ident, partial(_pack_shared, shared, self.protocol, self.same_bytecode))

    def _need(self, ident: bytes, encode: Callable[[], bytes]) -> None:
        self._items[ident] = Item(ident, encode)

    def release(self, shared: Shared[Any]) -> list[Buffer]:
        """Nobody can be told: workers forget it when they need the room."""
        self._inner.pop(shared.ident, None)
        self._counter.forget(shared.ident)
        return []

    def forget(self, changes: bytes) -> list[Buffer]:
        """Nobody was given modules."""
        return []

    def recall(self, ident: int) -> bool:
        """Take back a task that was sent, if the executor has not started it."""
        request = self._requests.get(ident)
        return request is not None and request.count == 1 and request.withdraw()

    def recalled(self, ident: int) -> None:
        """Do without a task that was taken back."""
        del self._requests[ident]
        self.take(ident, 1)
        self.done -= 1

    def seat_of(self, ident: int) -> Seat:
        """Who ran a task; a nobody where the executor lost it."""
        return self._seats.get(ident) or super().seat_of(ident)

    def cancel_all(self) -> None:
        """Take back all that the executor has not started; for the end."""
        for request in list(self._requests.values()):
            request.withdraw()

    # receiving

    def receive(self) -> list[Happening]:
        """What has come of requests."""
        happenings: list[Any] = []
        self._seats.clear()
        for request, answer in self._desk.take_answers():
            if not request.withdrawn and request.first in self._requests:
                happenings += self._read(request, answer)
        if self._counter.broken is not None and self._elsewhere():
            self.broken = ConnectionError(self._counter.broken)
        return happenings

    def _read(self, request: Request, answer: Answer) -> Sequence[Any]:
        if not isinstance(answer, Failed):
            try:
                missing, frames, seat = answer
                if missing and not request.whole:
                    self._desk.again(request)
                    return ()
                happenings = FrameReader(_NO_LIMIT).feed(frames)
                if happenings:
                    seated = Seat(*seat)
                    self._seats.update((happening.ident, seated) for happening in happenings)
                    del self._requests[request.first]
                    return happenings
                answer = Failed("its worker could not keep what the task needs")
            except Exception as error:  # noqa: BLE001 (it may be anything)
                answer = Failed(f"it answered with something odd, {error}")
        cause = answer.__cause__
        if isinstance(answer, Refused) or isinstance(cause, BrokenExecutor):
            self._broke(str(answer))
            if self._elsewhere():
                return ()  # the tasks in flight are queued again when the link is lost
        del self._requests[request.first]
        return (Lapse(request.first, request.count, self._error(request, answer)),)

    def _error(self, request: Request, answer: Failed) -> BaseException:
        if isinstance(answer.__cause__, FarmError):
            return answer.__cause__
        job: Optional[Job] = self.inflight.get(request.first)
        name = "unknown" if job is None else job.function.name
        return WorkerLostError(name, self.label, str(answer), 1)


def _frame(kind: int, body: bytes, flags: int = 0, buffers: Sequence[Buffer] = ()) -> bytes:
    return b"".join(encode_frame(kind, body, flags=flags, buffers=buffers))


def _pack_shared(shared: Shared[Any], protocol: int, same_bytecode: bool) -> bytes:
    parcel = pack(shared.value, protocol, "a shared value", same_bytecode)
    flags = Flag.BYTECODE if parcel.bytecode else 0
    return _frame(Kind.SHARED, shared.ident + parcel.body, flags, parcel.buffers)
