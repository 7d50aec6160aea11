"""One session, seen from inside: what a forked process does from its birth to its end.

The parent forks and calls `live`, which never returns. The process puts distance between itself
and the parent, does the handshake, asks the parent to be admitted, and then serves: tasks in
`farm_server.worker`, requests of administrators in `farm_server.control`.

To the parent it talks in lines of JSON over a socket pair. A request is answered by one line::

    {"ask": "admit", "role": ..., "kernel": ..., "index": ..., "peer": ..., "resumable": ...,
     "principal": [mechanism, name] or null}
        {"admitted": true}  or  {"refuse": "busy" | "draining" | "role", "message": ...}
    {"ask": "status"}                   what STATUS_REPLY holds
    {"ask": "drain"}                    {"connections": how many for work there are}
    {"ask": "kill", "sessions": ..., "dry_run": ...}
                                        {"tasks": ...}, as KILL and KILLED have them
    {"ask": "leave", "sessions": ...}   {"left": how many were told to end}
    {"ask": "watch"}                    no answer: tasks come whose time is limited
    {"ask": "failed", "why": ...}       no answer: the process is about to end
    {"ask": "orphaned", "why": ...}     no answer: the connection is lost, the session goes on
    {"ask": "resumed", "number": ...}   no answer: it has the connection of that number
    {"ask": "refused", "number": ..., "why": ...}   no answer: it does not want that one

By itself the parent says only one thing, together with the socket in question::

    {"resume": the number of a connection, "start": what was read from it, in hexadecimal}

The parent closes its end to say that the session must end; so does its death.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Optional, Protocol, Union

from farm_common.deadline import Deadline
from farm_common.errors import AuthError, FarmError, ProtocolError
from farm_common.greeting import HANDSHAKE_SECONDS, server_handshake
from farm_common.handshake import ClientHello, Preamble, Refusal, ServerHello
from farm_common.interpreter import FEATURES, hello_fields
from farm_common.resumption import FEATURE as RESUME
from farm_common.security import Layer, PeerIdentity
from farm_common.stream import Stream

from . import control
from .board import Slot
from .descriptors import raise_descriptor
from .exits import Ending
from .lifeline import Lifeline
from .limits import frame_limit, limit_memory, restore_descriptors
from .principal import principal
from .settings import Settings
from .signals import HANDLED

__all__ = ["Birth", "Closable", "Work", "ask", "live", "tell"]

log = logging.getLogger("farm.server")

#: Executes the tasks of a connection until its client leaves; `farm_server.worker.run`.
Work = Callable[[Stream, ClientHello, Slot, socket.socket, Optional[Lifeline]], None]

#: How long the parent may take to answer: it may be forking hundreds of other sessions.
_PARENT_SECONDS = 30.0

_LINE_LIMIT = 16 << 20


class Closable(Protocol):
    """What the parent has open and a session must not keep."""

    def close(self) -> None:
        """Close the descriptors in this process."""


class Birth(NamedTuple):
    """What the parent gives a new session.

    Attributes:
        sock: The client's socket.
        start: What was read from it: the preamble.
        deadline: For the handshake, counted since the connection was accepted.
        session: The session's id.
        lost: How the session ended that the client had before.
        peer: The client, for logs and tables.
        workers: How many connections to ask for.
        slot: Where to write what it does.
        parent: This process's end of the socket pair.
        settings: The server's.
        server: The server's id.
        descriptors: The limits to have again.
        work: Executes tasks.
    """

    sock: socket.socket
    start: bytes
    deadline: Deadline
    session: bytes
    lost: Optional[Ending]
    peer: str
    workers: int
    slot: Slot
    parent: socket.socket
    settings: Settings
    server: str
    descriptors: tuple[int, int]
    work: Work


def live(birth: Birth, foreign: Iterable[Closable]) -> None:
    """Be a session. Never returns: the parent's code must not go on in two processes.

    Args:
        birth: What the parent gives it.
        foreign: What is open and the parent's, or another session's.
    """
    status = 1
    try:
        # Its sockets stay open until the end of the process, so they belong to this function:
        # with another's they would go first, and with a warning where that is wanted.
        birth = _leave_home(birth, foreign)
        status = _live(birth)
    except BaseException:  # it must not get into the parent's loop
        log.exception("a session of %s broke down", birth.peer)
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:  # they may be closed, or something of a task's own, which may raise anything
            os._exit(status)


def _live(birth: Birth) -> int:
    limit = frame_limit(birth.settings.memory_limit)
    if birth.settings.memory_limit is not None:
        limit_memory(birth.settings.memory_limit)
    identity = _Identity()
    identities: list[Optional[PeerIdentity]] = []
    try:
        stream, client = server_handshake(
            birth.sock,
            birth.start,
            birth.settings.auths,
            lambda hello, _: identity.keep(_greet(birth, hello, limit, identities[0])),
            birth.deadline,
            limit,
            meet=identities.append,
            check=identity.check,
        )
    except (FarmError, OSError, EOFError) as error:
        tell(birth.parent, {"ask": "failed", "why": str(error) or type(error).__name__})
        return 0
    if client.role == "control":
        birth.slot.words[Slot.STATE] = Slot.CONTROL
        control.serve(
            stream, birth.parent, lambda what, **more: ask(birth.parent, {"ask": what, **more})
        )
        return 0
    birth.slot.words[Slot.STATE] = Slot.WORK
    lifeline: Optional[Lifeline] = None
    if _resumable(birth.settings, client):
        stream.outlive()
        lifeline = Lifeline(
            stream,
            birth.parent,
            lambda sock, start, take_over: _return(birth, identity, sock, start, take_over),
            lambda message: tell(birth.parent, message),
        )
    try:
        birth.work(stream, client, birth.slot, birth.parent, lifeline)
    except (FarmError, OSError, EOFError) as error:
        log.warning("the session of %s broke: %s", birth.peer, error)
        return 1
    stream.close()
    return 0


class _Identity:
    """What a session's two sides are, and must be again when the client comes back."""

    def __init__(self) -> None:
        self.hello: Optional[ServerHello] = None
        self._client: Optional[tuple[str, Optional[str]]] = None

    def keep(self, answer: Union[ServerHello, Refusal]) -> Union[ServerHello, Refusal]:
        """Take note of what the server says of itself."""
        if isinstance(answer, ServerHello):
            self.hello = answer
        return answer

    def check(self, mechanism: str, layer: Layer) -> None:
        """Take note of who the client is, or raise `AuthError` if it was another before."""
        client = mechanism, layer.peer
        if self._client is None:
            self._client = client
        elif client != self._client:
            raise AuthError("the session that you want to go on with is not yours")


def _resumable(settings: Settings, client: ClientHello) -> bool:
    return settings.grace > 0 and client.role == "work" and RESUME in client.features


def _return(
    birth: Birth,
    identity: _Identity,
    sock: socket.socket,
    start: bytes,
    take_over: Callable[[ClientHello], int],
) -> Stream:
    """Greet a client that comes back; see `lifeline`."""
    hello = identity.hello
    assert hello is not None

    def greet(client: ClientHello, _: Preamble) -> Union[ServerHello, Refusal]:
        try:
            return replace(hello, lost=None, received=take_over(client))
        except ProtocolError as error:
            return Refusal("session", f"the session cannot go on: {error}")

    stream, _ = server_handshake(
        sock,
        start,
        birth.settings.auths,
        greet,
        Deadline(HANDSHAKE_SECONDS),
        hello.frame_limit,
        session=birth.session,
        check=identity.check,
    )
    return stream


def _leave_home(birth: Birth, foreign: Iterable[Closable]) -> Birth:
    """Give up what is the parent's, and keep the rest out of the way of tasks."""
    # A session of its own: the parent can end it together with what its tasks start, and Ctrl-C
    # at a terminal reaches the parent only.
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    for thing in foreign:
        thing.close()
    nothing = os.open(os.devnull, os.O_RDONLY)
    if nothing != 0:
        os.dup2(nothing, 0)
        os.close(nothing)
    restore_descriptors(birth.descriptors)
    sock, parent = _raised(birth.sock), _raised(birth.parent)
    sock.setblocking(True)
    parent.setblocking(True)
    return birth._replace(sock=sock, parent=parent)


def _raised(sock: socket.socket) -> socket.socket:
    family, kind = sock.family, sock.type
    return socket.socket(family, kind, fileno=raise_descriptor(sock.detach()))


def _greet(
    birth: Birth, client: ClientHello, limit: int, peer: Optional[PeerIdentity]
) -> Union[ServerHello, Refusal]:
    if client.role not in ("work", "control"):
        return Refusal("role", f"this server knows the roles work and control, not {client.role!r}")
    answer = ask(
        birth.parent,
        {
            "ask": "admit",
            "role": client.role,
            "kernel": client.name,
            "index": client.index,
            "peer": birth.peer,
            "resumable": _resumable(birth.settings, client),
            "principal": principal(birth.sock, peer),
        },
    )
    if "refuse" in answer:
        return Refusal(answer["refuse"], answer["message"])
    settings = birth.settings
    fields = hello_fields(limit)
    if settings.grace > 0:
        fields["features"] = (*FEATURES, RESUME)
    return ServerHello(
        **fields,
        grace=round(settings.grace * 1000),
        server=birth.server,
        name=settings.name,
        host=socket.gethostname(),
        pid=os.getpid(),
        workers=birth.workers,
        tags=settings.tags,
        session=birth.session.hex(),
        lost=birth.lost,
    )


# the way to the parent


def ask(parent: socket.socket, request: Mapping[str, Any]) -> dict[str, Any]:
    """Send the parent a request and wait for its answer.

    Raises:
        ConnectionError: The parent is gone, or wants this session to end.
        TimeoutError: It did not answer in time.
    """
    tell(parent, request)
    parts = []
    size = 0
    parent.settimeout(_PARENT_SECONDS)
    try:
        while size < _LINE_LIMIT:
            part = parent.recv(1 << 16)
            if not part:
                break
            parts.append(part)
            size += len(part)
            if part.endswith(b"\n"):
                answer: dict[str, Any] = json.loads(b"".join(parts))
                return answer
    except socket.timeout:  # not a TimeoutError before 3.10
        raise TimeoutError("the server's parent process does not answer") from None
    finally:
        parent.settimeout(None)
    raise ConnectionError("the server is ending")


def tell(parent: socket.socket, request: Mapping[str, Any]) -> None:
    """Send the parent a request that has no answer.

    Raises:
        ConnectionError: The parent is gone.
    """
    try:
        parent.sendall(json.dumps(request).encode() + b"\n")
    except OSError:
        raise ConnectionError("the server is ending") from None
