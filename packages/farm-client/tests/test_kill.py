"""Killing tasks, from the client's side: what it asks of servers, and what becomes of tasks."""

import logging
import threading

import pytest

import farm_client as farm
from farm_common.kills import KILLED, TIMEOUT, pack_killed
from farm_common.shipping.interruptions import pack_interruption


def wait_for(paper, key, category="sim", **options):
    """Submit a task that waits for an event, and return its future once it runs."""
    with farm.task_options(category=category, **options):
        future = farm.future("paper:wait", key)
    assert paper.started[key].wait(20)
    return future


def obey(paper, keys, reason=KILLED):
    """Have the server end the tasks that wait for these events when they are killed."""
    for key in keys:
        paper.killed[key] = pack_interruption(reason, 2.5, None)

    def kill(sessions, dry_run):
        if not dry_run:
            for key in keys:
                paper.events[key].set()
        return [pack_killed({session: spans[0][0] for session, spans in sessions.items()})]

    paper.kill = kill


def test_a_running_task_is_killed(kernel, paper):
    """The server is given its session and id; the task's error tells who ran it and how long."""
    obey(paper, ["a"])
    future = wait_for(paper, "a")
    (link,) = [link for link in kernel._engine.links if link.inflight]
    assert farm.kill_tasks("sim") == 1
    with pytest.raises(farm.TaskKilledError) as caught:
        future.result(20)
    error = caught.value
    assert (error.task, error.worker, error.seconds) == ("paper:wait", link.label, 2.5)
    assert paper.kills == [({link.hello.session: ((1, 1),)}, False)]
    assert not link.lost


def test_a_dry_run(kernel, paper):
    """Nothing ends; the server is told that it is one."""
    obey(paper, ["a"])
    future = wait_for(paper, "a")
    assert kernel.kill_tasks("sim", dry_run=True) == 1
    ((_, dry_run),) = paper.kills
    assert dry_run is True
    paper.killed.clear()
    paper.events["a"].set()
    assert future.result(20) == "a"


def test_other_categories(kernel, paper):
    """Nothing is asked of a server that was sent none of that category."""
    wait_for(paper, "a")
    assert kernel.kill_tasks("other") == 0
    assert kernel.kill_tasks("default") == 0
    assert paper.kills == []
    paper.events["a"].set()


def test_the_default_category(kernel, paper):
    """Tasks without a category have that."""
    obey(paper, ["a"])
    future = farm.future("paper:wait", "a")
    assert paper.started["a"].wait(20)
    assert farm.kill_tasks("default") == 1
    assert isinstance(future.exception(20), farm.TaskKilledError)


@pytest.mark.parametrize("category", [("sim", 3), b"sim", 1.5, frozenset("a"), float("nan")])
def test_any_category(kernel, paper, category):
    """It is compared here, as a key of a dict is."""
    obey(paper, ["a"])
    future = wait_for(paper, "a", category)
    assert farm.task_categories_running().count(category) == 1
    assert farm.kill_tasks(category) == 1
    assert isinstance(future.exception(20), farm.TaskKilledError)


@pytest.mark.parametrize("category", [None, [1]])
def test_what_is_no_category(kernel, category):
    """Nothing could have it."""
    with pytest.raises(TypeError, match="a task category is any hashable value but None"):
        farm.kill_tasks(category)


def test_tasks_that_wait_here(kernel, paper):
    """They are not affected, though they have the category."""
    obey(paper, ["a", "b"])
    futures = [wait_for(paper, key) for key in "ab"]
    with farm.task_category("sim"):
        waiting = [farm.future("paper:echo", n) for n in range(3)]
    assert farm.kill_tasks("sim") == 2
    for future in futures:
        assert isinstance(future.exception(20), farm.TaskKilledError)
    assert [future.result(20)[0] for future in waiting] == [0, 1, 2]


def test_two_addresses(paper):
    """Each is asked for its own tasks."""
    with farm.make_kernel([paper.address + "?workers=1"] * 2, timeout=20) as kernel:
        obey(paper, ["a", "b"])
        futures = [wait_for(paper, key) for key in "ab"]
        assert kernel.kill_tasks("sim") == 2
        assert [len(sessions) for sessions, _ in paper.kills] == [1, 1]
        for future in futures:
            assert isinstance(future.exception(20), farm.TaskKilledError)
    farm.set_kernel(None)


def test_without_a_kernel():
    """There is nothing to kill in."""
    with pytest.raises(farm.NoKernelError):
        farm.kill_tasks("sim")


def test_after_the_end(connect):
    """Nothing runs any more."""
    kernel = connect()
    kernel.end()
    assert kernel.kill_tasks("sim") == 0


def test_a_task_whose_time_was_up(kernel, paper):
    """The error tells how much it had; the server ended it by itself."""
    paper.killed["a"] = pack_interruption(TIMEOUT, 1.6, None)
    future = wait_for(paper, "a", timeout=1.5)
    paper.events["a"].set()
    with pytest.raises(farm.TaskTimeoutError) as caught:
        future.result(20)
    assert (caught.value.task, caught.value.timeout) == ("paper:wait", 1.5)
    assert paper.count(0x11) == 1  # TASK: it is not sent again


def test_channels_get_the_errors(kernel, paper):
    """As any other."""
    obey(paper, ["a"])
    channel = kernel.make_channel()
    with farm.task_category("sim"):
        channel.submit("paper:wait", "a")
    assert paper.started["a"].wait(20)
    assert kernel.kill_tasks("sim") == 1
    with pytest.raises(farm.TaskKilledError):
        channel.receive()


def test_a_running_task_cannot_be_cancelled(kernel, paper):
    """That is the rule of `concurrent.futures`; killing it is something else."""
    obey(paper, ["a"])
    future = wait_for(paper, "a")
    assert not future.cancel()
    assert kernel.kill_tasks("sim") == 1
    assert not future.cancelled()


# servers that cannot be asked


def refuse(paper):
    """Answer a KILL with nonsense."""
    paper.kill = lambda sessions, dry_run: [b"nonsense"]


@pytest.mark.parametrize("how", ["nonsense", "old"])
def test_a_server_that_cannot_be_asked(connect, paper, caplog, how):
    """The connection to the worker is given up; the task ends, and is not started again."""
    if how == "old":
        paper.hello = {"features": ("modules",)}
    else:
        refuse(paper)
    kernel = connect()
    farm.set_kernel(kernel)
    future = wait_for(paper, "a")
    with caplog.at_level(logging.WARNING, "farm.client"):
        assert kernel.kill_tasks("sim", dry_run=True) == 1
        assert not future.done()
        assert kernel.kill_tasks("sim") == 1
    assert "which tasks run" in caplog.text
    with pytest.raises(farm.TaskKilledError) as caught:
        future.result(20)
    assert caught.value.seconds is None
    paper.events["a"].set()
    others = [farm.future("paper:echo", n) for n in range(4)]
    assert [other.result(20)[0] for other in others] == [0, 1, 2, 3]
    assert sum(paper.tasks().values()) == 5


@pytest.fixture
def single(paper, connect):
    """A kernel of one worker, the process-wide current one."""
    paper.workers = 1
    return connect()


def queue_behind(paper, **options):
    """A task that waits, and one that its worker was sent behind it."""
    paper.events["gate"].set()
    for _ in range(20):  # they are known to be short, then
        farm.future("paper:wait", "gate").result(20)
        farm.future("paper:echo", 0).result(20)
    paper.events["gate"].clear()
    paper.started["gate"].clear()
    gate = wait_for(paper, "gate", "gate", **options)
    with farm.task_options(category="sim", **options):
        behind = farm.future("paper:echo", 1)
    while not behind.running():
        pass
    return gate, behind


def test_a_server_that_cannot_be_asked_and_runs_something_else(single, paper):
    """A task behind another one is left alone: nobody can tell that it runs."""
    refuse(paper)
    gate, behind = queue_behind(paper)
    assert farm.kill_tasks("sim") == 0
    paper.events["gate"].set()
    assert gate.result(20) == "gate"
    assert behind.result(20)[0] == 1


# workers that were ended together with their tasks


def end_sessions(paper, **account):
    """End all sessions, and tell of it as a server does; without an account, nothing is told."""
    for client, hello in paper.greeted:
        if client.role == "work" and account:
            killed = {"reason": "signal", "signal": "SIGKILL", "status": -9}
            paper.endings[bytes.fromhex(hello.session)] = {**killed, **account}
    paper.drop()


@pytest.mark.parametrize("verdict", [KILLED, TIMEOUT])
def test_a_worker_that_was_ended_with_its_task(single, paper, verdict):
    """That task fails and is not started again; it costs no attempt of another."""
    future = wait_for(paper, "a", timeout=1.5, attempts=5)
    end_sessions(paper, task=1, done=0, verdict=verdict, seconds=2.5)
    error = future.exception(20)
    if verdict == KILLED:
        assert isinstance(error, farm.TaskKilledError)
        assert error.seconds == 2.5
    else:
        assert isinstance(error, farm.TaskTimeoutError)
        assert error.timeout == 1.5
    with farm.task_options(attempts=1):
        assert farm.future("paper:echo", 1).result(20)[0] == 1
    assert paper.tasks() == {0: 2}


def test_a_worker_that_is_ended_again_and_again(single, paper):
    """It is replaced at once each time: nobody is to wait for what others do."""
    pauses = []
    (site,) = single._sites
    wait = site.stopped.wait
    site.stopped.wait = lambda seconds: pauses.append(seconds) or wait(seconds)
    for n in range(4):
        future = wait_for(paper, f"a{n}")
        end_sessions(paper, task=1, done=0, verdict=KILLED, seconds=2.5)
        assert isinstance(future.exception(20), farm.TaskKilledError)
    assert pauses == []


def test_a_worker_that_dies_while_its_task_is_being_killed(single, paper):
    """Whatever the server knows of it: the task was to be killed, and is not started again."""
    future = wait_for(paper, "a", attempts=5)
    asked = threading.Event()

    def kill(sessions, dry_run):
        asked.set()
        end_sessions(paper, task=1, done=0)
        return []

    paper.kill = kill
    farm.kill_tasks("sim")
    assert asked.is_set()
    assert isinstance(future.exception(20), farm.TaskKilledError)
    assert paper.tasks()[0] == 1


@pytest.mark.parametrize(
    "account",
    [
        {},
        {"task": None, "done": 0},
        {"task": 1, "done": 0},
        {"task": 1, "done": 0, "verdict": "of a later release"},
    ],
)
def test_a_worker_that_died_by_itself(single, paper, account):
    """Its task is started again, and as often as its options say."""
    future = wait_for(paper, "a", attempts=2)
    paper.started["a"].clear()
    end_sessions(paper, **account)
    assert paper.started["a"].wait(20)
    assert not future.done()
    end_sessions(paper, **account)
    with pytest.raises(farm.WorkerLostError) as caught:
        future.result(20)
    assert caught.value.attempts == 2
    assert paper.tasks() == {0: 2}


def test_at_most_once(single, paper):
    """What may have been started is not started again, also where nobody knows what was."""
    gate, behind = queue_behind(paper, attempts=1)
    others = [farm.future("paper:echo", n) for n in range(2)]
    end_sessions(paper)
    for future in (gate, behind):
        with pytest.raises(farm.WorkerLostError) as caught:
            future.result(20)
        assert caught.value.attempts == 1
    assert [other.result(20)[0] for other in others] == [0, 1]


def test_at_most_once_where_the_server_knows(single, paper):
    """Only what was started is given up."""
    gate, behind = queue_behind(paper, attempts=1)
    end_sessions(paper, task=41, done=40)
    with pytest.raises(farm.WorkerLostError, match="killed by SIGKILL"):
        gate.result(20)
    assert behind.result(20)[0] == 1


def test_at_most_once_in_a_worker_that_is_ended_for_another(single, paper):
    """A task before the one that was killed may have lost its result; the error says why."""
    gate, behind = queue_behind(paper, attempts=1)
    end_sessions(paper, task=42, done=41, verdict=KILLED)
    assert isinstance(behind.exception(20), farm.TaskKilledError)
    with pytest.raises(farm.WorkerLostError, match="because a task had to be ended"):
        gate.result(20)


def test_at_most_once_in_a_worker_that_is_removed(paper):
    """What runs there is not started elsewhere."""
    paper.workers = 1
    with farm.make_kernel([paper.address, paper.address], timeout=20) as kernel:
        once = [wait_for(paper, key, attempts=1) for key in "ab"]
        often = farm.future("paper:echo", 1)
        kernel.remove(paper.address, wait=False)
        failed = [future for future in once if future.done()]
        assert len(failed) == 1
        with pytest.raises(farm.WorkerLostError, match="removed from the kernel"):
            failed[0].result()
        for event in list(paper.events.values()):
            event.set()
        assert often.result(20)[0] == 1
    farm.set_kernel(None)
