"""What belongs to this process: how it looks in a prompt, and why it does not travel."""

import pickle
import re

import pytest

import farm_client as farm

THINGS = {
    "kernel": (
        lambda kernel, folder: kernel,
        r"<Kernel 'farm-client' at unix://.*: 2 workers>",
        "a kernel cannot travel: make one in the task, if the task needs one",
    ),
    "channel": (
        lambda kernel, folder: kernel.make_channel(),
        r"<Channel: 0 pending, 0 to receive>",
        "a channel cannot travel: receive() from it, and send the results",
    ),
    "limited channel": (
        lambda kernel, folder: kernel.make_channel(capacity=3),
        r"<Channel: 0 pending, 0 to receive, capacity 3>",
        "a channel cannot travel: receive() from it, and send the results",
    ),
    "timer": (
        lambda kernel, folder: farm.submit_timeout(kernel.make_channel(), 1000, None),
        r"<Timer at 0x[0-9a-f]+ pending>",
        "a timer cannot travel: it belongs to a channel of this process",
    ),
    "stream": (
        lambda kernel, folder: farm.pmap_iter(abs, []),
        r"<Stream at 0x[0-9a-f]+ open>",
        "a stream cannot travel: send the results that it yields",
    ),
    "ptree": (
        lambda kernel, folder: farm.Ptree(),
        r"<Ptree: 0 nodes, 0 computed>",
        "a ptree cannot travel: call() its nodes, and send their values",
    ),
    "trace": (
        lambda kernel, folder: kernel.trace(folder / "trace.json"),
        r"<Trace of 'farm-client' to '.*trace\.json'>",
        "a trace cannot travel: its file is written by this process",
    ),
}


@pytest.fixture
def current(kernel):
    before = farm.set_kernel(kernel)
    yield kernel
    farm.set_kernel(before)


@pytest.mark.parametrize("name", THINGS)
def test_what_stays_here(current, tmp_path, name):
    """It shows what it is; where it is sent or pickled, the error names it and says what to do."""
    make, text, reason = THINGS[name]
    thing = make(current, tmp_path)
    assert re.fullmatch(text, repr(thing))
    reason = re.escape(reason)
    with pytest.raises(farm.FarmError, match=reason):
        pickle.dumps(thing)
    with pytest.raises(farm.SerializationError, match=f"argument 1 of id: .*: {reason}"):
        farm.future(id, thing)
    with pytest.raises(farm.SerializationError, match=f"cell 'thing': .*: {reason}"):
        farm.future(lambda: thing)


def test_what_became_of_them(current, tmp_path):
    """What happened to it meanwhile shows, too."""
    channel = current.make_channel()
    timer = farm.submit_timeout(channel, 1000, None)
    assert repr(channel) == "<Channel: 1 pending, 0 to receive>"
    farm.cancel_timeout(timer, None)
    assert repr(channel) == "<Channel: 0 pending, 1 to receive>"
    assert repr(timer).endswith(" done>")
    with farm.pmap_iter(abs, []) as stream:
        pass
    assert repr(stream).endswith(" ended>")
    with current.trace(tmp_path / "trace.json") as trace:
        assert repr(trace).endswith("trace.json', being written>")


def test_a_task_only():
    """The name of the function that it stands for."""

    @farm.deftask(local=False)
    def task():
        """Nothing."""

    assert repr(task) == "<RemoteTask test_a_task_only.<locals>.task>"


def test_one_worker(paper, bound):
    """One is no plural."""
    with farm.make_kernel(f"{paper.address}?workers=1", timeout=bound) as kernel:
        assert repr(kernel).endswith(": 1 worker>")
