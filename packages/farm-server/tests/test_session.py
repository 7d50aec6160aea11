"""What a session asks its parent."""

import json
import os
import socket

import pytest

from farm_common.deadline import Deadline
from farm_common.handshake import ClientHello, Refusal
from farm_common.interpreter import hello_fields
from farm_common.security import PeerIdentity
from farm_server import session
from farm_server.board import Board
from farm_server.session import Birth, ask
from farm_server.settings import make_settings


@pytest.fixture
def ends():
    """Both ends of the socket pair: the session's and the parent's."""
    ours, parent = socket.socketpair()
    with ours, parent:
        yield ours, parent


def test_a_question_and_its_answer(ends):
    """One line each."""
    ours, parent = ends
    parent.sendall(b'{"admitted": true}\n')
    assert ask(ours, {"ask": "admit"}) == {"admitted": True}
    assert json.loads(parent.recv(999)) == {"ask": "admit"}


def test_a_parent_that_is_gone(ends):
    """Before or after the question."""
    ours, parent = ends
    parent.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionError, match="the server is ending"):
        ask(ours, {"ask": "status"})
    parent.close()
    with pytest.raises(ConnectionError, match="the server is ending"):
        ask(ours, {"ask": "status"})


def test_a_parent_that_does_not_answer(ends, monkeypatch):
    """The wait is bounded."""
    monkeypatch.setattr(session, "_PARENT_SECONDS", 0.01)
    with pytest.raises(TimeoutError, match="does not answer"):
        ask(ends[0], {"ask": "status"})


def greet(ends, answer=None, peer=None, **client):
    """What a session says to a client's hello when the parent answers so."""
    ours, parent = ends
    if answer is not None:
        parent.sendall(json.dumps(answer).encode() + b"\n")
    birth = Birth(
        sock=ours,
        start=b"",
        deadline=Deadline(1),
        session=b"\1" * 16,
        lost={"status": 1},
        peer="p",
        workers=4,
        slot=Board(1).take(),
        parent=ours,
        settings=make_settings("h:1", name="n", tags=("gpu",)),
        server="id",
        descriptors=(1, 1),
        work=lambda *_: None,
    )
    return session._greet(birth, ClientHello(**hello_fields(1), **client), 99, peer)


def test_the_hello(ends):
    """It says who this is, and how the session before ended."""
    hello = greet(ends, {"admitted": True}, role="work", name="k", index=2)
    assert (hello.server, hello.name, hello.workers, hello.tags) == ("id", "n", 4, ("gpu",))
    assert hello.session == "01" * 16
    assert hello.lost == {"status": 1}
    assert hello.frame_limit == 99
    asked = json.loads(ends[1].recv(999))
    assert asked.pop("principal") in (["local user", str(os.geteuid())], None)
    assert asked == {
        "ask": "admit",
        "role": "work",
        "kernel": "k",
        "index": 2,
        "peer": "p",
        "resumable": False,
    }


def test_an_authenticated_client(ends):
    """The parent is told who it is, in place of whose socket it has."""
    greet(ends, {"admitted": True}, PeerIdentity("tls", "alice"), role="work")
    assert json.loads(ends[1].recv(999))["principal"] == ["tls", "alice"]


def test_a_refusal_by_the_parent(ends):
    """It is passed on."""
    answer = {"refuse": "busy", "message": "later"}
    assert greet(ends, answer, role="work") == Refusal("busy", "later")


def test_an_unknown_role(ends):
    """A later release may have more of them; the parent is not asked."""
    refusal = greet(ends, role="spectator")
    assert refusal.reason == "role"
    assert "'spectator'" in refusal.message
