"""Kernels of a server of paper: workers that come, go and die."""

import json

import pytest

import farm_client as farm
from farm_client.future import Future
from farm_common.frames import Kind

BOUND = 20.0


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
