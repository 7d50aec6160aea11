"""The parent process: who arrives gets a session, and what sessions ask for is answered.

One thread waits for everything at once and does nothing that could block. It runs no code of
users, so it can answer for workers that are stuck.

::

    `arrivals` -> their turn -> `children` -> `exits`
        ^                          |
        +------ comes back --------+

A session costs a process from its birth, so only some may be unauthenticated at a time, as in
sshd; the others wait for their turn, and `farm_server.crowd` sees that it comes.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Optional

from farm_common.handshake import Refusal

from .__about__ import __version__
from .arrival import Arrival
from .arrivals import BUSY, DRAINING, Arrivals
from .child import Child
from .children import END_SECONDS, STUCK_SECONDS, Children
from .crowd import Crowd
from .endpoint import Endpoint
from .limits import advice
from .loop import Loop
from .principal import LOCAL_USER, may_act_for, principal_of
from .processes import Processes
from .session import Closable, Work
from .settings import Settings
from .signals import Signals

__all__ = ["Listener"]

log = logging.getLogger("farm.server")

#: How many sessions may be unauthenticated; the next wait.
UNAUTHENTICATED = 100

#: How often to look for ended processes where no signal tells.
_TICK = 0.1


class Listener:
    """Serves until it has drained.

    Args:
        settings: The server's.
        endpoints: Where it listens; closed by it.
        work: Executes the tasks of a session.
        descriptors: The limits of descriptors that sessions get back.
        processes: Starts and ends processes.
        clock: Says what time it is, in seconds.

    Attributes:
        addresses: Where it listens, as text.
        arrivals: The connections without a session.
        children: The sessions.
        finished: Whether it has drained.
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
        self.addresses = tuple(dict.fromkeys(str(end.address) for end in endpoints))
        self.finished = False
        self._clock = clock
        self._began = clock()
        self._loop = Loop(clock)
        self.timers = self._loop.timers
        self.arrivals = Arrivals(self._loop, endpoints, settings, self._launch)
        self.children = Children(
            self._loop,
            settings,
            server=self.server,
            work=work,
            descriptors=descriptors,
            slots=settings.max_connections + UNAUTHENTICATED,
            processes=Processes() if processes is None else processes,
            heard=self._heard,
            ended=self._ended,
        )
        self._crowd = Crowd(self.timers, self.children.kill, self._launch)
        self._signals: Optional[Signals] = None
        self._forced = False
        if any(endpoint.address.kind == "tcp" for endpoint in endpoints):
            self.children.look_for_silence()

    @property
    def draining(self) -> bool:
        """Whether it takes no new connections."""
        return self.arrivals.draining

    # the loop

    def serve(self, signals: Signals) -> bool:
        """Serve until drained.

        Args:
            signals: SIGTERM and SIGINT drain; the second one ends.

        Returns:
            Whether all sessions ended by themselves.
        """
        self._signals = signals
        self._loop.add(signals, self._on_signal)
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
        self._loop.step()

    def watch(self, descriptor: int, action: Callable[[], None]) -> None:
        """Call `action` when the other end of a pipe is closed; what is written there is lost."""
        self._loop.watch(descriptor, action)

    def drain(self) -> None:
        """Take no new connections, and finish when the last session has ended."""
        if self.draining:
            return
        log.info("draining: %d sessions in progress", self.children.count("work"))
        self.arrivals.drain()
        self.children.orphans.close()  # their clients cannot come back
        # Not now: who asked for it must be answered before it may be the last to be ended.
        self.timers.after(0, self._check_drained)

    def end(self) -> None:
        """Take no new connections, and end the sessions in progress."""
        self.drain()
        if self._forced or self.finished:
            return
        sessions = self.children.count("work")
        self._forced = sessions > 0
        if self._forced:
            log.warning("ending %d sessions in progress", sessions)
        for arrival in self.arrivals:
            self.arrivals.drop(arrival)
        self.children.terminate()
        self.timers.after(END_SECONDS + STUCK_SECONDS, self._give_up)

    def close(self) -> None:
        """Close everything; the sessions that are left lose their parent, and end."""
        self.arrivals.close()
        self.children.close()
        self._loop.close()

    def _on_signal(self, _: int) -> None:
        assert self._signals is not None
        numbers = self._signals.collect()
        if signal.SIGCHLD in numbers:
            self.children.reap()
        for number in numbers:
            if number != signal.SIGCHLD:
                log.info("received signal %d", number)
                if self.draining:
                    self.end()
                else:
                    self.drain()

    def _tick(self) -> None:
        """Look for ended processes: in a thread there are no signals."""
        self.children.reap()
        if not self.finished:
            self.timers.after(_TICK, self._tick)

    def _check_drained(self) -> None:
        if not self.draining or self.finished:
            return
        if not self.children:
            self.finished = True
        elif all(child.role == "control" for child in self.children):
            # Somebody who only watches does not keep a server that has nothing left to do.
            for child in self.children:
                self.children.end(child, END_SECONDS)

    def _give_up(self) -> None:
        if not self.finished:
            log.error("%d processes do not end", len(self.children))
            self.finished = True

    # from arrivals to sessions

    def _launch(self) -> None:
        """Start sessions for those who wait, as far as there is room."""
        arrivals, children = self.arrivals, self.children
        while arrivals.waiting:
            if children.count(None) >= UNAUTHENTICATED:
                self._crowd.make_room(children)
                return
            arrival = arrivals.next()
            assert arrival.preamble is not None
            before = children.get(arrival.preamble.session)
            if before is not None and before.resumes(arrival.preamble):
                arrivals.leave(arrival)
                children.offer(before, arrival)
            elif before is not None and not self.settings.authenticates:
                # Its client came back without it, so nobody wants what it still does. Where one
                # has to prove who one is, this has to wait for that: see `_admit`.
                arrivals.hold(arrival, before.session)
                children.replace(before)
            elif children.full:
                arrivals.refuse(arrival, BUSY)
            else:
                self._start(arrival)

    def _start(self, arrival: Arrival) -> None:
        error = self.children.start(arrival, self._foreign(arrival))
        if error is None:
            self.arrivals.leave(arrival)
            return
        why = advice(error)
        log.error("cannot start a session: %s", why)
        self.arrivals.refuse(arrival, Refusal("busy", f"the server cannot start a process: {why}"))

    def _foreign(self, own: Arrival) -> Iterator[Closable]:
        """What is open here and not for the session of one who arrived."""
        for endpoint in self.arrivals.endpoints:
            yield endpoint.sock  # not the endpoint: its file belongs to this process
        for arrival in self.arrivals:
            if arrival is not own:
                yield arrival.sock
        yield self._loop
        if self._signals is not None:
            yield self._signals

    def _ended(self, child: Child) -> None:
        """Do what had to wait for the end of a session."""
        self.arrivals.release(child.session)
        self._launch()
        self._check_drained()

    # what sessions ask for

    def _heard(self, child: Child, requests: list[dict[str, Any]]) -> None:
        for request in requests:
            reply = self._reply(child, request)
            if reply is not None:
                self.children.answer(child, reply)
        self._check_drained()

    def _reply(self, child: Child, request: dict[str, Any]) -> Optional[dict[str, Any]]:
        ask = request.get("ask")
        if ask == "admit" and child.role is None:
            return self._admit(child, request)
        if ask == "status" and child.role == "control":
            return self.status()
        if ask == "drain" and child.role == "control":
            self.drain()
            return {"connections": self.children.count("work")}
        if ask == "kill" and child.role == "control":
            self._kill_tasks(child, request)
        if ask == "watch" and child.role == "work":
            self.children.overtime.watch(child)
        if ask == "orphaned" and child.resumable:
            self.children.orphans.add(child, request.get("why"))
        if ask == "resumed":
            self.children.orphans.resumed(child, request)
        if ask == "refused":
            self.children.orphans.refused(child, request)
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
                self.children.answer(child, {"tasks": found})

        self.children.kills.request(tasks, request["dry_run"], answer)

    def _called(self, name: str, by: Child) -> Optional[Child]:
        """The session with an id, or a pid: these are no secret, so not for who is nobody."""
        if len(name) == 2 * len(by.session):
            return self.children.get(bytes.fromhex(name))
        if by.principal is None:
            return None
        return next((one for one in self.children if str(one.pid) == name), None)

    def _admit(self, child: Child, request: dict[str, Any]) -> dict[str, Any]:
        role = str(request.get("role"))
        if role == "work":
            if self.draining:
                return {"refuse": DRAINING.reason, "message": DRAINING.message}
            served = sum(c.role == "work" and not c.expired for c in self.children)
            full = served >= self.settings.max_connections
            if full and not self.children.orphans.give_way():
                return {"refuse": BUSY.reason, "message": BUSY.message}
            child.resumable = request.get("resumable") is True
        child.role = role
        child.principal = principal_of(request.get("principal"))
        child.kernel = str(request.get("kernel"))
        child.index = int(request.get("index", -1))
        if child.principal is not None and child.principal.mechanism != LOCAL_USER:
            child.peer = f"{child.peer} {child.principal}"
        log.info("process %d serves %s for %s", child.pid, child.peer, child.kernel or role)
        before = self.children.get(child.follows)
        if before is not None and role == "work" and may_act_for(child, before):
            self.children.replace(before)
        self._launch()
        return {"admitted": True}

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
            "sessions": [child.status(now) for child in self.children if child.role == "work"],
        }


def interpreter_name() -> str:
    """This interpreter in two words, for people."""
    return f"{sys.implementation.name} {'.'.join(map(str, sys.version_info[:3]))}"
