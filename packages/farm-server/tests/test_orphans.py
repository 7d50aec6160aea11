"""Sessions whose connection is lost, as the parent sees them."""

import array
import json
import select
import signal
import socket

import pytest

from farm_common.frames import Kind, encode_frame
from farm_common.handshake import PREAMBLE_SIZE, Preamble


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
        bench.listener.children.reap()
        assert bench.listener.children.exits.get(birth.session)["expired"] is True

    def test_the_parent_sees_it_by_itself(self, make):
        """A session that is stuck in a task cannot tell."""
        bench = make(grace=30)
        if not hasattr(select, "epoll"):
            pytest.skip("this system does not tell")
        client, _, birth = bench.session(resumable=True)
        client.close()
        bench.settle()
        bench.settle(29.9)
        assert not bench.child(birth).ending
        bench.settle(0.2)
        assert bench.child(birth).ending

    def test_a_goodbye_that_was_not_read(self, make):
        """Whoever says goodbye leaves no orphan, also if the session is stuck."""
        bench = make(grace=30)
        if not hasattr(select, "epoll"):
            pytest.skip("this system does not tell")
        client, pid, birth = bench.session(resumable=True)
        client.sendall(b"".join(encode_frame(Kind.TASK, b"x", count=1, ident=4)))
        client.sendall(b"".join(encode_frame(Kind.GOODBYE)))
        client.close()
        bench.settle()
        assert bench.child(birth).orphaned is None
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
        assert bench.child(birth).ending
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
        assert bench.closed(old)
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
        assert bench.closed(again)
        bench.settle(30.1)
        assert bench.child(birth).ending

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
        assert not bench.child(birth).ending
        again.close()
        bench.settle(1.1)
        bench.settle(1.1)
        assert bench.child(birth).ending

    def test_too_many_offers(self, make):
        """Who makes one connection after the other is stopped at some."""
        bench = make(grace=30)
        _, _, birth = bench.session(resumable=True)
        clients = [returning(bench, birth.session) for _ in range(9)]
        assert bench.closed(clients[8])
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
        bench.listener.children.reap()
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
        assert bench.child(second).ending
        assert not bench.child(first).ending

    def test_draining(self, make):
        """Nobody can come back: orphans end, those that are and those that become it."""
        bench = make(grace=30)
        one, other = (bench.session(resumable=True)[2] for _ in range(2))
        bench.tell(one, ask="orphaned")
        bench.settle()
        bench.listener.drain()
        assert bench.child(one).ending
        assert not bench.child(other).ending
        bench.tell(other, ask="orphaned")
        bench.settle()
        assert bench.child(other).ending

    def test_a_session_that_ends(self, make):
        """What it was offered and has not taken is closed."""
        bench = make(grace=30)
        _, pid, birth = bench.session(resumable=True)
        again = returning(bench, birth.session)
        offered(birth)[1].close()
        bench.die(pid)
        bench.listener.children.reap()
        assert len(again.recv(99)) == PREAMBLE_SIZE
        assert bench.closed(again)
