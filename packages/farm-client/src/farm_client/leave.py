"""Takes leave of workers that cannot be told by their own connection that the kernel has ended.

A worker whose connection ends without a word goes on for its server's grace, for the client may
come back. So a client that does not says GOODBYE. There are times when that word does not arrive:

- a large frame is half written, and the rest would have to be written first;
- much was written that the worker has not read yet, or it is encrypted, and the worker is stuck in
  its task: then its server cannot find the word in what has arrived;
- the connection is lost at that moment.

Then the server is told over a connection of its own, for control, as it is asked to kill tasks (see
`kill`). That is tried once: who ends does not wait for a server that does not answer, and that is
left with the grace.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from farm_common.deadline import Deadline
from farm_common.errors import FarmError
from farm_common.frames import Kind
from farm_common.greeting import Greeting
from farm_common.kills import pack_leave

if TYPE_CHECKING:
    from .link import Link

__all__ = ["is_unheard", "send_leave", "take_leave"]

_log = logging.getLogger("farm.client")

#: How long it may take at one address, and at all of them together, in seconds.
_ONE_SECONDS = 3.0
_ALL_SECONDS = 5.0

#: How far a server looks for a goodbye in what a worker has not read, in bytes; half of it.
_SEEN = 32 * 1024


class Place(Protocol):
    """An address of a kernel, which a server listens at."""

    def leave(self, sessions: Sequence[str], deadline: Deadline) -> None:
        """Tell the server that these sessions are over."""


def is_unheard(link: Link, busy: bool, sent: bool) -> bool:
    """Whether a worker may not hear a goodbye.

    Args:
        link: The link to the worker; the goodbye, if any, was the last that was sent.
        busy: Whether the worker had tasks at that moment.
        sent: Whether it could be sent.
    """
    resumption = link.resumption
    if resumption is None or not link.leaves:
        return False  # the end of the connection says it as well; or nothing can be done about it
    if not sent or link.away or link.stream.writing:
        return True
    return busy and (not link.stream.layer.transparent or resumption.unacknowledged > _SEEN)


def take_leave(places: Iterable[tuple[Place, list[Link]]], unheard: list[Link]) -> None:
    """Tell servers that sessions are over, where their workers may not hear of it.

    Args:
        places: Addresses that the kernel does not use any more, and its links there.
        unheard: The links in question; taken out as they are dealt with.
    """
    if not unheard:
        return
    # One after the other: at the end of a program no thread can be started.
    deadline = Deadline(_ALL_SECONDS)
    for place, links in places:
        sessions = [link.hello.session for link in links if link in unheard]
        unheard[:] = [link for link in unheard if link not in links]
        if sessions and not deadline.expired():
            try:
                place.leave(sessions, Deadline(deadline.cap(_ONE_SECONDS)))
            except (FarmError, OSError, EOFError) as error:
                _log.info("a server keeps its workers until its grace is over: %s", error)


def send_leave(greeting: Greeting, sessions: Sequence[str]) -> None:
    """Say it over a new control connection, and close that; there is no answer."""
    stream = greeting.stream
    try:
        stream.send(stream.connection.send(Kind.LEAVE, pack_leave(sessions)))
    finally:
        stream.close()
