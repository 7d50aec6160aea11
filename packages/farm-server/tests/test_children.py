"""Sessions as the parent sees them, with processes that exist only here."""

import select
import signal

import pytest

from farm_common.handshake import Preamble
from farm_server.board import Slot


def test_what_a_session_is_given(bench):
    """The bytes that were read, an id that nobody can guess, its slot."""
    _, _, birth = bench.session()
    _, _, other = bench.session()
    assert birth.start == Preamble().encode()
    assert len(birth.session) == 16
    assert birth.session != other.session
    assert birth.slot.index != other.slot.index
    assert birth.lost is None
    assert birth.workers == bench.listener.settings.workers


def test_a_session_is_told_what_is_not_its_own(bench):
    """The other session's sockets and the listener, but not its own."""
    bench.connect()
    bench.session()
    bench.session()
    foreign = {thing.fileno() for thing in bench.processes.foreign if hasattr(thing, "fileno")}
    (end,) = bench.listener.arrivals.endpoints
    assert end.sock.fileno() in foreign
    children = list(bench.listener.children)
    assert {children[0].sock.fileno(), children[0].pipe.fileno()} <= foreign
    assert children[1].sock.fileno() not in foreign
    (silent,) = bench.listener.arrivals
    assert silent.sock.fileno() in foreign


def test_a_handshake_that_does_not_end(bench):
    """Its process is killed when the time is over."""
    bench.connect(Preamble().encode())
    bench.settle(11.5)
    assert bench.processes.signals == [(1000, signal.SIGKILL)]


def test_an_admitted_session_has_all_the_time(bench):
    """The deadline is the handshake's."""
    bench.session()
    bench.settle(1000)
    assert not bench.processes.signals


def test_the_end_of_a_session(bench):
    """The client sees it at once, and it is remembered."""
    client, pid, birth = bench.session()
    birth.slot.words[Slot.TASK], birth.slot.words[Slot.DONE] = 6, 4
    bench.die(pid, int(signal.SIGSEGV))
    bench.listener.children.reap()
    assert bench.closed(client)
    assert bench.listener.children.exits.get(birth.session) == {
        "reason": "signal",
        "signal": "SIGSEGV",
        "status": -11,
        "task": 5,
        "done": 4,
        "memory": None,
    }
    assert bench.listener.status()["sessions"] == []


def test_a_client_that_comes_back_learns_how_its_session_ended(bench):
    """And the new session is a new one."""
    _, pid, birth = bench.session()
    bench.die(pid, 3 << 8)
    bench.listener.children.reap()
    _, _, again = bench.session(before=birth.session)
    assert again.lost["status"] == 3
    assert again.session != birth.session


def test_memory_kills(bench, monkeypatch):
    """Only a SIGKILL that was not ours, with a count that rose, is one."""
    monkeypatch.setattr(bench.listener.children._memory, "rose", lambda: True)
    found = []
    for status, ours in ((9, False), (9, True), (11, False), (0, False)):
        _, pid, birth = bench.session()
        if ours:
            bench.child(birth).killed = True
        bench.die(pid, status)
        bench.listener.children.reap()
        found.append(bench.listener.children.exits.get(birth.session)["memory"])
    assert found == [True, None, None, None]


def test_a_client_that_leaves_while_its_session_is_stuck(bench):
    """The session has a second to notice by itself."""
    client, pid, _ = bench.session()
    if not hasattr(select, "epoll"):
        pytest.skip("this system does not tell")
    client.close()
    bench.settle()
    bench.settle(0.9)
    assert not bench.processes.signals
    bench.settle(0.2)
    assert bench.processes.signals == [(pid, signal.SIGKILL)]


def test_a_session_that_closed_its_way_to_the_parent(bench):
    """It could not be told to end, so it must."""
    _, pid, birth = bench.session()
    birth.parent.close()
    bench.settle()
    bench.settle(1.1)
    assert (pid, signal.SIGKILL) in bench.processes.signals
