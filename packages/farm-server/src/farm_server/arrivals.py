"""The connections that have no session: they speak, wait for their turn, or are told why not.

::

    accepted -> its preamble is read -> waiting (for its turn) -> it has a session
                   |                       |        ^
                   |                       |        +--- held (until the session before is gone)
                closed: silent,         refused: busy, draining, another user;
                or no farm              closed, when that may have been read

One costs a descriptor, and no process.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Optional

from farm_common.deadline import Deadline
from farm_common.errors import IncompatibleVersionError, ProtocolError
from farm_common.greeting import HANDSHAKE_SECONDS
from farm_common.handshake import Refusal
from farm_common.peer import is_trusted, peer_name, peer_uid, user_name

from .arrival import Arrival
from .endpoint import Endpoint
from .limits import advice
from .loop import Loop
from .settings import Settings

__all__ = ["BUSY", "DRAINING", "Arrivals"]

log = logging.getLogger("farm.server")

#: How many connections may be without a session; the oldest leaves for the next.
ARRIVALS = 1000

#: How long a refused client has to read why.
_PARTING_SECONDS = 1.0
#: How long not to accept when there are no descriptors left.
_PAUSE = 0.2
#: How many connections to accept before looking at anything else.
_ACCEPT_BATCH = 64

BUSY = Refusal(
    "busy", "the server has as many connections as it may (--max-connections); try again later"
)
DRAINING = Refusal("draining", "the server takes no new connections: it is about to end")


class Arrivals:
    """Accepts connections, and has them until they have a session.

    Args:
        loop: Waits for them.
        endpoints: Where to listen; closed by it.
        settings: The server's.
        launch: Called when one waits for its turn.

    Attributes:
        endpoints: Those that are open.
        draining: Whether there are to be no more sessions.
    """

    def __init__(
        self,
        loop: Loop,
        endpoints: Sequence[Endpoint],
        settings: Settings,
        launch: Callable[[], None],
    ) -> None:
        self.endpoints = list(endpoints)
        self.draining = False
        self._loop = loop
        self._timers = loop.timers
        self._settings = settings
        self._launch = launch
        self._all: OrderedDict[Arrival, None] = OrderedDict()
        self._waiting: deque[Arrival] = deque()
        self._held: dict[bytes, list[Arrival]] = {}  # until the session they had is gone
        for endpoint in self.endpoints:
            self._listen(endpoint)

    def __iter__(self) -> Iterator[Arrival]:
        return iter(list(self._all))

    def close(self) -> None:
        """Close everything."""
        for endpoint in self.endpoints:
            endpoint.close()
        for arrival in self:
            self.drop(arrival)

    def drain(self) -> None:
        """Accept who is in the queue already, nobody else, and refuse all who wait."""
        for endpoint in list(self.endpoints):
            self._accept(endpoint)  # they are told, rather than cut
        self.draining = True
        for endpoint in self.endpoints:
            self._loop.ignore(endpoint.sock)
            endpoint.close()
        self.endpoints.clear()
        waiting = [*self._waiting, *(arrival for held in self._held.values() for arrival in held)]
        self._waiting.clear()
        self._held.clear()
        for arrival in waiting:
            self.refuse(arrival, DRAINING)

    # those who wait

    @property
    def waiting(self) -> bool:
        """Whether some wait for their turn."""
        return bool(self._waiting)

    def next(self) -> Arrival:
        """The one whose turn it is: the newest, see `farm_server.crowd`. It waits no more."""
        return self._waiting.pop()

    def hold(self, arrival: Arrival, session: bytes) -> None:
        """Have one wait until a session is gone."""
        self._held.setdefault(session, []).append(arrival)

    def release(self, session: bytes) -> None:
        """Have those wait for their turn who were held until this session was gone."""
        self._waiting.extend(self._held.pop(session, ()))

    def leave(self, arrival: Arrival) -> None:
        """Take note that one has a session, whose matter its socket is now."""
        assert arrival.timer is not None
        arrival.timer.cancel()
        del self._all[arrival]

    # those who go

    def refuse(self, arrival: Arrival, refusal: Refusal) -> None:
        """Tell one that waits no more why there will be no session, and close it a little later."""
        log.info("refused %s: %s", peer_name(arrival.sock), refusal.message)
        self._part(arrival, refusal)
        self._loop.add(arrival.sock, lambda _: self._read(arrival))

    def drop(self, arrival: Arrival) -> None:
        """Close one, if that was not done yet."""
        if arrival not in self._all:
            return
        del self._all[arrival]
        if arrival.timer is not None:
            arrival.timer.cancel()
        self._unqueue(arrival)
        self._loop.ignore(arrival.sock)
        arrival.sock.close()

    def _part(self, arrival: Arrival, refusal: Optional[Refusal]) -> None:
        assert arrival.timer is not None
        arrival.timer.cancel()
        arrival.refuse(refusal)
        arrival.timer = self._timers.after(_PARTING_SECONDS, lambda: self.drop(arrival))

    def _too_slow(self, arrival: Arrival) -> None:
        if arrival.preamble is None:
            log.info("closed %s: it said too little", peer_name(arrival.sock))
            self.drop(arrival)
            return
        self._unqueue(arrival)
        self.refuse(arrival, BUSY)

    def _unqueue(self, arrival: Arrival) -> None:
        for queue in (self._waiting, *self._held.values()):
            if arrival in queue:
                queue.remove(arrival)

    # those who come

    def _listen(self, endpoint: Endpoint) -> None:
        self._loop.add(endpoint.sock, lambda _: self._accept(endpoint))

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
                self._loop.ignore(endpoint.sock)
                self._timers.after(_PAUSE, lambda: self._resume(endpoint))
                return
            self._welcome(sock, endpoint.address.workers)

    def _resume(self, endpoint: Endpoint) -> None:
        if not self.draining:
            self._listen(endpoint)

    def _welcome(self, sock: socket.socket, workers: Optional[int]) -> None:
        sock.setblocking(False)
        if len(self._all) >= ARRIVALS:
            # A client of ours speaks at once: who has been silent longest is none, or lost.
            self.drop(next(iter(self._all)))
        arrival = Arrival(sock, workers, Deadline(HANDSHAKE_SECONDS), self._timers.clock())
        arrival.timer = self._timers.after(HANDSHAKE_SECONDS, lambda: self._too_slow(arrival))
        self._all[arrival] = None
        self._loop.add(sock, lambda _: self._read(arrival))

    def _read(self, arrival: Arrival) -> None:
        if arrival not in self._all:
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
            self.drop(arrival)
            return
        if complete:
            self._loop.ignore(arrival.sock)
            self._queue(arrival)

    def _queue(self, arrival: Arrival) -> None:
        if self.draining:
            self.refuse(arrival, DRAINING)
            return
        try:
            stranger = self._stranger(arrival)
        except OSError as error:
            log.info("closed a connection: %s", error)
            self.drop(arrival)
            return
        if stranger is not None:
            self.refuse(arrival, Refusal("auth", stranger))
            return
        self._waiting.append(arrival)
        self._launch()

    def _stranger(self, arrival: Arrival) -> Optional[str]:
        """Why the user at the other end may not come in, if so."""
        settings = self._settings
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
