"""What becomes of tasks: results and errors, from when they end until they are sent.

Small results of tasks that follow each other go together in one frame; what may change once
another task runs is packed at once. Whoever calls a method holds the worker's lock.
"""

from __future__ import annotations

import pickle
from time import perf_counter_ns
from typing import Any, Callable, Optional

from farm_common.errors import SerializationError
from farm_common.frames import Buffer, Flag, Kind, encode_frame
from farm_common.handshake import ClientHello
from farm_common.interpreter import shares_bytecode
from farm_common.memory import note
from farm_common.shipping import pack, pack_exception
from farm_common.shipping.exceptions import PackedException
from farm_common.stream import Stream

from .board import Slot
from .inbox import Inbox
from .lifeline import Lifeline
from .output import Output

__all__ = ["Results"]

_STATE = Slot.STATE


class Results:
    """Gathers what tasks gave, and sends it.

    Args:
        stream: The connection.
        client: What the client said of itself.
        words: The numbers of the worker's slot on the board.
        inbox: What comes over the connection.
        output: What becomes of what tasks print.

    Attributes:
        values: Small results of consecutive tasks, to be one frame. The worker puts them in by
            itself, with the next two, for a call would cost more than all the rest.
        first: The id of the task that gave the first of them.
        elapsed: How long these tasks took together, in ns.
        current: The id of the task that was started last.
        sent_at: When something was sent last, by `perf_counter_ns`.
        loose: Whether what was sent may still be needed as it was.
        lifeline: Brings the client back, if the session can go on without a connection.
        explain: Adds to an error what it may be due to.
    """

    def __init__(
        self,
        stream: Stream,
        client: ClientHello,
        words: Any,
        inbox: Inbox,
        output: Optional[Output],
    ) -> None:
        self.values: list[Any] = []
        self.first = 0
        self.elapsed = 0
        self.current = 0
        self.sent_at = perf_counter_ns()
        self.loose = False
        self.lifeline: Optional[Lifeline] = None
        self.explain: Optional[Callable[[BaseException], None]] = None
        self._stream = stream
        self._connection = stream.connection
        self._protocol = client.pickle
        self._frame_limit = client.frame_limit
        self._client_python = client.python[0], client.python[1]
        self._same_bytecode = shares_bytecode(client)
        self._words = words
        self._inbox = inbox
        self._output = output
        self._segments: list[Buffer] = []  # encoded frames to be sent

    # what is gathered

    def give(self, ident: int, value: Any, duration: int, count: int) -> None:
        """Gather a result that may change once another task runs: pack it now.

        Args:
            ident: The task's id.
            value: What it returned.
            duration: How long it took, in ns.
            count: How many tasks came in its frame; others may still have to run.
        """
        try:
            parcel = pack(value, self._protocol, "the result", self._same_bytecode)
            body, buffers, bytecode = parcel.body, parcel.buffers, parcel.bytecode
            size = len(body) + sum(map(len, buffers))
            if size > self._frame_limit:
                raise SerializationError(
                    f"the result has {size} bytes, and the client takes {self._frame_limit}"
                )
            if parcel.minimum > self._client_python:
                raise SerializationError(
                    f"the result holds {parcel.newest}, which is in the syntax of Python "
                    f"{'.'.join(map(str, parcel.minimum))}; the client runs an older one"
                )
        except BaseException as error:  # reducing it runs the user's code
            self.fail(ident, 1, error, duration, skip=99)
            return
        self._close_run()
        self._segments += self._connection.send(
            Kind.RESULT,
            body,
            flags=Flag.BYTECODE if bytecode else 0,
            count=1,
            micros=duration // 1000,
            ident=ident,
            buffers=buffers,
        )
        if buffers:
            self.flush()  # while they are as the task returned them
            self.loose = self.lifeline is not None
            if self.loose and count > 1:
                self.secure()
        note(size)

    def fail(self, ident: int, count: int, error: BaseException, duration: int, skip: int) -> None:
        """Gather the error of some consecutive tasks.

        Args:
            ident: The id of the first.
            count: How many they are.
            error: What was raised.
            duration: How long they took, in ns.
            skip: How many frames of the traceback are not theirs.
        """
        body, bytecode = self.pack_error(error, skip)
        self._close_run()
        self._segments += self._connection.send(
            Kind.ERROR,
            body,
            flags=Flag.BYTECODE if bytecode else 0,
            count=count,
            micros=duration // 1000,
            ident=ident,
        )

    def interrupted(self, ident: int, body: Buffer, duration: int) -> None:
        """Gather what is to be said of a task that was interrupted after so many ns."""
        self._close_run()
        self._segments += self._connection.send(
            Kind.ERROR, body, count=1, micros=duration // 1000, ident=ident
        )

    def pong(self, ident: int) -> None:
        """Gather the answer to a PING, which says that the tasks before it are done."""
        self._close_run()
        self._segments += self._connection.send(Kind.PONG, ident=ident)

    def pack_error(self, error: BaseException, skip: int) -> PackedException:
        """An error of a task, for the client."""
        if self.explain is not None:
            self.explain(error)
        return pack_exception(
            error, self._protocol, skip, bytecode=self._same_bytecode, limit=self._frame_limit
        )

    def _close_run(self) -> None:
        """Make one frame of the results gathered so far."""
        values = self.values
        if not values:
            return
        count = len(values)
        single = count == 1
        # All are small scalars, so there is nothing to look after.
        self._segments += encode_frame(
            Kind.RESULT,
            pickle.dumps(values[0] if single else values, self._protocol),
            flags=0 if single else Flag.BATCH,
            count=count,
            micros=self.elapsed // 1000,
            ident=self.first,
        )
        values.clear()
        self.elapsed = 0

    # what is sent

    def flush(self, during: bool = False) -> None:
        """Send what was gathered; a task may run `during` it."""
        if self.values:
            self._close_run()
        self.sent_at = perf_counter_ns()
        if self._output is not None and self._output.descriptors:
            # What a task printed precedes its result.
            self._segments[:0] = self._output.take(self._connection, self.current, during)
        lifeline = self.lifeline
        if lifeline is not None and lifeline.resumption.owing:
            self._segments += self._stream.acknowledgement()
        if self._segments:
            segments, self._segments = self._segments, []
            words = self._words
            if not during:
                words[_STATE] = Slot.SENDING
            try:
                self._stream.send(segments)
            except OSError:
                pass  # the client is gone, which reading will tell
            if lifeline is not None and self._stream.suspended and not during and lifeline.full:
                lifeline.wait()
            if not during:
                words[_STATE] = Slot.WORK

    def waits(self) -> bool:
        """Whether something was gathered or printed and not sent; without the lock."""
        output = self._output
        if output is not None and self.lifeline is not None:
            output.stalled = self.lifeline.full
        waiting = output is not None and output.waiting and not output.stalled
        return bool(waiting or self.values or self._segments)

    def secure(self) -> None:
        """Let tasks change again what others have returned: it may have to be sent once more."""
        self.loose = False
        assert self.lifeline is not None
        resumption = self.lifeline.resumption
        if resumption.loose:
            self._inbox.glance()  # perhaps the client has it
            if resumption.loose:
                with self._inbox.reading:
                    self._stream.secure()
