"""The state machine of one connection, as tables.

``TRANSITIONS[role][state][event]`` is the next state. An event is ``("send" | "receive", what)``,
where `what` is ``"preamble"``, ``"layer"`` (the security layer reports that it is established) or
a frame kind. A missing key *is* the error: nothing else decides what may be sent when. The
diagrams in ``docs/reference/protocol.md`` say the same in words.

::

    client                                        server
    START     -- preamble -->                     START
    PREAMBLE                     <-- preamble --  OFFERING
    WAITING                      <-- OFFER -----  OFFERED
    SELECTING -- SELECT ---->
    SECURING  <== bytes of the layer ==========>  SECURING
    GREETING  -- HELLO ----->                     GREETING
    GREETED                      <-- HELLO -----  ANSWERING
    OPEN      <== frames of the role ==========>  OPEN
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Union

from .errors import ProtocolError
from .frames import IGNORABLE, NAMES, Kind

__all__ = ["TRANSITIONS", "Event", "Role", "State", "next_state"]


class Role(Enum):
    """Which end of the connection this is."""

    CLIENT = auto()
    SERVER = auto()


class State(Enum):
    """How far the connection has come; the names tell what this side did last or waits for."""

    START = auto()
    PREAMBLE = auto()
    WAITING = auto()
    SELECTING = auto()
    OFFERING = auto()
    OFFERED = auto()
    SECURING = auto()
    GREETING = auto()
    GREETED = auto()
    ANSWERING = auto()
    OPEN = auto()
    CLOSED = auto()


Event = tuple[str, Union[str, int]]

# What travels once the connection is open, by who sends it.
_FROM_CLIENT = (
    Kind.FUNCTION,
    Kind.TASK,
    Kind.SHARED,
    Kind.RELEASE,
    Kind.MODULE,
    Kind.FORGET,
    Kind.STATUS,
    Kind.DRAIN,
    Kind.KILL,
    Kind.LEAVE,
)
_FROM_SERVER = (
    Kind.RESULT,
    Kind.ERROR,
    Kind.IMPORT,
    Kind.STATUS_REPLY,
    Kind.DRAINING,
    Kind.KILLED,
    Kind.OUTPUT,
)
_FROM_BOTH = (Kind.PING, Kind.PONG, Kind.ACK)


def _open(sends: tuple[int, ...], receives: tuple[int, ...]) -> dict[Event, State]:
    table: dict[Event, State] = {}
    for verb, kinds in (("send", sends), ("receive", receives)):
        table.update({(verb, kind): State.OPEN for kind in (*kinds, *_FROM_BOTH)})
        table[verb, Kind.GOODBYE] = State.CLOSED
    return table


TRANSITIONS: dict[Role, dict[State, dict[Event, State]]] = {
    Role.CLIENT: {
        State.START: {("send", "preamble"): State.PREAMBLE},
        State.PREAMBLE: {("receive", "preamble"): State.WAITING},
        State.WAITING: {
            ("receive", Kind.OFFER): State.SELECTING,
            ("receive", Kind.REFUSE): State.CLOSED,
        },
        State.SELECTING: {("send", Kind.SELECT): State.SECURING},
        State.SECURING: {("receive", "layer"): State.GREETING},
        State.GREETING: {("send", Kind.HELLO): State.GREETED},
        State.GREETED: {
            ("receive", Kind.HELLO): State.OPEN,
            ("receive", Kind.REFUSE): State.CLOSED,
        },
        State.OPEN: _open(_FROM_CLIENT, _FROM_SERVER),
        State.CLOSED: {},
    },
    Role.SERVER: {
        State.START: {("receive", "preamble"): State.PREAMBLE},
        State.PREAMBLE: {("send", "preamble"): State.OFFERING},
        State.OFFERING: {
            ("send", Kind.OFFER): State.OFFERED,
            ("send", Kind.REFUSE): State.CLOSED,
        },
        State.OFFERED: {("receive", Kind.SELECT): State.SECURING},
        State.SECURING: {("receive", "layer"): State.GREETING},
        State.GREETING: {("receive", Kind.HELLO): State.ANSWERING},
        State.ANSWERING: {
            ("send", Kind.HELLO): State.OPEN,
            ("send", Kind.REFUSE): State.CLOSED,
        },
        State.OPEN: _open(_FROM_SERVER, _FROM_CLIENT),
        State.CLOSED: {},
    },
}


def next_state(role: Role, state: State, event: Event) -> State:
    """The state that `event` leads to.

    Raises:
        ProtocolError: The event is not allowed in this state.
    """
    following = TRANSITIONS[role][state].get(event)
    if following is not None:
        return following
    verb, what = event
    if verb == "receive" and state is State.OPEN and isinstance(what, int) and what & IGNORABLE:
        return state
    name = what if isinstance(what, str) else NAMES.get(what, f"0x{what:02x}")
    raise ProtocolError(f"{role.name.lower()} cannot {verb} {name} while {state.name}")
