"""Links that outlive their connections, with a server of paper."""

import errno
import itertools
import logging
import threading
import time

import pytest

import farm_client as farm
from farm_client import patience, repair
from farm_client import site as site_module
from farm_common.address import parse_address
from farm_common.frames import Kind
from farm_common.testing import FakeClock

BOUND = 20.0


@pytest.fixture
def one(paper, connect):
    """A kernel of one worker, whose session can go on."""
    paper.workers = 1
    paper.grace = 60
    return connect()


@pytest.fixture
def clock(monkeypatch, caplog):
    """A clock of the site's that moves by a second with each attempt to connect that fails."""
    clock = FakeClock()
    connect = site_module.connect
    clock.failures = []

    def attempt(*args):
        if clock.failures:
            clock.advance(1.0)
            failure = clock.failures.pop(0)
            if failure is not None:
                raise failure
        return connect(*args)

    monkeypatch.setattr(patience, "time", clock)
    monkeypatch.setattr(site_module, "connect", attempt)
    for module in (site_module, repair):
        monkeypatch.setattr(module, "backoff", lambda: itertools.repeat(0.0))
    caplog.set_level(logging.INFO, "farm.client")
    return clock


def refused():
    """The error of a port that nobody listens on."""
    return ConnectionRefusedError(errno.ECONNREFUSED, "it is refused")


def shown(caplog, level):
    """What was logged at a level, in order."""
    return [r.getMessage() for r in caplog.records if r.levelno == level]


def sessions(paper):
    """How many sessions for work there were."""
    return sum(client.role == "work" for client, _ in paper.greeted)


def test_a_task_that_runs_is_not_sent_again(paper, one):
    """Its result comes over the next connection."""
    future = farm.future("paper:wait", "key")
    assert paper.started["key"].wait(BOUND)
    paper.drop()
    paper.events["key"].set()
    assert future.result(BOUND) == "key"
    assert paper.tasks() == {0: 1}
    assert sessions(paper) == 1


def test_again_and_again(paper, one):
    """Each connection that breaks is replaced."""
    for number in range(20):
        future = farm.future(abs, -number)
        paper.drop()
        assert future.result(BOUND) == number
    assert paper.tasks() == {0: 20}
    assert sessions(paper) == 1


def test_while_there_is_no_connection(paper, one, clock, caplog):
    """The kernel says so; what is submitted waits; no setup task is run again."""
    one.setup(abs, -1)
    paper.shut = True
    paper.drop()
    channel = one.make_channel()
    wait_for_state(one, "reconnecting")
    channel.submit(abs, -2)
    assert farm.try_receive_result(channel) == (None, False)
    paper.shut = False
    assert channel.receive() == 2
    assert [worker.state for worker in one.workers()] == ["idle"]
    assert paper.tasks() == {0: 2}
    wait_until(lambda: "goes on after" in caplog.text)


def test_who_watches_is_told(paper, one):
    """How many workers are away, when that changes; a progress bar shows it."""
    told = []
    one._engine.watchers.add(told.append)
    paper.shut = True
    paper.drop()
    wait_until(lambda: told == [1])
    paper.shut = False
    wait_until(lambda: told == [1, 0])


def wait_until(condition):
    """Until a thread of the kernel's has made a condition hold."""
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def wait_for_state(kernel, state):
    """Until the first worker's state is this."""
    wait_until(lambda: kernel.workers()[0].state == state)


def test_what_only_this_worker_may_run(paper, one):
    """A broadcast waits for its worker to be back."""
    paper.shut = True
    paper.drop()
    wait_for_state(one, "reconnecting")
    results = []
    thread = threading.Thread(target=lambda: results.append(one.broadcast_task(abs, -3)))
    thread.start()
    paper.shut = False
    thread.join(BOUND)
    assert results == [[3]]


def test_a_shared_value_that_is_released_meanwhile(paper, one):
    """Its worker hears of it later, in the order in which it was said."""
    shared = farm.shared([1, 2, 3])
    assert farm.force(farm.future(len_of, shared), BOUND) == 3
    paper.shut = True
    paper.drop()
    wait_for_state(one, "reconnecting")
    shared.release()
    paper.shut = False
    assert farm.force(farm.future(abs, -1), BOUND) == 1
    kinds = [kind for kind, _ in paper.frames[0]]
    assert kinds.index(Kind.RELEASE) > kinds.index(Kind.SHARED)


def len_of(shared):
    return len(shared.value)


def test_a_session_that_is_gone(paper, one, caplog):
    """The server gives another; the task is sent again, and that it was started counts."""
    future = farm.future("paper:wait", "key")
    assert paper.started["key"].wait(BOUND)
    paper.sessions.clear()
    paper.drop()
    paper.events["key"].set()
    assert future.result(BOUND) == "key"
    assert paper.tasks() == {0: 2}
    assert sessions(paper) == 2


def test_a_session_that_is_gone_and_a_task_that_may_be_started_once(paper, one):
    """It fails."""
    with farm.task_options(attempts=1):
        future = farm.future("paper:wait", "key")
    assert paper.started["key"].wait(BOUND)
    paper.sessions.clear()
    paper.drop()
    with pytest.raises(farm.WorkerLostError, match=r"started once.* connection was lost"):
        future.result(BOUND)
    paper.events["key"].set()
    assert paper.tasks() == {0: 1}


def test_a_server_that_is_out_of_reach_for_too_long(paper, connect, clock, caplog):
    """After its grace the task is sent elsewhere; the kernel says how long it waits."""
    paper.workers, paper.grace = 1, 10
    connect()
    with farm.task_options(attempts=1):
        future = farm.future("paper:wait", "key")
    assert paper.started["key"].wait(BOUND)
    clock.failures += [OSError(errno.EHOSTUNREACH, "no route") for _ in range(12)]
    paper.drop()
    with pytest.raises(farm.WorkerLostError) as caught:
        future.result(BOUND)
    assert "not found again in 10 s; whether the task was executed is not known" in str(
        caught.value
    )
    (error,) = shown(caplog, logging.ERROR)
    assert "has been lost for 5 s: " in error
    assert error.endswith("; what it was sent waits for it, 10 s at most")
    paper.events["key"].set()
    assert farm.force(farm.future(abs, -1), BOUND) == 1


class Launcher:
    """Stands for what starts a kernel's own server, on a host that then is out of reach."""

    def __init__(self, address):
        self.address = address
        self.running = True
        self.launches = 1
        self.answer = threading.Event()
        self._lock = threading.Lock()

    def start(self, deadline):
        with self._lock:
            if not self.running:
                self.running = True  # as far as one can see from outside
                self.launches += 1
            again = self.launches > 1
        assert not again or self.answer.wait(BOUND)
        return self.address

    def end(self):
        pass


def test_a_server_of_its_own_that_ended(paper, connect, monkeypatch):
    """Nothing that it kept is waited for, even while it takes long to start another."""
    private = Launcher(parse_address(paper.address))
    monkeypatch.setattr(site_module, "launcher", lambda _: private)
    paper.workers, paper.grace = 2, 1000
    connect()
    with farm.task_options(attempts=1):
        futures = [farm.future("paper:wait", key) for key in "ab"]
    assert all(paper.started[key].wait(BOUND) for key in "ab")
    private.running = False
    paper.drop()
    for future in futures:
        with pytest.raises(farm.WorkerLostError, match="with it the server that this kernel had"):
            future.result(BOUND)
    private.answer.set()
    for key in "ab":
        paper.events[key].set()
    assert farm.force(farm.future(abs, -1), BOUND) == 1


def test_where_nobody_listens_any_more(paper, connect, clock):
    """Some seconds are enough: a proxy may have been started anew, a server would be there."""
    paper.workers, paper.grace = 1, 1000
    connect()
    with farm.task_options(attempts=1):
        future = farm.future("paper:wait", "key")
    assert paper.started["key"].wait(BOUND)
    # That the host is silent in between starts the time anew.
    clock.failures += [
        refused(),
        refused(),
        refused(),
        TimeoutError(),
        *(refused() for _ in range(9)),
    ]
    paper.drop()
    with pytest.raises(farm.WorkerLostError, match="not found again in 10 s"):
        future.result(BOUND)
    paper.events["key"].set()


def test_a_client_that_is_not_let_in_for_a_while(paper, one, clock):
    """The session waits: a ticket may be renewed, and the next handshake is not tampered with."""
    future = farm.future("paper:wait", "key")
    assert paper.started["key"].wait(BOUND)
    clock.failures += [farm.AuthError("get a ticket with kinit")] * 5
    paper.drop()
    paper.events["key"].set()
    assert future.result(BOUND) == "key"
    assert sessions(paper) == 1
    assert paper.tasks() == {0: 1}


def test_a_client_that_is_not_let_in_any_more(paper, one, clock):
    """When the grace is over the task is sent elsewhere, as for a server that cannot be reached."""
    with farm.task_options(attempts=1):
        future = farm.future("paper:wait", "key")
    assert paper.started["key"].wait(BOUND)
    clock.failures += [farm.AuthError("get a ticket with kinit")] * 90
    paper.drop()
    with pytest.raises(farm.WorkerLostError, match="not found again in 60 s"):
        future.result(BOUND)
    clock.failures.clear()
    paper.events["key"].set()


@pytest.mark.parametrize(
    "failure",
    [farm.ProtocolError("it cannot go on"), ConnectionRefusedError("the server is draining")],
)
def test_a_server_that_refuses(paper, connect, clock, failure):
    """Its word is final for the session, and not for the worker."""
    paper.workers, paper.grace = 1, 1000
    connect()
    future = farm.future("paper:wait", "key")
    assert paper.started["key"].wait(BOUND)
    clock.failures.append(failure)
    paper.drop()
    paper.events["key"].set()
    assert future.result(BOUND) == "key"
    assert sessions(paper) == 2


def test_a_server_that_claims_too_much(paper, one, clock):
    """Where the two sides do not agree on what was sent the session cannot go on."""
    future = farm.future("paper:wait", "key")
    assert paper.started["key"].wait(BOUND)
    paper.hello["received"] = 1 << 40
    paper.drop()
    paper.events["key"].set()
    assert future.result(BOUND) == "key"
    assert sessions(paper) == 2


def test_a_peer_that_breaks_the_protocol(paper, one):
    """Its session is not one to go on with."""
    paper.lies.append(([1, 2], 1, True))
    assert farm.force(farm.future(abs, -1), BOUND) == 1
    assert sessions(paper) == 2


def test_removing_and_ending(paper, one):
    """A kernel without a connection ends at once."""
    future = farm.future("paper:wait", "key")
    assert paper.started["key"].wait(BOUND)
    paper.shut = True
    paper.drop()
    wait_for_state(one, "reconnecting")
    one.end()
    with pytest.raises(farm.KernelEndedError):
        future.result(BOUND)
    paper.events["key"].set()
