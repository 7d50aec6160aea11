"""A connection before it has a session: it costs a descriptor, and nothing is forked for it."""

from __future__ import annotations

import socket
from typing import Optional

from farm_common.connection import Connection
from farm_common.deadline import Deadline
from farm_common.frames import Kind
from farm_common.handshake import (
    PREAMBLE_SIZE,
    Preamble,
    Refusal,
    check_magic,
    common_version,
)
from farm_common.states import Role

from .timers import Timer

__all__ = ["Arrival"]


class Arrival:
    """An accepted socket whose preamble is being read, without blocking.

    Attributes:
        sock: The socket.
        workers: How many workers its address asks for, if it says.
        deadline: For the whole handshake.
        began: When it was accepted.
        preamble: What the client said first, once it is complete.
        parting: Whether it was refused, and only waits for the client to have read why.
        timer: Ends it.
    """

    def __init__(
        self, sock: socket.socket, workers: Optional[int], deadline: Deadline, began: float
    ) -> None:
        self.sock = sock
        self.workers = workers
        self.deadline = deadline
        self.began = began
        self.start = b""
        self.preamble: Optional[Preamble] = None
        self.parting = False
        self.timer: Optional[Timer] = None

    def receive(self) -> bool:
        """Read on; not beyond the preamble: what follows is the session's.

        Returns:
            Whether the preamble is complete.

        Raises:
            BlockingIOError: There is nothing to read yet.
            EOFError, OSError: The client is gone.
            ProtocolError: It is no farm client.
            IncompatibleVersionError: It is one of another version.
        """
        if self.parting:
            if not self.sock.recv(4096):
                raise EOFError
            return False
        data = self.sock.recv(PREAMBLE_SIZE - len(self.start))
        if not data:
            raise EOFError("the client left without a word" if not self.start else "cut short")
        self.start += data
        check_magic(self.start)
        if len(self.start) < PREAMBLE_SIZE:
            return False
        preamble = Preamble.decode(self.start)
        common_version(preamble.versions)
        self.preamble = preamble
        return True

    def refuse(self, refusal: Optional[Refusal]) -> None:
        """Say why there will be no session, or only which versions this server speaks.

        The socket is left open for reading: closing it with bytes unread would take back what was
        sent.
        """
        self.parting = True
        answer = Preamble().encode()
        if refusal is not None:
            connection = Connection(Role.SERVER)
            connection.receive_data(self.start)
            answer = connection.send_preamble()
            answer += b"".join(connection.send(Kind.REFUSE, refusal.encode()))
        try:
            self.sock.send(answer)  # so short that a new socket always has room for it
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it did not wait for an answer
