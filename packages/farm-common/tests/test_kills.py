"""The bodies of KILL and KILLED; what else they refuse is in the vectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm_common import ProtocolError
from farm_common.kills import pack_kill, pack_killed, spans_of, unpack_kill, unpack_killed

SESSION = "0123456789abcdef" * 2
NAMES = st.sampled_from([SESSION, "1", "4194304"])

IDENTS = st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 20), max_size=30)


@pytest.mark.parametrize(
    ("idents", "spans"),
    [
        ([], ()),
        ([5], ((5, 5),)),
        ([1, 2, 3], ((1, 3),)),
        ([1, 2, 4, 7, 8], ((1, 2), (4, 4), (7, 8))),
        ([3, 1, 2], ((3, 3), (1, 2))),
    ],
)
def test_spans(idents, spans):
    """Runs become pairs; the order stays."""
    assert spans_of(idents) == spans


@given(IDENTS)
def test_spans_hold_the_same_ids(idents):
    """No more, no fewer, and in the same order."""
    spans = spans_of(idents)
    assert [ident for first, last in spans for ident in range(first, last + 1)] == idents


@given(st.dictionaries(NAMES, IDENTS.filter(bool).map(spans_of)), st.booleans())
def test_kill_there_and_back(sessions, dry_run):
    """What is packed is what is unpacked."""
    assert unpack_kill(pack_kill(sessions, dry_run)) == (sessions, dry_run)


@given(st.dictionaries(NAMES, st.integers(0, 2**63 - 1)))
def test_killed_there_and_back(tasks):
    """What is packed is what is unpacked."""
    assert unpack_killed(pack_killed(tasks)) == tasks


def test_without_dry_run():
    """The default is to kill."""
    assert unpack_kill(b'{"sessions":{}}') == ({}, False)


@pytest.mark.parametrize("unpack", [unpack_kill, unpack_killed])
@given(body=st.binary())
def test_rubbish(unpack, body):
    """Is a protocol error, and no other."""
    try:
        unpack(body)
    except ProtocolError:
        pass


def test_the_session_is_named():
    """So that the log tells what was wrong."""
    with pytest.raises(ProtocolError, match="'0123' is neither a session's id nor a pid"):
        unpack_kill(b'{"sessions":{"0123":[[1,1]]}}')
