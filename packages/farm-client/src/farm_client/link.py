"""The client's end of one connection to a worker: what it was sent and what it still owes.

A link encodes jobs into frames and matches results to jobs. It knows nothing of queues, threads or
other links; the engine calls it with its lock held, but for `receive`.
"""

from __future__ import annotations

import pickle
import struct
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional, Union

from farm_common.connection import Happening
from farm_common.errors import AuthError, ProtocolError
from farm_common.frames import Buffer, Flag, Kind, encode_frame
from farm_common.handshake import ServerHello, encode_json
from farm_common.interpreter import shares_bytecode
from farm_common.shipping import Blob, Shared, pack
from farm_common.stream import Stream

from .demand import Demand
from .function import Function
from .job import Job
from .scheduler import DEPTH, MOST

__all__ = ["Link", "Seat"]

_LENGTH = struct.Struct("!I")

_NO_KEYWORDS: dict[str, Any] = {}

# What a worker may hold of functions before the oldest are released there.
_FUNCTIONS = 1024
_FUNCTION_BYTES = 64 << 20

# What it may hold of large constants that functions captured.
_BLOB_BYTES = 256 << 20

#: How much one visit to a socket reads at most, in bytes: then the other links have their turn.
_READ = 64 << 20


class Seat(NamedTuple):
    """Who ran a task.

    Attributes:
        host: The name of its host.
        pid: Its process there.
        thread: The thread, where any of several may run what is sent over a link; else 0.
    """

    host: str
    pid: int
    thread: int


class Link:
    """One worker, as the client sees it.

    Args:
        stream: The open connection, on a non-blocking socket.
        hello: What the server said of itself.
        label: What to call the worker in messages.
    """

    #: What to do about a server that cannot end tasks.
    remedy = "upgrade farm-server there"

    #: Whether it belongs to an executor of the user's.
    foreign = False

    def __init__(self, stream: Stream, hello: ServerHello, label: str) -> None:
        self.stream = stream
        self.hello = hello
        self.label = label
        self.descriptor = stream.fileno()
        self.same_bytecode = shares_bytecode(hello)
        self.tags = frozenset(hello.tags)
        self.kills = "kill" in hello.features  # whether its server can end a task that runs
        self.leaves = "leave" in hello.features  # whether it can be told the session's end
        self.protocol = min(hello.pickle, pickle.HIGHEST_PROTOCOL)
        self.inflight: dict[int, Job] = {}
        self.load = 0.0  # microseconds of work in flight
        self.alone = False  # the task in flight is to be the only one
        self.lost = False
        self.away = False  # there is no connection, and the session goes on
        self.grace = hello.grace / 1000  # for so many seconds
        self.broken: Optional[BaseException] = None  # why nothing more can be received
        self.settled = False  # the dispatcher knows it
        self.draining = False  # being removed from the kernel
        self.aimed: set[int] = set()  # tasks that are being killed
        self.doomed: Optional[int] = None  # the task for the sake of which it was given up
        self.done = 0
        self.watching_writes = False
        self.index = -1  # of the worker in its kernel
        self.launch = 0  # which server it is with, of those that the kernel started for its address
        self.pinned: deque[Job] = deque()  # tasks that only this worker may run
        self.resumption = stream.resumption  # None where the session cannot be resumed
        self._reader = stream.connection.reader
        self._next = 1
        self.functions: dict[bytes, Function] = {}  # that the worker has, oldest first
        self._function_bytes = 0
        self._shared: set[bytes] = set()
        self._blobs: dict[bytes, int] = {}  # sizes by id, the oldest first
        self._blob_bytes = 0

    # sending

    def can_run(self, demand: Demand) -> bool:
        """Whether the worker is what a task demands."""
        return (
            (self.same_bytecode or not demand.bytecode)
            and self.python_version >= demand.minimum
            and demand.tags <= self.tags
            and (self.kills or not demand.limited)
        )

    @property
    def python_version(self) -> tuple[int, int]:
        """The first two numbers of the worker's Python version."""
        return self.hello.python[0], self.hello.python[1]

    @property
    def python(self) -> str:
        """The worker's interpreter, for people: ``"cpython 3.11.7"``."""
        return f"{self.hello.implementation} {'.'.join(map(str, self.hello.python))}"

    @property
    def usable(self) -> bool:
        """Whether the worker may be sent tasks at all."""
        return not (self.lost or self.away or self.draining or self.watching_writes)

    @property
    def room(self) -> bool:
        """Whether the worker should be sent more."""
        return (
            self.load <= DEPTH / 2
            and len(self.inflight) <= MOST // 2
            and not (self.alone or self.lost or self.away or self.draining or self.stream.writing)
        )

    def can_take(self, job: Job) -> int:
        """How many tasks like `job` the worker should be sent now."""
        estimate = job.function.estimate
        if not self.inflight:
            return 1 if job.attempts else estimate.most
        if estimate.cost is None or job.attempts or self.alone:
            return 0
        return max(0, min(MOST - len(self.inflight), int((DEPTH - self.load) / estimate.cost)))

    def send_one(self, job: Job) -> bool:
        """Send an idle worker that has the function a task with plain arguments.

        Returns:
            Whether all of it is written.

        Raises:
            OSError: The connection broke.
        """
        function = job.function
        ident = self._next
        self._next = ident + 1
        self.inflight[ident] = job
        job.cost = self.load = function.estimate.cost or DEPTH
        sink = job.sink
        if sink is not None:
            sink.start(job)
        body = function.ident + pickle.dumps((job.args, _NO_KEYWORDS), self.protocol)
        return self.stream.send(encode_frame(Kind.TASK, body, count=1, ident=ident))

    def encode(self, jobs: Sequence[Job]) -> list[Buffer]:
        """The frames that send a run of jobs with the same function and options.

        Either all have plain arguments, or there is one, with a parcel. What raises here leaves
        the link as it was.
        """
        function = jobs[0].function
        new: list[Union[Shared[Any], Blob]] = []
        known = function.ident in self.functions
        segments: list[Buffer] = []
        try:
            if not known:
                self._send_function(segments, new, function)
            segments += self._encode_task(new, jobs)
        except BaseException:
            for item in new:
                self._shared.discard(item.ident)
                self._blob_bytes -= self._blobs.pop(item.ident, 0)
            if not known and self.functions.pop(function.ident, None) is not None:
                self._function_bytes -= function.size
            raise
        # What nobody has seen run fills the worker: nothing is sent there until it is known.
        cost = function.estimate.cost or DEPTH
        count = len(jobs)
        inflight = self.inflight
        self.alone = jobs[0].attempts > 0
        for number, job in enumerate(jobs, self._next):
            job.cost = cost
            inflight[number] = job
            sink = job.sink
            if sink is not None:
                sink.start(job)
        self._next += count
        self.load += cost * count
        return segments

    def _encode_task(
        self, new: list[Union[Shared[Any], Blob]], jobs: Sequence[Job]
    ) -> list[Buffer]:
        """The TASK frame, and before it the shared values that it needs."""
        segments: list[Buffer] = []
        first = jobs[0]
        head = first.function.ident
        flags = 0
        options = first.options
        if options is not None:
            said: dict[str, Any] = {}
            if options.label != "default":
                said["category"] = options.label
            if options.timeout is not None:
                said["timeout"] = options.timeout
            if said:
                text = encode_json(said)
                head += _LENGTH.pack(len(text)) + text
                flags |= Flag.OPTIONS
        buffers: Sequence[Buffer] = ()
        parcel = first.parcel
        if parcel is not None:
            for shared in parcel.shared:
                self._send_shared(segments, new, shared)
            body = head + parcel.body
            buffers = parcel.buffers
            if parcel.bytecode:
                flags |= Flag.BYTECODE
        elif len(jobs) == 1:
            body = head + pickle.dumps((first.args, _NO_KEYWORDS), self.protocol)
        else:
            body = head + pickle.dumps([job.args for job in jobs], self.protocol)
            flags |= Flag.BATCH
        # Not by the connection: a link is open until it is lost, and this is the busiest place.
        segments += encode_frame(
            Kind.TASK, body, flags=flags, count=len(jobs), ident=self._next, buffers=buffers
        )
        return segments

    def _send_function(
        self, segments: list[Buffer], new: list[Union[Shared[Any], Blob]], function: Function
    ) -> None:
        while self.functions and (
            len(self.functions) >= _FUNCTIONS
            or self._function_bytes + function.size > _FUNCTION_BYTES
        ):
            # Frames are handled in order, so what was sent before may still be needed, but what
            # is released now is released after it was used.
            ident, old = next(iter(self.functions.items()))
            del self.functions[ident]
            self._function_bytes -= old.size
            segments += self.stream.connection.send(Kind.RELEASE, ident)
        for shared in function.shared:
            self._send_shared(segments, new, shared)
        for blob in function.blobs:
            self._send_blob(segments, new, blob)
        segments += self.stream.connection.send(
            Kind.FUNCTION, function.body, flags=Flag.BYTECODE if function.bytecode else 0
        )
        self.functions[function.ident] = function
        self._function_bytes += function.size

    def _send_blob(
        self, segments: list[Buffer], new: list[Union[Shared[Any], Blob]], blob: Blob
    ) -> None:
        """Send what several functions may have captured, once."""
        if self._blobs.pop(blob.ident, None) is None:
            segments += self.stream.connection.send(Kind.SHARED, blob.ident + blob.body)
            new.append(blob)
            self._blob_bytes += len(blob.body)
            # The oldest go; a function that has been loaded keeps what it captured.
            while self._blob_bytes > _BLOB_BYTES and self._blobs:
                ident = next(iter(self._blobs))
                self._blob_bytes -= self._blobs.pop(ident)
                segments += self.stream.connection.send(Kind.RELEASE, ident)
        self._blobs[blob.ident] = len(blob.body)  # the newest

    def _send_shared(
        self, segments: list[Buffer], new: list[Union[Shared[Any], Blob]], shared: Shared[Any]
    ) -> None:
        if shared.ident in self._shared:
            return
        parcel = pack(shared.value, self.protocol, "a shared value", self.same_bytecode)
        for inner in parcel.shared:
            self._send_shared(segments, new, inner)
        segments += self.stream.connection.send(
            Kind.SHARED,
            shared.ident + parcel.body,
            flags=Flag.BYTECODE if parcel.bytecode else 0,
            buffers=parcel.buffers,
        )
        self._shared.add(shared.ident)
        new.append(shared)

    def release(self, shared: Shared[Any]) -> list[Buffer]:
        """The frames that make the worker forget a shared value, if it has it."""
        if shared.ident not in self._shared:
            return []
        self._shared.discard(shared.ident)
        return self.stream.connection.send(Kind.RELEASE, shared.ident)

    def seat_of(self, ident: int) -> Seat:
        """Who ran the task that an answer is about which was received last."""
        return Seat(self.hello.host, self.hello.pid, 0)

    def recall(self, ident: int) -> bool:
        """Take back a task that was sent; a server does not give it back. Called without locks."""
        return False

    def recalled(self, ident: int) -> None:
        """Do without a task that was taken back."""

    def forget(self, changes: bytes) -> list[Buffer]:
        """The frames that make the worker import modules afresh, and forget all functions.

        Args:
            changes: The body of a FORGET frame.
        """
        if "modules" not in self.hello.features:
            return []
        self.functions.clear()
        self._function_bytes = 0
        return self.stream.connection.send(Kind.FORGET, changes)

    # receiving

    def receive(self) -> list[Happening]:
        """Read what has arrived, without blocking.

        Raises:
            EOFError, OSError, ProtocolError: The connection is over.
        """
        stream = self.stream
        happenings = stream.receive()
        read = 0
        while True:
            target = None if self._reader.assembling is None else self._reader.target()
            if target is None or read > _READ:
                return happenings
            read += len(target)
            try:
                happenings += stream.receive()
            except BlockingIOError:
                return happenings
            except (EOFError, OSError, AuthError, ProtocolError) as error:
                if not happenings:
                    raise
                self.broken = error  # after what came before it
                return happenings

    def take_one(self, ident: int) -> Job:
        """`take` for a single result."""
        inflight = self.inflight
        job = inflight.pop(ident, None)
        if job is None:
            raise ProtocolError(f"{self.label} sent a result of a task that it does not have")
        if inflight:
            self.load -= job.cost
        else:
            self.load = 0.0
            self.alone = False
        self.done += 1
        return job

    def take(self, ident: int, count: int) -> list[Job]:
        """The jobs that a result is for; they are in flight no more.

        Raises:
            ProtocolError: The worker was not sent such tasks.
        """
        inflight = self.inflight
        numbers = range(ident, ident + min(count, len(inflight) + 1))
        taken = [inflight.pop(number, None) for number in numbers]
        jobs = [job for job in taken if job is not None]
        if len(jobs) != count:
            inflight.update((n, job) for n, job in zip(numbers, taken) if job is not None)
            raise ProtocolError(f"{self.label} sent results of tasks that it does not have")
        self.load -= sum([job.cost for job in jobs])
        if not inflight:
            self.load = 0.0
            self.alone = False
        self.done += count
        return jobs

    def running(self, last: Optional[int]) -> Optional[int]:
        """The id of the task that was running when the connection was lost, as far as one can tell.

        Args:
            last: The id of the task that the worker started last; None when nobody knows.
        """
        if last is not None:
            return last
        return self.doomed if self.doomed is not None else next(iter(self.inflight), None)

    def orphans(self, last: Optional[int]) -> tuple[list[Job], list[Job]]:
        """The jobs in flight when the connection was lost, in the order they were sent.

        Args:
            last: The id of the task that the worker started last; None when nobody can tell, and
                then it is taken to be the first in flight.

        Returns:
            Those that were started, and those that were not.
        """
        jobs = list(self.inflight.values())
        if last is None or not (last or self.done):
            # Nobody can tell, or the worker died before it started anything: then what it was
            # sent first is to blame, for otherwise it would be sent for ever.
            started = min(1, len(jobs))
        else:
            started = sum(1 for ident in self.inflight if ident <= last)
        self.inflight.clear()
        self.load = 0.0
        return jobs[:started], jobs[started:]
