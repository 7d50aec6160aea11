"""plet, pfuncall, pand and por: the parts of an expression in parallel."""

import copy
import pickle
import signal
import threading

import pytest

import farm_client as farm


def wait_for(key):
    """A thunk that returns the key once ``paper.events[key]`` is set."""
    return lambda: threading.current_thread().paper.wait(key)


@pytest.fixture
def aside():
    """Calls a function in a thread of its own; returns what gives its result."""
    threads = []

    def call(function, *args):
        box = []
        threads.append(threading.Thread(target=lambda: box.append(function(*args))))
        threads[-1].start()

        def get(thread=threads[-1]):
            thread.join(20)
            return box.pop()

        return get

    yield call
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def one_worker(paper, connect):
    """A kernel with one worker, which is busy until ``paper.events["gate"]`` is set."""
    paper.workers = 1
    kernel = connect()
    farm.future("paper:wait", "gate")
    assert paper.started["gate"].wait(20)
    yield kernel
    paper.events["gate"].set()
    kernel.end(wait=True)


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


class TestPlet:
    def test_its_attributes_are_the_values(self, kernel):
        """As often as one asks."""
        v = farm.plet(a=lambda: 3, b=lambda: 4)
        assert v.a + v.b == 7
        assert v.a * v.b == 12

    def test_the_bindings_run_in_parallel(self, kernel, paper, aside):
        """plet itself does not wait, and each attribute only for its own binding."""
        v = farm.plet(one="paper:wait.a", two="paper:wait.b")
        assert paper.started["a"].wait(20)
        assert paper.started["b"].wait(20)
        one = aside(getattr, v, "one")
        paper.events["b"].set()
        assert v.two == "b"
        paper.events["a"].set()
        assert one() == v.one == "a"

    def test_any_name_will_do(self, kernel):
        """Also those of Python's and of the function's own."""
        v = farm.plet(**{"predicate": lambda: 1, "self": lambda: 2, "a b": lambda: 3, "_x": int})
        assert (v.predicate, v.self, getattr(v, "a b"), v._x) == (1, 2, 3, 0)
        assert farm.plet_if(True, predicate=lambda: 5).predicate == 5

    def test_errors_are_raised_by_the_attribute(self, kernel):
        """Of that binding only, and each time."""
        v = farm.plet(bad=lambda: 1 / 0, good=lambda: 1)
        for _ in range(2):
            with pytest.raises(farm.TaskExecutionError, match="ZeroDivisionError"):
                v.bad  # noqa: B018
            assert v.good == 1

    def test_what_is_not_bound(self, kernel):
        """Is an AttributeError that tells what is; dir() and repr() tell it too."""
        v = farm.plet(a=lambda: 3, b=lambda: 4)
        with pytest.raises(AttributeError, match="there is no binding 'c'; there is a, b"):
            v.c  # noqa: B018
        assert not hasattr(farm.plet(), "a")
        assert dir(v) == ["a", "b"]
        assert repr(v) == "<Bindings a, b>"

    def test_bindings_that_are_no_thunks(self, one_worker, paper):
        """Are refused, and the others are withdrawn."""
        with pytest.raises(farm.InvalidTaskError):
            farm.plet(a="paper:wait.a", b=5)
        with pytest.raises(farm.SerializationError):
            farm.plet(a="paper:wait.a", b=farm.promise().cancel)
        paper.events["gate"].set()
        assert farm.plet(last=lambda: 1).last == 1
        assert not paper.started["a"].is_set()

    def test_without_a_kernel(self):
        """Raises as future does."""
        with pytest.raises(farm.NoKernelError):
            farm.plet(a=lambda: 1)

    def test_a_chain_relays(self, kernel):
        """An attribute is what force gives: one level, and further only through chains."""
        inner = farm.promise()
        v = farm.plet_if(False, a=lambda: inner, b=lambda: farm.chain(inner))
        farm.fulfill(inner, 5)
        assert v.a is inner
        assert v.b == 5

    def test_it_does_not_travel(self, kernel):
        """Nor is it copied: its values are."""
        v = farm.plet(a=lambda: 3)
        with pytest.raises(farm.FarmError, match="a future cannot travel"):
            pickle.dumps(v)
        assert copy.copy(v).a == 3

    def test_several_kernels(self, connect):
        """The values may be asked for while another kernel is current."""
        farm.set_kernel(connect())
        v = farm.plet(a=lambda: 3)
        with connect():
            assert v.a == 3


class TestPletIf:
    def test_true_is_plet(self, kernel, paper):
        """Workers call the thunks."""
        v = farm.plet_if([0], a="paper:wait.a")
        paper.events["a"].set()
        assert v.a == "a"

    @pytest.mark.parametrize("predicate", [False, None, 0, []])
    def test_false_calls_them_here(self, predicate):
        """At once, one after the other, without a kernel."""
        calls = []
        v = farm.plet_if(
            predicate, a=lambda: calls.append(threading.get_ident()) or 1, b=lambda: len(calls)
        )
        assert calls == [threading.get_ident()]
        assert (v.a, v.b, v.a) == (1, 1, 1)
        assert dir(v) == ["a", "b"]

    def test_errors_here_are_the_plain_ones(self):
        """Raised by plet_if itself, as by any expression; what follows is not called."""
        with pytest.raises(ZeroDivisionError):
            farm.plet_if(False, a=lambda: 1 / 0, b=pytest.fail)

    @pytest.mark.parametrize("thunk", ["os:getpid", 5])
    def test_what_cannot_be_called_here(self, thunk):
        """The name of a task, and what is no task."""
        with pytest.raises(farm.InvalidTaskError, match="'a' is to be called here, and"):
            farm.plet_if(False, a=thunk)

    def test_threads_share_it(self, kernel, aside):
        """Both kinds."""
        for predicate in (True, False):
            v = farm.plet_if(predicate, a=lambda: 5)
            assert [get() for get in [aside(getattr, v, "a") for _ in range(4)]] == [5] * 4


class TestPfuncall:
    def test_the_function_gets_the_values(self, kernel):
        """In order; what is not callable is passed as it is."""
        thing = object()
        assert farm.pfuncall(pow, lambda: 2, lambda: 10) == 1024
        got = farm.pfuncall(lambda *args: args, lambda: 1, thing, "os:getpid", lambda: None)
        assert got == (1, thing, "os:getpid", None)
        assert farm.pfuncall(lambda *args: args, *[lambda n=n: n for n in range(20)]) == tuple(
            range(20)
        )

    def test_the_thunks_run_in_parallel(self, kernel, paper, aside):
        """And arrive in any order."""
        got = aside(farm.pfuncall, lambda *args: args, lambda: 1, wait_for("a"), wait_for("b"))
        for key in ("a", "b"):
            assert paper.started[key].wait(20)
        paper.events["b"].set()
        paper.events["a"].set()
        assert got() == (1, "a", "b")

    def test_the_function_is_called_here(self, kernel):
        """As lparallel's: it sees the program's own objects, and its error is the plain one."""
        seen = []
        farm.pfuncall(seen.append, lambda: 3)
        assert seen == [3]
        with pytest.raises(ZeroDivisionError):
            farm.pfuncall(lambda x: 1 / x, lambda: 0)

    def test_tasks_that_exist_on_servers_only(self, kernel):
        """Are called there."""
        assert farm.pfuncall("operator:add", lambda: 3, 4) == 7

        @farm.deftask(local=False)
        def add(a, b):
            return a + b

        assert farm.pfuncall(add, lambda: 3, 4) == 7
        with pytest.raises(farm.TaskExecutionError, match="ZeroDivisionError"):
            farm.pfuncall("operator:truediv", 1, lambda: 0)

    def test_the_first_error_is_raised_at_once(self, one_worker, paper):
        """What runs is not waited for, and what has not started never does."""
        paper.events["gate"].set()
        with pytest.raises(farm.TaskExecutionError, match="ZeroDivisionError"):
            farm.pfuncall(pytest.fail, lambda: 1 / 0, wait_for("a"), wait_for("b"))
        paper.events["a"].set()
        assert farm.force(farm.future(abs, -1)) == 1
        assert not paper.started["b"].is_set()

    def test_without_thunks(self):
        """It is a call, and needs no kernel."""
        assert farm.pfuncall(max, 1, 2) == 2
        with pytest.raises(farm.NoKernelError):
            farm.pfuncall(max, 1, lambda: 2)

    def test_what_is_no_task(self, kernel, paper):
        """Is refused before anything is computed."""
        with pytest.raises(farm.InvalidTaskError, match="pfuncall calls a function, not 5"):
            farm.pfuncall(5, lambda: 1)
        assert paper.tasks() == {}

    def test_ctrl_c_gives_up_what_was_submitted(self, one_worker, paper, interrupt):
        """What has not started never does."""
        paper.events["gate"].set()
        interrupt(paper.started["a"], one_worker)
        with pytest.raises(KeyboardInterrupt):
            farm.pfuncall(pytest.fail, wait_for("a"), wait_for("b"))
        paper.events["a"].set()
        assert farm.force(farm.future(abs, -1)) == 1
        assert not paper.started["b"].is_set()


class TestPand:
    def test_all_true(self, kernel, paper, aside):
        """They run in parallel, and one of their values is returned."""
        got = aside(farm.pand, "paper:wait.a", "paper:wait.b")
        for key in ("a", "b"):
            assert paper.started[key].wait(20)
        paper.events["b"].set()
        paper.events["a"].set()
        assert got() in ("a", "b")
        assert farm.pand(lambda: 1) == 1

    def test_the_last_to_arrive(self, paper, kernel, aside):
        """Not the last thunk."""
        got = aside(farm.pand, "paper:wait.a", "paper:wait.b")
        for key in ("a", "b"):
            assert paper.started[key].wait(20)
        paper.events["b"].set()
        assert farm.force(farm.future(abs, -1)) == 1  # after b, by its worker
        paper.events["a"].set()
        assert got() == "a"

    @pytest.mark.parametrize("value", [False, None, 0, ""])
    def test_a_false_one(self, kernel, paper, value):
        """Is returned as it is, as soon as it arrives; what runs is not waited for."""
        paper.answers["false"] = value
        paper.events["false"].set()
        got = farm.pand("paper:wait.a", "paper:wait.false", lambda: True)
        assert got == value
        assert type(got) is type(value)

    def test_what_has_not_started_is_withdrawn(self, one_worker, paper):
        """Once the answer is known."""
        paper.events["gate"].set()
        assert farm.pand(lambda: False, *["paper:wait.a", "paper:wait.b"]) is False
        paper.events["a"].set()
        assert farm.force(farm.future(abs, -1)) == 1
        assert not paper.started["b"].is_set()

    def test_none(self, kernel):
        """Is true."""
        assert farm.pand() is True

    def test_an_error(self, kernel):
        """Is raised when it arrives."""
        with pytest.raises(farm.TaskExecutionError, match="ZeroDivisionError"):
            farm.pand(lambda: True, lambda: 1 / 0, "paper:wait.a")

    def test_many(self, kernel):
        """More than there are workers."""
        assert farm.pand(*[lambda n=n: n for n in range(1, 100)])
        assert not farm.pand(*[lambda n=n: n for n in range(100)])

    def test_ctrl_c_gives_up_what_was_submitted(self, one_worker, paper, interrupt):
        """What has not started never does."""
        paper.events["gate"].set()
        interrupt(paper.started["a"], one_worker)
        with pytest.raises(KeyboardInterrupt):
            farm.pand("paper:wait.a", "paper:wait.b")
        paper.events["a"].set()
        assert farm.force(farm.future(abs, -1)) == 1
        assert not paper.started["b"].is_set()


class TestPor:
    def test_the_first_true_one(self, kernel, paper):
        """As soon as it arrives, whatever comes before it; what runs is not waited for."""
        assert farm.por("paper:wait.a", lambda: None, lambda: 0, lambda: 7) == 7

    def test_what_has_not_started_is_withdrawn(self, one_worker, paper):
        """Once the answer is known."""
        paper.events["gate"].set()
        assert farm.por(lambda: 5, "paper:wait.a", "paper:wait.b") == 5
        paper.events["a"].set()
        assert farm.force(farm.future(abs, -1)) == 1
        assert not paper.started["b"].is_set()

    def test_all_false(self, kernel, paper, aside):
        """The last one to arrive."""
        paper.answers.update(a="", b=0)
        got = aside(farm.por, "paper:wait.a", "paper:wait.b")
        for key in ("a", "b"):
            assert paper.started[key].wait(20)
        paper.events["b"].set()
        assert farm.force(farm.future(abs, -1)) == 1  # after b, by its worker
        paper.events["a"].set()
        assert got() == ""

    def test_none(self, kernel):
        """Is false."""
        assert farm.por() is False

    def test_an_error(self, kernel):
        """Is raised when it arrives, and not at all if a true value came first."""
        with pytest.raises(farm.TaskExecutionError, match="ZeroDivisionError"):
            farm.por(lambda: False, lambda: 1 / 0, "paper:wait.a")
        assert farm.por(lambda: 1, "paper:wait.b") == 1

    def test_a_value_that_cannot_tell(self, kernel):
        """Its error is raised, and the rest given up."""
        with pytest.raises(ZeroDivisionError):
            farm.por(Undecided)
        assert farm.force(farm.future(abs, -1)) == 1

    def test_what_is_no_thunk(self, kernel):
        """Is refused."""
        for function in (farm.por, farm.pand):
            with pytest.raises(farm.InvalidTaskError):
                function(lambda: 1, 5)

    def test_the_end_of_the_kernel(self, paper, connect, aside):
        """Is told to who waits."""
        kernel = connect()

        def ask():
            try:
                farm.por("paper:wait.a")
            except farm.KernelEndedError as error:
                return str(error)

        got = aside(ask)
        assert paper.started["a"].wait(20)
        kernel.end()
        assert "has ended" in got()


class Undecided:
    """Neither true nor false."""

    def __bool__(self):
        raise ZeroDivisionError
