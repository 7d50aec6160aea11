"""From arrivals to sessions, what sessions ask for, and the end; all processes exist only here."""

import os
import signal

import pytest

from farm_common.handshake import Preamble
from farm_server import listener as module
from farm_server.board import Slot
from farm_server.interrupter import SIGNAL
from farm_server.settings import Settings


def test_many_unauthenticated_sessions(bench, monkeypatch):
    """The next wait for their turn, and are served when one is admitted or gone."""
    monkeypatch.setattr(module, "UNAUTHENTICATED", 2)
    for _ in range(4):
        bench.connect(Preamble().encode())
    assert len(bench.processes.births) == 2
    bench.tell(bench.processes.births[1000], ask="admit", role="work", kernel="k", index=0)
    bench.settle()
    assert len(bench.processes.births) == 3
    bench.die(1001)
    bench.listener.children.reap()
    assert len(bench.processes.births) == 4


def test_who_leads_nowhere_gives_way(bench, monkeypatch):
    """After a second, the oldest; not before, and not while nobody waits."""
    monkeypatch.setattr(module, "UNAUTHENTICATED", 2)
    for _ in range(2):
        bench.connect(Preamble().encode())
    bench.settle(5)
    assert bench.processes.signals == []
    bench.connect(Preamble().encode())
    assert bench.processes.signals == [(1000, signal.SIGKILL)]
    bench.settle(5)
    assert bench.processes.signals == [(1000, signal.SIGKILL)]  # one place is enough for one
    bench.die(1000, signal.SIGKILL)
    bench.listener.children.reap()
    assert len(bench.processes.births) == 3
    bench.connect(Preamble().encode())
    assert bench.processes.signals[1:] == [(1001, signal.SIGKILL)]


def test_the_young_have_a_second(bench, monkeypatch):
    """A handshake that has just begun is not ended for another."""
    monkeypatch.setattr(module, "UNAUTHENTICATED", 1)
    bench.connect(Preamble().encode())
    bench.settle(0.5)
    bench.connect(Preamble().encode())
    bench.settle(0.4)
    assert bench.processes.signals == []
    bench.settle(0.2)
    assert bench.processes.signals == [(1000, signal.SIGKILL)]


def test_who_came_last_is_first(bench, monkeypatch):
    """So a queue of those who lead nowhere is not in the way."""
    monkeypatch.setattr(module, "UNAUTHENTICATED", 1)
    preambles = [Preamble(session=bytes([number]) * 16).encode() for number in range(1, 4)]
    for preamble in preambles:
        bench.connect(preamble)
    bench.die(1000)
    bench.listener.children.reap()
    bench.die(1001)
    bench.listener.children.reap()
    births = bench.processes.births
    assert [births[pid].start for pid in (1000, 1001, 1002)] == [preambles[n] for n in (0, 2, 1)]


def test_waiting_for_a_turn_too_long(bench, monkeypatch):
    """A client that spoke is told why."""
    monkeypatch.setattr(module, "UNAUTHENTICATED", 0)
    client = bench.connect(Preamble().encode())
    bench.settle(10.1)
    assert bench.refusal(client).reason == "busy"


def test_a_system_without_room_for_processes(bench):
    """The client may try again; the server goes on."""
    bench.processes.full = True
    client = bench.connect(Preamble().encode())
    assert bench.refusal(client).reason == "busy"
    bench.processes.full = False
    bench.session()
    assert bench.answer == {"admitted": True}


def test_too_many_connections(make):
    """Sessions for work are counted; an administrator still gets in."""
    bench = make(max_connections=1)
    bench.session()
    assert bench.answer == {"admitted": True}
    bench.session()
    assert bench.answer["refuse"] == "busy"
    assert "--max-connections" in bench.answer["message"]
    bench.session("control")
    assert bench.answer == {"admitted": True}


def test_no_more_processes_than_slots(make, monkeypatch):
    """What is beyond is refused before it costs a process."""
    monkeypatch.setattr(module, "UNAUTHENTICATED", 1)
    bench = make(max_connections=1)
    bench.session()
    bench.session("control")
    assert bench.refusal(bench.connect(Preamble().encode())).reason == "busy"


def test_a_client_that_comes_back_while_its_session_runs(bench):
    """The old one is told to end, killed if it does not, and only then is there a new one."""
    _, pid, birth = bench.session()
    client = bench.connect(Preamble(session=birth.session).encode())
    assert birth.parent.recv(99) == b""
    assert len(bench.processes.births) == 1
    bench.settle(0.6)
    assert bench.processes.signals == [(pid, signal.SIGKILL)]
    bench.die(pid, 9)
    bench.listener.children.reap()
    assert len(bench.processes.births) == 2
    assert bench.processes.births[1001].lost["signal"] == "SIGKILL"
    assert client.fileno() >= 0


class TestAnIdThatWasOverheard:
    """Where authentication is asked for, an id of a session alone ends nothing."""

    @pytest.fixture
    def guarded(self, make, monkeypatch):
        """A server that asks for authentication, and a session of alice's."""
        monkeypatch.setattr(Settings, "authenticates", True)
        bench = make()
        return bench, *bench.session(principal=["tls", "alice"])

    def test_it_ends_nothing_by_itself(self, guarded):
        """Until its client has authenticated, a connection is one like any other."""
        bench, _, _, birth = guarded
        bench.connect(Preamble(session=birth.session).encode())
        bench.settle(5)
        assert len(bench.processes.births) == 2
        assert not bench.processes.signals
        assert not bench.child(birth).ending

    @pytest.mark.parametrize(("name", "ends"), [("alice", True), ("mallory", False)])
    def test_whoever_has_it_must_be_its_client(self, guarded, name, ends):
        """The session ends when its own client was admitted again, and for nobody else."""
        bench, _, _, birth = guarded
        bench.session(before=birth.session, principal=["tls", name])
        assert bench.answer == {"admitted": True}
        assert bench.child(birth).ending is ends

    def test_administrators_end_nothing_by_it(self, guarded):
        """A connection for control takes nobody's place."""
        bench, _, _, birth = guarded
        bench.session("control", before=birth.session, principal=["tls", "alice"])
        assert not bench.child(birth).ending


def test_nonsense_from_a_session(bench):
    """The parent does not answer, and does not break."""
    _, _, birth = bench.session()
    for request in ({"ask": "status"}, {"ask": "drain"}, {"ask": "admit"}, {"ask": 5}, {}):
        bench.tell(birth, **request)
    bench.settle()
    birth.parent.settimeout(0)
    with pytest.raises(BlockingIOError):
        birth.parent.recv(1)
    assert not bench.listener.draining


def test_status(make):
    """Everything that STATUS_REPLY promises."""
    bench = make(name="n", workers=3, tags=("gpu",))
    bench.session()
    _, _, birth = bench.session("control")
    bench.clock.now += 5
    bench.tell(birth, ask="status")
    bench.settle()
    status = bench.hear(birth)
    assert status["name"] == "n"
    assert status["workers"] == 3
    assert status["tags"] == ["gpu"]
    assert status["uptime"] == 5
    assert status["draining"] is False
    assert status["addresses"] == [f"unix://{bench.path}"]
    assert status["max_connections"] == 1000
    assert status["pid"] == os.getpid()
    assert [session["state"] for session in status["sessions"]] == ["idle"]
    assert set(status) == {
        *("server", "name", "host", "pid", "version", "python", "uptime", "draining"),
        *("addresses", "workers", "max_connections", "tags", "sessions"),
    }


def test_draining(bench):
    """No new connections, the old ones go on, and the last one's end is the end."""
    client, pid, _ = bench.session()
    _, control, birth = bench.session("control")
    bench.tell(birth, ask="drain")
    bench.settle()
    assert bench.hear(birth) == {"connections": 1}
    assert not os.path.exists(bench.path)
    assert not bench.listener.finished
    client.settimeout(0)
    with pytest.raises(BlockingIOError):
        client.recv(1)
    bench.die(pid)
    bench.listener.children.reap()
    bench.settle()
    # Who only watches is told to end.
    assert birth.parent.recv(9) == b""
    bench.die(control)
    bench.listener.children.reap()
    bench.settle()
    assert bench.listener.finished


def test_draining_answers_before_it_ends(bench):
    """Also when nothing is in progress but the request."""
    _, _, birth = bench.session("control")
    bench.tell(birth, ask="drain")
    bench.settle()
    answer = birth.parent.makefile("rb").read()
    assert answer == b'{"connections": 0}\n'


def test_draining_with_nothing_in_progress(bench):
    """It is over at once."""
    bench.listener.drain()
    bench.settle()
    assert bench.listener.finished


def test_draining_refuses_who_waits(bench, monkeypatch):
    """They were accepted, and are told."""
    bench.session()
    monkeypatch.setattr(module, "UNAUTHENTICATED", 0)
    waiting = bench.connect(Preamble().encode())
    silent = bench.connect()
    bench.listener.drain()
    bench.settle()
    assert bench.refusal(waiting).reason == "draining"
    silent.sendall(Preamble().encode())
    bench.settle()
    assert bench.refusal(silent).reason == "draining"


def test_draining_refuses_who_is_in_the_handshake(bench):
    """A session that was not admitted is not in progress."""
    bench.session()
    bench.connect(Preamble().encode())
    bench.listener.drain()
    birth = bench.processes.births[1001]
    bench.tell(birth, ask="admit", role="work", kernel="k", index=0, peer="p")
    bench.settle()
    assert bench.hear(birth)["refuse"] == "draining"


def test_ending(bench):
    """SIGTERM, SIGKILL after a second, and an end in any case."""
    _, pid, _ = bench.session()
    bench.listener.end()
    assert bench.processes.signals == [(pid, signal.SIGTERM)]
    bench.settle(1.1)
    assert bench.processes.signals[1:] == [(pid, signal.SIGKILL)]
    assert not bench.listener.finished
    bench.settle(3.5)
    assert bench.listener.finished


def running(birth, task):
    """Be a worker that runs a task."""
    birth.slot.words[Slot.STATE] = Slot.WORK
    birth.slot.words[Slot.TASK] = task + 1
    birth.slot.words[Slot.STARTED] = 1


def test_kill(bench):
    """The task of the session that was named, and no other; the answer comes when it has ended."""
    _, pid, birth = bench.session()
    _, _, other = bench.session()
    _, _, control = bench.session("control")
    running(birth, 4)
    running(other, 4)
    unknown = "ab" * 16
    sessions = {birth.session.hex(): [[3, 5]], other.session.hex(): [[9, 9]], unknown: [[0, 9]]}
    bench.tell(control, ask="kill", sessions=sessions, dry_run=False)
    bench.settle()
    assert bench.processes.signals == [(pid, SIGNAL)]
    birth.slot.words[Slot.HIT] = 5
    birth.slot.words[Slot.TASK] = 0
    bench.settle(0.01)
    assert bench.hear(control) == {"tasks": {birth.session.hex(): 4}}
    assert bench.processes.signals == [(pid, SIGNAL)]


@pytest.mark.parametrize(
    ("theirs", "ours", "may"),
    [
        (["tls", "alice"], ["tls", "alice"], True),
        (["tls", "alice"], ["tls", "bob"], False),
        (["tls", "alice"], ["gss", "alice"], False),
        (["tls", "alice"], None, False),
        (None, None, True),
        (None, ["tls", "alice"], False),
        (["local user", "4711"], ["local user", "4711"], True),
        (["local user", "4711"], ["local user", "4712"], False),
        (["local user", "4711"], ["local user", "0"], True),
        (["tls", "alice"], ["local user", str(os.geteuid())], True),
    ],
)
def test_kill_by_somebody(bench, theirs, ours, may):
    """Whose session it is, the server's user and root; for others it is as if it were not there."""
    _, pid, birth = bench.session(principal=theirs)
    _, _, control = bench.session("control", principal=ours)
    running(birth, 4)
    bench.tell(control, ask="kill", sessions={birth.session.hex(): [[4, 4]]}, dry_run=True)
    bench.settle()
    assert bench.hear(control) == {"tasks": {birth.session.hex(): 4} if may else {}}
    bench.tell(control, ask="kill", sessions={birth.session.hex(): [[4, 4]]}, dry_run=False)
    bench.settle()
    assert bench.processes.signals == ([(pid, SIGNAL)] if may else [])


@pytest.mark.parametrize(
    ("theirs", "ours", "may"),
    [
        (["tls", "alice"], ["tls", "alice"], True),
        (["tls", "alice"], ["tls", "bob"], False),
        (["local user", "4711"], ["local user", "4711"], True),
        (["local user", "4711"], ["local user", "0"], True),
        (None, None, False),
    ],
)
def test_kill_by_pid(bench, theirs, ours, may):
    """As by id; but who is nobody could have been told the one by its client only."""
    _, pid, birth = bench.session(principal=theirs)
    _, _, control = bench.session("control", principal=ours)
    running(birth, 4)
    sessions = {str(pid): [[4, 4]], "1": [[4, 4]]}
    bench.tell(control, ask="kill", sessions=sessions, dry_run=True)
    bench.settle()
    assert bench.hear(control) == {"tasks": {str(pid): 4} if may else {}}
    bench.tell(control, ask="kill", sessions=sessions, dry_run=False)
    bench.settle()
    assert bench.processes.signals == ([(pid, SIGNAL)] if may else [])


def test_status_says_whose_a_session_is(bench):
    """Where clients authenticate; for people to read."""
    bench.session(principal=["tls", "alice"])
    (session,) = bench.listener.status()["sessions"]
    assert session["peer"].endswith(" alice (tls)")


def test_kill_without_an_effect(bench):
    """A dry run is answered at once, and nobody is signalled."""
    _, _, birth = bench.session()
    _, _, control = bench.session("control")
    running(birth, 4)
    bench.tell(control, ask="kill", sessions={birth.session.hex(): [[4, 4]]}, dry_run=True)
    bench.settle()
    assert bench.hear(control) == {"tasks": {birth.session.hex(): 4}}
    assert bench.processes.signals == []


def test_kill_by_a_worker(bench):
    """Tasks can reach their process's way to the parent, and must not end others by it."""
    _, _, birth = bench.session()
    _, _, other = bench.session()
    running(birth, 4)
    bench.tell(other, ask="kill", sessions={birth.session.hex(): [[4, 4]]}, dry_run=False)
    bench.settle(1)
    assert bench.processes.signals == []


def test_a_control_session_is_not_killed(bench):
    """It has no tasks."""
    _, _, control = bench.session("control")
    running(control, 4)
    bench.tell(control, ask="kill", sessions={control.session.hex(): [[4, 4]]}, dry_run=False)
    bench.settle()
    assert bench.hear(control) == {"tasks": {}}


def test_who_asked_has_left_before_the_answer(bench):
    """The task is ended all the same."""
    _, pid, birth = bench.session()
    _, control_pid, control = bench.session("control")
    running(birth, 4)
    bench.tell(control, ask="kill", sessions={birth.session.hex(): [[4, 4]]}, dry_run=False)
    bench.settle()
    bench.die(control_pid)
    bench.listener.children.reap()
    for _ in range(60):
        bench.settle(0.01)
    assert (pid, signal.SIGKILL) in bench.processes.signals


@pytest.mark.parametrize("stopped", [True, False])
def test_a_worker_that_had_to_be_ended(bench, stopped):
    """Its client is told of the task, why it was ended and after how long, when it comes back."""
    bench.processes.stops = stopped
    _, pid, birth = bench.session()
    _, _, control = bench.session("control")
    running(birth, 4)
    bench.tell(control, ask="kill", sessions={birth.session.hex(): [[4, 4]]}, dry_run=False)
    for _ in range(60):
        bench.settle(0.01)
    assert bench.processes.signals[-2:] == [(pid, signal.SIGSTOP), (pid, signal.SIGKILL)]
    bench.die(pid, 9)
    bench.listener.children.reap()
    bench.settle()
    assert bench.hear(control) == {"tasks": {birth.session.hex(): 4}}
    bench.connect(Preamble(session=birth.session).encode())
    lost = bench.processes.births[max(bench.processes.births)].lost
    assert (lost["signal"], lost["task"], lost["verdict"]) == ("SIGKILL", 4, "killed")
    assert lost["seconds"] > 0
    assert lost["memory"] is None


def test_a_worker_whose_task_has_a_time_limit(bench):
    """It says so once; the parent does the rest."""
    _, pid, birth = bench.session()
    running(birth, 4)
    birth.slot.words[Slot.LIMIT] = 1  # and it was started long ago
    bench.settle(1)
    assert bench.processes.signals == []
    bench.tell(birth, ask="watch")
    for _ in range(3):
        bench.settle(0.05)
    assert bench.processes.signals[0] == (pid, SIGNAL)
    assert birth.slot.words[Slot.KILL] == 5 << 1 | 1
