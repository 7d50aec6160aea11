"""Kernels of a server of paper: how they are made, which is current, workers that come and go."""

import contextvars
import json
import sys
import threading

import pytest

import farm_client as farm
import farm_client.sites
from farm_client.future import Future
from farm_common.frames import Kind

BOUND = 20.0


@pytest.mark.parametrize("bad", [3, None, 1.5, "nonsense", ("host", "port"), [""]])
def test_bad_addresses(bad):
    """Quoted, with the forms that are accepted."""
    with pytest.raises(farm.AddressError, match=r"(?s)bad address .*accepted forms"):
        farm.make_kernel(bad)


def test_a_port_that_is_a_string():
    """The error is about the pair, not as if it were two addresses."""
    with pytest.raises(farm.AddressError, match=r"bad address \('host', '1'\): a tuple must be"):
        farm.make_kernel(("host", "1"))


@pytest.mark.parametrize("bad", ["x", "", None, "Forward"])
def test_bad_outputs(bad):
    """Named, with what it may be."""
    with pytest.raises(ValueError, match="output is one of 'forward', 'server', 'discard', not"):
        farm.make_kernel("local", output=bad)


def test_other_bad_arguments():
    """Likewise."""
    with pytest.raises(TypeError, match="auth is an Authenticator, not 'x'"):
        farm.make_kernel("local", auth="x")
    with pytest.raises(TypeError, match="a kernel's name is a string, not 5"):
        farm.make_kernel("local", name=5)
    with pytest.raises(ValueError, match="at least one address"):
        farm.make_kernel([])


@pytest.mark.parametrize(
    ("timeout", "kind"),
    [
        (-1, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        ("x", TypeError),
        ("5", TypeError),
        ([], TypeError),
    ],
)
def test_bad_time_outs(kernel, timeout, kind):
    """What is accepted is said."""
    text = "^timeout is seconds from 0 on, or None to wait for ever, not "
    with pytest.raises(kind, match=text):
        farm.make_kernel("local", timeout=timeout)
    with pytest.raises(kind, match=text):
        kernel.add("local", timeout=timeout)


@pytest.mark.parametrize(
    "call",
    [
        farm.check_kernel,
        farm.make_channel,
        farm.kernel_name,
        farm.kernel_worker_count,
        farm.task_categories_running,
        lambda: farm.future(abs, 1),
        lambda: farm.broadcast_task(abs, 1),
    ],
)
def test_without_a_kernel(call):
    """The error says how to make one, and how to start a server."""
    assert farm.current_kernel() is None
    with pytest.raises(farm.NoKernelError) as caught:
        call()
    assert str(caught.value) == (
        "there is no current kernel. Make one by farm.make_kernel(), which uses this machine, or "
        "start servers (farm-server 127.0.0.1:11111) and name them: "
        'farm.make_kernel(["127.0.0.1:11111"])'
    )
    farm.end_kernel()


def test_the_current_kernel(connect):
    """The first one is the process's; ``with`` is the context's; a thread sees the process's."""
    first, second = connect(name="first"), connect(name="second")
    assert farm.current_kernel() is first
    with second as entered:
        assert entered is second
        assert farm.kernel_name() == "second"
        seen = []
        thread = threading.Thread(target=lambda: seen.append(farm.kernel_name()))
        thread.start()
        thread.join()
        assert seen == ["first"]
        with first:
            assert farm.current_kernel() is first
        assert farm.current_kernel() is second
    assert first.ended
    assert second.ended
    assert farm.current_kernel() is None
    third = connect()
    assert farm.current_kernel() is third
    assert farm.set_kernel(None) is third
    assert farm.current_kernel() is None
    assert farm.set_kernel(third) is None


def test_what_is_no_kernel(connect):
    """It does not become the current one."""
    kernel = connect()
    with pytest.raises(TypeError, match="takes a kernel or None, not 5"):
        farm.set_kernel(5)
    assert farm.current_kernel() is kernel


def test_what_the_server_is_told(connect, paper):
    """The kernel's name, the index of each worker, and where output goes."""
    connect(name="mine", output="discard")
    work = [client for client, _ in paper.greeted if client.role == "work"]
    assert [(c.name, c.index, c.output) for c in work] == [
        ("mine", 0, "discard"),
        ("mine", 1, "discard"),
    ]


def test_a_description(connect, paper):
    """repr tells name, address and state."""
    kernel = connect(name="mine")
    assert repr(kernel) == f"<Kernel 'mine' at {paper.address}: 2 workers>"
    kernel.end()
    assert repr(kernel) == f"<Kernel 'mine' at {paper.address}: ended>"


def test_after_the_end(connect):
    """Channels cannot be made, tasks not submitted; ending again is no error."""
    kernel = connect()
    channel = kernel.make_channel()
    kernel.end()
    kernel.end(wait=True)
    with pytest.raises(farm.NoKernelError, match=r"make another by farm\.make_kernel"):
        kernel.make_channel()
    with pytest.raises(farm.KernelEndedError, match="'farm-client' has ended"):
        channel.submit(abs, 1)
    with pytest.raises(farm.KernelEndedError):
        channel.receive()
    with pytest.raises(farm.KernelEndedError):
        farm.try_receive_result(channel)
    with pytest.raises(farm.KernelEndedError):
        kernel.broadcast_task(abs, 1)


def test_addresses_after_the_end(connect, paper):
    """None is added, so no worker begins that nobody would end; and none is removed."""
    kernel = connect()
    kernel.end()
    paper.join()
    begun = len(paper.greeted)
    with pytest.raises(farm.KernelEndedError, match="'farm-client' has ended"):
        kernel.add(paper.address, timeout=BOUND)
    with pytest.raises(farm.KernelEndedError, match="'farm-client' has ended"):
        kernel.remove(paper.address)
    assert len(paper.greeted) == begun


def test_an_address_is_removed_without_its_options(connect, paper):
    """Where that names one; where it names two, both are named in the error."""
    kernel = connect()
    one = f"{paper.address}?workers=1"
    kernel.add(one, timeout=BOUND)
    kernel.remove(paper.address)  # the one that is exactly this
    assert kernel.addresses == [one]
    kernel.add(f"{paper.address}?workers=2", timeout=BOUND)
    with pytest.raises(ValueError, match=r"workers=1, .*workers=2"):
        kernel.remove(paper.address)
    kernel.remove(one)
    with pytest.raises(ValueError, match="is the kernel's only address"):
        kernel.remove(paper.address)


def test_the_end_while_an_address_is_added(connect, paper, monkeypatch):
    """The new workers, whom the end did not know of, are left again."""
    kernel = connect()
    monkeypatch.setattr(farm_client.sites, "make_room", lambda count: kernel.end())
    with pytest.raises(farm.KernelEndedError, match="'farm-client' has ended"):
        kernel.add(paper.address, timeout=BOUND)
    work = [client for client, _ in paper.greeted if client.role == "work"]
    assert len(work) == 4
    paper.join()


def test_what_is_logged(connect, paper, caplog):
    """Where a kernel's workers are, and its end, for who asks for information."""
    with caplog.at_level("INFO", "farm.client"):
        kernel = connect(name="mine")
        kernel.end()
        kernel.end()
    assert [record.getMessage() for record in caplog.records] == [
        f"kernel 'mine', workers at {paper.address}: 2",
        "ending the kernel 'mine'",
    ]


def test_the_end_is_said(connect, paper):
    """Each worker is told goodbye, so that it does not take the end for a loss."""
    connect().end()
    paper.join()
    assert paper.count(Kind.GOODBYE) == 2


def test_a_task_that_loses_its_worker(kernel, paper):
    """Three attempts, and then an error that tells how it died; other tasks are unharmed."""
    channel, others = kernel.make_channel(), kernel.make_channel()
    for value in range(20):
        others.submit(abs, value)
    channel.submit("paper:die")
    for value in range(20, 40):
        others.submit(abs, value)
    with pytest.raises(farm.WorkerLostError) as caught:
        channel.receive()
    error = caught.value
    assert (error.task, error.attempts) == ("paper:die", 3)
    assert error.reason == "it exited with status 7"
    assert sorted(others) == list(range(40))
    assert kernel.broadcast_task(abs, -1) == [1, 1]


def test_connections_that_are_cut(kernel, paper):
    """What was not answered runs again; what was is not lost."""
    channel = kernel.make_channel()
    for value in range(500):
        channel.submit(abs, value)
    got = [channel.receive() for _ in range(10)]
    paper.drop()
    assert sorted(got + list(channel)) == list(range(500))


def test_setup_runs_on_each_worker_and_its_successors(kernel, paper):
    """Before anything else that the new worker is sent."""
    assert [index for _, index in kernel.setup("paper:echo", 1)] == [0, 1]
    channel = kernel.make_channel()
    channel.submit("paper:die")
    with pytest.raises(farm.WorkerLostError):
        channel.receive()
    assert kernel.broadcast_task("paper:echo", 2) == [(2, 0), (2, 1)]
    sessions = sum(client.role == "work" for client, _ in paper.greeted)
    assert sessions == 2 + 3
    # Each session: the set-up; each of the two at the end: the broadcast; and three attempts.
    assert sum(paper.tasks().values()) == sessions + 2 + 3


def count_pauses(kernel):
    """The pauses, in seconds, that are made from now on between two workers; they take no time."""
    pauses = []
    (site,) = kernel._sites
    site.stopped.wait = pauses.append
    return pauses


def test_a_task_that_always_kills_its_worker(connect, paper):
    """The worker is replaced at once each time: it was the task, which is given up in the end."""
    paper.workers = 1
    kernel = connect()
    pauses = count_pauses(kernel)
    channel = kernel.make_channel()
    for _ in range(5):
        channel.submit("paper:die")
        with pytest.raises(farm.WorkerLostError):
            channel.receive()
    assert pauses == []


def test_a_setup_task_that_always_kills_its_worker(connect, paper, monkeypatch):
    """It runs on each worker anew, so there are pauses between them, which become longer."""
    paper.workers = 1
    kernel = connect()
    pauses = count_pauses(kernel)

    def fail():
        raise paper.die

    monkeypatch.setattr(sys, "fate", int, raising=False)
    kernel.setup(lambda: __import__("sys").fate())
    monkeypatch.setattr(sys, "fate", lambda: fail() if len(pauses) < 4 else 0)
    paper.drop()
    assert farm.force(farm.future(abs, -1), 20) == 1
    assert pauses == sorted(pauses)
    assert len(pauses) == 4


def test_a_server_without_an_answer_in_time(folder):
    """The error names the address and says why."""
    with pytest.raises(farm.KernelCreationError, match=r"unix://.*/nobody \(No such file"):
        farm.make_kernel(f"unix://{folder}/nobody", timeout=0.2)


def test_results_above_the_limit_of_a_server(paper, connect):
    """Arguments that a server would not take fail at submit."""
    paper.hello = {"frame_limit": 100_000}
    channel = connect().make_channel()
    with pytest.raises(farm.SerializationError, match="takes 100000 at most: send them in parts"):
        channel.submit(len, bytes(100_001))
    channel.submit(len, bytes(99_000))
    assert channel.receive() == 99_000


def test_a_broadcast_that_meets_a_worker_in_the_doorway(connect, paper, bound):
    """It waits until the worker has been set up, as any task does."""
    paper.workers = 1
    kernel = connect()
    with farm.task_category("setup"):
        kernel.setup("paper:echo", 1)
    engine = kernel._engine
    add, results = engine.add, []

    def add_late(link, setup):
        with farm.task_category("broadcast"):
            job = engine.prepare("paper:echo", (2,), {})
        results.append(Future(engine))
        engine.pin([link], results, job)
        add(link, setup)

    engine.add = add_late
    paper.drop()
    while not results:
        pass
    assert results[0].result(bound) == (2, 0)
    assert [json.loads(call)["category"] for call in paper.calls] == ["setup", "setup", "broadcast"]


def test_leaving_a_kernel_elsewhere(connect):
    """In another context or thread, as a fixture is left: it ends there, and that is all."""
    kernel = connect()
    contextvars.copy_context().run(kernel.__enter__)
    kernel.__exit__(None, None, None)
    assert kernel.ended
    kernel = connect()
    kernel.__enter__()
    leaving = threading.Thread(target=kernel.__exit__, args=(None, None, None))
    leaving.start()
    leaving.join(BOUND)
    assert kernel.ended
    assert farm.current_kernel() is None
