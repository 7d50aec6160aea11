"""A session of an administrator: answers questions about the server and starts its end."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Any

from farm_common.connection import Happening
from farm_common.errors import FarmError, ProtocolError
from farm_common.frames import Frame, Kind
from farm_common.handshake import encode_json
from farm_common.kills import pack_killed, unpack_kill, unpack_leave
from farm_common.states import State
from farm_common.stream import Stream

__all__ = ["serve"]

#: How long a client may take to read one answer.
_SEND_SECONDS = 10.0


def serve(stream: Stream, parent: socket.socket, ask: Callable[..., dict[str, Any]]) -> None:
    """Answer until the client leaves or the parent ends.

    Args:
        stream: The connection.
        parent: Readable when the parent has gone.
        ask: Asks the parent, see `farm_server.session`.
    """
    # It waits for two sockets, and what came with the handshake is in neither of them.
    stream.sock.setblocking(False)
    poll = select.poll()
    poll.register(stream.sock, select.POLLIN)
    poll.register(parent, select.POLLIN)
    gone = {parent.fileno()}
    try:
        while stream.connection.state is State.OPEN:
            try:
                happenings = stream.receive()
            except BlockingIOError:
                if gone & {descriptor for descriptor, _ in poll.poll()}:
                    return
                continue
            for happening in happenings:
                _answer(stream, happening, ask)
    except (FarmError, OSError, EOFError):
        pass  # either side is gone, or speaks nonsense
    finally:
        stream.close()


def _answer(stream: Stream, happening: Happening, ask: Callable[..., dict[str, Any]]) -> None:
    if not isinstance(happening, Frame):
        raise ProtocolError("a frame too large for a control connection")
    if happening.kind == Kind.PING:
        _send(stream, Kind.PONG, b"", happening.ident)
    elif happening.kind == Kind.STATUS:
        _send(stream, Kind.STATUS_REPLY, encode_json(ask("status")), happening.ident)
    elif happening.kind == Kind.DRAIN:
        _send(stream, Kind.DRAINING, encode_json(ask("drain")), happening.ident)
    elif happening.kind == Kind.KILL:
        sessions, dry_run = unpack_kill(happening.body)
        answer = ask("kill", sessions=sessions, dry_run=dry_run)
        _send(stream, Kind.KILLED, pack_killed(answer["tasks"]), happening.ident)
    elif happening.kind == Kind.LEAVE:
        ask("leave", sessions=unpack_leave(happening.body))  # its client does not wait for it
    elif happening.kind not in (Kind.PONG, Kind.GOODBYE):
        raise ProtocolError(f"a {happening.name} frame in a connection for control")


def _send(stream: Stream, kind: int, body: bytes, ident: int) -> None:
    written = stream.send(stream.connection.send(kind, body, ident=ident))
    poll = select.poll()
    poll.register(stream.sock, select.POLLOUT)
    while not written:
        if not poll.poll(_SEND_SECONDS * 1000):
            raise TimeoutError("the client does not read its answer")
        written = stream.flush()
