"""Workers of several versions in one kernel: who is sent what."""

import shutil
import sys
import tempfile

import pytest

import farm_client as farm
from farm_common.shipping import source

FOREIGN = {"magic": "00", "implementation": "other", "python": (3, 9, 1)}


@pytest.fixture
def papers(paper):
    """Two servers: one of this interpreter, one of another, with a worker each."""
    folder = tempfile.mkdtemp(prefix="farm-")
    other = type(paper)(folder, workers=1)
    other.hello = FOREIGN
    paper.workers = 1
    yield paper, other
    other.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def mixed(papers):
    """A kernel of both."""
    with farm.make_kernel([server.address for server in papers], timeout=20) as kernel:
        yield kernel
    farm.set_kernel(None)


def made(text):
    """A function without source."""
    space = {"__name__": "__main__"}
    exec(text, space)
    return space["f"]


WITHOUT_SOURCE = made("def f(x=0):\n    return x + 1\n")


def test_source_goes_to_others(paper, connect):
    """Functions, in the task or in its arguments, reach a worker that cannot load our bytecode."""
    paper.hello = FOREIGN
    kernel = connect()
    channel = kernel.make_channel()
    y = 3
    channel.submit(lambda x: x + y, 1)
    assert channel.receive() == 4
    channel.submit(sorted, [1, 2], key=lambda x: -x * y)
    assert channel.receive() == [2, 1]
    assert kernel.broadcast_task(lambda: y) == [3, 3]


def test_no_worker_can_load_it(paper, connect):
    """What has no source is refused at submit; the error says why, and what helps."""
    paper.hello = FOREIGN
    kernel = connect()
    channel = kernel.make_channel()
    for submit in (
        lambda: channel.submit(WITHOUT_SOURCE),
        lambda: channel.submit(list, [WITHOUT_SOURCE]),
        lambda: kernel.broadcast_task(WITHOUT_SOURCE),
    ):
        with pytest.raises(farm.SerializationError, match=r"f .*<string>"):
            submit()
    assert len(channel) == 0
    channel.submit(abs, -1)
    assert channel.receive() == 1


def test_a_capable_worker_gets_it(mixed, papers):
    """What only some workers can load goes to those, and nothing else waits for it."""
    channel = mixed.make_channel()
    for i in range(20):
        channel.submit(WITHOUT_SOURCE, i)
        channel.submit(abs, -i)
    results = sorted(farm.do_fast_receives(channel, 40))
    assert results == sorted([*range(20), *range(1, 21)])
    here = sum(count for kind, count in papers[0].frames[0])
    assert here >= 20
    with pytest.raises(farm.SerializationError, match="travels as bytecode, which worker 1 at"):
        mixed.broadcast_task(WITHOUT_SOURCE)


def test_priorities_of_what_not_every_worker_can_load(mixed, papers):
    """Each task has its own, whatever the same function was submitted with before."""
    for _ in papers:
        farm.future("paper:wait", "gate")
    for server in papers:
        assert server.started["gate"].wait(20)
    order = []
    futures = []
    for n in range(6):
        with farm.task_priority("low" if n % 2 == 0 else "default"):
            futures.append(farm.future(WITHOUT_SOURCE, n))
        futures[-1].add_done_callback(lambda _, n=n: order.append(n))
    papers[0].events["gate"].set()
    assert [future.result(20) for future in futures] == [1, 2, 3, 4, 5, 6]
    mixed.end()  # callbacks have been called
    assert order == [1, 3, 5, 0, 2, 4]
    papers[1].events["gate"].set()


def test_syntax_that_is_too_new(mixed, papers, monkeypatch):
    """It goes to a worker that is new enough; where there is none, it is refused at submit."""
    monkeypatch.setattr(source, "minimum_version", lambda unit: sys.version_info[:2])
    channel = mixed.make_channel()
    if sys.version_info >= (3, 10):
        for i in range(10):
            channel.submit(lambda x: x, i)
        assert sorted(farm.do_fast_receives(channel, 10)) == list(range(10))
        assert all(kind != 0x11 for kind, _ in papers[1].frames[1])
    monkeypatch.setattr(source, "minimum_version", lambda unit: (3, 99))
    with pytest.raises(farm.SerializationError) as caught:
        channel.submit(lambda x: x, 1)
    text = str(caught.value)
    assert "is in the syntax of Python 3.99, and worker" in text
    assert "test_demand.py, line" in text


def test_the_last_capable_worker_leaves(mixed, papers):
    """Tasks that wait for it are not kept for ever."""
    paper, _ = papers
    channel = mixed.make_channel()
    channel.submit("paper:wait", "one")
    channel.submit("paper:wait", "two")
    channel.submit(WITHOUT_SOURCE, 1)
    for server in papers:
        server.events["one"].set()
        server.events["two"].set()
    assert sorted(farm.do_fast_receives(channel, 3), key=str) == [2, "one", "two"]
    mixed.remove(paper.address)
    with pytest.raises(farm.SerializationError):
        channel.submit(WITHOUT_SOURCE, 1)


def test_queued_bytecode_when_another_interpreter_joins(paper, papers, connect):
    """What was packed for equal interpreters is not sent to the newcomer."""
    kernel = connect()
    channel = kernel.make_channel()
    channel.submit("paper:wait", "one")
    assert paper.started["one"].wait(20)
    for i in range(5):
        channel.submit(lambda x: x + 1, i)
    kernel.add(papers[1].address, timeout=20)
    channel.submit(abs, -7)
    assert channel.receive() == 7  # by the newcomer, the only one that is free
    paper.events["one"].set()
    assert sorted(farm.do_fast_receives(channel, 6), key=str) == [1, 2, 3, 4, 5, "one"]
