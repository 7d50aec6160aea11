"""Whom a session belongs to, and who may therefore do something to it.

Where clients authenticate, it is who they were shown to be. Where they need not, it is the user at
the other end of a local connection. A session of which neither is known belongs to everybody who
is as unknown.

Ids of sessions cannot be guessed, and are told to their clients only; the principal is a second
condition, for ids that leaked.
"""

from __future__ import annotations

import os
import socket
from typing import Any, Optional, Protocol

from farm_common.peer import peer_uid
from farm_common.security import PeerIdentity

__all__ = ["LOCAL_USER", "may_act_for", "principal", "principal_of"]

#: What stands for the mechanism where the system itself tells who somebody is. No mechanism has
#: that name: theirs have no blanks.
LOCAL_USER = "local user"


class _Session(Protocol):
    principal: Optional[PeerIdentity]


def principal(sock: socket.socket, peer: Optional[PeerIdentity]) -> Optional[PeerIdentity]:
    """Who is at the other end of a connection; None if nobody knows.

    Args:
        sock: The connection.
        peer: What the security mechanism says.

    Raises:
        ConnectionError: It is gone already.
    """
    if peer is not None:
        return peer
    uid = peer_uid(sock)
    return None if uid is None else PeerIdentity(LOCAL_USER, str(uid))


def principal_of(said: Any) -> Optional[PeerIdentity]:
    """A principal as a session's process tells it to the parent: a list of two texts, or None."""
    return None if said is None else PeerIdentity(*map(str, said))


def may_act_for(one: _Session, other: _Session) -> bool:
    """Whether the client of a session may do something to another one.

    Its own, or any if it is the user who runs the server, or root: they could end the processes
    anyway.
    """
    owners = [PeerIdentity(LOCAL_USER, str(uid)) for uid in (0, os.geteuid())]
    return one.principal == other.principal or one.principal in owners
