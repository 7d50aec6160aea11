"""Tries to refute the argument atop `farm_client.handover`: that no wake-up is lost.

Many threads submit to one kernel and wait, in every way that the API has; the workers are threads
that gather, cut and delay their answers, and drop connections. A lost wake-up is a thread that
makes no progress. The watchdog finds it and fails with every thread's stack and the engine's
state.

Two runs make the search sharper. Where the pump is asleep for ever, it cannot come to the help of
waiters that lost their leader. And the interpreter is made to switch threads at almost every
bytecode.

FARM_STRESS_SECONDS is how long each run lasts (0.8 by default), FARM_STRESS_SEED makes the choices
the same again, as far as threads allow.
"""

import asyncio
import contextlib
import faulthandler
import itertools
import os
import queue
import random
import sys
import tempfile
import threading
import time
from concurrent import futures

import pytest

import farm_client as farm
import farm_client.handover

SECONDS = float(os.environ.get("FARM_STRESS_SECONDS", "0.8"))
SEED = int(os.environ.get("FARM_STRESS_SEED", "0")) or random.randrange(1 << 30)

#: So long may an actor make no progress. Nothing that one step does takes a second.
PATIENCE = 30.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 40 * SECONDS)]

ECHO = "paper:echo"


class Stage:
    """Runs actors, each a thread, and watches that all make progress."""

    def __init__(self, kernel, seed):
        self.kernel = kernel
        self.seed = seed
        self.over = threading.Event()
        self.errors = []
        self.steps = {}  # by the name of the actor
        self.threads = []

    def cast(self, act, times=1):
        for _ in range(times):
            name = f"{act.__name__}-{len(self.threads)}"
            self.steps[name] = 0
            chance = random.Random(f"{self.seed} {name}")
            thread = threading.Thread(target=self._run, args=(name, act, chance), name=name)
            thread.daemon = True  # a lost one must not hold the test
            self.threads.append(thread)

    def _run(self, name, act, chance):
        try:
            while not self.over.is_set():
                act(self.kernel, chance)
                self.steps[name] += 1
        except BaseException as error:
            self.errors.append((name, error))
            self.over.set()
        finally:
            self.steps.pop(name)

    def play(self, seconds):
        """Let the actors act for so long, and see that each ends."""
        for thread in self.threads:
            thread.start()
        curtain = time.monotonic() + seconds
        seen, since = dict(self.steps), dict.fromkeys(self.steps, time.monotonic())
        while self.steps:
            if time.monotonic() > curtain:
                self.over.set()
            self.over.wait(0.05) if not self.over.is_set() else time.sleep(0.01)
            now = time.monotonic()
            for name, count in dict(self.steps).items():
                if count != seen[name]:
                    seen[name], since[name] = count, now
                elif now - since[name] > PATIENCE:
                    self.fail(f"{name} made no progress in {PATIENCE:.0f} s")
        if self.errors:
            name, error = self.errors[0]
            raise AssertionError(f"{name} (seed {self.seed}): {error!r}") from error

    def fail(self, why):
        """Fail with all that is known; the lost threads stay."""
        engine = self.kernel._engine
        with tempfile.TemporaryFile("w+") as file:
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            stacks = file.read()
        names = "\n".join(
            f"{thread.ident or 0:#x} {thread.name}" for thread in threading.enumerate()
        )
        state = "\n".join(f"  {key} = {value!r:.300}" for key, value in vars(engine).items())
        links = "\n".join(
            f"  link {link.index}: {len(link.inflight)} in flight, {vars(link)!r:.500}"
            for link in list(engine._links.values())
        )
        waiters = [engine._leader, *getattr(engine, "_followers", ())]
        slots = "\n".join(
            "  waiter " + ", ".join(f"{s}={getattr(w, s, None)!r}" for s in type(w).__slots__)
            for w in waiters
            if w is not None
        )
        pytest.fail(
            f"{why} (seed {self.seed})\n{names}\n{stacks}\n{state}\n{links}\n{slots}", pytrace=False
        )


# the actors: each step checks what it got

numbers = itertools.count()


def taken(got):
    """The next of what helping threads put into a queue: values, or the error that ended one."""
    value = got.get()
    if isinstance(value, BaseException):
        raise value
    return value


def expect(condition, *what):
    if not condition:
        raise AssertionError(what)


def round_trips(kernel, chance):
    """One task at a time."""
    channel = kernel.make_channel()
    for _ in range(10):
        value = next(numbers)
        channel.submit(ECHO, value)
        expect(channel.receive()[0] == value, value)


def bursts(kernel, chance):
    """Many tasks, then all results."""
    channel = kernel.make_channel()
    values = {next(numbers) for _ in range(chance.randrange(1, 300))}
    for value in values:
        channel.submit(ECHO, value)
    if chance.random() < 0.5:
        got = {value for value, _ in farm.do_fast_receives(channel, len(values))}
    else:
        got = {value for value, _ in channel}
    expect(got == values, len(got), len(values))
    expect(len(channel) == 0, len(channel))


def results(kernel, chance):
    """Futures, waited for one by one in any order."""
    with borrowed(kernel):
        pairs = [(n, farm.future(ECHO, n)) for n in itertools.islice(numbers, 20)]
    chance.shuffle(pairs)
    for value, future in pairs:
        expect(farm.force(future)[0] == value, value)


def waits(kernel, chance):
    """Futures, waited for by the tools of the standard library: nobody is in the engine."""
    with borrowed(kernel):
        fs = [farm.future(ECHO, n) for n in itertools.islice(numbers, chance.randrange(1, 50))]
    if chance.random() < 0.5:
        done, pending = futures.wait(fs)
        expect(not pending and len(done) == len(fs), pending)
    else:
        expect(len(list(futures.as_completed(fs))) == len(fs), fs)


def polls(kernel, chance):
    """A future that nobody waits for must be done all the same."""
    with borrowed(kernel):
        future = farm.future(ECHO, 1)
    while not future.done():
        time.sleep(0.0005)


def callbacks(kernel, chance):
    """Each callback is called once."""
    called = queue.Queue()
    count = chance.randrange(1, 30)
    with borrowed(kernel):
        fs = [farm.future(ECHO, number) for number in range(count)]
    for future in fs:
        future.add_done_callback(called.put)
    if chance.random() < 0.3:
        fs[-1].result()
    got = [called.get() for _ in range(count)]
    expect(set(got) == set(fs), got)


def nested_waits(kernel, chance):
    """A callback that submits, and waits for, a task of its own; and that one's too."""
    answer = queue.Queue()

    def second(future):
        try:
            with borrowed(kernel):
                answer.put(farm.future(ECHO, future.result()[0]).result()[0])
        except BaseException as error:
            answer.put(error)

    def first(future):
        try:
            with borrowed(kernel):
                inner = farm.future(ECHO, future.result()[0])
            inner.add_done_callback(second)
            inner.result()
        except BaseException as error:
            answer.put(error)

    value = next(numbers)
    with borrowed(kernel):
        future = farm.future(ECHO, value)
    future.add_done_callback(first)
    if chance.random() < 0.5:
        future.result()
    expect(taken(answer) == value, value)


def cancels(kernel, chance):
    """What is cancelled never has a result, everything else has."""
    with borrowed(kernel):
        pairs = [(n, farm.future(ECHO, n)) for n in itertools.islice(numbers, 100)]
    gone = {future for _, future in chance.sample(pairs, 50) if future.cancel()}
    if chance.random() < 0.3:
        futures.wait([future for _, future in pairs])
    for value, future in pairs:
        expect(future.cancelled() == (future in gone), value)
        try:
            expect(future.result()[0] == value, value)
        except futures.CancelledError:
            expect(future in gone, value)


def fulfills(kernel, chance):
    """A future has the value that took it over, or that of its task."""
    with borrowed(kernel):
        pairs = [(n, farm.future(ECHO, n)) for n in itertools.islice(numbers, 100)]
    ours = {future for _, future in chance.sample(pairs, 50) if farm.fulfill(future, "ours")}
    for value, future in pairs:
        got = farm.force(future)
        expect(got == "ours" if future in ours else got[0] == value, got, value)


def timeouts(kernel, chance):
    """Each timer brings one value, its own or that of who cancelled it."""
    channel = kernel.make_channel()
    values = list(itertools.islice(numbers, 20))
    timers = [farm.submit_timeout(channel, 0.002 * chance.random(), value) for value in values]
    channel.submit(ECHO, None)
    gone = {
        value
        for value, timer in chance.sample(list(zip(values, timers)), 10)
        if farm.cancel_timeout(timer, -value)
    }
    expected = {-value if value in gone else value for value in values} | {None}
    got = [value if isinstance(value, int) else value[0] for value in channel]
    expect(len(got) == 21 and set(got) == expected, got, expected)


def conditions(kernel, chance):
    """The answer is known early, and what is not needed is withdrawn."""
    with borrowed(kernel):
        expect(farm.por(*["builtins:int"] * chance.randrange(5), "time:time"))
        expect(farm.pand(*["time:time"] * chance.randrange(1, 5)))
        expect(farm.pand("time:time", *["builtins:int"] * chance.randrange(1, 9)) == 0)


def trees(kernel, chance):
    """Several threads call for nodes of one tree, which is cleared meanwhile."""
    tree = farm.Ptree()
    tree.define(0, [], "builtins:int")
    for name in range(1, 15):
        tree.define(name, [chance.randrange(name) for _ in range(3)], "builtins:max")
    tree.define("last", range(15), lambda *args: args)
    got = queue.Queue()

    def call(name):
        with borrowed(kernel):
            try:
                got.put(tree.call(name))
            except BaseException as error:
                got.put(error)

    names = [chance.randrange(15) for _ in range(3)]
    for name in names:
        threading.Thread(target=call, args=(name,), daemon=True).start()
    for _ in range(chance.randrange(3)):
        chance.choice((tree.clear, tree.clear_errors, tree.dot))()
    with borrowed(kernel):
        expect(tree.call("last") == (0,) * 15)
    expect([taken(got) for _ in names] == [0, 0, 0])


def impatience(kernel, chance):
    """Waits that give up, many times, before there is a result."""
    channel = kernel.make_channel()
    channel.submit("time:sleep", chance.choice((0, 0.0005, 0.002)))
    present = False
    while not present:
        result, present = farm.try_receive_result(channel, chance.choice((0, 0.00001, 0.0003)))
        expect(result is None, result)


def looks(kernel, chance):
    """A program that never waits, but only looks, over and over."""
    channel = kernel.make_channel()
    channel.submit(ECHO, 1)
    while not farm.try_receive_result(channel)[1]:
        pass


def long_waits(kernel, chance):
    """Tasks longer than anything else here, so that others lead and leave meanwhile."""
    channel = kernel.make_channel()
    channel.submit("time:sleep", 0.02 * chance.random())
    expect(channel.receive() is None)


def receivers(kernel, chance):
    """Several threads receive from one channel what another submits."""
    channel = kernel.make_channel()
    got = queue.Queue()

    def receive(count):
        try:
            for value, _ in farm.do_fast_receives(channel, count):
                got.put(value)
        except BaseException as error:
            got.put(error)

    threads = [threading.Thread(target=receive, args=(20,), daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    values = set(itertools.islice(numbers, 60))
    for value in values:
        channel.submit(ECHO, value)
    expect({taken(got) for _ in range(60)} == values)
    for thread in threads:
        thread.join()


def capacity(kernel, chance):
    """A producer that is held up by slow consumers."""
    channel = kernel.make_channel(capacity=chance.choice((1, 3, 50)))
    total = 100

    def produce():
        for value in range(total):
            channel.submit(ECHO, value)

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    got = {value for value, _ in farm.do_fast_receives(channel, total)}
    expect(got == set(range(total)), got)
    producer.join()


def deaths(kernel, chance):
    """A worker's connection breaks: its task fails in the end, and no other does."""
    time.sleep(0.1)
    channel = kernel.make_channel()
    channel.submit("paper:die")
    try:
        channel.receive()
    except farm.WorkerLostError:
        return
    raise AssertionError("a task that kills its worker has a result")


def awaits(kernel, chance):
    """Coroutines that await many futures."""

    async def one(value):
        with borrowed(kernel):
            expect((await farm.future(ECHO, value))[0] == value, value)

    async def main():
        await asyncio.gather(*(one(value) for value in range(20)))

    asyncio.run(main())


@contextlib.contextmanager
def borrowed(kernel):
    """Make the kernel the current one of this thread, and do not end it."""
    token = farm.kernel.kernel.context.set(kernel)
    try:
        yield
    finally:
        farm.kernel.kernel.context.reset(token)


# the runs


@pytest.fixture(params=[None, 1e-6], ids=["", "switching"])
def interval(request):
    """How long a thread may run before another must have its turn."""
    before = sys.getswitchinterval() if hasattr(sys, "getswitchinterval") else None
    if request.param is not None:
        sys.setswitchinterval(request.param)
    yield
    if before is not None:
        sys.setswitchinterval(before)


@pytest.mark.usefixtures("interval")
def test_everything_at_once(paper, connect, jitter):
    """Every actor goes on, and nothing is lost or there twice."""
    paper.jitter = jitter(SEED)
    stage = Stage(connect(), SEED)
    for act in (round_trips, bursts, results, waits, cancels, impatience):
        stage.cast(act, 2)
    for act in (polls, callbacks, nested_waits, long_waits, receivers, capacity, awaits):
        stage.cast(act)
    stage.play(SECONDS)


@pytest.mark.usefixtures("interval")
def test_what_is_built_on_top(paper, connect, jitter):
    """Trees, timers, conditions and futures that are taken over, beside plain tasks."""
    paper.jitter = jitter(SEED)
    stage = Stage(connect(), SEED)
    for act in (fulfills, timeouts, conditions, trees):
        stage.cast(act, 2)
    for act in (round_trips, bursts, cancels):
        stage.cast(act)
    stage.play(SECONDS)


@pytest.mark.usefixtures("interval")
def test_workers_that_die(paper, connect, jitter):
    """The same where connections break all the time."""
    paper.jitter = jitter(SEED)
    stage = Stage(connect(), SEED)
    for act in (round_trips, bursts, results, waits, cancels, callbacks, nested_waits, capacity):
        stage.cast(act)
    stage.cast(trees)
    stage.cast(deaths)
    stage.play(SECONDS)


@pytest.mark.usefixtures("interval")
def test_waiters_among_themselves(paper, connect, jitter, monkeypatch):
    """Without the pump, those who wait must do everything by themselves."""
    asleep = threading.Event()
    monkeypatch.setattr(farm_client.handover, "sleep", lambda _: asleep.wait())
    paper.jitter = jitter(SEED)
    kernel = connect()
    stage = Stage(kernel, SEED)
    for act in (round_trips, bursts, results, receivers, capacity, impatience, long_waits):
        stage.cast(act, 2)
    for act in (fulfills, timeouts, conditions, trees):
        stage.cast(act)
    try:
        stage.play(SECONDS)
    finally:
        asleep.set()


@pytest.mark.usefixtures("interval")
@pytest.mark.parametrize(
    "actors",
    [(round_trips, round_trips), (results, waits), (polls,), (looks,), (trees,), (conditions,)],
)
def test_few_threads(paper, connect, actors):
    """Where few threads act, a lost one is not found by chance by another."""
    paper.workers = 1
    stage = Stage(connect(), SEED)
    for act in actors:
        stage.cast(act)
    stage.play(SECONDS / 4)


@pytest.mark.usefixtures("interval")
def test_ends_during_waits(paper, connect):
    """Whoever waits when the kernel ends has a result or a `KernelEndedError`, at once."""
    chance = random.Random(SEED)

    def use(channel, fs, got):
        try:
            for _ in range(10_000):
                channel.submit(ECHO, 1)
                channel.submit("time:sleep", 0.001)
                channel.receive()
                fs.append(farm.future(ECHO, 2))
                fs[-1].result()
                channel.receive()
            got.put("it never ended")
        except farm.KernelEndedError:
            got.put(None)
        except BaseException as error:
            got.put(error)

    curtain = time.monotonic() + SECONDS
    while time.monotonic() < curtain:
        kernel = connect()
        got = queue.Queue()
        fs = []
        count = chance.randrange(1, 6)
        farm.set_kernel(kernel)
        for _ in range(count):
            args = (kernel.make_channel(), fs, got)
            threading.Thread(target=use, args=args, daemon=True).start()
        time.sleep(0.01 * chance.random())
        ender = threading.Thread(target=kernel.end, daemon=True)
        ender.start()
        try:
            outcomes = [got.get(timeout=PATIENCE) for _ in range(count)]
        except queue.Empty:
            Stage(kernel, SEED).fail("a thread still waits for a kernel that has ended")
        ender.join(PATIENCE)
        if ender.is_alive():
            Stage(kernel, SEED).fail("the kernel does not end")
        assert outcomes == [None] * count or all(
            isinstance(outcome, (type(None), farm.NoKernelError)) for outcome in outcomes
        ), outcomes
        assert all(future.done() for future in fs)
