"""The second thread of a worker: looks after it while the first runs the user's code."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Optional

from farm_common.memory import trim
from farm_common.stream import Stream

from .descriptors import raise_descriptor
from .inbox import Inbox
from .interrupter import SIGNAL
from .output import Output

if TYPE_CHECKING:
    from .worker import Worker

__all__ = ["Monitor"]

#: How often the monitor looks while tasks run, in ms, and how many looks at an idle worker it
#: takes before it sleeps until it is woken.
_TICK = 5
_IDLE_TICKS = 20

#: How often it looks, in ms, whether the client has acknowledged large results: their memory is to
#: be given back, and nothing tells when it is free.
_UNTIL_FREE = 250

#: POLLRDHUP is 0x2000 on Linux, where PyPy does not name it.
_HANGUP = getattr(select, "POLLRDHUP", 0x2000 if sys.platform == "linux" else select.POLLHUP)


class Monitor(threading.Thread):
    """Looks after the worker while its main thread cannot.

    While tasks run it looks every few milliseconds, and reads what the client sends if a task waits
    for that (see `inbox`). When the worker has been idle for a while it
    sleeps in the kernel until the main thread or one of the peers wakes it.
    """

    def __init__(
        self, worker: Worker, stream: Stream, inbox: Inbox, parent: socket.socket, output: Output
    ) -> None:
        super().__init__(name="farm-monitor", daemon=True)
        self.idle = False
        self._worker = worker
        self._inbox = inbox
        self._lifeline = inbox.lifeline
        self._listening = False  # for what can be read, besides the end
        self._gone = False  # the client, and nobody watches for its end any more
        self._found = False  # it is back
        self._asleep = False
        self._parent = parent.fileno()
        self._client = stream.fileno()
        self._bell, self._ring = map(raise_descriptor, os.pipe())
        self._poll = select.poll()
        self._poll.register(self._parent, _HANGUP | (select.POLLIN if self._lifeline else 0))
        self._poll.register(self._client, _HANGUP)
        self._poll.register(self._bell, select.POLLIN)
        for descriptor in output.descriptors:
            self._poll.register(descriptor, select.POLLIN)
        self._output = output

    def wake(self) -> None:
        """Say that there is work; for the main thread."""
        self.idle = False
        if self._asleep:
            os.write(self._ring, b"!")

    def call(self) -> None:
        """Say that somebody waits for an answer of the client."""
        os.write(self._ring, b"!")

    def watch_again(self) -> None:
        """Say that there is a connection again, on the descriptor of the last."""
        self._found = True
        os.write(self._ring, b"!")

    def run(self) -> None:
        """Look, until the process ends."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})  # it is to wake the main thread
        idle_ticks = 0
        while True:
            idle_ticks = idle_ticks + 1 if self.idle else 0
            self._asleep = idle_ticks > _IDLE_TICKS
            # The main thread sets `idle` to False and then looks at `_asleep`, this one sets
            # `_asleep` and then looks at `idle`: one of them sees the other.
            timeout: Optional[int] = _TICK if not self._asleep or not self.idle else None
            if timeout is None:
                if self._holding:
                    timeout = _UNTIL_FREE
                else:
                    trim()
            self._listen(not self.idle and self._inbox.wanted)
            for descriptor, events in self._poll.poll(timeout):
                if descriptor == self._bell:
                    os.read(self._bell, 64)
                elif descriptor == self._client and events == select.POLLIN:
                    self._inbox.help()
                elif descriptor == self._parent and events == select.POLLIN and self._lifeline:
                    if not self._lifeline.collect():
                        os._exit(1)
                elif descriptor == self._client and self._lifeline:
                    self._poll.unregister(descriptor)
                    self._gone = True
                elif descriptor in (self._parent, self._client):
                    if self._worker.running or descriptor == self._parent:
                        os._exit(1)  # nobody wants the result of what runs
                    self._poll.unregister(descriptor)  # the main thread reads the rest
                    self._gone = True
                elif not self._output.collect(descriptor):
                    self._poll.unregister(descriptor)
            if self._asleep:
                self._asleep = False
                idle_ticks = 0
            if self._lifeline and (self._gone or self._found):
                self._look_for_client()
            self._worker.flush_stale()

    @property
    def _holding(self) -> bool:
        """Whether large results are kept until the client has them."""
        lifeline = self._lifeline
        return lifeline is not None and lifeline.resumption.large

    def _look_for_client(self) -> None:
        """Find out whether the client went for good, was lost, or is back."""
        if self._found:
            self._found = False
            if self._gone:
                self._gone = self._listening = False
                self._poll.register(self._client, _HANGUP)
        if self._gone and self._worker.running:
            self._inbox.exhaust()  # otherwise the main thread reads
            if not self._worker.is_open():
                os._exit(1)  # it said goodbye: nobody wants the result of what runs

    def _listen(self, listening: bool) -> None:
        """Wake when the client has sent something, or no longer so."""
        if listening is not self._listening and not self._gone:
            self._listening = listening
            self._poll.modify(self._client, _HANGUP | (select.POLLIN if listening else 0))
