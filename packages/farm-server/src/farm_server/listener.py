"""The parent process: accepts connections, starts a session for each, and takes note of its end.

One thread waits for everything at once and does nothing that could block. It runs no code of
users, so it can answer for workers that are stuck.

::

    accepted -> arrival (reads the preamble) -> waiting (for its turn) -> child (a session)
                   |                               |                         |
                closed: silent, or no farm      refused: busy,           ended: `exits`
                                                draining, another user

An arrival costs a descriptor. A session costs a process from its birth, so only some may be
unauthenticated at a time, as in sshd; the others wait for their turn, and `farm_server.crowd` sees
that it comes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import selectors
import signal
import socket
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Optional

from farm_common.deadline import Deadline
from farm_common.errors import IncompatibleVersionError, ProtocolError
from farm_common.handshake import NEW_SESSION, Refusal
from farm_common.peer import is_trusted, peer_name, peer_uid, user_name
from farm_common.stream import HANDSHAKE_SECONDS, is_silent, tune

from .__about__ import __version__
from .arrival import Arrival
from .board import Board, Slot
from .child import Child
from .crowd import Crowd
from .endpoint import Endpoint
from .exits import Exits, MemoryKills, describe
from .kills import Kills
from .limits import advice
from .orphans import Orphans, said_goodbye
from .overtime import Overtime
from .principal import LOCAL_USER, may_act_for, principal_of
from .processes import Processes
from .session import Birth, Closable, Work
from .settings import Settings
from .signals import Signals
from .timers import Timers

__all__ = ["Listener"]

log = logging.getLogger("farm.server")

#: How many sessions may be unauthenticated; the next wait.
UNAUTHENTICATED = 100

#: How many connections may be without a session; the oldest leaves for the next.
ARRIVALS = 1000

#: How long a refused client has to read why.
_PARTING_SECONDS = 1.0
#: How long a session may go on without its client: it is stuck in a task.
_HANGUP_SECONDS = 1.0
#: How long a session has to end when it is told to, by somebody who waits for that.
_REPLACED_SECONDS = 0.5
_END_SECONDS = 1.0
#: How long a killed process is waited for: it may hang in the kernel, on a dead file system.
_STUCK_SECONDS = 3.0
#: How often to look whether clients' machines are gone.
_WATCH_SECONDS = 5.0
#: How often to look for ended processes where no signal tells.
_TICK = 0.1
#: How long not to accept when there are no descriptors left.
_PAUSE = 0.2
#: How many connections to accept before looking at anything else.
_ACCEPT_BATCH = 64

#: Linux's number; PyPy does not name it.
_RDHUP = getattr(select, "EPOLLRDHUP", 0x2000)

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

_BUSY = "the server has as many connections as it may (--max-connections); try again later"
_DRAINING = "the server takes no new connections: it is about to end"


class Listener:
    """Serves until it has drained.

    Args:
        settings: The server's.
        endpoints: Where it listens; closed by it.
        work: Executes the tasks of a session.
        descriptors: The limits of descriptors that sessions get back.
        processes: Starts and ends processes.
        clock: Says what time it is, in seconds.
    """

    def __init__(
        self,
        settings: Settings,
        endpoints: Sequence[Endpoint],
        work: Work,
        *,
        descriptors: tuple[int, int],
        processes: Optional[Processes] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.server = os.urandom(8).hex()
        self.endpoints = list(endpoints)
        self.addresses = tuple(dict.fromkeys(str(end.address) for end in endpoints))
        self.exits = Exits()
        self.draining = False
        self.finished = False
        self.timers = Timers(clock)
        self._work = work
        self._descriptors = descriptors
        self._processes = Processes() if processes is None else processes
        self._clock = clock
        self._began = clock()
        self._board = Board(settings.max_connections + UNAUTHENTICATED)
        self._memory = MemoryKills()
        self._kills = Kills(self.timers, self._processes)
        self._overtime = Overtime(self.timers, self._kills)
        self._orphans = Orphans(
            self.timers,
            settings.grace,
            lambda child: self._end(child, _REPLACED_SECONDS),
            self._reconnect,
        )
        self._crowd = Crowd(self.timers, self._kill, self._launch)
        self._arrivals: OrderedDict[Arrival, None] = OrderedDict()
        self._waiting: deque[Arrival] = deque()
        self._held: dict[bytes, list[Arrival]] = {}  # until the session they had is gone
        self._children: dict[bytes, Child] = {}
        self._selector = selectors.DefaultSelector()
        # Nested in the selector, which cannot wait for hang-ups alone.
        self._hangups = select.epoll() if hasattr(select, "epoll") else None
        self._watched: dict[int, Child] = {}
        self._signals: Optional[Signals] = None
        self._forced = False
        if self._hangups is not None:
            self._selector.register(self._hangups, _READ, self._on_hangup)
        for endpoint in self.endpoints:
            self._listen(endpoint)
        if any(endpoint.address.kind == "tcp" for endpoint in self.endpoints):
            self._look_for_silence()

    # the loop

    def serve(self, signals: Signals) -> bool:
        """Serve until drained.

        Args:
            signals: SIGTERM and SIGINT drain; the second one ends.

        Returns:
            Whether all sessions ended by themselves.
        """
        self._signals = signals
        self._selector.register(signals, _READ, self._on_signal)
        if not signals.active:
            self._tick()
        try:
            while not self.finished:
                self.step()
        finally:
            self.close()
        return not self._forced

    def step(self) -> None:
        """Wait for something to happen, and do what follows from it."""
        for key, events in self._selector.select(self.timers.wait()):
            key.data(events)
        self.timers.run()

    def watch(self, descriptor: int, action: Callable[[], None]) -> None:
        """Call `action` when the other end of a pipe is closed; what is written there is lost."""

        def ready(_: int) -> None:
            if not os.read(descriptor, 1 << 12):
                self._selector.unregister(descriptor)
                action()

        try:
            self._selector.register(descriptor, _READ, ready)
        except PermissionError:  # a file or /dev/null, which is at its end already
            action()

    def drain(self) -> None:
        """Take no new connections, and finish when the last session has ended."""
        if self.draining:
            return
        log.info("draining: %d sessions in progress", self._sessions())
        for endpoint in list(self.endpoints):
            self._accept(endpoint)  # who is in the queue already is told, rather than cut
        self.draining = True
        for endpoint in self.endpoints:
            self._ignore(endpoint.sock)
            endpoint.close()
        self.endpoints.clear()
        self._orphans.expire_all()  # their clients cannot come back
        waiting = [*self._waiting, *(arrival for held in self._held.values() for arrival in held)]
        self._waiting.clear()
        self._held.clear()
        for arrival in waiting:
            self._refuse(arrival, Refusal("draining", _DRAINING))
        # Not now: who asked for it must be answered before it may be the last to be ended.
        self.timers.after(0, self._check_drained)

    def end(self) -> None:
        """Take no new connections, and end the sessions in progress."""
        self.drain()
        if self._forced or self.finished:
            return
        self._forced = any(child.role == "work" for child in self._children.values())
        if self._forced:
            log.warning("ending %d sessions in progress", self._sessions())
        for arrival in list(self._arrivals):
            self._drop(arrival)
        for child in list(self._children.values()):
            child.killed = True
            self._processes.kill(child.pid, signal.SIGTERM)
            self._end(child, _END_SECONDS)
        self.timers.after(_END_SECONDS + _STUCK_SECONDS, self._give_up)

    def close(self) -> None:
        """Close everything; the sessions that are left lose their parent, and end."""
        for endpoint in self.endpoints:
            endpoint.close()
        for arrival in list(self._arrivals):
            self._drop(arrival)
        for child in list(self._children.values()):
            self._processes.kill(child.pid, signal.SIGKILL)
            self._release(child)
        self._selector.close()
        if self._hangups is not None:
            self._hangups.close()

    def _ignore(self, sock: socket.socket) -> None:
        """Stop waiting for a socket, if it was waited for."""
        try:
            self._selector.unregister(sock)
        except (KeyError, ValueError):
            pass

    def _on_signal(self, _: int) -> None:
        assert self._signals is not None
        numbers = self._signals.collect()
        if signal.SIGCHLD in numbers:
            self._reap()
        for number in numbers:
            if number != signal.SIGCHLD:
                log.info("received signal %d", number)
                if self.draining:
                    self.end()
                else:
                    self.drain()

    def _tick(self) -> None:
        """Look for ended processes: in a thread there are no signals."""
        self._reap()
        if not self.finished:
            self.timers.after(_TICK, self._tick)

    def _check_drained(self) -> None:
        if not self.draining or self.finished:
            return
        if not self._children:
            self.finished = True
        elif all(child.role == "control" for child in self._children.values()):
            # Somebody who only watches does not keep a server that has nothing left to do.
            for child in list(self._children.values()):
                self._end(child, _END_SECONDS)

    def _give_up(self) -> None:
        if not self.finished:
            log.error("%d processes do not end", len(self._children))
            self.finished = True

    # arrivals

    def _listen(self, endpoint: Endpoint) -> None:
        self._selector.register(endpoint.sock, _READ, lambda _: self._accept(endpoint))

    def _accept(self, endpoint: Endpoint) -> None:
        for _ in range(_ACCEPT_BATCH):
            if self.draining:
                return
            try:
                sock, _address = endpoint.sock.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:
                # Out of descriptors: to try again at once would be all that this process does.
                log.error("cannot accept connections: %s", advice(error))
                self._selector.unregister(endpoint.sock)
                self.timers.after(_PAUSE, lambda: self._resume(endpoint))
                return
            self._welcome(sock, endpoint.address.workers)

    def _resume(self, endpoint: Endpoint) -> None:
        if not self.draining:
            self._listen(endpoint)

    def _welcome(self, sock: socket.socket, workers: Optional[int]) -> None:
        sock.setblocking(False)
        if len(self._arrivals) >= ARRIVALS:
            # A client of ours speaks at once: who has been silent longest is none, or lost.
            self._drop(next(iter(self._arrivals)))
        arrival = Arrival(sock, workers, Deadline(HANDSHAKE_SECONDS), self._clock())
        arrival.timer = self.timers.after(HANDSHAKE_SECONDS, lambda: self._too_slow(arrival))
        self._arrivals[arrival] = None
        self._selector.register(sock, _READ, lambda _: self._read(arrival))

    def _read(self, arrival: Arrival) -> None:
        if arrival not in self._arrivals:
            return
        try:
            complete = arrival.receive()
        except BlockingIOError:
            return
        except IncompatibleVersionError as error:
            log.info("refused %s: %s", peer_name(arrival.sock), error)
            self._part(arrival, None)
            return
        except (ProtocolError, EOFError, OSError) as error:
            log.info("closed %s: %s", peer_name(arrival.sock), error)
            self._drop(arrival)
            return
        if complete:
            self._ignore(arrival.sock)
            self._queue(arrival)

    def _queue(self, arrival: Arrival) -> None:
        if self.draining:
            self._refuse(arrival, Refusal("draining", _DRAINING))
            return
        try:
            stranger = self._stranger(arrival)
        except OSError as error:
            log.info("closed a connection: %s", error)
            self._drop(arrival)
            return
        if stranger is not None:
            self._refuse(arrival, Refusal("auth", stranger))
            return
        self._waiting.append(arrival)
        self._launch()

    def _stranger(self, arrival: Arrival) -> Optional[str]:
        """Why the user at the other end may not come in, if so."""
        settings = self.settings
        local = arrival.sock.family == socket.AF_UNIX
        if settings.local_users or (not local and (settings.authenticates or settings.insecure)):
            return None
        uid = peer_uid(arrival.sock)
        if uid is None or is_trusted(uid):
            return None
        return (
            f"this server serves user {user_name(os.geteuid())} only, and you are user "
            f"{user_name(uid)}: start a server of your own, or have this one started with "
            "--tls, or with --allow-local-users"
        )

    def _refuse(self, arrival: Arrival, refusal: Refusal) -> None:
        log.info("refused %s: %s", peer_name(arrival.sock), refusal.message)
        self._part(arrival, refusal)
        self._selector.register(arrival.sock, _READ, lambda _: self._read(arrival))

    def _part(self, arrival: Arrival, refusal: Optional[Refusal]) -> None:
        assert arrival.timer is not None
        arrival.timer.cancel()
        arrival.refuse(refusal)
        arrival.timer = self.timers.after(_PARTING_SECONDS, lambda: self._drop(arrival))

    def _too_slow(self, arrival: Arrival) -> None:
        if arrival.preamble is None:
            log.info("closed %s: it said too little", peer_name(arrival.sock))
            self._drop(arrival)
            return
        self._unqueue(arrival)
        self._refuse(arrival, Refusal("busy", _BUSY))

    def _unqueue(self, arrival: Arrival) -> None:
        for queue in (self._waiting, *self._held.values()):
            if arrival in queue:
                queue.remove(arrival)

    def _drop(self, arrival: Arrival) -> None:
        if arrival not in self._arrivals:
            return
        del self._arrivals[arrival]
        if arrival.timer is not None:
            arrival.timer.cancel()
        self._unqueue(arrival)
        self._ignore(arrival.sock)
        arrival.sock.close()

    # sessions

    def _sessions(self) -> int:
        return sum(child.role == "work" for child in self._children.values())

    def _launch(self) -> None:
        """Start sessions for those who wait, as far as there is room."""
        while self._waiting:
            unauthenticated = sum(child.role is None for child in self._children.values())
            if unauthenticated >= UNAUTHENTICATED:
                self._crowd.make_room(self._children.values())
                return
            arrival = self._waiting.pop()  # the newest; see `farm_server.crowd`
            assert arrival.preamble is not None
            before = self._children.get(arrival.preamble.session)
            if before is not None and before.resumes(arrival.preamble):
                self._offer(before, arrival)
            elif before is not None and not self.settings.authenticates:
                # Its client came back without it, so nobody wants what it still does. Where one
                # has to prove who one is, this has to wait for that: see `_admit`.
                self._held.setdefault(before.session, []).append(arrival)
                self._end(before, _REPLACED_SECONDS)
            elif len(self._children) >= self.settings.max_connections + UNAUTHENTICATED:
                self._refuse(arrival, Refusal("busy", _BUSY))
            else:
                self._start(arrival)

    def _offer(self, child: Child, arrival: Arrival) -> None:
        """Have a session go on over another connection of its client."""
        with contextlib.suppress(OSError):
            tune(arrival.sock)
        assert arrival.timer is not None
        arrival.timer.cancel()
        del self._arrivals[arrival]
        if not self._orphans.offer(child, arrival):
            arrival.sock.close()

    def _reconnect(self, child: Child, sock: socket.socket) -> None:
        """Take note that a session has another socket."""
        self._unwatch(child)
        child.sock.close()
        child.sock = sock
        self._watch(child)

    def _start(self, arrival: Arrival) -> None:
        assert arrival.preamble is not None
        session = os.urandom(len(NEW_SESSION))
        slot = self._board.take()
        try:
            pipe, parent = socket.socketpair()
        except OSError as error:
            self._cannot_start(arrival, slot, error)
            return
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
            workers=self.settings.advertised(arrival.workers),
            slot=slot,
            parent=parent,
            settings=self.settings,
            server=self.server,
            descriptors=self._descriptors,
            work=self._work,
        )
        try:
            pid = self._processes.fork(birth, self._foreign(arrival, pipe))
        except OSError as error:
            pipe.close()
            parent.close()
            self._cannot_start(arrival, slot, error)
            return
        parent.close()
        assert arrival.timer is not None
        arrival.timer.cancel()
        del self._arrivals[arrival]
        child = Child(pid, session, arrival.sock, pipe, slot, birth.peer, arrival.began)
        child.started = self._clock()
        child.follows = arrival.preamble.session
        self._children[session] = child
        self._selector.register(pipe, _READ, lambda events: self._converse(child, events))
        self._watch(child)
        remaining = arrival.deadline.remaining() or 0.0
        child.timers.append(
            self.timers.after(remaining + _END_SECONDS, lambda: self._check_admitted(child))
        )

    def _cannot_start(self, arrival: Arrival, slot: Slot, error: OSError) -> None:
        why = advice(error)
        log.error("cannot start a session: %s", why)
        self._board.give_back(slot)
        self._refuse(arrival, Refusal("busy", f"the server cannot start a process: {why}"))

    def _foreign(self, own: Arrival, pipe: socket.socket) -> Iterator[Closable]:
        """What is open here and not for a new session."""
        yield pipe
        for endpoint in self.endpoints:
            yield endpoint.sock  # not the endpoint: its file belongs to this process
        for arrival in self._arrivals:
            if arrival is not own:
                yield arrival.sock
        for child in self._children.values():
            yield child.sock
            yield child.pipe
            yield from child.offers.values()
        yield self._selector
        if self._hangups is not None:
            yield self._hangups
        if self._signals is not None:
            yield self._signals

    def _converse(self, child: Child, events: int) -> None:
        if child.session not in self._children:
            return
        if events & _WRITE and child.flush():
            self._selector.modify(child.pipe, _READ, self._selector.get_key(child.pipe).data)
        if not events & _READ:
            return
        requests = child.receive()
        if requests is None:
            # It is ending, or a task closed the descriptor: without a parent it must not go on.
            self._ignore(child.pipe)
            self._end(child, _END_SECONDS)
            self._poll(child)
            return
        for request in requests:
            reply = self._reply(child, request)
            if reply is not None:
                self._answer(child, reply)
        self._check_drained()

    def _answer(self, child: Child, reply: dict[str, Any]) -> None:
        if not child.answer(reply):
            key = self._selector.get_key(child.pipe)
            self._selector.modify(child.pipe, _READ | _WRITE, key.data)

    def _reply(self, child: Child, request: dict[str, Any]) -> Optional[dict[str, Any]]:
        ask = request.get("ask")
        if ask == "admit" and child.role is None:
            return self._admit(child, request)
        if ask == "status" and child.role == "control":
            return self.status()
        if ask == "drain" and child.role == "control":
            self.drain()
            return {"connections": self._sessions()}
        if ask == "kill" and child.role == "control":
            self._kill_tasks(child, request)
        if ask == "watch" and child.role == "work":
            self._overtime.watch(child)
        if ask == "orphaned" and child.resumable:
            self._orphan(child, request.get("why"))
        if ask == "resumed":
            self._orphans.resumed(child, request)
        if ask == "refused":
            self._orphans.refused(child, request)
        if ask == "failed":
            log.info("no session with %s: %s", child.peer, request.get("why"))
        return None

    def _kill_tasks(self, child: Child, request: dict[str, Any]) -> None:
        """Do what a KILL asks for: who names a session and has its principal may do it."""
        tasks, names = {}, {}
        for name, spans in request["sessions"].items():
            other = self._called(name, child)
            # Another's session is as one that is not there.
            if other is not None and other.role == "work" and may_act_for(child, other):
                tasks[other] = spans
                names[other.session.hex()] = name

        def answer(killed: dict[str, int]) -> None:
            if not child.ended and child.pipe.fileno() >= 0:
                found = {names[session]: task for session, task in killed.items()}
                self._answer(child, {"tasks": found})

        self._kills.request(tasks, request["dry_run"], answer)

    def _called(self, name: str, by: Child) -> Optional[Child]:
        """The session with an id, or a pid: these are no secret, so not for who is nobody."""
        if len(name) == 2 * len(by.session):
            return self._children.get(bytes.fromhex(name))
        if by.principal is None:
            return None
        return next((one for one in self._children.values() if str(one.pid) == name), None)

    def _admit(self, child: Child, request: dict[str, Any]) -> dict[str, Any]:
        role = str(request.get("role"))
        if role == "work":
            if self.draining:
                return {"refuse": "draining", "message": _DRAINING}
            served = sum(c.role == "work" and not c.expired for c in self._children.values())
            if served >= self.settings.max_connections and not self._orphans.give_way():
                return {"refuse": "busy", "message": _BUSY}
            child.resumable = request.get("resumable") is True
        child.role = role
        child.principal = principal_of(request.get("principal"))
        child.kernel = str(request.get("kernel"))
        child.index = int(request.get("index", -1))
        if child.principal is not None and child.principal.mechanism != LOCAL_USER:
            child.peer = f"{child.peer} {child.principal}"
        log.info("process %d serves %s for %s", child.pid, child.peer, child.kernel or role)
        before = self._children.get(child.follows)
        if before is not None and role == "work" and may_act_for(child, before):
            self._end(before, _REPLACED_SECONDS)
        self._launch()
        return {"admitted": True}

    def _check_admitted(self, child: Child) -> None:
        if child.role is None:
            log.info("no session with %s: it took too long", child.peer)
            self._kill(child)

    def _on_hangup(self, _: int) -> None:
        assert self._hangups is not None
        for descriptor, _events in self._hangups.poll(0):
            child = self._watched.pop(descriptor, None)
            if child is None:
                continue
            self._hangups.unregister(descriptor)
            if child.resumable and not child.ending and not said_goodbye(child.sock):
                self._orphan(child)
            else:
                child.timers.append(
                    self.timers.after(_HANGUP_SECONDS, lambda child=child: self._kill(child))  # type: ignore[misc]
                )

    def _look_for_silence(self) -> None:
        """Cut the connections to machines that are gone, so that sessions find out."""
        for child in self._children.values():
            if is_silent(child.sock):
                log.info("%s does not acknowledge what it is sent", child.peer)
                with contextlib.suppress(OSError):
                    child.sock.shutdown(socket.SHUT_RDWR)
        self.timers.after(_WATCH_SECONDS, self._look_for_silence)

    def _orphan(self, child: Child, why: object = "the client hung up") -> None:
        """Let a session go on without a connection, if its client can come back."""
        self._orphans.add(child, why)
        if self.draining:
            self._orphans.expire_all()

    def _watch(self, child: Child) -> None:
        """Wait for the end of a session's connection."""
        if self._hangups is not None:
            self._hangups.register(child.sock, _RDHUP)
            self._watched[child.sock.fileno()] = child

    def _unwatch(self, child: Child) -> None:
        descriptor = child.sock.fileno()
        if self._watched.pop(descriptor, None) is not None and self._hangups is not None:
            # Explicitly: what a task started may have the socket, and epoll would keep it too.
            self._hangups.unregister(descriptor)

    def _end(self, child: Child, seconds: float) -> None:
        """Tell a session to end, and see that it does."""
        if child.ending:
            return
        child.ending = True
        try:
            child.pipe.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has closed its end
        child.timers.append(self.timers.after(seconds, lambda: self._kill(child)))

    def _kill(self, child: Child) -> None:
        if child.session in self._children:
            child.killed = True
            self._processes.kill(child.pid, signal.SIGKILL)

    def _reap(self) -> None:
        for child in list(self._children.values()):
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
            verdict=self._kills.ended(child),
        )
        child.ended = True
        if ending["signal"] != "SIGKILL":
            ending["memory"] = None
        if child.expired:
            ending["expired"] = True
        self.exits.record(child.session, ending)
        self._on_hangup(0)
        left = self._hangups is not None and child.sock.fileno() not in self._watched
        quiet = child.ending or child.killed or left or status == 0
        log.log(
            logging.INFO if quiet else logging.WARNING,
            "process %d of %s ended: %s",
            child.pid,
            child.peer,
            ending["signal"] or f"exit status {ending['status']}",
        )
        del self._children[child.session]
        self._release(child)
        self._board.give_back(child.slot)
        for arrival in self._held.pop(child.session, ()):
            self._waiting.append(arrival)
        self._launch()
        self._check_drained()

    def _release(self, child: Child) -> None:
        for timer in child.timers:
            timer.cancel()
        self._orphans.remove(child)
        self._unwatch(child)
        self._ignore(child.pipe)
        child.pipe.close()
        try:
            child.sock.shutdown(socket.SHUT_RDWR)  # likewise: the client must see the end now
        except OSError:
            pass  # the client has gone
        child.sock.close()

    # what it says of itself

    def status(self) -> dict[str, Any]:
        """What STATUS_REPLY holds."""
        now = self._clock()
        settings = self.settings
        return {
            "server": self.server,
            "name": settings.name,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": __version__,
            "python": interpreter_name(),
            "uptime": now - self._began,
            "draining": self.draining,
            "addresses": list(self.addresses),
            "workers": settings.advertised(),
            "max_connections": settings.max_connections,
            "tags": list(settings.tags),
            "sessions": [
                child.status(now) for child in self._children.values() if child.role == "work"
            ],
        }


def interpreter_name() -> str:
    """This interpreter in two words, for people."""
    return f"{sys.implementation.name} {'.'.join(map(str, sys.version_info[:3]))}"
