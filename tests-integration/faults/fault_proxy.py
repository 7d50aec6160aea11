"""A proxy between clients and a server that does to connections what networks do to them.

One thread of its own moves the bytes. What is to go wrong is said for each direction by a `Fault`,
at any time; what is random in it depends on the seed, the number of the connection and the position
of a byte, and never on the time or on how the bytes came in pieces. So a run can be repeated.
"""

from __future__ import annotations

import contextlib
import os
import random
import selectors
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Callable, Optional

__all__ = ["BOUND", "Fault", "FaultProxy"]

#: How long anything here may take that should take no time, in seconds.
BOUND = 10.0

_CHUNK = 1 << 16

#: How many bytes of a direction the proxy holds; then it reads no more.
_HELD = 1 << 18

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

#: SO_LINGER on, for no time: closing sends a reset.
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Fault:
    """What happens to the bytes of one direction.

    Attributes:
        delay: How many seconds each byte is under way.
        jitter: Up to how many more, by chance; bytes keep their order.
        rate: How many bytes pass in a second; None: as many as come.
        piece: How many bytes are passed on at once; None: as many as there are.
        flip: The chance of each byte to have one of its bits flipped.
        flip_at: The byte of each connection, counted from 0, that has a bit flipped for certain.
        after: After so many bytes of a connection `then` happens to it; for 0, when one comes.
        then: ``"cut"``, ``"reset"`` or ``"vanish"``, as the methods of `FaultProxy`.
    """

    delay: float = 0.0
    jitter: float = 0.0
    rate: Optional[float] = None
    piece: Optional[int] = None
    flip: float = 0.0
    flip_at: Optional[int] = None
    after: Optional[int] = None
    then: str = "cut"


class _Way:
    """One direction of one connection."""

    def __init__(self, source: socket.socket, target: socket.socket, chance: random.Random) -> None:
        self.source = source
        self.target = target
        self.chance = chance
        self.bits = random.Random(chance.random())
        self.held: deque[tuple[float, memoryview]] = deque()  # and when each may be passed on
        self.size = 0
        self.came = 0
        self.passed = 0
        self.ended = False  # the source is at its end
        self.told = False  # and the target knows
        self.due = 0.0  # when the last that came may be passed on
        self.ready = 0.0  # when the rate lets the next pass
        self.flaw = -1  # the next byte to be flipped, where that is drawn; -1: not drawn yet

    def take(self, data: bytes, fault: Fault, now: float) -> None:
        """Hold what came."""
        spoilt = self._flip(bytearray(data), fault)
        delay = fault.delay + (fault.jitter * self.chance.random() if fault.jitter else 0.0)
        self.due = max(self.due, now + delay)
        self.held.append((self.due, memoryview(spoilt)))
        self.size += len(spoilt)
        self.came += len(spoilt)

    def _flip(self, data: bytearray, fault: Fault) -> bytearray:
        end = self.came + len(data)
        spots = [fault.flip_at] if fault.flip_at is not None else []
        if fault.flip:
            if self.flaw < self.came:
                self.flaw = self.came + int(self.bits.expovariate(fault.flip))
            while self.flaw < end:
                spots.append(self.flaw)
                self.flaw += 1 + int(self.bits.expovariate(fault.flip))
        for spot in spots:
            if self.came <= spot < end:
                data[spot - self.came] ^= 1 << self.bits.randrange(8)
        return data

    def next(self, fault: Fault) -> Optional[float]:
        """When something can be passed on, or None."""
        return max(self.held[0][0], self.ready) if self.held else None

    def give(self, fault: Fault, now: float) -> None:
        """Pass on what may be.

        Raises:
            OSError: The target takes no more, for now or for good.
        """
        while self.held and self.held[0][0] <= now and self.ready <= now:
            due, data = self.held[0]
            most = len(data) if fault.piece is None else min(len(data), fault.piece)
            if fault.rate is not None:
                most = min(most, max(1, int(fault.rate / 100)))
            if fault.after is not None:
                most = min(most, fault.after - self.passed)
                if most <= 0:
                    return
            sent = self.target.send(data[:most])
            self.passed += sent
            self.size -= sent
            if sent == len(data):
                self.held.popleft()
            else:
                self.held[0] = (due, data[sent:])
            if fault.rate is not None:
                self.ready = now + sent / fault.rate
            if fault.piece is not None:
                return  # the next piece has a turn of its own

    def full(self, fault: Fault) -> bool:
        """Whether as many bytes were passed on as may be, and one at least came."""
        return fault.after is not None and self.came > 0 and self.passed >= fault.after


class _Link:
    """A connection of a client, and its connection to the server."""

    def __init__(self, number: int, seed: int, client: socket.socket, server: socket.socket):
        self.number = number
        self.client = client
        self.server = server
        self.up = _Way(client, server, random.Random(f"{seed}/{number}/up"))
        self.down = _Way(server, client, random.Random(f"{seed}/{number}/down"))
        self.vanished = False
        self.closed = False


class FaultProxy:
    """Passes bytes between clients and a server, as faithfully as it is told to.

    Args:
        server: Where the server listens: ``"host:port"`` or ``"unix:///path"``.
        seed: What chance depends on.
        path: The path of a Unix socket to listen on, in place of a TCP port.

    Attributes:
        address: For clients.
        connections: How many were made.
    """

    def __init__(self, server: str, seed: int = 0, path: Optional[str] = None) -> None:
        self._server = server
        self._seed = seed
        self._path = path
        self._port = 0
        self._up = self._down = Fault()
        self._arrivals = "pass"
        self._paused = False
        self._links: list[_Link] = []
        self._mute: list[socket.socket] = []
        self.connections = 0
        self._gone = {"up": 0, "down": 0}
        self._orders: deque[tuple[Callable[[], Any], threading.Event]] = deque()
        self._selector = selectors.DefaultSelector()
        self._masks: dict[socket.socket, int] = {}
        self._ear, self._hand = socket.socketpair()
        self._ear.setblocking(False)
        self._selector.register(self._ear, _READ)
        self._listener: Optional[socket.socket] = None
        self._listen()
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where clients connect to."""
        return f"unix://{self._path}" if self._path else f"127.0.0.1:{self._port}"

    # what may be ordered

    def up(self, **what: Any) -> None:
        """From now on have a `Fault` happen to what goes to the server."""
        self._order(lambda: setattr(self, "_up", Fault(**what)))

    def down(self, **what: Any) -> None:
        """From now on have a `Fault` happen to what comes from the server."""
        self._order(lambda: setattr(self, "_down", Fault(**what)))

    def both(self, **what: Any) -> None:
        """From now on have the same happen in both directions."""
        self.up(**what)
        self.down(**what)

    def heal(self) -> None:
        """From now on nothing is to happen; who was ignored is reset, what vanished stays so."""

        def act() -> None:
            self._up = self._down = Fault()
            self._paused = False
            while self._mute:
                _break(self._mute.pop())

        self._order(act)
        self.accept()

    def cut(self) -> int:
        """End all connections, in order, as a proxy does that restarts; return how many."""
        return self._each(lambda link: self._close(link, reset=False))

    def reset(self) -> int:
        """Break all connections, as a firewall does that lost its table; return how many."""
        return self._each(lambda link: self._close(link, reset=True))

    def vanish(self) -> int:
        """Never pass anything on again on all connections, nor their end; return how many."""
        return self._each(self._vanish)

    def pause(self) -> None:
        """Hold everything, until `go`."""
        self._order(lambda: setattr(self, "_paused", True))

    def go(self) -> None:
        """Go on after `pause`: nothing is lost."""
        self._order(lambda: setattr(self, "_paused", False))

    def refuse(self) -> None:
        """Have new connections refused, until `accept`."""
        self._order(self._deafen)

    def ignore(self) -> None:
        """Accept new connections and say nothing on them, until `accept`."""
        self.accept("ignore")

    def slam(self) -> None:
        """Accept new connections and reset them, until `accept`."""
        self.accept("slam")

    def accept(self, how: str = "pass") -> None:
        """Take new connections again, at the same address."""

        def act() -> None:
            self._arrivals = how
            if self._listener is None:
                self._listen()

        self._order(act)

    def passed(self) -> tuple[int, int]:
        """How many bytes were passed on to the server, and from it."""

        def act() -> tuple[int, int]:
            up = self._gone["up"] + sum(link.up.passed for link in self._links)
            return up, self._gone["down"] + sum(link.down.passed for link in self._links)

        return self._order(act)  # type: ignore[no-any-return]

    @property
    def open(self) -> int:
        """How many connections there are, those included that vanished."""
        return len(self._links)

    def close(self) -> None:
        """Break everything, for good; twice is no error."""
        if self._thread.is_alive():
            self._order(lambda: setattr(self, "_stop", True))
            self._thread.join(BOUND)

    def __enter__(self) -> FaultProxy:  # noqa: PYI034
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # the thread

    def _order(self, act: Callable[[], Any]) -> Any:
        """Have the thread do something, and wait until it has."""
        results: list[Any] = []
        event = threading.Event()
        self._orders.append((lambda: results.append(act()), event))
        with contextlib.suppress(OSError):
            self._hand.send(b"!")
        assert event.wait(BOUND), "the proxy has ended"
        return results[0]

    def _each(self, act: Callable[[_Link], None]) -> int:
        def act_() -> int:
            links = [link for link in self._links if not link.vanished]
            for link in links:
                act(link)
            return len(links)

        return int(self._order(act_))

    def _run(self) -> None:
        while not self._stop:
            for key, mask in self._selector.select(self._wait()):
                if key.fileobj is self._ear:
                    self._ear.recv(_CHUNK)
                elif key.data is None:
                    self._welcome()
                else:
                    self._serve(key.data, key.fileobj, mask)
            while self._orders:
                act, event = self._orders.popleft()
                act()
                event.set()
            self._push()
        self._deafen()
        for link in list(self._links):
            self._close(link, reset=False)
        for sock in (*self._mute, self._ear, self._hand):
            sock.close()
        self._selector.close()

    def _wait(self) -> Optional[float]:
        """How long to sleep, and watch for what is of use in the meantime."""
        now, soonest = time.monotonic(), None
        for link in self._links:
            masks = {link.client: 0, link.server: 0}
            for way, fault in ((link.up, self._up), (link.down, self._down)):
                if self._paused or link.vanished:
                    continue
                if not way.ended and way.size < _HELD:
                    masks[way.source] |= _READ
                due = way.next(fault)
                if due is not None and due <= now:
                    masks[way.target] |= _WRITE
                elif due is not None:
                    soonest = due if soonest is None else min(soonest, due)
            for sock, mask in masks.items():
                self._watch(sock, mask, link)
        return None if soonest is None else max(0.0, soonest - now)

    def _watch(self, sock: socket.socket, mask: int, link: _Link) -> None:
        before = self._masks.get(sock, 0)
        if mask == before:
            return
        if not before:
            self._selector.register(sock, mask, link)
        elif mask:
            self._selector.modify(sock, mask, link)
        else:
            self._selector.unregister(sock)
        self._masks[sock] = mask

    def _serve(self, link: _Link, sock: Any, mask: int) -> None:
        if link.closed or link.vanished:
            return
        mine, other = (link.up, link.down) if sock is link.client else (link.down, link.up)
        fault, others = (self._up, self._down) if mine is link.up else (self._down, self._up)
        try:
            if mask & _READ and not mine.ended:
                data = sock.recv(_CHUNK)
                if data:
                    mine.take(data, fault, time.monotonic())
                else:
                    mine.ended = True
            if mask & _WRITE:
                other.give(others, time.monotonic())
        except BlockingIOError:
            pass
        except OSError:
            self._close(link, reset=True)

    def _push(self) -> None:
        """Do what follows from how much was passed on."""
        for link in list(self._links):
            if link.vanished:
                continue
            for way, fault in ((link.up, self._up), (link.down, self._down)):
                if way.full(fault) and not link.closed:
                    self._happen(link, fault.then)
                elif way.ended and not way.held and not way.told and not self._paused:
                    way.told = True
                    with contextlib.suppress(OSError):
                        way.target.shutdown(socket.SHUT_WR)
            if link.up.told and link.down.told and not link.closed:
                self._close(link, reset=False)

    def _happen(self, link: _Link, what: str) -> None:
        if what == "vanish":
            self._vanish(link)
        else:
            self._close(link, reset=what == "reset")

    def _vanish(self, link: _Link) -> None:
        link.vanished = True
        link.up.held.clear()
        link.down.held.clear()

    def _close(self, link: _Link, reset: bool) -> None:
        if link.closed:
            return
        link.closed = True
        self._links.remove(link)
        self._gone["up"] += link.up.passed
        self._gone["down"] += link.down.passed
        for sock in (link.client, link.server):
            self._watch(sock, 0, link)
            self._masks.pop(sock, None)
            if reset:
                _break(sock)
            sock.close()

    # connections

    def _listen(self) -> None:
        if self._path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(self._path)
        else:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self._port))
            self._port = listener.getsockname()[1]
        listener.listen(1024)
        listener.setblocking(False)
        self._listener = listener
        self._selector.register(listener, _READ)

    def _deafen(self) -> None:
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def _welcome(self) -> None:
        if self._listener is None:
            return
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        self.connections += 1
        if self._arrivals == "ignore":
            self._mute.append(client)
        elif self._arrivals == "slam":
            _break(client)
        else:
            self._join(client)

    def _join(self, client: socket.socket) -> None:
        try:
            server = _dial(self._server)
        except OSError:
            client.close()  # as near to a refusal as it gets
            return
        for sock in (client, server):
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._links.append(_Link(self.connections, self._seed, client, server))


def _break(sock: socket.socket) -> None:
    """Close a socket so that the other end has an error, where there is such a thing."""
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


def _dial(address: str) -> socket.socket:
    if address.startswith("unix://"):
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(BOUND)
            sock.connect(address[len("unix://") :])
        except BaseException:
            sock.close()
            raise
        return sock
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), BOUND)
