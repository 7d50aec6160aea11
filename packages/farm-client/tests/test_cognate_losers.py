"""Parts that run and that nobody needs any more are killed, whatever cognate they are of."""

import asyncio
import functools
import gc
import signal
import threading

import pytest

import farm_client as farm


def act(x):
    """Do as an element says, once the one runs that is held.

    ``"held..."`` waits until somebody ends it, ``"bad"`` fails, ``"hit"`` is true and ``"miss"`` is
    false.
    """
    if isinstance(x, list):
        (x,) = x[:1]  # a tail
    paper = threading.current_thread().paper
    if x.startswith("held"):
        return paper.wait(x)
    assert paper.server.started["held"].wait(20)
    if x == "bad":
        raise ValueError("bad")
    return x == "hit"


def thunk(x):
    """A function without arguments that acts."""
    return functools.partial(act, x)


def first(seq):
    """The length of nothing: what `pmap_iter` gives is asked for, one after the other."""
    return list(farm.pmap_iter(act, seq, ordered=False))


#: Given two elements, one of which fails.
FAILING = {
    "pmap": lambda seq: farm.pmap(act, seq, parts=2),
    "pmapcar": lambda seq: farm.pmapcar(act, seq, parts=2),
    "pmapc": lambda seq: farm.pmapc(act, seq, parts=2),
    "pmapcan": lambda seq: farm.pmapcan(act, seq, parts=2),
    "pmaplist": lambda seq: farm.pmaplist(act, seq, parts=2),
    "pmapl": lambda seq: farm.pmapl(act, seq, parts=2),
    "pmapcon": lambda seq: farm.pmapcon(act, seq, parts=2),
    "pmap_into": lambda seq: farm.pmap_into([0, 0], act, seq, parts=2),
    "pmaplist_into": lambda seq: farm.pmaplist_into([0, 0], act, seq, parts=2),
    "preduce": lambda seq: farm.preduce(max, seq, key=act, parts=2),
    "preduce_partial": lambda seq: farm.preduce_partial(max, seq, key=act, parts=2),
    "pmap_reduce": lambda seq: farm.pmap_reduce(act, max, seq, parts=2),
    "pcount_if": lambda seq: farm.pcount_if(act, seq, parts=2),
    "pcount_if_not": lambda seq: farm.pcount_if_not(act, seq, parts=2),
    "pcount": lambda seq: farm.pcount(1, seq, key=act, parts=2),
    "premove": lambda seq: farm.premove(1, seq, key=act, parts=2),
    "premove_if": lambda seq: farm.premove_if(act, seq, parts=2),
    "premove_if_not": lambda seq: farm.premove_if_not(act, seq, parts=2),
    "psort": lambda seq: farm.psort(seq, key=act, parts=2),
    "pmap_iter": first,
    "pfuncall": lambda seq: farm.pfuncall(max, *map(thunk, seq)),
    "pand": lambda seq: farm.pand(*map(thunk, seq)),
    "por": lambda seq: farm.por(*map(thunk, seq)),
}

#: What decides, the result, and the call.
DECIDED = {
    "pfind": ("hit", "hit", lambda seq: farm.pfind(True, seq, key=act, parts=2)),
    "pfind_if": ("hit", "hit", lambda seq: farm.pfind_if(act, seq, parts=2)),
    "pfind_if_not": ("miss", "miss", lambda seq: farm.pfind_if_not(act, seq, parts=2)),
    "pevery": ("miss", False, lambda seq: farm.pevery(act, seq, parts=2)),
    "psome": ("hit", True, lambda seq: farm.psome(act, seq, parts=2)),
    "pnotany": ("hit", False, lambda seq: farm.pnotany(act, seq, parts=2)),
    "pnotevery": ("miss", True, lambda seq: farm.pnotevery(act, seq, parts=2)),
    "pand": ("miss", False, lambda seq: farm.pand(*map(thunk, seq))),
    "por": ("hit", True, lambda seq: farm.por(*map(thunk, seq))),
}


@pytest.fixture
def server(kernel, paper):
    """A server that kills what it is asked to, and the kernel of it."""
    paper.kill = paper.kill_what_waits
    return paper


@pytest.fixture
def check(kernel, server, bound):
    """Sees that the tasks that are held are killed, and nothing else; the kernel goes on."""

    def check_(*keys):
        for key in keys:
            assert server.events[key].wait(bound)  # set by who kills it
        engine = kernel._engine
        assert engine.wait(lambda: not engine.unfinished, bound)
        assert not engine._dispatcher.queue
        assert set(server.killed) == set(keys)
        assert farm.pmap(abs, [-1, -2]) == [1, 2]

    return check_


@pytest.fixture
def interrupt(monkeypatch):
    """Presses Ctrl-C when the main thread waits for a kernel without a limit, after some events."""

    def press(kernel, *events):
        engine = kernel._engine
        wait = engine.wait

        def interrupted(ready, timeout=None):
            if threading.current_thread() is not threading.main_thread() or timeout is not None:
                return wait(ready, timeout)
            monkeypatch.undo()
            assert all(event.wait(20) for event in events)
            signal.raise_signal(signal.SIGINT)
            return pytest.fail("it was not interrupted")

        monkeypatch.setattr(engine, "wait", interrupted)

    return press


@pytest.mark.parametrize("name", FAILING)
def test_an_error_ends_the_others(server, check, name):
    """When one part fails the others are killed, for nobody will see what they return."""
    with pytest.raises(farm.TaskExecutionError, match="bad"):
        FAILING[name](["held", "bad"])
    check("held")


@pytest.mark.parametrize("name", DECIDED)
def test_what_is_decided_ends_the_others(server, check, name):
    """When the answer is known the other part is killed."""
    what, value, call = DECIDED[name]
    assert call([what, "held"]) == value
    check("held")


@pytest.mark.parametrize("name", [*FAILING, *DECIDED])
def test_ctrl_c_ends_all(kernel, server, check, interrupt, name):
    """Ctrl-C kills all parts that run."""
    call = FAILING[name] if name in FAILING else DECIDED[name][2]
    interrupt(kernel, server.started["held"], server.started["held too"])
    with pytest.raises(KeyboardInterrupt):
        call(["held", "held too"])
    check("held", "held too")


@pytest.mark.parametrize("how", ["close", "with", "del"])
def test_a_stream_that_is_closed_early(server, check, how):
    """What it had under way is killed."""
    stream = farm.pmap_iter(act, iter(["hit", "held"]))
    assert next(stream) is True
    if how == "close":
        stream.close()
    elif how == "with":
        with stream:
            pass
    del stream
    gc.collect()
    farm.force(farm.future(abs, -1))  # after which is done what the collector must not do
    check("held")


def test_an_asynchronous_stream_that_is_cancelled(server, check):
    """So does the end of the coroutine that reads it."""

    async def read():
        async for _ in farm.pmap_iter(act, ["hit", "held"]):
            pass

    async def main():
        reading = asyncio.ensure_future(read())
        await asyncio.get_running_loop().run_in_executor(None, server.started["held"].wait, 20)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    asyncio.run(main())
    check("held")


def test_plet_that_cannot_be_submitted(server, check):
    """When a thunk is no task, those before it are killed: nobody has their values."""

    class Thunks(dict):
        """Whose second value is asked for when the first runs."""

        def items(self):
            yield "good", thunk("held")
            assert server.started["held"].wait(20)
            yield "bad", 5

    with pytest.raises(farm.InvalidTaskError):
        farm.cognate.control._bind(Thunks())
    check("held")


def test_other_calls(kernel, server, check):
    """What another thread computes at the same time goes on."""
    got = []
    other = threading.Thread(target=lambda: got.append(farm.pmap(act, ["held"])))
    other.start()
    assert server.started["held"].wait(20)
    with pytest.raises(farm.TaskExecutionError):
        farm.pmap(act, ["bad", "bad"], parts=2)
    assert farm.pfind_if(act, ["hit", "hit"], parts=2) == "hit"
    assert not got
    server.answers["held"] = 5
    server.events["held"].set()
    other.join(20)
    assert got == [[5]]
    assert not server.killed


class TestPtree:
    def test_ctrl_c(self, kernel, server, check, interrupt):
        """Kills the nodes that run; the tree is as it was."""
        tree = farm.Ptree()
        tree.define("root", ["a", "b"], lambda *args: args)
        tree.define("a", [], thunk("held"))
        tree.define("b", [], thunk("held too"))
        interrupt(kernel, server.started["held"], server.started["held too"])
        with pytest.raises(KeyboardInterrupt):
            tree.call("root")
        check("held", "held too")
        assert not tree.is_computed("a")

    def test_what_another_call_needs(self, kernel, server, interrupt):
        """Goes on when the call that submitted it is interrupted."""
        tree = farm.Ptree()
        tree.define("root", ["a"], lambda a: a)
        tree.define("a", [], thunk("held"))
        got = []
        inside = threading.Event()
        enter = tree._advance

        def advance(call, engine):
            turn = enter(call, engine)
            if threading.current_thread() is other and engine is not None:
                inside.set()
            return turn

        def ask():
            assert server.started["held"].wait(20)
            got.append(tree.call("root"))

        tree._advance = advance
        other = threading.Thread(target=ask)
        other.start()
        interrupt(kernel, inside)
        with pytest.raises(KeyboardInterrupt):
            tree.call("root")
        server.answers["held"] = 5
        server.events["held"].set()
        other.join(20)
        assert got == [5]
        assert not server.killed

    def test_clear(self, kernel, server, check):
        """Kills what is under way."""
        tree = farm.Ptree()
        tree.define("root", ["a", "b"], lambda *args: args)
        tree.define("a", [], thunk("held"))
        tree.define("b", [], thunk("bad"))
        with pytest.raises(farm.TaskExecutionError):
            tree.call("root")
        assert not server.kills  # an error of one node leaves the others alone
        tree.clear()
        check("held")

    def test_an_error_leaves_others_alone(self, kernel, server):
        """What runs when a node fails goes on, and its value is kept."""
        tree = farm.Ptree()
        tree.define("root", ["a", "b"], lambda *args: args)
        tree.define("a", [], thunk("held"))
        tree.define("b", [], thunk("bad"))
        with pytest.raises(farm.TaskExecutionError):
            tree.call("root")
        server.events["held"].set()
        assert tree.call("a") == "held"
        assert not server.killed

    def test_a_node_that_is_killed(self, kernel, server):
        """Has failed until `clear_errors`; then it is computed anew."""
        tree = farm.Ptree()
        tree.define("root", ["a"], lambda a: a)
        tree.define("a", [], "paper:wait.a")
        killed = []

        def kill():
            assert server.started["a"].wait(20)
            killed.append(farm.kill_tasks("default"))

        other = threading.Thread(target=kill)
        other.start()
        for _ in range(2):
            with pytest.raises(farm.TaskKilledError):
                tree.call("root")
        other.join(20)
        assert killed == [1]
        del server.killed["a"]
        tree.clear_errors()
        assert tree.call("root") == "a"
