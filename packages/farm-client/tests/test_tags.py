"""Tasks that only some workers may run, because their options say so."""

import shutil
import tempfile

import pytest

import farm_client as farm


@pytest.fixture
def papers(paper):
    """Two servers with a worker each; the first has the tags gpu and big, the other big and old."""
    folder = tempfile.mkdtemp(prefix="farm-")
    other = type(paper)(folder, workers=1)
    paper.workers = 1
    paper.hello = {"tags": ("gpu", "big")}
    other.hello = {"tags": ("big", "old")}
    yield paper, other
    other.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def kernel(papers):
    """A kernel of both: worker 0 is the one with the gpu."""
    with farm.make_kernel([server.address for server in papers], timeout=20) as kernel:
        yield kernel
    farm.set_kernel(None)


def test_a_tag_of_one_server(kernel):
    """Only its worker runs such tasks; others run anywhere, and wait no longer for it."""
    channel = kernel.make_channel()
    with farm.task_options(tags={"gpu"}):
        for n in range(20):
            channel.submit("paper:echo", n)
    assert sorted(channel) == [(n, 0) for n in range(20)]


def test_a_tag_of_both(kernel, papers):
    """Any worker may run it."""
    with farm.task_options(tags={"big"}):
        waiting = [farm.future("paper:wait", "a") for _ in papers]
    for server in papers:
        assert server.started["a"].wait(20)
        server.events["a"].set()
    assert [future.result(20) for future in waiting] == ["a", "a"]


def test_tasks_without_tags_do_not_wait(kernel, papers):
    """The one worker with the tag is busy; the other runs what is for all."""
    gpu, _ = papers
    with farm.task_options(tags={"gpu"}):
        busy = farm.future("paper:wait", "a")
        behind = farm.future("paper:echo", 1)
    assert gpu.started["a"].wait(20)
    assert farm.future("paper:echo", 2).result(20) == (2, 1)
    assert not behind.done()
    gpu.events["a"].set()
    assert (busy.result(20), behind.result(20)) == ("a", (1, 0))


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        (
            {"tpu"},
            (
                "no worker of this kernel has the tag tpu; their tags are big, gpu, old: start a "
                "server with --tag tpu, and add it to the kernel"
            ),
        ),
        (
            {"gpu", "old"},
            (
                "no worker of this kernel has all of the tags gpu, old; their tags are big, gpu, "
                "old: start a server with --tag gpu --tag old, and add it to the kernel"
            ),
        ),
    ],
)
def test_a_tag_that_no_worker_has(kernel, papers, tags, text):
    """It is refused at submit, and nothing is queued."""
    channel = kernel.make_channel()
    with farm.task_options(tags=tags):
        for submit in (channel.submit, farm.future):
            with pytest.raises(farm.UnsupportedError) as caught:
                submit("paper:echo", 1)
            assert str(caught.value) == text
    assert len(channel) == 0
    channel.submit("paper:echo", 1)
    assert channel.receive()[0] == 1


def test_servers_without_tags(paper, connect):
    """The error says so."""
    connect()
    with farm.task_options(tags="gpu"), pytest.raises(farm.UnsupportedError, match="have no tags"):
        farm.future("paper:echo", 1)


def test_low_priority_with_tags(kernel, papers):
    """They wait for all others, as without tags."""
    gpu, other = papers
    for _ in papers:
        farm.future("paper:wait", "a")
    assert gpu.started["a"].wait(20)
    assert other.started["a"].wait(20)
    order = []
    with farm.task_options(tags={"gpu"}, priority="low"):
        low = farm.future("paper:echo", "low")
    with farm.task_options(tags={"gpu"}):
        tagged = farm.future("paper:echo", "tagged")
    plain = farm.future("paper:echo", "plain")
    for name, future in (("low", low), ("tagged", tagged), ("plain", plain)):
        future.add_done_callback(lambda _, name=name: order.append(name))
    gpu.events["a"].set()
    for future in (low, tagged, plain):
        assert future.result(20)[1] == 0
    kernel.end()  # callbacks have been called
    assert order[-1] == "low"
    other.events["a"].set()


def test_a_worker_without_the_tag_that_joins(papers):
    """Tasks that wait for the tag do not go there."""
    gpu, other = papers
    with farm.make_kernel(gpu.address, timeout=20) as kernel:
        busy = farm.future("paper:wait", "a")
        assert gpu.started["a"].wait(20)
        with farm.task_options(tags={"gpu"}):
            waiting = [farm.future("paper:echo", n) for n in range(5)]
        plain = farm.future("paper:echo", 9)
        kernel.add(other.address)
        assert plain.result(20) == (9, 1)
        assert not any(future.done() for future in waiting)
        gpu.events["a"].set()
        assert [future.result(20) for future in waiting] == [(n, 0) for n in range(5)]
        assert busy.result(20) == "a"
    farm.set_kernel(None)


def test_the_last_worker_with_the_tag_leaves(kernel, papers):
    """What waits for it fails, rather than that it waits for ever."""
    gpu, _ = papers
    with farm.task_options(tags={"gpu"}):
        farm.future("paper:wait", "a")
        assert gpu.started["a"].wait(20)
        waiting = farm.future("paper:echo", 1)
    kernel.remove(gpu.address, wait=False)
    with pytest.raises(farm.UnsupportedError, match="has the tag gpu; their tags are big, old"):
        waiting.result(20)


def test_cognates(kernel, papers):
    """Their parts ask for what the code that calls them asks for."""
    with farm.task_options(tags={"gpu"}):
        assert farm.pmap(abs, range(-50, 0)) == list(range(50, 0, -1))
    _, other = papers
    assert other.tasks() == {}
    with farm.task_options(tags={"tpu"}), pytest.raises(farm.UnsupportedError, match="tag tpu"):
        farm.pmap(abs, range(-50, 0))
    assert farm.pmap(abs, [-1, -2]) == [1, 2]


def test_broadcasts_go_everywhere(kernel):
    """Who names all workers means all."""
    with farm.task_options(tags={"gpu"}):
        assert kernel.broadcast_task("paper:echo", 1) == [(1, 0), (1, 1)]
        assert kernel.setup("paper:echo", 2) == [(2, 0), (2, 1)]


# time limits, and servers that know of none


@pytest.fixture
def dated(papers):
    """A kernel whose second server cannot end tasks."""
    papers[1].hello = {"features": ("modules",)}
    with farm.make_kernel([server.address for server in papers], timeout=20) as kernel:
        yield kernel
    farm.set_kernel(None)


def test_a_time_limit_goes_where_it_is_known(dated, papers):
    """Elsewhere such a task might run for ever."""
    channel = dated.make_channel()
    with farm.task_options(timeout=5):
        for n in range(20):
            channel.submit("paper:echo", n)
    assert sorted(channel) == [(n, 0) for n in range(20)]
    assert [farm.future("paper:echo", n).result(20)[0] for n in range(4)] == [0, 1, 2, 3]


def test_a_time_limit_that_no_server_knows(paper, connect):
    """It is refused, rather than forgotten."""
    paper.hello = {"features": ("modules",)}
    connect()
    text = "cannot end tasks whose time is up: upgrade farm-server there, or submit paper:echo"
    with farm.task_options(timeout=5), pytest.raises(farm.UnsupportedError, match=text):
        farm.future("paper:echo", 1)


def test_a_time_limit_for_a_broadcast(dated):
    """It would have to run on that server."""
    with farm.task_options(timeout=5), pytest.raises(farm.UnsupportedError, match="worker 1 at"):
        dated.broadcast_task("paper:echo", 1)
