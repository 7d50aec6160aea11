"""One connection to a server for questions about it, rather than for tasks."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional, Union, final

from farm_common.address import Address
from farm_common.deadline import Deadline
from farm_common.errors import AddressError, ProtocolError, UnsupportedError
from farm_common.frames import Frame, Kind
from farm_common.greeting import connect_stream
from farm_common.handshake import ClientHello, decode_json
from farm_common.interpreter import hello_fields
from farm_common.kills import KILL_BY_PID, Spans, pack_kill, unpack_killed
from farm_common.security import Authenticator, NoAuth
from farm_common.sockets import unreachable
from farm_common.stream import Stream

if TYPE_CHECKING:
    from farm_common.ssh import SshServer

__all__ = ["Control", "check_address"]

#: The largest answer accepted, in bytes: a status has some 200 for each session.
_FRAME_LIMIT = 64 << 20


@final
class Control:
    """A control connection; use it as a context manager.

    Args:
        address: Where the server listens; for an ``ssh://`` address one is started there first,
            which ends with the connection.
        auth: How to prove who we are; it must match the server's.
        deadline: For everything that is done with the connection.

    Raises:
        AddressError: Nothing can listen there.
        AuthError, ProtocolError: The server will not do, now or later.
        KernelCreationError: None can be started over ssh; says why.
        ConnectionError: There is no server, or it is too busy; it may do later.
        TimeoutError: It did not answer in time.
    """

    def __init__(self, address: Address, auth: Optional[Authenticator], deadline: Deadline) -> None:
        check_address(address)
        self._address = address
        self._deadline = deadline
        self._server: Optional[SshServer] = None
        if address.kind == "ssh":
            from farm_common.ssh import SshServer  # most commands have no use for it

            self._server = SshServer(address)
        hello = ClientHello(**hello_fields(_FRAME_LIMIT), role="control", name="farm-admin")
        try:
            if self._server is not None:  # in a folder of this user's; ssh has said who that is
                address, auth = self._server.start(deadline), None
            greeting = connect_stream(address, auth or NoAuth(), hello, deadline)
        except BaseException as error:
            self._end_server()
            if isinstance(error, (OSError, EOFError, UnicodeError)):
                raise self._explained(error) from error
            raise
        self._stream: Stream = greeting.stream
        self._features = greeting.hello.features

    def __enter__(self) -> Control:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, and end what was started for it."""
        self._stream.close()
        self._end_server()

    def renew(self, deadline: Deadline) -> None:
        """Have another deadline for what follows."""
        self._deadline = deadline

    def _end_server(self) -> None:
        if self._server is not None:
            self._server.end()

    def ping(self) -> None:
        """Return when the server has answered."""
        self._ask(Kind.PING, Kind.PONG)

    def status(self) -> dict[str, Any]:
        """What the server says of itself."""
        return decode_json(self._ask(Kind.STATUS, Kind.STATUS_REPLY).body, "the status")

    def drain(self) -> None:
        """Return when the server takes no more connections."""
        self._ask(Kind.DRAIN, Kind.DRAINING)

    def kill(self, sessions: Mapping[str, Spans], dry_run: bool) -> dict[str, int]:
        """End tasks that run.

        Args:
            sessions: Those that may be ended, by the pids of the processes that run them.
            dry_run: Only tell which of them run.

        Returns:
            The task that was ended, by the pid.

        Raises:
            UnsupportedError: The server is too old.
        """
        if KILL_BY_PID not in self._features:
            raise UnsupportedError(
                f"{self._address.endpoint} is too old to end tasks for others than their own "
                "kernels: upgrade farm-server there"
            )
        body = pack_kill(sessions, dry_run)
        return unpack_killed(self._ask(Kind.KILL, Kind.KILLED, body).body)

    def _ask(self, kind: int, answer: int, body: bytes = b"") -> Frame:
        stream = self._stream
        try:
            self._limit()
            stream.send(stream.connection.send(kind, body, ident=1))
            while True:
                self._limit()
                for happening in stream.receive():
                    if not isinstance(happening, Frame):
                        raise ProtocolError(f"{self._address.endpoint} answered too much")
                    if happening.kind == answer:
                        return happening
                    if happening.kind == Kind.PING:
                        stream.send(stream.connection.send(Kind.PONG, ident=happening.ident))
                    elif happening.kind == Kind.GOODBYE:
                        raise EOFError
                    else:
                        raise ProtocolError(
                            f"{self._address.endpoint} answered with {happening.name}"
                        )
        except (OSError, EOFError) as error:
            raise self._explained(error) from error

    def _limit(self) -> None:
        remaining = self._deadline.remaining()
        if remaining == 0:
            raise TimeoutError
        self._stream.sock.settimeout(remaining)

    def _explained(self, error: Union[OSError, EOFError, UnicodeError]) -> OSError:
        """The error as one line that says which server it is about and what to look at."""
        if isinstance(error, (TimeoutError, socket.timeout)):
            seconds = self._deadline.seconds
            return TimeoutError(f"no answer from {self._address.endpoint} within {seconds:g} s")
        if self._server is not None:
            endpoint, reason = self._address.endpoint, str(error) or type(error).__name__
            return ConnectionError(f"{endpoint}: the server started there is lost: {reason}")
        return ConnectionError(unreachable(self._address, error))


def check_address(address: Address) -> None:
    """Refuse an address that no server can have.

    Raises:
        AddressError: It is one.
    """
    if address.kind not in ("tcp", "unix", "ssh"):
        raise AddressError(
            f"{str(address)!r} is no server's address: give host:port, unix:///path or ssh://host"
        )
