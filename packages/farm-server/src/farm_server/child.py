"""One session, seen by the parent: its process, its client's socket, and their conversation."""

from __future__ import annotations

import array
import json
import socket
from time import perf_counter_ns
from typing import Any, Optional

from farm_common.handshake import NEW_SESSION, Preamble
from farm_common.security import PeerIdentity

from .board import Slot
from .timers import Timer

__all__ = ["Child"]

#: The longest line that a session may send: they are short, and tasks could write there too. One
#: for control runs no tasks, and what it is asked may be long.
_LINE_LIMIT = 64 * 1024
_CONTROL_LIMIT = 16 << 20


class Child:
    """What the parent knows of one session.

    Attributes:
        pid: The process.
        session: The session's id.
        sock: The client's socket; the parent only watches and closes it.
        pipe: The parent's end of the socket pair.
        slot: Where the process writes what it does.
        peer: The client, for logs and tables.
        began: When the connection was accepted, by the listener's clock.
        started: When the process was.
        role: ``"work"`` or ``"control"``; None until the client was admitted.
        principal: Whom the session belongs to; see `farm_server.principal`.
        kernel: The name of the client's kernel.
        index: The worker's index in it.
        follows: The id of the session that its client had before; zeros if none.
        ending: Whether it was told to end.
        killed: Whether the parent sent SIGKILL.
        ended: Whether it is gone; then the slot is another's.
        resumable: Whether it goes on for a while when its connection is lost.
        orphaned: Since when there has been no connection; None while there is one.
        expired: Whether it was ended because there was none for too long.
        program: What it was found to execute in place of a worker, if anything.
        offers: The new connections of its client that it has not taken or refused yet.
        timers: To be cancelled when it is gone.
    """

    def __init__(
        self,
        pid: int,
        session: bytes,
        sock: socket.socket,
        pipe: socket.socket,
        slot: Slot,
        peer: str,
        began: float,
    ) -> None:
        self.pid = pid
        self.session = session
        self.sock = sock
        self.pipe = pipe
        self.slot = slot
        self.peer = peer
        self.began = self.started = began
        self.role: Optional[str] = None
        self.principal: Optional[PeerIdentity] = None
        self.kernel = ""
        self.index = -1
        self.follows = NEW_SESSION
        self.ending = False
        self.killed = False
        self.ended = False
        self.resumable = False
        self.orphaned: Optional[float] = None
        self.expired = False
        self.program: Optional[str] = None
        self.offers: dict[int, socket.socket] = {}
        self.timers: list[Timer] = []
        self._offered = 0
        self._inbox = b""
        self._outbox = b""

    def receive(self) -> Optional[list[dict[str, Any]]]:
        """Read what it says.

        Returns:
            Whole requests, or None when it closed its end or writes nonsense.
        """
        try:
            data = self.pipe.recv(1 << 16)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        *lines, self._inbox = (self._inbox + data).split(b"\n")
        if len(self._inbox) > (_CONTROL_LIMIT if self.role == "control" else _LINE_LIMIT):
            return None
        try:
            requests = [json.loads(line) for line in lines]
        except ValueError:
            return None
        return requests if all(isinstance(request, dict) for request in requests) else None

    def answer(self, reply: dict[str, Any]) -> bool:
        """Send one line; return whether it is written, else call `flush` when it can be."""
        self._outbox += json.dumps(reply).encode() + b"\n"
        return self.flush()

    def flush(self) -> bool:
        """Write what could not be written; return whether nothing is left."""
        while self._outbox:
            try:
                sent = self.pipe.send(self._outbox)
            except BlockingIOError:
                return False
            except OSError:
                self._outbox = b""  # it is gone, which reading will tell
                return True
            self._outbox = self._outbox[sent:]
        return True

    def resumes(self, preamble: Preamble) -> bool:
        """Whether it goes on over the connection that began with this preamble."""
        return preamble.resume and self.resumable and not self.ending

    def offer(self, sock: socket.socket, start: bytes) -> Optional[int]:
        """Pass a new connection of its client on.

        Args:
            sock: The connection; this process keeps it, too, until that is taken or refused.
            start: What was read from it.

        Returns:
            The number of the offer; None when it cannot take in any more of them.
        """
        number = self._offered + 1
        line = json.dumps({"resume": number, "start": start.hex()}).encode() + b"\n"
        descriptor = array.array("i", [sock.fileno()])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptor)]
        try:
            if self._outbox or self.pipe.sendmsg([line], rights) < len(line):
                return None
        except OSError:
            return None
        self._offered = number
        self.offers[number] = sock
        return number

    @property
    def task(self) -> Optional[int]:
        """The id of the task that it executes."""
        return self.slot.words[Slot.TASK] - 1 if self.slot.words[Slot.TASK] else None

    def state(self) -> str:
        """What its worker does, in one word."""
        if self.ending:
            return "ending"
        if self.orphaned is not None:
            return "orphaned"
        return "idle" if self.task is None else "busy"

    def status(self, now: float) -> dict[str, Any]:
        """What STATUS_REPLY says of it."""
        words = self.slot.words
        task, started, busy = self.task, words[Slot.STARTED], words[Slot.BUSY]
        if task is not None and started:
            busy += max(0, perf_counter_ns() - started)
        return {
            "pid": self.pid,
            "kernel": self.kernel,
            "index": self.index,
            "peer": self.peer,
            "state": self.state(),
            "task": task,
            "category": self.slot.category if task is not None else None,
            "tasks_done": words[Slot.DONE],
            "busy": busy / 1e9,
            "age": now - self.began,
        }
