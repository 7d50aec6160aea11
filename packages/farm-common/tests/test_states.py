"""The tables: what they allow, that the two ends fit together, and that the docs show them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from farm_common import ProtocolError
from farm_common.frames import IGNORABLE, NAMES, Kind
from farm_common.states import TRANSITIONS, Role, State, next_state

ROOT = Path(__file__).parents[3]

# The handshake in words of its own: role, state, event, and the state it leads to.
HANDSHAKE = [
    ("CLIENT", "START", "send", "preamble", "PREAMBLE"),
    ("CLIENT", "PREAMBLE", "receive", "preamble", "WAITING"),
    ("CLIENT", "WAITING", "receive", Kind.OFFER, "SELECTING"),
    ("CLIENT", "WAITING", "receive", Kind.REFUSE, "CLOSED"),
    ("CLIENT", "SELECTING", "send", Kind.SELECT, "SECURING"),
    ("CLIENT", "SECURING", "receive", "layer", "GREETING"),
    ("CLIENT", "GREETING", "send", Kind.HELLO, "GREETED"),
    ("CLIENT", "GREETED", "receive", Kind.HELLO, "OPEN"),
    ("CLIENT", "GREETED", "receive", Kind.REFUSE, "CLOSED"),
    ("SERVER", "START", "receive", "preamble", "PREAMBLE"),
    ("SERVER", "PREAMBLE", "send", "preamble", "OFFERING"),
    ("SERVER", "OFFERING", "send", Kind.OFFER, "OFFERED"),
    ("SERVER", "OFFERING", "send", Kind.REFUSE, "CLOSED"),
    ("SERVER", "OFFERED", "receive", Kind.SELECT, "SECURING"),
    ("SERVER", "SECURING", "receive", "layer", "GREETING"),
    ("SERVER", "GREETING", "receive", Kind.HELLO, "ANSWERING"),
    ("SERVER", "ANSWERING", "send", Kind.HELLO, "OPEN"),
    ("SERVER", "ANSWERING", "send", Kind.REFUSE, "CLOSED"),
]

CLIENT_SENDS = {"FUNCTION", "TASK", "SHARED", "RELEASE", "MODULE", "FORGET", "STATUS", "DRAIN"}
CLIENT_SENDS |= {"KILL", "LEAVE"}
SERVER_SENDS = {"RESULT", "ERROR", "IMPORT", "OUTPUT", "STATUS_REPLY", "DRAINING", "KILLED"}
BOTH_SEND = {"PING", "PONG", "ACK", "GOODBYE"}

EVENTS = [
    (verb, what) for verb in ("send", "receive") for what in ("preamble", "layer", *sorted(NAMES))
]


def names(role, verb):
    """The names of what this role may send or receive while OPEN."""
    return {NAMES[what] for way, what in TRANSITIONS[role][State.OPEN] if way == verb}


@pytest.mark.parametrize(("role", "state", "verb", "what", "following"), HANDSHAKE)
def test_handshake(role, state, verb, what, following):
    """Each step of the handshake leads to the next."""
    event = (verb, what)
    assert next_state(Role[role], State[state], event) is State[following]


@pytest.mark.parametrize("role", Role)
def test_nothing_else_in_the_handshake(role):
    """Before OPEN the tables hold these steps and no others."""
    steps = {
        (role.name, state.name, verb, what, following.name)
        for state, table in TRANSITIONS[role].items()
        if state is not State.OPEN
        for (verb, what), following in table.items()
    }
    assert steps == {step for step in HANDSHAKE if step[0] == role.name}


def test_what_is_said_while_open():
    """Each side may send exactly its own kinds, and receive exactly the other's."""
    assert names(Role.CLIENT, "send") == CLIENT_SENDS | BOTH_SEND
    assert names(Role.CLIENT, "receive") == SERVER_SENDS | BOTH_SEND
    assert names(Role.SERVER, "send") == SERVER_SENDS | BOTH_SEND
    assert names(Role.SERVER, "receive") == CLIENT_SENDS | BOTH_SEND


@pytest.mark.parametrize("role", Role)
def test_only_goodbye_ends(role):
    """While OPEN, GOODBYE closes and everything else changes nothing."""
    for (_, what), following in TRANSITIONS[role][State.OPEN].items():
        assert following is (State.CLOSED if what == Kind.GOODBYE else State.OPEN)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: f"{event[0]}-{event[1]}")
@pytest.mark.parametrize("role", Role)
def test_a_missing_key_is_the_error(role, event):
    """What is in no table is refused, in every state, by a message that says all three."""
    verb, what = event
    name = NAMES.get(what, what)
    for state, table in TRANSITIONS[role].items():
        if event in table or ((verb, state) == ("receive", State.OPEN) and what == Kind.OUTPUT):
            continue
        expected = f"{role.name.lower()} cannot {verb} {name} while {state.name}"
        with pytest.raises(ProtocolError, match=f"^{expected}$"):
            next_state(role, state, event)


@pytest.mark.parametrize("role", Role)
def test_unknown_kinds(role):
    """Unknown kinds are refused by number, but for ignorable ones that are received while OPEN."""
    ignorable = ("receive", IGNORABLE | 0x7E)
    assert next_state(role, State.OPEN, ignorable) is State.OPEN
    for state in State:
        if state is not State.OPEN and state in TRANSITIONS[role]:
            with pytest.raises(ProtocolError, match="receive 0xfe while"):
                next_state(role, state, ignorable)
    with pytest.raises(ProtocolError, match="cannot receive 0x7e while OPEN"):
        next_state(role, State.OPEN, ("receive", 0x7E))
    with pytest.raises(ProtocolError, match="cannot send 0xfe while OPEN"):
        next_state(role, State.OPEN, ("send", 0xFE))


@pytest.mark.parametrize("role", Role)
def test_every_state_can_be_reached(role):
    """The tables hold the states that a connection can come to, and no others."""
    reached = {State.START}
    while True:
        more = {following for state in reached for following in TRANSITIONS[role][state].values()}
        if more <= reached:
            break
        reached |= more
    assert reached == set(TRANSITIONS[role])


@pytest.mark.parametrize("role", Role)
def test_one_side_at_a_time(role):
    """Before OPEN a state either sends or receives: the two never wait for each other."""
    for state, table in TRANSITIONS[role].items():
        if state not in (State.OPEN, State.CLOSED):
            assert len({verb for verb, _ in table}) == 1


def test_documentation():
    """The specification shows the tables as they are."""
    script = ROOT / "ci" / "make_state_tables.py"
    if not script.exists():
        pytest.skip("not in a checkout")
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_documentation_of_kinds():
    """The specification has a row for every kind, with its number."""
    page = ROOT / "docs" / "reference" / "protocol.md"
    if not page.exists():
        pytest.skip("not in a checkout")
    _, _, section = page.read_text("utf-8").partition("\n### Kinds\n")
    section, _, _ = section.partition("\n### ")
    rows = re.findall(r"^\| (0x[0-9a-f]{2}) \| `(\w+)` \|", section, re.MULTILINE)
    assert {int(number, 16): name for number, name in rows} == NAMES
