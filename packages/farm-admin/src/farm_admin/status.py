"""What a server says of itself, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Optional

from farm_common.address import AddressLike, parse_address
from farm_common.deadline import Deadline
from farm_common.errors import ProtocolError
from farm_common.security import Authenticator

from .control import Control

__all__ = ["ServerStatus", "SessionStatus", "status"]


@dataclass(frozen=True)
class SessionStatus:
    """One connection to a server.

    Attributes:
        pid: The process that serves it.
        kernel: The name of the client's kernel.
        index: The worker's index in that kernel.
        peer: Where the client is.
        state: ``"idle"``, ``"busy"`` or ``"ending"``.
        task: The id of the task that runs, or None.
        category: The task's category, or None.
        tasks_done: How many tasks were executed.
        busy: Seconds spent in tasks.
        age: Seconds since it was connected.
    """

    pid: int
    kernel: str
    index: int
    peer: str
    state: str
    task: Optional[int]
    category: Optional[str]
    tasks_done: int
    busy: float
    age: float


@dataclass(frozen=True)
class ServerStatus:
    """A server.

    Attributes:
        server: An id that is new each time it starts.
        name: What it calls itself.
        host: The host's name.
        pid: The process that listens.
        version: The release of farm-server.
        python: The interpreter that executes tasks.
        uptime: Seconds since it started.
        draining: Whether it takes no more connections and ends with the last.
        addresses: Where it listens.
        workers: How many connections it asks a kernel for.
        max_connections: How many it serves at once.
        tags: Its labels.
        sessions: The connections for work in progress; those of administrators are left out.
    """

    server: str
    name: str
    host: str
    pid: int
    version: str
    python: str
    uptime: float
    draining: bool
    addresses: tuple[str, ...]
    workers: int
    max_connections: int
    tags: tuple[str, ...]
    sessions: tuple[SessionStatus, ...]

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> ServerStatus:
        """Make it from a STATUS_REPLY; what a later release adds is left out.

        Raises:
            ProtocolError: Something is missing or has the wrong form.
        """
        try:
            values = {field.name: given[field.name] for field in fields(cls)}
            values["addresses"] = tuple(given["addresses"])
            values["tags"] = tuple(given["tags"])
            values["sessions"] = tuple(
                SessionStatus(
                    **{field.name: session[field.name] for field in fields(SessionStatus)}
                )
                for session in given["sessions"]
            )
        except (KeyError, TypeError) as error:
            raise ProtocolError(f"the server's status cannot be understood: {error!r}") from None
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """The status as what `json.dumps` takes."""
        return asdict(self)


def status(
    address: AddressLike, auth: Optional[Authenticator] = None, timeout: Optional[float] = 10
) -> ServerStatus:
    """Ask a server what it does.

    Args:
        address: Where it listens.
        auth: How to prove who we are; it must match the server's.
        timeout: Seconds to wait for it; None is for ever.

    Raises:
        AddressError: The address cannot be understood.
        AuthError, ProtocolError: The server will not do, now or later.
        ConnectionError: There is no server.
        TimeoutError: It did not answer in time.
    """
    with Control(parse_address(address), auth, Deadline(timeout)) as control:
        return ServerStatus.from_json(control.status())
