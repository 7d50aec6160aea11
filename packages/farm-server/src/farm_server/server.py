"""Servers for programs: in this process, or in one of their own."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Optional, Union, final

from farm_common.address import AddressLike
from farm_common.logs import log_to_stderr
from farm_common.security import Authenticator

from .settings import GRACE, MAX_CONNECTIONS, Settings, make_settings

if TYPE_CHECKING:
    from .background import Background

__all__ = ["Server", "serve", "start_server"]

log = logging.getLogger("farm.server")


@final
class Server:
    """A server that `start_server` started.

    As a context manager it is ended on exit.

    Attributes:
        addresses: Where it listens, with real ports; each is usable for `make_kernel`.
        pid: The process that listens.
    """

    def __init__(
        self, addresses: Sequence[str], pid: int, process: Optional[Background] = None
    ) -> None:
        self.addresses = tuple(addresses)
        self.pid = pid
        self._process = process

    @property
    def address(self) -> str:
        """The first of `addresses`."""
        return self.addresses[0]

    def end(self, wait: bool = True, timeout: float = 10.0) -> None:
        """End the server; twice is no error, and it is gone on return.

        Args:
            wait: Let the connections in progress come to their end first, new ones are refused.
                Otherwise they are cut.
            timeout: How long to wait for them, in seconds; then they are cut.
        """
        if self._process is not None:
            self._process.end(timeout if wait else 0.0)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        # After an error nobody is going to end the connections that would be waited for.
        self.end(wait=error is None)

    def __repr__(self) -> str:
        return f"<farm_server.Server at {', '.join(self.addresses)}, process {self.pid}>"


def start_server(
    address: Union[AddressLike, Iterable[AddressLike]],
    *,
    background: bool = False,
    name: Optional[str] = None,
    workers: Optional[int] = None,
    auth: Union[Authenticator, Sequence[Authenticator], None] = None,
    insecure: bool = False,
    tags: Iterable[str] = (),
    max_connections: int = MAX_CONNECTIONS,
    memory_limit: Union[int, str, None] = None,
    grace: float = GRACE,
    allow_local_users: bool = False,
    log_level: Optional[str] = None,
) -> Server:
    """Start a server.

    Args:
        address: Where to listen, or several such places: ``"127.0.0.1:11111"``,
            ``("::1", 0)``, ``"unix:///run/user/1000/farm.sock"``.
        background: Serve in a process of its own and return once it answers; it ends with
            `Server.end`, and at the latest when this process does. Otherwise serve in this
            process and return when the server has drained.
        name: What it calls itself; the host's name if not given.
        workers: How many connections it asks a kernel for; the processors it may use if not
            given; never more than `max_connections`.
        auth: How clients prove who they are, for example a `farm_common.TLSAuth`; of several
            mechanisms each client uses its own.
        insecure: Listen even where others can connect without authentication.
        tags: Labels for tasks to ask for.
        max_connections: How many connections it serves at once.
        memory_limit: What each worker may allocate: bytes, or a text such as ``"2G"``.
        grace: For how many seconds a worker whose client's connection is lost goes on and keeps
            its results for it; with 0 it ends at once.
        allow_local_users: Let every user of this machine connect, and so run any code as this
            one, where no authentication is asked for.
        log_level: Log to stderr from this level on, for example ``"info"``. If not given the
            program's own configuration of `logging` holds; a background server logs warnings.

    Raises:
        AddressError: An address cannot be understood.
        UnsupportedError: Others could execute code here; says what to do instead.
        AuthError: `auth` could let nobody in, for want of a key for example.
        OSError: An address is in use, unknown, or not ours to use.
        ValueError: A number is out of its range.
        TypeError: Something is of another type than it may be.
    """
    if isinstance(memory_limit, str):
        from .limits import parse_size

        memory_limit = parse_size(memory_limit)
    settings = make_settings(
        address,
        name=name,
        workers=workers,
        auth=auth,
        insecure=insecure,
        tags=tags,
        max_connections=max_connections,
        memory_limit=memory_limit,
        grace=grace,
        allow_local_users=allow_local_users,
    )
    if background:
        from .background import Background

        process = Background(settings, log_level)
        return Server(process.addresses, process.pid, process)
    if log_level is not None:
        log_to_stderr(log_level)
    addresses: list[str] = []
    serve(settings, ready=addresses.extend)
    return Server(addresses, os.getpid())


def serve(
    settings: Settings,
    *,
    ready: Callable[[Sequence[str]], None],
    until_closed: Optional[int] = None,
) -> bool:
    """Serve in this process until drained.

    Args:
        settings: The server's.
        ready: Called with the addresses once clients can connect.
        until_closed: A descriptor; the server ends when its other end is closed.

    Returns:
        Whether all sessions ended by themselves.
    """
    # Imported here: a program that starts servers in the background needs none of it.
    from .endpoint import open_endpoints
    from .limits import raise_descriptors, restore_descriptors
    from .listener import Listener
    from .signals import Signals
    from .warmup import warm_up
    from .worker import run

    others = threading.active_count() - 1
    if others:
        log.warning(
            "%d other threads run in this process, and a forked worker may hang on a lock that "
            "one of them holds: use start_server(..., background=True)",
            others,
        )
    for auth in settings.auths:
        auth.prepare_server()
    endpoints = open_endpoints(
        settings.addresses,
        authenticates=settings.authenticates,
        insecure=settings.insecure,
        local_users=settings.local_users,
    )
    before = raise_descriptors()
    try:
        if sys.implementation.name == "pypy":
            warm_up()
        with Signals() as signals:
            listener = Listener(settings, endpoints, run, descriptors=before)
            if until_closed is not None:
                listener.watch(until_closed, listener.end)
            # A forked worker must not write what is buffered here a second time.
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
            ready(listener.addresses)
            log.info("%s listens on %s", settings.name, ", ".join(listener.addresses))
            return listener.serve(signals)
    finally:
        for endpoint in endpoints:
            endpoint.close()
        restore_descriptors(before)
