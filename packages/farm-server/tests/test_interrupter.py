"""What the signal does in the process of a worker: here in the test's own."""

import os
import signal
import sys

import pytest

from farm_common.kills import KILLED, TIMEOUT
from farm_common.shipping import SharedStore
from farm_server.board import Slot
from farm_server.interrupter import SIGNAL, Interrupter, TaskInterrupt, perform, perform_with


class Desk:
    """An interrupter and its words; the task with the id 4 runs."""

    def __init__(self):
        self.words = [0] * 8
        self.words[Slot.TASK] = 5
        self.interrupter = Interrupter(self.words)

    def aim(self, task, timeout=False):
        """Want a task to end."""
        self.words[Slot.KILL] = (task + 1) << 1 | timeout

    def signal(self):
        """Signal, and give the handler the time to run."""
        os.kill(os.getpid(), SIGNAL)
        for _ in range(1000):
            pass


@pytest.fixture
def desk():
    """A `Desk` whose handler is installed for the test."""
    before = signal.getsignal(SIGNAL)
    desk = Desk()
    desk.interrupter.install()
    yield desk
    signal.signal(SIGNAL, before)


def test_by_default_the_signal_does_nothing():
    """So it may reach a process that does not expect it."""
    assert signal.getsignal(SIGNAL) is signal.SIG_DFL
    os.kill(os.getpid(), SIGNAL)


def test_the_task_that_runs(desk):
    """It is left by an exception that is no `Exception`, and the board says so."""
    desk.aim(4)
    with pytest.raises(TaskInterrupt, match="killed, by kill_tasks"):
        perform(desk.signal, ())
    assert not issubclass(TaskInterrupt, Exception)
    assert desk.interrupter.hit
    assert desk.words[Slot.HIT] == 5
    assert desk.interrupter.reason == KILLED


def test_a_task_with_keywords_whose_time_is_up(desk):
    """The exception says why."""
    desk.aim(4, timeout=True)
    with pytest.raises(TaskInterrupt, match="longer than it may"):
        perform_with(lambda wait: wait(), (), {"wait": desk.signal})
    assert desk.interrupter.reason == TIMEOUT


def test_once_only(desk):
    """What a task does to clean up is not interrupted."""
    desk.aim(4)
    done = []

    def task():
        try:
            desk.signal()
        finally:
            desk.signal()
            done.append(True)

    with pytest.raises(TaskInterrupt):
        perform(task, ())
    assert done


@pytest.mark.parametrize("target", [None, 3, 5])
def test_another_task(desk, target):
    """A signal that comes too late, or for nothing, does nothing."""
    if target is not None:
        desk.aim(target)
    perform(desk.signal, ())
    assert not desk.interrupter.hit
    assert desk.words[Slot.HIT] == 0


def test_between_two_tasks(desk):
    """Nothing is raised outside of the user's code, though the number is right."""
    desk.aim(4)
    desk.signal()
    assert not desk.interrupter.hit
    with pytest.raises(TaskInterrupt):  # the next signal
        perform(desk.signal, ())


def test_deep_inside(desk):
    """However far below the task itself the code is that runs."""
    desk.aim(4)

    def dig(depth):
        return dig(depth - 1) if depth else desk.signal()

    def lazily():
        yield dig(200)

    with pytest.raises(TaskInterrupt):
        perform(list, (lazily(),))


def test_while_a_shared_value_is_loaded(desk):
    """It is loaded to its end; the next signal interrupts the task."""
    desk.aim(4)
    store = SharedStore()
    store.put(b"x" * 16, lambda: desk.signal() or "loaded")
    assert perform(store.get, (b"x" * 16,)) == "loaded"
    with pytest.raises(TaskInterrupt):
        perform(desk.signal, ())


def test_while_a_shared_value_cannot_be_loaded():
    """What fails once can be tried again."""
    store = SharedStore()
    outcomes = iter([TaskInterrupt, None])

    def load():
        error = next(outcomes)
        if error:
            raise error
        return 1

    store.put(b"x" * 16, load)
    with pytest.raises(TaskInterrupt):
        store.get(b"x" * 16)
    assert store.get(b"x" * 16) == 1


def test_while_a_module_is_imported(desk, tmp_path, monkeypatch):
    """The module's code may be left; it is imported afresh the next time."""
    desk.aim(4)
    (tmp_path / "left_halfway.py").write_text("import sys\nsys.desk_signal()\nvalue = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "desk_signal", desk.signal, raising=False)
    with pytest.raises(TaskInterrupt):
        perform(__import__, ("left_halfway",))
    assert "left_halfway" not in sys.modules
    assert __import__("left_halfway").value == 1


def test_inside_the_import_system(desk):
    """Its own steps are not left halfway: some hold a lock."""
    desk.aim(4)
    code = compile("def step(signal):\n    signal()\n", "<frozen importlib._bootstrap>", "exec")
    namespace = {}
    exec(code, namespace)
    # As if the signal had come while that was executed.
    inside = lambda: desk.interrupter.handle(SIGNAL, sys._getframe().f_back)  # noqa: E731
    perform(namespace["step"], (inside,))
    assert not desk.interrupter.hit


def test_without_a_frame(desk):
    """Where Python does not tell what was interrupted, nothing is."""
    desk.aim(4)
    perform(desk.interrupter.handle, (SIGNAL, None))
    assert not desk.interrupter.hit


def test_a_signal_in_the_handler(desk):
    """Two signals at once raise one exception."""
    desk.aim(4)

    class Words(list):
        """Signals once more when the handler is about to decide."""

        again = True

        def __getitem__(self, index):
            if index == Slot.HIT and self.again:
                self.again = False
                desk.signal()
            return list.__getitem__(self, index)

    desk.interrupter._words = words = Words(desk.words)

    def task():
        try:
            desk.signal()
        except TaskInterrupt:
            for _ in range(1000):  # time for another
                pass
            return "once"

    assert perform(task, ()) == "once"
    assert not words.again
    assert words[Slot.HIT] == 5


def test_a_blocked_signal_is_let_through(desk):
    """Whoever started the server may have blocked it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
    desk.interrupter.install()
    assert SIGNAL not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
