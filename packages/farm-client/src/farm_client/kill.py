"""Kills tasks that run: finds them, and asks their servers.

The client knows what it has sent, the server what runs; so the client names all tasks in question,
and the server ends the one of them that runs in each session, if one does.

It asks over a connection of its own, for control. That of the worker would not do: its process may
be unable to read, because the task holds the interpreter, and what it has not read yet may be a
gigabyte of arguments. Control connections are served whatever the workers do.

A server that cannot be asked (it is draining, and listens no more, or its network is gone) leaves
one way: to give up the connection to the worker. A server ends a worker whose client has gone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Callable

from farm_common.errors import FarmError, ProtocolError, UnsupportedError
from farm_common.frames import Frame, Kind
from farm_common.greeting import HANDSHAKE_SECONDS, Greeting
from farm_common.kills import Spans, pack_kill, spans_of, unpack_killed

from .job import Job
from .link import Link

if TYPE_CHECKING:
    from .engine import Engine
    from .site import Site

__all__ = ["Target", "ask_to_kill", "find_targets", "kill_at"]

_log = logging.getLogger("farm.client")

#: The tasks in question of one worker, in the order in which they were sent.
Target = tuple[Link, list[int]]


def ask_to_kill(greeting: Greeting, tasks: Mapping[str, Spans], dry_run: bool) -> dict[str, int]:
    """Ask a server over a new control connection, and close that.

    Args:
        greeting: The connection.
        tasks: The tasks that may be ended, by the session that they were sent in.
        dry_run: Only ask which of them run.

    Returns:
        The task that was ended, by its session.

    Raises:
        UnsupportedError: This server cannot do that.
        ProtocolError, OSError, EOFError: It does not answer as it should.
    """
    stream = greeting.stream
    try:
        if "kill" not in greeting.hello.features:
            raise UnsupportedError(f"server {greeting.hello.name} is too old to kill tasks")
        stream.sock.settimeout(HANDSHAKE_SECONDS)
        stream.send(stream.connection.send(Kind.KILL, pack_kill(tasks, dry_run), ident=1))
        while True:
            for happening in stream.receive():
                if isinstance(happening, Frame) and happening.kind == Kind.KILLED:
                    return unpack_killed(happening.body)
                raise ProtocolError(f"server {greeting.hello.name} did not answer a KILL")
    finally:
        stream.close()


def find_targets(engine: Engine, wanted: Callable[[Job], bool]) -> list[Target]:
    """The tasks that were sent to workers, of those that are wanted.

    Args:
        engine: The kernel's.
        wanted: Whether a task is; called without locks, for it may be the user's code.
    """
    return [
        (link, idents)
        for link, jobs in engine.in_flight()
        if (idents := [ident for ident, job in jobs if wanted(job)])
    ]


def kill_at(
    site: Site, engine: Engine, targets: Iterable[Target], dry_run: bool, give_up: bool = True
) -> int:
    """Kill what runs at one address, if it is one of these tasks; return how many were.

    Args:
        site: The address.
        engine: The kernel's.
        targets: Those tasks, by their links, all to that address.
        dry_run: Only count.
        give_up: Whether to give up the connection where the server cannot be asked.
    """
    by_session = {link.hello.session: (link, idents) for link, idents in targets}
    tasks = {session: spans_of(idents) for session, (_, idents) in by_session.items()}
    killed: dict[str, int] = {}
    if not dry_run:
        for link, idents in by_session.values():
            link.aimed.update(idents)
    try:
        killed = site.kill(tasks, dry_run)
    except (FarmError, OSError, EOFError) as error:
        _log.log(
            logging.WARNING if give_up else logging.INFO,
            "cannot ask %s which tasks run: %s",
            site.address.endpoint,
            str(error) or type(error).__name__,
        )
        if not give_up:
            return 0
        for session, (link, idents) in by_session.items():
            task = engine.give_up(link, idents, dry_run)
            if task is not None:
                killed[session] = task
    finally:
        for session, (link, idents) in by_session.items():
            # What was killed stays there: its end may not have been heard of yet.
            link.aimed.difference_update(set(idents) - {killed.get(session)})
    return len(killed)
