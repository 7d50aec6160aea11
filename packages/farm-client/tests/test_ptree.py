"""Ptree: nodes computed in parallel, once, from the values of others."""

import operator
import os
import random
import signal
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import farm_client as farm


def wait_for(key):
    """A task that returns the key once ``paper.events[key]`` is set, whatever its arguments."""
    return lambda *args: threading.current_thread().paper.wait(key)


def fail(*args):
    """A task that fails."""
    raise KeyError("failed")


@pytest.fixture
def aside():
    """Calls a function in a thread of its own; returns what gives its result or error."""
    threads = []

    def call(function, *args):
        box = []

        def run():
            try:
                box.append(function(*args))
            except Exception as error:
                box.append(error)

        threads.append(threading.Thread(target=run))
        threads[-1].start()

        def get(thread=threads[-1]):
            thread.join(20)
            return box[0]

        return get

    yield call
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def interrupt(monkeypatch):
    """Presses Ctrl-C when the main thread waits for a kernel and an event is set."""

    def press(event, kernel):
        engine = kernel._engine
        wait = engine.wait

        def interrupted(ready, timeout=None):
            if threading.current_thread() is not threading.main_thread():
                return wait(ready, timeout)
            monkeypatch.undo()
            assert event.wait(20)
            signal.raise_signal(signal.SIGINT)
            return pytest.fail("it was not interrupted")

        monkeypatch.setattr(engine, "wait", interrupted)

    return press


@pytest.fixture
def tree():
    """lparallel's example: the area of a rectangle with a border."""
    tree = farm.Ptree()
    tree.define("area", ["width", "height"], operator.mul)
    tree.define("width", ["border"], lambda border: 7 + 2 * border)
    tree.define("height", ["border"], lambda border: 5 + 2 * border)
    tree.define("border", [], lambda: 1)
    return tree


class TestCall:
    def test_a_node_is_computed_from_others(self, kernel, tree):
        """Whatever it needs."""
        assert tree.call("area") == 63
        assert [tree.call(name) for name in ("width", "height", "border")] == [9, 7, 1]

    def test_in_any_order(self, kernel, tree):
        """What was computed for one is used for the next."""
        assert [tree.call(name) for name in ("border", "height", "area")] == [1, 7, 63]

    def test_only_what_is_needed(self, kernel, tree, paper):
        """And nothing twice."""
        assert tree.call("width") == 9
        assert not tree.is_computed("height")
        assert sum(paper.tasks().values()) == 2
        assert tree.call("area") == 63
        assert tree.call("area") == 63
        assert sum(paper.tasks().values()) == 4

    def test_a_lone_node(self, kernel):
        """A task may also be the name of one."""
        tree = farm.Ptree()
        tree.define("lone", (), "os:getpid")
        assert tree.call("lone") == os.getpid()

    def test_any_value_will_do(self, kernel):
        """None is one, too, and errors that are returned."""
        tree = farm.Ptree()
        tree.define("none", [], lambda: None)
        tree.define("error", ["none"], KeyError)
        assert isinstance(tree.call("error"), KeyError)
        assert tree.is_computed("none")
        assert tree.call("none") is None

    def test_an_argument_twice(self, kernel):
        """It is computed once, and passed in each place."""
        tree = farm.Ptree()
        tree.define("square", ["x", "x", "y", "x"], lambda *args: args)
        tree.define("x", [], lambda: 3)
        tree.define("y", ["x"], lambda x: x + 1)
        assert tree.call("square") == (3, 3, 4, 3)

    def test_nodes_with_equal_values(self, kernel):
        """Stay different nodes."""
        tree = farm.Ptree()
        tree.define("sum", range(10), lambda *args: sum(args))
        for name in range(10):
            tree.define(name, [], lambda: 1)
        assert tree.call("sum") == 10

    @pytest.mark.parametrize(
        "names",
        [
            ["area", "width", "height", "border"],
            [(1, 2), 9999, None, frozenset()],
            [object(), int, 1.5, b"border"],
        ],
    )
    def test_names_are_anything_hashable(self, kernel, names):
        """Nothing else is asked of them."""
        area, width, height, border = names
        tree = farm.Ptree()
        tree.define(area, [width, height], operator.mul)
        tree.define(width, (border,), lambda b: 7 + 2 * b)
        tree.define(height, iter([border]), lambda b: 5 + 2 * b)
        tree.define(border, (), lambda: 1)
        assert [tree.call(name) for name in names] == [63, 9, 7, 1]

    def test_deep(self, kernel):
        """Deeper than Python would recurse."""
        tree = farm.Ptree()
        tree.define(0, [], lambda: 0)
        for name in range(1, 3000):
            tree.define(name, [name - 1], lambda x: x + 1)
        tree.check()
        assert tree.call(2999) == 2999

    def test_wide(self, kernel):
        """Far more nodes than workers."""
        tree = farm.Ptree()
        tree.define("sum", range(3000), lambda *args: sum(args))
        for name in range(3000):
            tree.define(name, [], int)
        assert tree.call("sum") == 0

    def test_what_is_computed_needs_no_kernel(self, kernel, tree):
        """Anything else does."""
        assert tree.call("width") == 9
        kernel.end()
        assert tree.call("width") == 9
        with pytest.raises(farm.NoKernelError):
            tree.call("area")
        assert not tree.is_computed("area")

    def test_with_the_options_of_the_caller(self, kernel, tree, paper):
        """Nodes are tasks in his category."""
        with farm.task_category("tree"):
            tree.call("area")
        assert len(paper.calls) == 4

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(seed=st.integers(0, 1 << 30), size=st.integers(1, 40))
    def test_any_tree(self, kernel, seed, size):
        """Gives what the functions give when they are called one after the other."""
        chance = random.Random(seed)
        names = [f"n{number}" for number in range(size)]
        args = {
            name: [chance.choice(names[:place]) for _ in range(chance.randrange(4)) if place]
            for place, name in enumerate(names)
        }
        expected = {}
        for name in names:
            expected[name] = 1 + sum(expected[arg] for arg in args[name])
        tree = farm.Ptree()
        for name in chance.sample(names, size):
            tree.define(name, args[name], lambda *values: 1 + sum(values))
        tree.check()
        for name in chance.sample(names, min(size, 3)):
            assert tree.call(name) == expected[name]


class TestInParallel:
    def test_as_soon_as_they_are_free(self, kernel, paper, aside):
        """A node does not wait for others than its arguments."""
        tree = farm.Ptree()
        tree.define("root", ["a", "after b"], lambda a, b: (a, b))
        tree.define("a", [], wait_for("a"))
        tree.define("b", [], wait_for("b"))
        tree.define("after b", ["b"], wait_for("after b"))
        got = aside(tree.call, "root")
        assert paper.started["a"].wait(20)
        assert paper.started["b"].wait(20)
        paper.events["b"].set()
        assert paper.started["after b"].wait(20)
        assert not tree.is_computed("a")
        assert tree.is_computed("b")
        paper.events["after b"].set()
        paper.events["a"].set()
        assert got() == ("a", "after b")

    def test_several_callers(self, kernel, paper, aside):
        """Share what is computed: nothing is computed twice."""
        tree = farm.Ptree()
        tree.define("one", ["x"], lambda x: (1, x))
        tree.define("two", ["x", "one"], lambda x, one: (2, x, one))
        tree.define("x", [], wait_for("x"))
        first = aside(tree.call, "one")
        assert paper.started["x"].wait(20)
        others = [aside(tree.call, name) for name in ("two", "x", "one", "two")]
        paper.events["x"].set()
        assert first() == (1, "x")
        assert [get() for get in others] == [(2, "x", first()), "x", (1, "x"), (2, "x", first())]
        assert sum(paper.tasks().values()) == 3

    def test_callers_of_different_nodes(self, kernel, paper, aside):
        """Do not wait for each other."""
        tree = farm.Ptree()
        tree.define("slow", [], wait_for("slow"))
        tree.define("fast", ["x"], lambda x: x + 1)
        tree.define("x", [], lambda: 1)
        slow = aside(tree.call, "slow")
        assert paper.started["slow"].wait(20)
        assert tree.call("fast") == 2
        paper.events["slow"].set()
        assert slow() == "slow"

    def test_many_callers(self, kernel, aside):
        """All get what is right, however they meet."""
        tree = farm.Ptree()
        tree.define(0, [], lambda: 0)
        for name in range(1, 200):
            tree.define(name, [name - 1, name // 2], lambda x, _: x + 1)
        names = [199, 50, 120, 3, 199, 77]
        got = [aside(tree.call, name) for name in names]
        assert [get() for get in got] == names

    def test_several_kernels(self, paper, connect, aside):
        """One at a time computes; what it has begun, another one goes on with."""
        tree = farm.Ptree()
        tree.define("x", [], wait_for("x"))
        tree.define("y", ["x"], wait_for("y"))
        tree.define("z", ["y"], lambda y: "z" + y)
        farm.set_kernel(connect())
        first = aside(tree.call, "x")
        assert paper.started["x"].wait(20)
        farm.set_kernel(connect())
        second = aside(tree.call, "z")
        paper.events["x"].set()
        assert first() == "x"
        assert paper.started["y"].wait(20)
        paper.events["y"].set()
        assert second() == "zy"
        assert sum(paper.tasks().values()) == 3

    def test_a_kernel_that_ends_while_another_waits(self, paper, connect, aside):
        """Its nodes fail; the other one's are computed."""
        tree = farm.Ptree()
        tree.define("x", [], wait_for("x"))
        tree.define("z", [], lambda: "z")
        ending = connect()
        farm.set_kernel(ending)
        first = aside(tree.call, "x")
        assert paper.started["x"].wait(20)
        farm.set_kernel(connect())
        second = aside(tree.call, "z")
        ending.end()
        assert second() == "z"
        assert isinstance(first(), farm.KernelEndedError)
        with pytest.raises(farm.KernelEndedError):
            tree.call("x")
        paper.events["x"].set()
        tree.clear_errors()
        assert tree.call("x") == "x"


class TestErrors:
    def test_of_a_node(self, kernel):
        """Is raised by every call that needs it, until clear_errors; it is not tried again."""
        tree = farm.Ptree()
        tree.define("root", ["bad", "good"], lambda *args: args)
        tree.define("bad", [], fail)
        tree.define("good", [], lambda: 1)
        for name in ("root", "bad", "root"):
            with pytest.raises(farm.TaskExecutionError, match="KeyError: 'failed'") as caught:
                tree.call(name)
            assert type(caught.value.__cause__) is KeyError
        assert tree.call("good") == 1
        assert tree.is_computed("bad")
        assert not tree.is_computed("root")

    def test_does_not_wait_for_what_runs(self, kernel, paper):
        """Its value is kept for later."""
        tree = farm.Ptree()
        tree.define("root", ["slow", "bad"], lambda *args: args)
        tree.define("slow", [], wait_for("slow"))
        tree.define("bad", [], fail)
        with pytest.raises(farm.TaskExecutionError):
            tree.call("root")
        assert not tree.is_computed("slow")
        paper.events["slow"].set()
        assert tree.call("slow") == "slow"
        assert sum(paper.tasks().values()) == 2

    def test_the_computation_is_resumed(self, kernel, paper):
        """After clear_errors: what has a value is not computed again."""
        tree = farm.Ptree()
        tree.define("root", ["middle", "good"], lambda *args: args)
        tree.define("middle", ["bad"], lambda x: x + 1)
        tree.define("bad", ["good"], lambda x: 1 // threading.current_thread().paper.wait("bad"))
        tree.define("good", [], wait_for("good"))
        paper.answers["bad"] = 0
        paper.events["bad"].set()
        paper.events["good"].set()
        for _ in range(2):
            with pytest.raises(farm.TaskExecutionError, match="ZeroDivisionError"):
                tree.call("root")
        assert sum(paper.tasks().values()) == 2
        tree.clear_errors()
        assert tree.is_computed("good")
        assert not tree.is_computed("bad")
        with pytest.raises(farm.TaskExecutionError, match="ZeroDivisionError"):
            tree.call("middle")
        paper.answers["bad"] = 1
        tree.clear_errors()
        assert tree.call("root") == (2, "good")
        assert sum(paper.tasks().values()) == 2 + 1 + 3

    def test_a_node_defined_after_an_argument_failed(self, kernel):
        """Fails with it, without being computed."""
        tree = farm.Ptree()
        tree.define("bad", [], fail)
        with pytest.raises(farm.TaskExecutionError):
            tree.call("bad")
        tree.define("late", ["bad", "other"], pytest.fail)
        tree.define("other", [], pytest.fail)
        with pytest.raises(farm.TaskExecutionError, match="KeyError"):
            tree.call("late")

    def test_is_told_to_all_callers(self, kernel, paper, aside):
        """Whoever needs the node."""
        tree = farm.Ptree()
        tree.define("bad", ["x"], fail)
        tree.define("x", [], wait_for("x"))
        tree.define("y", ["bad", "x"], lambda *args: args)
        got = [aside(tree.call, name) for name in ("bad", "y", "bad", "x")]
        assert paper.started["x"].wait(20)
        paper.events["x"].set()
        assert got[3]() == "x"
        for get in got[:3]:
            assert isinstance(get(), farm.TaskExecutionError)

    def test_an_argument_that_cannot_travel(self, kernel):
        """Fails that node, and is told as at any submit; so is a bad name."""
        tree = farm.Ptree()
        promise = farm.promise()
        tree.define("captures", [], lambda: promise)
        tree.define("nameless", [], "no colon")
        with pytest.raises(farm.SerializationError, match="a promise cannot travel"):
            tree.call("captures")
        with pytest.raises(farm.SerializationError, match="a promise cannot travel"):
            tree.call("captures")
        with pytest.raises(farm.InvalidTaskError):
            tree.call("nameless")
        assert tree.is_computed("captures")

    def test_the_end_of_the_kernel(self, connect, paper, aside):
        """Is an error of the nodes that were under way."""
        kernel = connect()
        tree = farm.Ptree()
        tree.define("root", ["x"], lambda x: x)
        tree.define("x", [], wait_for("x"))
        got = aside(tree.call, "root")
        assert paper.started["x"].wait(20)
        kernel.end()
        assert isinstance(got(), farm.KernelEndedError)
        connect()
        with pytest.raises(farm.KernelEndedError):
            tree.call("root")
        tree.clear_errors()
        paper.events["x"].set()
        assert tree.call("root") == "x"


class TestUndefined:
    def test_a_node_that_nobody_mentions(self, kernel, tree):
        """call and is_computed know no such node."""
        for ask in (tree.call, tree.is_computed):
            with pytest.raises(farm.PtreeUndefinedFunctionError) as caught:
                ask("depth")
            assert str(caught.value) == "there is no node 'depth' in this tree: define() it"
            assert (caught.value.name, caught.value.references) == ("depth", [])

    def test_a_node_without_a_function(self, kernel, paper):
        """The error says who refers to it; nothing is computed, and nothing kept."""
        tree = farm.Ptree()
        tree.define("area", ["width", "height"], operator.mul)
        tree.define("width", ["border"], lambda b: 7 + 2 * b)
        tree.define("height", ["border"], lambda b: 5 + 2 * b)
        for ask in (lambda: tree.call("area"), tree.check, lambda: tree.call("border")):
            with pytest.raises(farm.PtreeUndefinedFunctionError) as caught:
                ask()
            assert caught.value.name == "border"
            assert caught.value.references == ["width", "height"]
            assert str(caught.value) == (
                "node 'border' has no function, and 'width' and 'height' refer to it: define() it"
            )
        assert not tree.is_computed("border")
        assert paper.tasks() == {}
        tree.define("border", [], lambda: 1)
        tree.check()
        assert tree.call("area") == 63

    def test_one_that_is_not_needed(self, kernel, tree):
        """Is no hindrance."""
        tree.define("volume", ["area", "depth"], operator.mul)
        assert tree.call("area") == 63
        with pytest.raises(farm.PtreeUndefinedFunctionError, match="'volume' refers to it"):
            tree.check()


class TestRedefinition:
    def test_is_refused(self, kernel, tree):
        """The first definition stays."""
        with pytest.raises(farm.PtreeRedefinitionError) as caught:
            tree.define("border", ["area"], lambda area: 4)
        assert caught.value.name == "border"
        assert "node 'border' is defined already" in str(caught.value)
        assert tree.call("area") == 63

    @pytest.mark.parametrize("name", ["border", "new"])
    def test_definitions_that_are_none(self, tree, name):
        """Are refused whole."""
        before = tree.dot()
        with pytest.raises(TypeError, match="args is a list of names, not 'width'"):
            tree.define(name, "width", abs)
        with pytest.raises(farm.InvalidTaskError, match=f"function of node '{name}' is no task: 5"):
            tree.define(name, [], 5)
        with pytest.raises(TypeError, match="unhashable"):
            tree.define(name, ["other", []], abs)
        with pytest.raises(TypeError, match="unhashable"):
            tree.define([], ["other"], abs)
        assert tree.dot() == before


class TestCycles:
    def test_are_reported(self, kernel):
        """By check, and by calls that would need themselves; others are not concerned."""
        tree = farm.Ptree()
        tree.define("top", ["a", "fine"], operator.add)
        tree.define("a", ["fine", "b"], operator.add)
        tree.define("b", ["c"], abs)
        tree.define("c", ["a"], abs)
        tree.define("fine", [], lambda: 1)
        for ask in (tree.check, lambda: tree.call("top")):
            with pytest.raises(farm.PtreeCycleError) as caught:
                ask()
            assert caught.value.names == ["a", "b", "c"]
            assert "'a' -> 'b' -> 'c' -> 'a'" in str(caught.value)
        with pytest.raises(farm.PtreeCycleError, match="'c' -> 'a' -> 'b' -> 'c'"):
            tree.call("c")
        assert tree.call("fine") == 1

    def test_of_one_node(self, kernel):
        """That needs itself."""
        tree = farm.Ptree()
        tree.define("x", ["x"], abs)
        with pytest.raises(farm.PtreeCycleError, match=r"computed: 'x' -> 'x'$"):
            tree.call("x")

    def test_diamonds_are_none(self, tree):
        """However often a node is needed."""
        tree.check()


class TestClear:
    def test_everything_is_computed_anew(self, kernel, tree, paper):
        """Values and errors are forgotten."""
        assert tree.call("area") == 63
        tree.clear()
        assert not any(map(tree.is_computed, ["area", "width", "height", "border"]))
        assert tree.call("area") == 63
        assert sum(paper.tasks().values()) == 8

    def test_errors_too(self, kernel, paper):
        """As by clear_errors."""
        tree = farm.Ptree()
        tree.define("x", [], lambda: 1 // threading.current_thread().paper.wait("x"))
        paper.events["x"].set()
        paper.answers["x"] = 0
        with pytest.raises(farm.TaskExecutionError):
            tree.call("x")
        paper.answers["x"] = 1
        tree.clear()
        assert tree.call("x") == 1

    def test_what_is_under_way(self, kernel, paper, aside):
        """Is given up and computed anew, for those who still wait."""
        tree = farm.Ptree()
        tree.define("root", ["x", "y"], lambda *args: args)
        tree.define("x", [], wait_for("x"))
        tree.define("y", [], lambda: 1)
        got = aside(tree.call, "root")
        assert paper.started["x"].wait(20)
        tree.clear()
        paper.events["x"].set()
        assert got() == ("x", 1)

    def test_what_arrives_late(self, kernel, paper):
        """After clear it is no value any more: who computes anew gets what is new."""
        tree = farm.Ptree()
        tree.define("root", ["bad", "x"], lambda *args: args)
        tree.define("bad", [], fail)
        tree.define("x", [], wait_for("x"))
        with pytest.raises(farm.TaskExecutionError):
            tree.call("root")
        assert paper.started["x"].wait(20)
        tree.clear()
        paper.answers["x"] = "old"
        paper.events["x"].set()
        channel = kernel.make_channel()
        for _ in range(10):
            channel.submit(abs, 1)
        assert sum(channel) == 10
        kernel.broadcast_task(abs, 1)  # now the old one has arrived
        paper.answers["x"] = "new"
        assert not tree.is_computed("x")
        assert tree.call("x") == "new"


class TestCtrlC:
    def test_gives_up_what_was_submitted(self, paper, connect, interrupt):
        """What has not started never does; the tree is as it was, and the next call computes it."""
        paper.workers = 1
        kernel = connect()
        tree = farm.Ptree()
        tree.define("root", ["a", "b", "c"], lambda *args: args)
        for name in "abc":
            tree.define(name, [], wait_for(name))
        interrupt(paper.started["a"], kernel)
        with pytest.raises(KeyboardInterrupt):
            tree.call("root")
        paper.events["a"].set()
        assert farm.force(farm.future(abs, -1)) == 1
        assert not paper.started["b"].is_set()
        assert not tree.is_computed("a")
        assert not tree.is_computed("b")
        paper.events["b"].set()
        paper.events["c"].set()
        assert tree.call("root") == ("a", "b", "c")
        assert sum(paper.tasks().values()) == 1 + 1 + 3 + 1

    def test_leaves_other_callers_alone(self, paper, connect, interrupt, aside):
        """They compute themselves what was given up."""
        paper.workers = 1
        kernel = connect()
        tree = farm.Ptree()
        tree.define("root", ["a", "b"], lambda *args: args)
        for name in "ab":
            tree.define(name, [], wait_for(name))
        waiting = threading.Event()
        enter = tree._advance

        def advance(call, engine):
            turn = enter(call, engine)
            if threading.current_thread() is not threading.main_thread() and engine is not None:
                waiting.set()
            return turn

        tree._advance = advance
        begin = threading.Event()

        def other():
            assert begin.wait(20)
            return tree.call("root")

        got = aside(other)
        both = threading.Event()

        def when_both():
            assert paper.started["a"].wait(20)
            begin.set()
            assert waiting.wait(20)
            both.set()

        aside(when_both)
        interrupt(both, kernel)
        with pytest.raises(KeyboardInterrupt):
            tree.call("root")
        paper.events["a"].set()
        paper.events["b"].set()
        assert got() == ("a", "b")


class TestDot:
    def test_it_draws_the_tree(self, kernel, tree):
        """In Graphviz' language: each node, an arrow to each argument, and how it stands."""
        tree.define("bad", ["border", "border", "nowhere"], fail)
        tree.define("worse", ["border"], fail)
        with pytest.raises(farm.TaskExecutionError):
            tree.call("worse")
        assert tree.call("height") == 7
        assert tree.dot() == (
            "digraph ptree {\n"
            '    "area";\n'
            '    "width";\n'
            '    "height" [style=filled];\n'
            '    "border" [style=filled];\n'
            '    "bad";\n'
            '    "nowhere" [style=dashed];\n'
            '    "worse" [color=red];\n'
            '    "area" -> "width";\n'
            '    "area" -> "height";\n'
            '    "width" -> "border";\n'
            '    "height" -> "border";\n'
            '    "bad" -> "border";\n'
            '    "bad" -> "nowhere";\n'
            '    "worse" -> "border";\n'
            "}\n"
        )

    def test_names(self):
        """Are quoted as Graphviz wants it, and stay different."""
        tree = farm.Ptree()
        tree.define(1, ["1", 'a "quoted" \\ name', (1, "x")], abs)
        lines = tree.dot().splitlines()[1:-1]
        assert lines == [
            '    "1";',
            '    "1\'" [style=dashed];',
            '    "a \\"quoted\\" \\\\ name" [style=dashed];',
            "    \"(1, 'x')\" [style=dashed];",
            '    "1" -> "1\'";',
            '    "1" -> "a \\"quoted\\" \\\\ name";',
            '    "1" -> "(1, \'x\')";',
        ]

    def test_an_empty_tree(self):
        """Is a graph without nodes."""
        assert farm.Ptree().dot() == "digraph ptree {\n}\n"

    def test_repr(self, kernel, tree):
        """Says how large it is, and how far."""
        tree.call("width")
        assert repr(tree) == "<Ptree: 4 nodes, 2 computed>"
