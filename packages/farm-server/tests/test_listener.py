"""The parent's loop, with processes that exist only here."""

import array
import json
import os
import shutil
import signal
import socket
import tempfile

import pytest

from farm_common.frames import FrameReader, Kind, encode_frame
from farm_common.handshake import PREAMBLE_SIZE, Preamble, Refusal
from farm_server import listener as module
from farm_server.board import Slot
from farm_server.endpoint import open_endpoints
from farm_server.interrupter import SIGNAL
from farm_server.listener import Listener
from farm_server.settings import Settings, make_settings


class Processes:
    """Forks nothing: the test is every child."""

    def __init__(self):
        self.births = {}
        self.statuses = {}
        self.signals = []
        self.full = False
        self.stops = True

    def fork(self, birth, foreign):
        if self.full:
            raise OSError("no room for a process")
        pid = 1000 + len(self.births)
        self.births[pid] = birth._replace(
            parent=birth.parent.dup(), sock=birth.sock.dup(), start=bytes(birth.start)
        )
        self.foreign = list(foreign)
        return pid

    def poll(self, pid):
        return self.statuses.pop(pid, None)

    def stopped(self, pid):
        return self.stops

    def signal(self, pid, number):
        self.signals.append((pid, number))

    kill = signal


class Clock:
    """Time that passes when the test says so."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Bench:
    """A listener on a Unix socket, its clients and its children."""

    def __init__(self, folder, **settings):
        self.clock = Clock()
        self.processes = Processes()
        made = make_settings(f"unix://{folder}/s", **settings)
        ends = open_endpoints(made.addresses, authenticates=False, insecure=False)
        self.listener = Listener(
            made,
            ends,
            lambda *_: None,
            descriptors=(1024, 1024),
            processes=self.processes,
            clock=self.clock,
        )
        self.path = f"{folder}/s"
        self.clients = []

    def settle(self, seconds=0.0):
        """Let time pass, and everything happen that can."""
        self.clock.now += seconds
        for _ in range(6):
            self.listener.timers.after(0, lambda: None)
            if self.listener.finished:
                return
            self.listener.step()

    def connect(self, data=b""):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(5)
        client.connect(self.path)
        client.sendall(data)
        self.clients.append(client)
        self.settle()
        return client

    def session(self, role="work", before=None, principal=None, **more):
        """A client that was admitted: its socket, its child's number and birth."""
        preamble = Preamble() if before is None else Preamble(session=before)
        client = self.connect(preamble.encode())
        pid = max(self.processes.births)
        birth = self.processes.births[pid]
        said = {"role": role, "kernel": "k", "index": 0, "peer": "p", "principal": principal}
        self.tell(birth, ask="admit", **said, **more)
        self.settle()
        self.answer = self.hear(birth)
        return client, pid, birth

    def tell(self, birth, **request):
        """Say something as a child."""
        birth.parent.sendall(json.dumps(request).encode() + b"\n")

    def hear(self, birth):
        """What the parent says to a child."""
        birth.parent.settimeout(5)
        return json.loads(birth.parent.recv(1 << 20))

    def die(self, pid, status=0):
        """End as a child."""
        self.processes.statuses[pid] = status
        birth = self.processes.births[pid]
        birth.parent.close()
        birth.sock.close()
        self.settle()

    def close(self):
        self.listener.close()
        for birth in self.processes.births.values():
            birth.parent.close()
            birth.sock.close()
        for client in self.clients:
            client.close()


@pytest.fixture
def make():
    """Makes benches, and closes them."""
    folder = tempfile.mkdtemp(prefix="farm-")
    benches = []

    def make_(**settings):
        benches.append(Bench(folder, **settings))
        return benches[-1]

    yield make_
    for bench in benches:
        bench.close()
    shutil.rmtree(folder)


@pytest.fixture
def bench(make):
    """One bench with the defaults."""
    return make()


def closed(client):
    """Whether the server closed the connection, saying nothing more."""
    return client.recv(1) == b""


def refusal(client):
    """Why the server refused."""
    data = b""
    while True:
        part = client.recv(9999)
        if not part:
            break
        data += part
    assert data[:PREAMBLE_SIZE] == Preamble().encode()
    (frame,) = FrameReader(9999).feed(data[PREAMBLE_SIZE:])
    return Refusal.decode(frame.body)


# before a session


def test_a_silent_client_costs_no_process(bench):
    """It is closed when its time is over, and not before."""
    client = bench.connect()
    bench.settle(9.9)
    client.settimeout(0)
    with pytest.raises(BlockingIOError):
        client.recv(1)
    bench.settle(0.2)
    assert closed(client)
    assert not bench.processes.births


def test_a_client_that_says_too_little(bench):
    """Each byte does not start the time anew."""
    client = bench.connect(Preamble().encode()[:5])
    bench.settle(9)
    client.sendall(Preamble().encode()[5:9])
    bench.settle(1.1)
    assert closed(client)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"\x93farm\r\nX"])
def test_another_protocol(bench, data):
    """It is closed at once."""
    client = bench.connect(data)
    with pytest.raises((ConnectionResetError, AssertionError)):
        assert not closed(client)
    assert not bench.processes.births


def test_another_version(bench):
    """It learns ours."""
    client = bench.connect(Preamble((5, 6)).encode())
    assert client.recv(999) == Preamble().encode()
    assert closed(client)
    bench.settle(1.1)
    assert not bench.listener._arrivals


def test_the_oldest_silent_client_leaves_for_the_newest(bench, monkeypatch):
    """Who floods the server with silence does not shut others out."""
    monkeypatch.setattr(module, "ARRIVALS", 3)
    clients = [bench.connect() for _ in range(4)]
    assert closed(clients[0])
    clients[3].sendall(Preamble().encode())
    bench.settle()
    assert len(bench.processes.births) == 1


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
    bench.listener._reap()
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
    bench.listener._reap()
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
    bench.listener._reap()
    bench.die(1001)
    bench.listener._reap()
    births = bench.processes.births
    assert [births[pid].start for pid in (1000, 1001, 1002)] == [preambles[n] for n in (0, 2, 1)]


def test_waiting_for_a_turn_too_long(bench, monkeypatch):
    """A client that spoke is told why."""
    monkeypatch.setattr(module, "UNAUTHENTICATED", 0)
    client = bench.connect(Preamble().encode())
    bench.settle(10.1)
    assert refusal(client).reason == "busy"


def test_another_user(bench, monkeypatch):
    """They are told who may."""
    monkeypatch.setattr(module, "peer_uid", lambda sock: 4711)
    monkeypatch.setattr(os, "geteuid", lambda: 12)
    client = bench.connect(Preamble().encode())
    answer = refusal(client)
    assert answer.reason == "auth"
    assert "serves user " in answer.message
    assert "12" in answer.message
    assert "and you are user 4711: start a server of your own" in answer.message
    assert not bench.processes.births


def test_all_users_of_this_machine(make, monkeypatch):
    """They may come in where that was allowed."""
    bench = make(allow_local_users=True)
    monkeypatch.setattr(module, "peer_uid", lambda sock: 4711)
    monkeypatch.setattr(os, "geteuid", lambda: 12)
    bench.session()
    assert bench.answer == {"admitted": True}


def test_a_system_without_room_for_processes(bench):
    """The client may try again; the server goes on."""
    bench.processes.full = True
    client = bench.connect(Preamble().encode())
    assert refusal(client).reason == "busy"
    bench.processes.full = False
    bench.session()
    assert bench.answer == {"admitted": True}


def test_out_of_descriptors(bench, monkeypatch):
    """It pauses instead of spinning, and then accepts who waited."""
    (end,) = bench.listener.endpoints
    bench.listener._ignore(end.sock)

    class Full:
        def accept(self):
            raise OSError(24, "too many open files")

        def fileno(self):
            return end.sock.fileno()

        def close(self):
            end.sock.close()

    full = end._replace(sock=Full())
    bench.listener._listen(full)
    bench.connect(Preamble().encode())
    assert not bench.listener._arrivals
    monkeypatch.setattr(Full, "accept", lambda self: end.sock.accept())
    bench.settle(1)
    assert bench.processes.births


# sessions


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
    foreign = {thing.fileno() for thing in bench.processes.foreign}
    (end,) = bench.listener.endpoints
    assert end.sock.fileno() in foreign
    children = list(bench.listener._children.values())
    assert {children[0].sock.fileno(), children[0].pipe.fileno()} <= foreign
    assert children[1].sock.fileno() not in foreign
    (silent,) = bench.listener._arrivals
    assert silent.sock.fileno() in foreign


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
    assert refusal(bench.connect(Preamble().encode())).reason == "busy"


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
    bench.listener._reap()
    assert closed(client)
    assert bench.listener.exits.get(birth.session) == {
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
    bench.listener._reap()
    _, _, again = bench.session(before=birth.session)
    assert again.lost["status"] == 3
    assert again.session != birth.session


def test_memory_kills(bench, monkeypatch):
    """Only a SIGKILL that was not ours, with a count that rose, is one."""
    monkeypatch.setattr(bench.listener._memory, "rose", lambda: True)
    found = []
    for status, ours in ((9, False), (9, True), (11, False), (0, False)):
        _, pid, birth = bench.session()
        if ours:
            bench.listener._children[birth.session].killed = True
        bench.die(pid, status)
        bench.listener._reap()
        found.append(bench.listener.exits.get(birth.session)["memory"])
    assert found == [True, None, None, None]


def test_a_client_that_comes_back_while_its_session_runs(bench):
    """The old one is told to end, killed if it does not, and only then is there a new one."""
    _, pid, birth = bench.session()
    client = bench.connect(Preamble(session=birth.session).encode())
    assert birth.parent.recv(99) == b""
    assert len(bench.processes.births) == 1
    bench.settle(0.6)
    assert bench.processes.signals == [(pid, signal.SIGKILL)]
    bench.die(pid, 9)
    bench.listener._reap()
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
        assert not bench.listener._children[birth.session].ending

    @pytest.mark.parametrize(("name", "ends"), [("alice", True), ("mallory", False)])
    def test_whoever_has_it_must_be_its_client(self, guarded, name, ends):
        """The session ends when its own client was admitted again, and for nobody else."""
        bench, _, _, birth = guarded
        bench.session(before=birth.session, principal=["tls", name])
        assert bench.answer == {"admitted": True}
        assert bench.listener._children[birth.session].ending is ends

    def test_administrators_end_nothing_by_it(self, guarded):
        """A connection for control takes nobody's place."""
        bench, _, _, birth = guarded
        bench.session("control", before=birth.session, principal=["tls", "alice"])
        assert not bench.listener._children[birth.session].ending


def test_a_client_that_leaves_while_its_session_is_stuck(bench):
    """The session has a second to notice by itself."""
    client, pid, _ = bench.session()
    if bench.listener._hangups is None:
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


# status and the end


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
    bench.listener._reap()
    bench.settle()
    # Who only watches is told to end.
    assert birth.parent.recv(9) == b""
    bench.die(control)
    bench.listener._reap()
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
    assert refusal(waiting).reason == "draining"
    silent.sendall(Preamble().encode())
    bench.settle()
    assert refusal(silent).reason == "draining"


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


# sessions whose connection is lost


def returning(bench, session):
    """A client that wants its session to go on."""
    return bench.connect(Preamble(session=session, resume=True).encode())


def offered(birth):
    """The number of a connection that a child was offered, and its copy of the socket."""
    birth.parent.settimeout(5)
    data, ancillary, _, _ = birth.parent.recvmsg(1 << 16, socket.CMSG_SPACE(64))
    ((_, _, content),) = ancillary
    descriptors = array.array("i")
    descriptors.frombytes(content)
    message = json.loads(data)
    assert Preamble.decode(bytes.fromhex(message["start"])).resume
    return message["resume"], socket.socket(fileno=descriptors[0])


class TestOrphans:
    def test_a_lost_connection(self, make):
        """The session goes on for the grace, and is then told to end; that is remembered."""
        bench = make(grace=30)
        client, pid, birth = bench.session(resumable=True)
        bench.tell(birth, ask="orphaned", why="cut")
        client.close()
        bench.settle()
        assert [s["state"] for s in bench.listener.status()["sessions"]] == ["orphaned"]
        bench.settle(29.9)
        birth.parent.settimeout(0)
        with pytest.raises(BlockingIOError):
            birth.parent.recv(1)
        bench.settle(0.2)
        assert birth.parent.recv(1) == b""
        bench.settle(0.6)
        assert bench.processes.signals == [(pid, signal.SIGKILL)]
        bench.die(pid, 9)
        bench.listener._reap()
        assert bench.listener.exits.get(birth.session)["expired"] is True

    def test_the_parent_sees_it_by_itself(self, make):
        """A session that is stuck in a task cannot tell."""
        bench = make(grace=30)
        if bench.listener._hangups is None:
            pytest.skip("this system does not tell")
        client, _, birth = bench.session(resumable=True)
        client.close()
        bench.settle()
        bench.settle(29.9)
        assert not bench.listener._children[birth.session].ending
        bench.settle(0.2)
        assert bench.listener._children[birth.session].ending

    def test_a_goodbye_that_was_not_read(self, make):
        """Whoever says goodbye leaves no orphan, also if the session is stuck."""
        bench = make(grace=30)
        if bench.listener._hangups is None:
            pytest.skip("this system does not tell")
        client, pid, birth = bench.session(resumable=True)
        client.sendall(b"".join(encode_frame(Kind.TASK, b"x", count=1, ident=4)))
        client.sendall(b"".join(encode_frame(Kind.GOODBYE)))
        client.close()
        bench.settle()
        assert bench.listener._children[birth.session].orphaned is None
        bench.settle(1.1)
        assert bench.processes.signals == [(pid, signal.SIGKILL)]

    def test_a_client_that_comes_back(self, make):
        """The session gets its socket, its client the preamble; the time is over no more."""
        bench = make(grace=30)
        client, _, birth = bench.session(resumable=True)
        client.close()
        bench.tell(birth, ask="orphaned")
        bench.settle(29)
        again = returning(bench, birth.session)
        assert Preamble.decode(again.recv(99)).session == birth.session
        number, sock = offered(birth)
        sock.sendall(b"hello")
        assert again.recv(9) == b"hello"
        bench.tell(birth, ask="resumed", number=number)
        bench.settle()
        bench.settle(100)
        assert [s["state"] for s in bench.listener.status()["sessions"]] == ["idle"]
        assert not bench.processes.signals
        # The new socket is watched as the old one was.
        again.close()
        sock.close()
        bench.tell(birth, ask="orphaned")
        bench.settle()
        bench.settle(30.1)
        assert bench.listener._children[birth.session].ending
        assert len(bench.processes.births) == 1

    def test_half_open(self, make):
        """A client may come back before the session knows that it was away."""
        bench = make(grace=30)
        old, _, birth = bench.session(resumable=True)
        new = returning(bench, birth.session)
        number, sock = offered(birth)
        old.settimeout(0)
        with pytest.raises(BlockingIOError):
            old.recv(1)  # not before it has proved who it is
        bench.tell(birth, ask="resumed", number=number)
        bench.settle()
        old.settimeout(5)
        birth.sock.close()  # the session's copy of the old one
        assert closed(old)
        assert Preamble.decode(new.recv(99)).session == birth.session
        sock.close()

    def test_refused(self, make):
        """A connection that the session does not want is closed; the time goes on."""
        bench = make(grace=30)
        _, _, birth = bench.session(resumable=True)
        bench.tell(birth, ask="orphaned")
        again = returning(bench, birth.session)
        number, sock = offered(birth)
        sock.close()
        bench.tell(birth, ask="refused", number=number, why="another user")
        bench.settle()
        assert len(again.recv(99)) == PREAMBLE_SIZE
        assert closed(again)
        bench.settle(30.1)
        assert bench.listener._children[birth.session].ending

    def test_a_session_that_cannot_answer(self, make):
        """As long as its client waits the time is not over; when that leaves, it is."""
        bench = make(grace=30)
        _, _, birth = bench.session(resumable=True)
        bench.tell(birth, ask="orphaned")
        bench.settle()
        again = returning(bench, birth.session)
        offered(birth)[1].close()
        for _ in range(5):
            bench.settle(20)
        assert not bench.listener._children[birth.session].ending
        again.close()
        bench.settle(1.1)
        bench.settle(1.1)
        assert bench.listener._children[birth.session].ending

    def test_too_many_offers(self, make):
        """Who makes one connection after the other is stopped at some."""
        bench = make(grace=30)
        _, _, birth = bench.session(resumable=True)
        clients = [returning(bench, birth.session) for _ in range(9)]
        assert closed(clients[8])
        for client in clients[:8]:
            assert len(client.recv(99)) == PREAMBLE_SIZE

    def test_nonsense_from_a_session(self, make):
        """Numbers that were not offered change nothing, nor does what it cannot say."""
        bench = make(grace=30)
        _, _, birth = bench.session(resumable=True)
        for request in (
            *({"ask": ask, "number": 7} for ask in ("resumed", "refused")),
            {"ask": "resumed", "number": []},
            {"ask": "refused"},
        ):
            bench.tell(birth, **request)
        bench.settle()
        assert [s["state"] for s in bench.listener.status()["sessions"]] == ["idle"]

    @pytest.mark.parametrize("resumable", [True, False])
    def test_a_client_that_wants_another(self, make, resumable):
        """Without the flag, or where it cannot go on, the session ends and another begins."""
        bench = make(grace=30)
        _, pid, birth = bench.session(resumable=resumable)
        bench.connect(Preamble(session=birth.session, resume=not resumable).encode())
        assert birth.parent.recv(99) == b""
        bench.die(pid)
        bench.listener._reap()
        assert len(bench.processes.births) == 2

    def test_orphans_give_way(self, make):
        """The one that has been alone for longest ends where there is no room for another."""
        bench = make(grace=30, max_connections=2)
        first, second = (bench.session(resumable=True)[2] for _ in range(2))
        bench.session(resumable=True)
        assert bench.answer["refuse"] == "busy"
        for birth in (second, first):
            bench.tell(birth, ask="orphaned")
            bench.settle(1)
        bench.session(resumable=True)
        assert bench.answer == {"admitted": True}
        assert bench.listener._children[second.session].ending
        assert not bench.listener._children[first.session].ending

    def test_draining(self, make):
        """Nobody can come back: orphans end, those that are and those that become it."""
        bench = make(grace=30)
        one, other = (bench.session(resumable=True)[2] for _ in range(2))
        bench.tell(one, ask="orphaned")
        bench.settle()
        bench.listener.drain()
        assert bench.listener._children[one.session].ending
        assert not bench.listener._children[other.session].ending
        bench.tell(other, ask="orphaned")
        bench.settle()
        assert bench.listener._children[other.session].ending

    def test_a_session_that_ends(self, make):
        """What it was offered and has not taken is closed."""
        bench = make(grace=30)
        _, pid, birth = bench.session(resumable=True)
        again = returning(bench, birth.session)
        offered(birth)[1].close()
        bench.die(pid)
        bench.listener._reap()
        assert len(again.recv(99)) == PREAMBLE_SIZE
        assert closed(again)


# tasks that are ended


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
    bench.listener._reap()
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
    bench.listener._reap()
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
