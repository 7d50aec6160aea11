"""Executes the tasks of one connection, one after the other.

The main thread reads frames, executes tasks and gathers their results; the results of short tasks
go out together. A monitor thread sends what has been waiting while a long task runs, forwards
output, and ends the process when the client or the server is gone. They share one lock, which the
main thread gives up exactly while it runs the user's code or waits for the client: whoever holds
it sees a consistent state. What ends a task from outside is the matter of `interrupter`.

The process is one worker and nothing else, so it ends by ``os._exit``: left-behind threads and
exit handlers of tasks do not hold it.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from itertools import repeat
from time import perf_counter_ns
from typing import Any, Callable, Optional

from farm_common.connection import Happening
from farm_common.errors import ProtocolError, SerializationError
from farm_common.frames import (
    HEADER_SIZE,
    Flag,
    Frame,
    Kind,
    Unreadable,
)
from farm_common.handshake import ClientHello, decode_json
from farm_common.interpreter import shares_bytecode
from farm_common.parts import pack_failures_by, time_calls_by
from farm_common.place import enter_worker
from farm_common.shipping import (
    SCALARS,
    SharedStore,
    unpack,
)
from farm_common.shipping.interruptions import pack_interruption
from farm_common.shipping.modules import unpack_changes
from farm_common.shipping.rebuild_classes import table as class_table
from farm_common.shipping.tasks import ID_SIZE
from farm_common.shipping.unit import compile_unit as _  # noqa: F401  (once, not in each fork)
from farm_common.states import State
from farm_common.stream import Stream

from .board import Slot
from .function import Function
from .importer import Importer
from .inbox import Inbox
from .interrupter import Interrupter, perform, perform_with
from .lifeline import Lifeline
from .monitor import Monitor
from .output import Output
from .results import Results
from .session import tell

__all__ = ["Worker", "run"]

_LENGTH = struct.Struct("!I")

_NO_KEYWORDS: dict[str, Any] = {}

# Looked up once: they are written for each task.
_TASK, _STARTED, _DONE, _BUSY = Slot.TASK, Slot.STARTED, Slot.DONE, Slot.BUSY
_STATE, _LIMIT = Slot.STATE, Slot.LIMIT

#: Bodies up to this size are sliced by copying, which is faster than a view.
_COPY = 4096

# Results that cannot change once they are returned, and that are worth gathering.
_SMALL = SCALARS - {str, bytes}
_SIZED = frozenset({str, bytes})
_SMALL_SIZE = 4096

#: Results wait for company no longer than this, in ns.
_STALE = 1_000_000

#: A task that takes longer than this is not worth waiting for, in ns.
_SHORT = 100_000

#: How often to say that tasks come whose time is limited, in ns; see `farm_server.overtime`.
_ANNOUNCE = 1_000_000_000

#: The longest limit that a task may have, and what it may take besides to load its function and its
#: arguments, in ns: they may import a lot, and would have to anew in another worker.
_LONGEST = 1 << 62
_LOADING = 60_000_000_000


def run(
    stream: Stream,
    client: ClientHello,
    slot: Slot,
    parent: socket.socket,
    lifeline: Optional[Lifeline] = None,
) -> None:
    """Serve a client until it says goodbye or is gone.

    Args:
        stream: The connection, open, on a blocking socket.
        client: What the client said of itself.
        slot: Where to write what is being done, for the parent to see.
        parent: The socket whose other end the parent holds; it closes when the parent ends.
        lifeline: Brings the client back, if the session can go on without a connection.
    """
    enter_worker(client.index)
    worker = Worker(stream, client, slot.words, Output(client.output))
    worker.slot = slot
    worker.watch(parent, lifeline)
    pack_failures_by(worker.results.pack_error)
    time_calls_by(worker.timekeeper)
    if "modules" in client.features:
        worker.share_modules(client)
    worker.serve()


class Worker:
    """One connection's tasks.

    Args:
        stream: The connection.
        client: What the client said of itself.
        words: The numbers of the worker's slot on the board.
        output: What becomes of what tasks print.
    """

    def __init__(
        self, stream: Stream, client: ClientHello, words: Any, output: Optional[Output]
    ) -> None:
        self.slot: Optional[Slot] = None
        self._stream = stream
        self._connection = stream.connection
        self._same_bytecode = shares_bytecode(client)
        self._foreign = (
            f"it holds bytecode of {client.implementation} {'.'.join(map(str, client.python))}, "
            f"which this interpreter cannot load"
        )
        self._words = words
        self._output = output
        self._functions: dict[bytes, Function] = {}
        self._inbox = Inbox(stream)
        self.results = Results(stream, client, words, self._inbox, output)
        self._importer: Optional[Importer] = None
        self._shared = SharedStore()
        self._shared.activate()
        self._category = "default"
        self._interrupter = Interrupter(words)
        self._limit = 0  # how long each task of the frame may run, in ns; 0: for ever
        self._parent: Optional[socket.socket] = None
        self._announced = -_ANNOUNCE
        self._forked = False

        self._lock = threading.Lock()  # held by the main thread but in user code and in waits
        self._lock.acquire()
        self._done = 0
        self._busy = 0  # ns
        self._monitor: Optional[Monitor] = None

    # the main thread

    def watch(self, parent: socket.socket, lifeline: Optional[Lifeline] = None) -> None:
        """Be looked after by the monitor thread and the parent."""
        self.results.lifeline = self._inbox.lifeline = lifeline
        class_table.at_worker = True  # this process has no other client
        self._parent = parent
        self._interrupter.install()
        assert self._output is not None
        os.register_at_fork(after_in_child=self._forget)
        self._monitor = Monitor(self, self._stream, self._inbox, parent, self._output)
        self._inbox.helper = self._monitor
        if lifeline is not None:
            lifeline.attach(self._inbox, self._monitor.watch_again)
        self._monitor.start()

    def share_modules(self, client: ClientHello) -> Importer:
        """Let tasks import what only the client has."""
        self._importer = Importer(self._inbox.ask, client)
        self._importer.install()
        self.results.explain = self._importer.explain
        return self._importer

    def serve(self) -> None:
        """Execute what the client sends until it says goodbye or is gone.

        Raises:
            ProtocolError: The client broke the protocol.
        """
        while self.is_open():
            self.results.flush()
            monitor = self._monitor
            if monitor is not None:
                monitor.idle = True
            self._lock.release()
            try:
                happenings = self._inbox.receive()
            except (EOFError, OSError):
                return
            finally:
                self._lock.acquire()
                if monitor is not None:
                    monitor.wake()
            if not self.is_open():
                return  # goodbye: nobody wants the results of what came with it
            while happenings:
                self.handle(happenings.pop(0))  # kept nowhere: its memory is received into again

    def handle(self, happening: Happening) -> None:
        """Do what one frame asks for."""
        if isinstance(happening, Unreadable):
            self._reject(happening)
            return
        assert isinstance(happening, Frame)
        kind = happening.kind
        if kind == Kind.TASK:
            self._execute(happening)
        elif kind == Kind.FUNCTION:
            ident = bytes(happening.body[:ID_SIZE])
            self._functions[ident] = Function(happening, self._rejection(happening))
        elif kind == Kind.SHARED:
            self._keep_shared(happening)
        elif kind == Kind.RELEASE:
            for start in range(0, len(happening.body), ID_SIZE):
                ident = bytes(happening.body[start : start + ID_SIZE])
                self._shared.drop(ident)
                self._functions.pop(ident, None)
        elif kind == Kind.FORGET:
            self._functions.clear()
            if self._importer is not None:
                self._importer.forget(unpack_changes(happening.body))
        elif kind == Kind.PING:
            self.results.pong(happening.ident)
        elif kind in (Kind.STATUS, Kind.DRAIN):
            raise ProtocolError(f"a {happening.name} frame in a connection for work")

    def _execute(self, frame: Frame) -> None:
        """Execute the tasks of one frame and gather their results."""
        words, lock, results = self._words, self._lock, self.results
        values = results.values
        ident = frame.ident
        words[_TASK] = ident + 1  # unpacking arguments may already kill the process
        try:
            function, batch = self._decode(frame)
        except BaseException as error:
            words[_TASK] = words[_LIMIT] = 0
            results.fail(ident, max(1, frame.count), error, 0, skip=2)
            return
        if function.mean is None or function.mean > _SHORT:
            results.flush()
        call: Optional[Callable[..., Any]] = None
        value: Any = None
        limit, interrupter = self._limit, self._interrupter
        begun = started = perf_counter_ns()
        for args, keywords in batch:
            results.current = ident
            words[_STARTED] = started
            words[_TASK] = ident + 1
            if limit and call is not None:
                words[_LIMIT] = limit  # last, so that it is that of this task
            failure: Optional[BaseException] = None
            lock.release()
            try:
                if call is None:
                    call = self._load(function)
                value = perform_with(call, args, keywords) if keywords else perform(call, args)
            except BaseException as error:  # also SystemExit: it is the task's, not ours
                failure = error
                if interrupter.hit:
                    words[_STATE] = Slot.SENDING  # it has ended, though the lock may be in use
            finally:
                if limit:
                    words[_LIMIT] = 0  # not later: the client may be slow to take results
                lock.acquire()
            if self._forked:
                os._exit(0)  # a task forked and its child came back: it is no worker
            ended = perf_counter_ns()
            if interrupter.hit:
                interrupter.hit = False  # whatever the task made of it
                self._end(ident, failure, ended - started)
                failure = None
                words[_STATE] = Slot.WORK
            elif failure is not None:
                results.fail(ident, 1, failure, ended - started, skip=1 if call is None else 2)
                failure = None  # its traceback refers to this frame
            elif type(value) in _SMALL or (type(value) in _SIZED and len(value) <= _SMALL_SIZE):
                if not values:
                    results.first = ident
                values.append(value)
                results.elapsed += ended - started
            else:
                results.give(ident, value, ended - started, len(batch))
            value = None  # it may be large, and the next may need its room
            ident += 1
            started = ended
            if ended - results.sent_at > _STALE:
                results.flush()
                started = perf_counter_ns()
        self._done += len(batch)
        self._busy += started - begun
        words[_TASK], words[_DONE], words[_BUSY] = 0, self._done, self._busy
        function.took((started - begun) / len(batch))

    def _end(self, ident: int, error: Optional[BaseException], duration: int) -> None:
        """Answer for a task that was interrupted."""
        body = pack_interruption(
            self._interrupter.reason,
            duration / 1e9,
            error,
            skip=2,
            tail=perform.__code__.co_filename,
        )
        self.results.interrupted(ident, body, duration)

    def _load(self, function: Function) -> Callable[..., Any]:
        """Load a function; what that takes is not the task's time."""
        words, limit = self._words, self._limit
        if not limit:
            return function.load()
        words[_LIMIT] = limit + _LOADING
        call = function.load()
        words[_LIMIT] = 0
        words[_STARTED] = perf_counter_ns()
        words[_LIMIT] = limit
        return call

    def timekeeper(self) -> Optional[Callable[[], None]]:
        """What restarts the clock of the task that runs, if its time is limited."""
        return self._restart if self._limit else None

    def _restart(self) -> None:
        self._words[_STARTED] = perf_counter_ns()

    def _decode(self, frame: Frame) -> tuple[Function, Any]:
        """The function of a TASK frame, and pairs of arguments and keyword arguments."""
        if self.results.loose:
            self.results.secure()
        body = frame.body
        if len(body) > _COPY:
            body = memoryview(body)
        function = self._functions.get(bytes(body[:ID_SIZE]))
        if function is None:
            raise ProtocolError("a task whose function was not received")
        flags = frame.flags
        if flags & Flag.BYTECODE and not self._same_bytecode:
            raise SerializationError(self._foreign)
        start = ID_SIZE
        category = "default"
        self._limit = 0
        if flags & Flag.OPTIONS:
            (length,) = _LENGTH.unpack_from(body, start)
            start += _LENGTH.size + length
            options = decode_json(body[start - length : start], "options")
            category = options.get("category", "default")
            timeout = options.get("timeout")
            if timeout is not None:
                self._restrict(timeout)
        if category != self._category:
            self._category = category
            if self.slot is not None:
                self.slot.category = str(category)
        content = unpack(body[start:], frame.buffers)
        if self._limit:
            self._words[_LIMIT] = 0  # until a task runs
        if not flags & Flag.BATCH:
            args, keywords = content
            return function, ((args, keywords),)
        if len(content) != frame.count:
            raise ProtocolError(f"a batch of {frame.count} tasks with {len(content)} arguments")
        return function, list(zip(content, repeat(_NO_KEYWORDS)))

    def _restrict(self, timeout: Any) -> None:
        """Limit the time of a frame's tasks, in seconds, and that of unpacking their arguments."""
        if type(timeout) not in (int, float) or not timeout > 0:
            raise ProtocolError(f"a task's timeout is a number above 0, not {timeout!r:.100}")
        now = perf_counter_ns()
        self._words[_STARTED] = now
        self._limit = int(max(1, min(timeout * 1e9, _LONGEST)))
        self._words[_LIMIT] = self._limit + _LOADING
        if self._parent is not None and now - self._announced >= _ANNOUNCE:
            self._announced = now
            try:
                tell(self._parent, {"ask": "watch"})
            except ConnectionError:
                pass  # the monitor ends this process

    def _rejection(self, frame: Frame) -> Optional[str]:
        """Why the pickle of a frame must not be loaded, if so."""
        if frame.flags & Flag.BYTECODE and not self._same_bytecode:
            return self._foreign
        return None

    def _keep_shared(self, frame: Frame) -> None:
        ident = bytes(frame.body[:ID_SIZE])
        rejection = self._rejection(frame)

        def load() -> Any:
            if rejection is not None:
                raise SerializationError(rejection)
            return unpack(memoryview(frame.body)[ID_SIZE:], frame.buffers)

        self._shared.put(ident, load)

    def _reject(self, unreadable: Unreadable) -> None:
        """Answer for a frame that there was no memory for."""
        if unreadable.kind == Kind.TASK:
            size = unreadable.size + HEADER_SIZE
            error = MemoryError(f"no memory for the {size} bytes of the task's arguments")
            self.results.fail(unreadable.ident, max(1, unreadable.count), error, 0, skip=0)

    def _forget(self) -> None:
        self._forked = True

    # for the monitor

    @property
    def running(self) -> bool:
        """Whether a task is being executed."""
        return bool(self._words[_TASK])

    def is_open(self) -> bool:
        """Whether the client has not said goodbye."""
        return self._connection.state is State.OPEN

    def flush_stale(self) -> None:
        """Send what has been waiting, while the main thread is in a task."""
        if self.results.waits() and self._lock.acquire(False):
            try:
                self.results.flush(during=True)
            finally:
                self._lock.release()
