"""The sessions, seen by the parent: each is started, heard, told to end, and its end noted.

What they ask for is not decided here, but by whoever listens to them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Optional

from farm_common.handshake import NEW_SESSION
from farm_common.peer import peer_name
from farm_common.sockets import is_silent, tune

from .arrival import Arrival
from .board import Board, Slot
from .child import Child
from .exits import Exits, MemoryKills, describe
from .hangups import Hangups
from .kills import Kills
from .loop import READ, WRITE, Loop
from .orphans import Orphans, said_goodbye
from .overtime import Overtime
from .processes import Processes
from .session import Birth, Closable, Work
from .settings import Settings

__all__ = ["END_SECONDS", "STUCK_SECONDS", "Children"]

log = logging.getLogger("farm.server")

#: How long a session may go on without its client: it is stuck in a task.
_HANGUP_SECONDS = 1.0
#: How long a session has to end when it is told to, by somebody who waits for that.
_REPLACED_SECONDS = 0.5
END_SECONDS = 1.0
#: How long a killed process is waited for: it may hang in the kernel, on a dead file system.
STUCK_SECONDS = 3.0
#: How often to look whether clients' machines are gone.
_WATCH_SECONDS = 5.0


class Children:
    """All sessions that run.

    Args:
        loop: Waits for what they say.
        settings: The server's.
        server: The server's id.
        work: Executes the tasks of a session.
        descriptors: The limits of descriptors that sessions get back.
        slots: How many there may be at a time.
        processes: Starts and ends processes.
        heard: Called with what a session says, whole requests.
        ended: Called with a session that is gone.

    Attributes:
        exits: How sessions ended.
        kills: Ends tasks that are to be killed.
        overtime: Ends tasks whose time is over.
        orphans: Those without a connection.
    """

    def __init__(
        self,
        loop: Loop,
        settings: Settings,
        *,
        server: str,
        work: Work,
        descriptors: tuple[int, int],
        slots: int,
        processes: Processes,
        heard: Callable[[Child, list[dict[str, Any]]], None],
        ended: Callable[[Child], None],
    ) -> None:
        timers = loop.timers
        self.exits = Exits()
        self.kills = Kills(timers, processes)
        self.overtime = Overtime(timers, self.kills)
        self.orphans = Orphans(timers, settings.grace, self.replace, self._reconnect)
        self._loop = loop
        self._timers = timers
        self._settings = settings
        self._server = server
        self._work = work
        self._descriptors = descriptors
        self._board = Board(slots)
        self._slots = slots
        self._processes = processes
        self._heard = heard
        self._gone = ended
        self._memory = MemoryKills()
        self._hangups = Hangups(loop, self._hung_up)
        self._all: dict[bytes, Child] = {}

    # which there are

    def __iter__(self) -> Iterator[Child]:
        """All, the oldest first."""
        return iter(list(self._all.values()))

    def __len__(self) -> int:
        return len(self._all)

    def get(self, session: bytes) -> Optional[Child]:
        """The session with this id, if it runs."""
        return self._all.get(session)

    @property
    def full(self) -> bool:
        """Whether there is room for no more."""
        return len(self._all) >= self._slots

    def count(self, role: Optional[str]) -> int:
        """How many have this role; None for those that were not admitted yet."""
        return sum(child.role == role for child in self._all.values())

    # their beginning

    def start(self, arrival: Arrival, foreign: Iterable[Closable]) -> Optional[OSError]:
        """Start a session for one who has arrived.

        Args:
            arrival: The connection, whose preamble is complete.
            foreign: What is open elsewhere and not for a session.

        Returns:
            None if it has been started, else why the system has no room for it.
        """
        assert arrival.preamble is not None
        session = os.urandom(len(NEW_SESSION))
        slot = self._board.take()
        try:
            pipe, parent = socket.socketpair()
        except OSError as error:
            self._board.give_back(slot)
            return error
        try:
            tune(arrival.sock)
        except OSError:
            pass  # the client is gone already, which reading will tell
        pipe.setblocking(False)
        birth = Birth(
            sock=arrival.sock,
            start=arrival.start,
            deadline=arrival.deadline,
            session=session,
            lost=self.exits.get(arrival.preamble.session),
            peer=peer_name(arrival.sock),
            workers=self._settings.advertised(arrival.workers),
            slot=slot,
            parent=parent,
            settings=self._settings,
            server=self._server,
            descriptors=self._descriptors,
            work=self._work,
        )
        try:
            pid = self._processes.fork(birth, self._foreign(pipe, foreign))
        except OSError as error:
            pipe.close()
            parent.close()
            self._board.give_back(slot)
            return error
        parent.close()
        child = Child(pid, session, arrival.sock, pipe, slot, birth.peer, arrival.began)
        child.started = self._timers.clock()
        child.follows = arrival.preamble.session
        self._all[session] = child
        self._loop.add(pipe, lambda events: self._converse(child, events))
        self._hangups.watch(child)
        remaining = arrival.deadline.remaining() or 0.0
        child.timers.append(
            self._timers.after(remaining + END_SECONDS, lambda: self._check_admitted(child))
        )
        return None

    def _foreign(self, pipe: socket.socket, others: Iterable[Closable]) -> Iterator[Closable]:
        """What is open here and not for a new session."""
        yield pipe
        for child in self._all.values():
            yield child.sock
            yield child.pipe
            yield from child.offers.values()
        yield self._hangups
        yield from others

    def _check_admitted(self, child: Child) -> None:
        if child.role is None:
            log.info("no session with %s: it took too long", child.peer)
            self.kill(child)

    # their words

    def _converse(self, child: Child, events: int) -> None:
        if child.session not in self._all:
            return
        if events & WRITE and child.flush():
            self._loop.ask(child.pipe, write=False)
        if not events & READ:
            return
        requests = child.receive()
        if requests is None:
            # It is ending, or a task closed the descriptor: without a parent it must not go on.
            self._loop.ignore(child.pipe)
            self.end(child, END_SECONDS)
            self._poll(child)
            return
        self._heard(child, requests)

    def answer(self, child: Child, reply: dict[str, Any]) -> None:
        """Tell a session something."""
        if not child.answer(reply):
            self._loop.ask(child.pipe, write=True)

    # their connections

    def offer(self, child: Child, arrival: Arrival) -> None:
        """Have a session go on over another connection of its client."""
        with contextlib.suppress(OSError):
            tune(arrival.sock)
        if not self.orphans.offer(child, arrival):
            arrival.sock.close()

    def _reconnect(self, child: Child, sock: socket.socket) -> None:
        """Take note that a session has another socket."""
        self._hangups.unwatch(child)
        child.sock.close()
        child.sock = sock
        self._hangups.watch(child)

    def _hung_up(self, child: Child) -> None:
        if child.resumable and not child.ending and not said_goodbye(child.sock):
            self.orphans.add(child)
        else:
            child.timers.append(self._timers.after(_HANGUP_SECONDS, lambda: self.kill(child)))

    def look_for_silence(self) -> None:
        """Cut the connections to machines that are gone, so that sessions find out; for ever."""
        for child in self._all.values():
            if is_silent(child.sock):
                log.info("%s does not acknowledge what it is sent", child.peer)
                with contextlib.suppress(OSError):
                    child.sock.shutdown(socket.SHUT_RDWR)
        self._timers.after(_WATCH_SECONDS, self.look_for_silence)

    # their end

    def end(self, child: Child, seconds: float) -> None:
        """Tell a session to end, and see that it does."""
        if child.ending:
            return
        child.ending = True
        try:
            child.pipe.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has closed its end
        child.timers.append(self._timers.after(seconds, lambda: self.kill(child)))

    def replace(self, child: Child) -> None:
        """End a session that nobody wants any more, soon: another waits for its place."""
        self.end(child, _REPLACED_SECONDS)

    def terminate(self) -> None:
        """End all, tasks that run included."""
        for child in self:
            child.killed = True
            self._processes.kill(child.pid, signal.SIGTERM)
            self.end(child, END_SECONDS)

    def kill(self, child: Child) -> None:
        """End a session at once, if it runs."""
        if child.session in self._all:
            child.killed = True
            self._processes.kill(child.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill all, and close what belongs to them."""
        for child in self:
            self._processes.kill(child.pid, signal.SIGKILL)
            self._release(child)
        self._hangups.close()

    def reap(self) -> None:
        """Take note of those that have ended."""
        for child in self:
            self._poll(child)

    def _poll(self, child: Child) -> None:
        status = self._processes.poll(child.pid)
        if status is not None:
            self._ended(child, status)

    def _ended(self, child: Child, status: int) -> None:
        ending = describe(
            status,
            task=child.task,
            done=child.slot.words[Slot.DONE],
            memory=self._memory.rose() and not child.killed,
            verdict=self.kills.ended(child),
        )
        child.ended = True
        if ending["signal"] != "SIGKILL":
            ending["memory"] = None
        if child.expired:
            ending["expired"] = True
        self.exits.record(child.session, ending)
        self._hangups.look()
        quiet = child.ending or child.killed or self._hangups.saw(child) or status == 0
        log.log(
            logging.INFO if quiet else logging.WARNING,
            "process %d of %s ended: %s",
            child.pid,
            child.peer,
            ending["signal"] or f"exit status {ending['status']}",
        )
        del self._all[child.session]
        self._release(child)
        self._board.give_back(child.slot)
        self._gone(child)

    def _release(self, child: Child) -> None:
        for timer in child.timers:
            timer.cancel()
        self.orphans.remove(child)
        self._hangups.unwatch(child)
        self._loop.ignore(child.pipe)
        child.pipe.close()
        try:
            child.sock.shutdown(socket.SHUT_RDWR)  # likewise: the client must see the end now
        except OSError:
            pass  # the client has gone
        child.sock.close()
