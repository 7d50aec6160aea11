"""How the parent ends a task: with time and workers that exist only here."""

import signal

import pytest

from farm_common.kills import KILLED, TIMEOUT
from farm_common.testing import FakeClock
from farm_server.board import Board, Slot
from farm_server.child import Child
from farm_server.interrupter import SIGNAL
from farm_server.kills import GRACE_SECONDS, Kills
from farm_server.overtime import Overtime
from farm_server.timers import Timers


class Bench:
    """Workers on paper: the test writes on the board what they do.

    Attributes:
        signals: What was sent to them, as pairs of the process and the signal.
        react: Called for each signal, in the worker's place.
        stops: Whether processes stop when they are told to.
    """

    def __init__(self):
        self.clock = FakeClock()
        self.timers = Timers(self.clock.monotonic)
        self.kills = Kills(self.timers, self, self.nanoseconds)
        self.overtime = Overtime(self.timers, self.kills, self.nanoseconds)
        self.board = Board(8)
        self.signals = []
        self.react = lambda child, number: None
        self.stops = True
        self.stopped_pids = set()
        self.children = {}

    def nanoseconds(self):
        """The clock of the board."""
        return int(self.clock.now * 1e9)

    def child(self, task=None):
        """A session that runs a task."""
        number = len(self.children)
        slot = self.board.take()
        child = Child(100 + number, bytes([number] * 16), None, None, slot, "peer", 0.0)
        child.role = "work"
        slot.words[Slot.STATE] = Slot.WORK
        self.children[child.pid] = child
        if task is not None:
            self.run(child, task)
        return child

    def run(self, child, task):
        """Begin a task, or none."""
        child.slot.words[Slot.STARTED] = self.nanoseconds()
        child.slot.words[Slot.TASK] = 0 if task is None else task + 1

    def hit(self, child, number):
        """React to the signal as a worker does whose task can be interrupted."""
        words = child.slot.words
        if number == SIGNAL and words[Slot.KILL] >> 1 == words[Slot.TASK]:
            words[Slot.HIT] = words[Slot.TASK]
            words[Slot.TASK] = 0

    def settle(self, seconds=0.0):
        """Let time pass, step by step."""
        end = self.clock.now + seconds
        while True:
            self.timers.run()
            wait = self.timers.wait()
            if wait is None or self.clock.now + wait > end:
                break
            self.clock.advance(wait)
        self.clock.advance(end - self.clock.now)
        self.timers.run()

    # what `Processes` does

    def signal(self, pid, number):
        self.signals.append((pid, number))
        if number == signal.SIGSTOP and self.stops:
            self.stopped_pids.add(pid)
        if number == signal.SIGCONT:
            self.stopped_pids.discard(pid)
        self.react(self.children[pid], number)

    def kill(self, pid, number):
        self.signals.append((pid, number))

    def stopped(self, pid):
        return pid in self.stopped_pids


@pytest.fixture
def bench():
    """A `Bench`."""
    return Bench()


@pytest.fixture
def request_(bench):
    """Asks to kill tasks; returns the list that the answer is put into."""

    def ask(tasks, dry_run=False):
        answers = []
        bench.kills.request(tasks, dry_run, answers.append)
        return answers

    return ask


ALL = ((0, 99),)


def name(child):
    """A session's id, as an answer has it."""
    return child.session.hex()


def test_a_task_that_ends_at_the_signal(bench, request_):
    """The answer comes when it has ended; its process is left alone."""
    child = bench.child(task=4)
    bench.react = bench.hit
    answers = request_({child: ALL})
    assert answers == []
    bench.settle(0.01)
    assert answers == [{name(child): 4}]
    assert bench.signals == [(child.pid, SIGNAL)]
    assert not child.killed
    assert child.slot.words[Slot.KILL] == 5 << 1


def test_a_task_that_takes_its_time_to_end(bench, request_):
    """It is signalled once; what it does in ``finally`` is not disturbed."""
    child = bench.child(task=4)

    def react(child, number):
        child.slot.words[Slot.HIT] = 5

    bench.react = react
    answers = request_({child: ALL})
    bench.settle(GRACE_SECONDS - 0.05)
    assert bench.signals == [(child.pid, SIGNAL)]
    assert answers == []
    bench.run(child, None)
    bench.settle(0.02)
    assert answers == [{name(child): 4}]
    assert bench.signals == [(child.pid, SIGNAL)]


def test_a_signal_that_comes_at_a_bad_moment(bench, request_):
    """It is sent again, until the exception was raised."""
    child = bench.child(task=4)

    def react(child, number):
        if len(bench.signals) == 5:
            bench.hit(child, number)

    bench.react = react
    answers = request_({child: ALL})
    bench.settle(0.1)
    assert bench.signals == [(child.pid, SIGNAL)] * 5
    assert answers == [{name(child): 4}]


def test_a_task_that_does_not_end(bench, request_):
    """Its process is stopped, looked at, and killed; the answer comes when it is gone."""
    child = bench.child(task=4)
    answers = request_({child: ALL})
    bench.settle(GRACE_SECONDS + 0.05)
    sent = [number for _, number in bench.signals if number != SIGNAL]
    assert sent == [signal.SIGSTOP, signal.SIGKILL]
    assert child.killed
    assert answers == []
    verdict = bench.kills.ended(child)
    assert (verdict.task, verdict.reason) == (4, KILLED)
    assert answers == [{name(child): 4}]
    bench.settle(1)
    assert len([number for _, number in bench.signals if number != SIGNAL]) == 2


def test_a_task_that_ends_by_itself_before_its_process_has_stopped(bench, request_):
    """The next one is not hit: the process goes on, and no kill is counted."""
    child = bench.child(task=4)

    def react(child, number):
        if number == signal.SIGSTOP:
            bench.run(child, 5)

    bench.react = react
    answers = request_({child: ((4, 4),)})
    bench.settle(GRACE_SECONDS + 0.05)
    sent = [number for _, number in bench.signals if number != SIGNAL]
    assert sent == [signal.SIGSTOP, signal.SIGCONT]
    assert answers == [{}]
    assert not child.killed
    assert child.pid not in bench.stopped_pids


def test_a_process_that_does_not_stop(bench, request_):
    """It is killed all the same, a little later, if it is still at that task."""
    bench.stops = False
    child = bench.child(task=4)
    request_({child: ALL})
    bench.settle(GRACE_SECONDS + 0.05)
    assert not child.killed
    bench.settle(0.1)
    assert child.killed


def test_a_task_that_ends_by_itself(bench, request_):
    """It is not counted, and the signal for it hits no other."""
    child = bench.child(task=4)
    answers = request_({child: ALL})
    bench.run(child, 5)
    bench.settle(1)
    assert answers == [{}]
    assert all(number == SIGNAL for _, number in bench.signals)


def test_a_worker_that_sends_its_result(bench, request_):
    """Its task has ended; a client that is slow to read does not turn that into a kill."""
    child = bench.child(task=4)
    answers = request_({child: ALL})
    child.slot.words[Slot.STATE] = Slot.SENDING
    bench.settle(1)
    assert answers == [{}]
    assert not child.killed


def test_a_session_that_ends_by_itself_under_a_kill(bench, request_):
    """Whatever it died of: the task was to be killed, and must not be started again."""
    child = bench.child(task=4)
    answers = request_({child: ALL})
    bench.settle(0.1)
    verdict = bench.kills.ended(child)
    assert (verdict.task, verdict.reason) == (4, KILLED)
    assert answers == [{name(child): 4}]


def test_a_session_that_ends_after_the_task_did(bench, request_):
    """There is no verdict on the task that ran then."""
    child = bench.child(task=4)
    answers = request_({child: ALL})
    bench.run(child, 5)
    assert bench.kills.ended(child) is None
    assert answers == [{}]


def test_a_session_without_a_kill(bench):
    """There is nothing to say."""
    assert bench.kills.ended(bench.child(task=4)) is None


def test_tasks_that_are_not_in_the_list(bench, request_):
    """They go on; the answer says nothing of them."""
    child = bench.child(task=4)
    assert request_({child: ((1, 3), (5, 9))}) == [{}]
    bench.settle(1)
    assert bench.signals == []


def test_an_idle_worker(bench, request_):
    """It is waited for a moment, and not more."""
    child = bench.child()
    answers = request_({child: ALL})
    bench.settle(0.09)
    assert answers == []
    bench.settle(0.03)
    assert answers == [{}]
    bench.run(child, 4)
    bench.settle(1)
    assert bench.signals == []


def test_a_task_that_is_about_to_begin(bench, request_):
    """The first of the list is killed if it begins in that moment."""
    child = bench.child()
    bench.react = bench.hit
    answers = request_({child: ALL})
    bench.run(child, 0)
    bench.settle(0.01)
    assert answers == [{name(child): 0}]


def test_a_task_behind_the_one_that_is_about_to_begin(bench, request_):
    """It was not running for anybody, and is left alone."""
    child = bench.child()
    answers = request_({child: ALL})
    bench.run(child, 1)
    bench.settle(0.2)
    assert answers == [{}]
    assert bench.signals == []


def test_a_session_that_ends_while_it_is_looked_at(bench, request_):
    """Its slot is another's by then."""
    child = bench.child()
    answers = request_({child: ALL})
    child.ended = True
    bench.run(child, 0)
    bench.settle(0.2)
    assert answers == [{}]
    assert bench.signals == []


def test_a_dry_run(bench, request_):
    """It tells what runs, and touches nothing."""
    first, second, third = bench.child(task=4), bench.child(task=100), bench.child(task=6)
    answers = request_({first: ALL, second: ALL, third: ALL}, dry_run=True)
    assert answers == [{name(first): 4, name(third): 6}]
    bench.settle(1)
    assert bench.signals == []


def test_many_at_once(bench, request_):
    """They are ended at the same time, and answered together."""
    children = [bench.child(task=4) for _ in range(6)]
    easy, hard = children[:3], children[3:]

    def react(child, number):
        if child in easy:
            bench.hit(child, number)

    bench.react = react
    answers = request_(dict.fromkeys(children, ALL))
    bench.settle(GRACE_SECONDS + 0.05)
    assert answers == []
    for child in hard:
        assert child.killed
        bench.kills.ended(child)
    assert answers == [{name(child): 4 for child in children}]


def test_nothing_to_kill(bench, request_):
    """It is answered at once."""
    assert request_({}) == [{}]


def test_two_requests_for_one_task(bench, request_):
    """Both are answered; it is signalled once."""
    child = bench.child(task=4)
    bench.react = bench.hit
    answers = [request_({child: ALL}), request_({child: ALL})]
    bench.settle(0.01)
    assert answers == [[{name(child): 4}]] * 2
    assert bench.signals == [(child.pid, SIGNAL)]


def test_the_next_task_before_the_end_of_the_first_was_seen(bench, request_):
    """Each is its own kill."""
    child = bench.child(task=4)
    first = request_({child: ((4, 4),)})
    bench.run(child, 5)
    bench.react = bench.hit
    second = request_({child: ((5, 5),)})
    bench.settle(0.01)
    assert first == [{}]
    assert second == [{name(child): 5}]
    assert not child.killed


# time limits


def limited(bench, child, task, seconds):
    """Run a task whose time is limited."""
    bench.run(child, task)
    child.slot.words[Slot.LIMIT] = int(seconds * 1e9)


def test_a_task_whose_time_is_up(bench):
    """It is ended, with the reason on the board."""
    child = bench.child()
    bench.overtime.watch(child)
    limited(bench, child, 4, 2.0)
    bench.settle(1.95)
    assert bench.signals == []
    bench.react = bench.hit
    bench.settle(0.15)
    assert bench.signals == [(child.pid, SIGNAL)]
    assert child.slot.words[Slot.KILL] == 5 << 1 | 1
    bench.settle(2)
    assert len(bench.signals) == 1


def test_a_task_whose_time_is_up_and_that_does_not_end(bench):
    """Its process is killed, and the verdict says why and after how long."""
    child = bench.child()
    bench.overtime.watch(child)
    limited(bench, child, 4, 0.5)
    bench.settle(0.5 + GRACE_SECONDS + 0.2)
    assert child.killed
    verdict = bench.kills.ended(child)
    assert (verdict.task, verdict.reason) == (4, TIMEOUT)
    assert verdict.seconds == pytest.approx(0.5 + GRACE_SECONDS + 0.2)


@pytest.mark.parametrize("seconds", [0.001, 0.05, 0.5, 20.0])
def test_how_late_it_is(bench, seconds):
    """A twentieth of a second at most, and for short limits less."""
    child = bench.child()
    bench.overtime.watch(child)
    bench.settle(0.02)
    limited(bench, child, 4, seconds)
    bench.settle(seconds + 0.06)
    assert bench.signals[0] == (child.pid, SIGNAL)
    bench.run(child, None)
    child.slot.words[Slot.LIMIT] = 0
    bench.settle(0.1)
    limited(bench, child, 5, seconds)
    begun, count = bench.clock.now, len(bench.signals)
    while len(bench.signals) == count:
        bench.settle(0.001)
    assert seconds <= bench.clock.now - begun <= seconds + 0.06


def test_tasks_that_end_in_time(bench):
    """None is signalled, however many there are."""
    child = bench.child()
    bench.overtime.watch(child)
    for task in range(200):
        limited(bench, child, task, 0.1)
        bench.settle(0.09)
    assert bench.signals == []


def test_words_that_are_seen_in_another_order(bench):
    """A task is not judged by the time of the one before it, which some processors may show."""
    child = bench.child()
    bench.overtime.watch(child)
    limited(bench, child, 4, 1.0)
    bench.settle(0.5)
    words = child.slot.words
    began = words[Slot.STARTED]
    bench.settle(0.49)
    words[Slot.TASK] = 6  # the next has begun, and the old time is still seen
    bench.clock.advance(0.02)
    bench.timers.run()
    assert words[Slot.STARTED] == began
    words[Slot.STARTED] = bench.nanoseconds()
    bench.settle(0.5)
    assert bench.signals == []


def test_a_task_without_a_limit(bench):
    """It is not looked at for long."""
    child = bench.child(task=4)
    bench.overtime.watch(child)
    bench.settle(60)
    assert bench.signals == []
    assert bench.timers.wait() is None


def test_looking_again(bench):
    """Each announcement prolongs it, and one after its end begins anew."""
    child = bench.child()
    bench.overtime.watch(child)
    bench.settle(3)
    bench.overtime.watch(child)
    bench.settle(3)
    assert bench.timers.wait() is not None
    bench.settle(60)
    assert bench.timers.wait() is None
    bench.overtime.watch(child)
    limited(bench, child, 4, 0.1)
    bench.settle(0.2)
    assert bench.signals


def test_a_long_task_is_looked_at_until_it_ends(bench):
    """Nothing announces it a second time."""
    child = bench.child()
    bench.overtime.watch(child)
    limited(bench, child, 4, 100.0)
    bench.settle(99)
    assert bench.signals == []
    bench.settle(1.1)
    assert bench.signals


def test_a_session_that_ended(bench):
    """It is not looked at any more, and its slot may be another's."""
    child = bench.child()
    bench.overtime.watch(child)
    limited(bench, child, 4, 0.5)
    bench.settle(0.1)
    child.ended = True
    bench.settle(1)
    assert bench.signals == []
    assert bench.timers.wait() is None


def test_a_worker_that_sends_is_not_late(bench):
    """Its task has ended, though the board may not say so yet."""
    child = bench.child()
    bench.overtime.watch(child)
    limited(bench, child, 4, 0.5)
    child.slot.words[Slot.STATE] = Slot.SENDING
    bench.settle(2)
    assert bench.signals == []
