"""What can be a task, an argument and a result."""

import decimal
import functools
import operator
import os
import threading

import pytest

import farm_client as farm

BOUND = 30.0


def call(kernel, task, *args, **kwargs):
    """The result of one task."""
    channel = kernel.make_channel()
    channel.submit(task, *args, **kwargs)
    return channel.receive()


# tasks: they are local ones, because servers do not have this module


def test_what_can_be_a_task(kernel):
    """Functions of all kinds, classes, bound methods, partials, instances, names."""
    base = 10

    def add(a, b=1, *rest, c=0, **more):
        return base + a + b + sum(rest) + c + sum(more.values())

    class Counter:
        start = 5

        def __init__(self, n=0):
            self.n = n

        def up(self, by=1):
            return self.start + self.n + by

        def __call__(self, by):
            return self.n * by

        @staticmethod
        def plain(x):
            return -x

        @classmethod
        def named(cls, x):
            return cls.__name__, x

    def recursive(n):
        return 1 if n == 0 else n * recursive(n - 1)

    assert call(kernel, add, 1) == 12
    assert call(kernel, add, 1, 2, 3, c=4, d=5) == 25
    assert call(kernel, lambda x, *, k: x * k, 3, k=4) == 12
    assert call(kernel, abs, -3) == 3
    assert call(kernel, operator.itemgetter(1), [1, 2]) == 2
    assert call(kernel, decimal.Decimal, "1.5") == decimal.Decimal("1.5")
    assert call(kernel, "x".join, ["a", "b"]) == "axb"
    assert call(kernel, [3, 1].index, 1) == 1
    assert call(kernel, functools.partial(add, 1, c=2), 3) == 16
    assert call(kernel, functools.partial(pow, 2), 5) == 32
    assert call(kernel, Counter(3).up, by=2) == 10
    assert call(kernel, Counter(3), 4) == 12
    assert call(kernel, Counter, 7).n == 7
    assert call(kernel, Counter.plain, 7) == -7
    assert call(kernel, Counter.named, 7) == ("Counter", 7)
    assert call(kernel, recursive, 5) == 120
    assert call(kernel, "math:hypot", 3, 4) == 5
    assert call(kernel, "os.path:join", "a", "b") == "a/b"
    assert call(kernel, "collections:OrderedDict.fromkeys", "ab") == {"a": None, "b": None}


def test_deftask(kernel):
    """Such functions are tasks; those that are not local cannot be called here."""

    @farm.deftask
    def here(x):
        return x + 1

    @farm.deftask(local=False)
    def there(x):
        return x + 2

    assert here(1) == call(kernel, here, 1) == 2
    assert call(kernel, there, 1) == 3
    with pytest.raises(farm.InvalidTaskError, match="submit it"):
        there(1)


def test_the_latest_captured_values_count(kernel):
    """Each submit sees what a function's variables hold at that moment."""
    n = 1
    held = []

    def f():
        return n, list(held)

    got = []
    for value in (1, 2, 2, 3):
        n = value
        held.append(value)
        got.append(call(kernel, f))
    assert got == [(1, [1]), (2, [1, 2]), (2, [1, 2, 2]), (3, [1, 2, 2, 3])]


@pytest.mark.parametrize("task", [3, None, "nothing", "a.b", "a:", ":b", "a b:c", "", [abs]])
def test_what_is_no_task(channel, fails_with, task):
    """Fails at submit; the channel has nothing to wait for."""
    with fails_with(farm.InvalidTaskError, repr(task)):
        channel.submit(task)
    assert len(channel) == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("no_such_module_x:f", "No module named 'no_such_module_x'"),
        ("math:no_such_name", "no_such_name"),
        ("math:pi", "not callable"),
    ],
)
def test_names_that_servers_do_not_know(kernel, fails_with, name, text):
    """The task fails, and says which name it was; the next one does not."""
    with fails_with(farm.TaskExecutionError, text) as caught:
        call(kernel, name)
    assert caught.value.worker in {f"worker {i} at {kernel.addresses[0]}" for i in (0, 1)}
    assert call(kernel, abs, -1) == 1


def test_a_function_of_a_module_that_servers_lack(run, launch, make, tmp_path):
    """It goes by name; where the module is not given either, the error names it."""
    server = launch("127.0.0.1:0", "--workers", "1", cwd="/")
    (tmp_path / "mine_only.py").write_text("def f():\n    return 1\n", encoding="utf-8")
    done = run(
        f"""
        import farm_client as farm, mine_only
        channel = farm.make_kernel({server.address!r}, modules=None).make_channel()
        channel.submit(mine_only.f)
        try:
            channel.receive()
        except farm.TaskExecutionError as error:
            print(error.report, type(error.__cause__).__name__)
        """
    )
    assert done.stdout.startswith("ModuleNotFoundError: No module named 'mine_only' on worker ")
    assert done.stdout.endswith("made with modules=None ModuleNotFoundError\n")
    assert done.stderr == ""


def test_functions_and_classes_of_the_program_itself(run, address):
    """What is defined in __main__ goes by value, with what it refers to."""
    done = run(
        f"""
        import dataclasses, enum, math
        import farm_client as farm

        SCALE = 2

        @dataclasses.dataclass
        class Point:
            x: float
            y: float
            def norm(self):
                return math.hypot(self.x, self.y) * SCALE

        class Colour(enum.Enum):
            RED = 1

        class Mine(Exception):
            pass

        def helper(p):
            return p.norm()

        def task(p, colour):
            assert colour is Colour.RED
            return Point(helper(p), 0), colour

        def bad():
            raise Mine("text", 3)

        channel = farm.make_kernel({address!r}).make_channel()
        channel.submit(task, Point(3, 4), Colour.RED)
        point, colour = channel.receive()
        print(point, type(point) is Point, colour is Colour.RED)
        channel.submit(bad)
        try:
            channel.receive()
        except farm.TaskExecutionError as error:
            print(error.report, type(error.__cause__) is Mine, error.__cause__.args)
        """
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "Point(x=10.0, y=0) True True",
        "Mine: ('text', 3) True ('text', 3)",
    ]


# arguments and results


@pytest.mark.parametrize(
    "value",
    [
        None,
        2**200,
        float("inf"),
        "text ☃ \udcff",
        b"bytes",
        bytearray(b"x" * 100_000),
        (1, [2, {3: {4}}]),
        range(3),
        ...,
        NotImplemented,
        ValueError("a value"),
        frozenset("ab"),
        slice(1, 2),
        1j,
        bytes(3_000_000),
        {"k" * i: i for i in range(50)},
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_come_back_as_they_went(kernel, value):
    """Equal, and of the same type; single and in a crowd."""
    channel = kernel.make_channel()
    for _ in range(5):
        channel.submit(lambda x: x, value)
    for result in channel:
        assert type(result) is type(value)
        assert repr(result) == repr(value)


def test_arguments_are_copies(channel):
    """What the caller changes after submit does not reach the task; queued ones neither."""
    held = [0]
    for value in range(30):
        held[0] = value
        channel.submit(lambda x: x[0], held)
    assert sorted(channel) == list(range(30))


def test_large_arguments_are_copies(channel):
    """The same for memory that is sent from where it lies: idle, busy and queued workers."""
    memory = bytearray(5_000_000)
    for value in range(12):
        memory[:] = bytes([value]) * len(memory)
        channel.submit(lambda x: (x[0], x[-1], len(set(x[:: 1 << 12]))), memory)
    assert sorted(channel) == [(value, value, 1) for value in range(12)]


def test_a_task_owns_its_arguments(kernel):
    """What one task changes in its arguments or results, no other sees."""

    def push(items):
        items.append(len(items))
        return items

    items = [0]
    assert [call(kernel, push, items) for _ in range(4)] == [[0, 1]] * 4
    assert items == [0]


def test_numpy(kernel):
    """Arrays go out of band; results can be written to, whatever their size."""
    numpy = pytest.importorskip("numpy")
    for size in (0, 10, 10_000, 1_000_000):
        array = numpy.arange(size, dtype="f8")
        result = call(kernel, lambda x: x + 1, array)
        assert (result == array + 1).all()
        result += 1
        assert result.flags.writeable
    fortran = numpy.asfortranarray(numpy.arange(10_000).reshape(100, 100))
    assert (call(kernel, "numpy:transpose", fortran) == fortran.T).all()
    objects = numpy.array([{"a": 1}, None], dtype=object)
    assert list(call(kernel, lambda x: x, objects)) == [{"a": 1}, None]
    scalar = call(kernel, "numpy:sum", numpy.ones(3))
    assert scalar == 3.0
    assert type(scalar) is numpy.float64


def test_numpy_arguments_are_copies(channel):
    """A loop that reuses one array sends a different one each time."""
    numpy = pytest.importorskip("numpy")
    array = numpy.empty(400_000)
    for value in range(12):
        array.fill(value)
        channel.submit(lambda x: (float(x.min()), float(x.max())), array)
    assert sorted(channel) == [(value, value) for value in map(float, range(12))]


def test_a_worker_that_keeps_a_result_does_not_change_what_it_sent(kernel):
    """A task may go on using what it returned."""
    numpy = pytest.importorskip("numpy")

    def task(value):
        import sys

        if not hasattr(sys, "kept"):
            sys.kept = numpy.zeros(300_000)
        sys.kept.fill(value)
        return sys.kept

    channel = kernel.make_channel()
    for value in range(10):
        channel.submit(task, value)
    assert sorted(float(x.max()) for x in channel) == list(map(float, range(10)))


# what cannot travel


def test_arguments_that_cannot_travel(channel, fails_with):
    """Fail at submit and say where in the argument the culprit is."""
    with fails_with(farm.SerializationError, "lock", "['a']", "[1]"):
        channel.submit(print, {"a": [0, threading.Lock()]})
    with fails_with(farm.SerializationError, "k"):
        channel.submit(print, k=threading.Lock())
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with fails_with(farm.SerializationError, "nested too deeply"):
        channel.submit(print, deep)
    while deep:  # or the collector recurses
        deep = deep[0]
    assert len(channel) == 0


def test_captured_values_that_cannot_travel(channel, fails_with):
    """The error names the variable."""
    lock = threading.Lock()
    with fails_with(farm.SerializationError, "cell 'lock'", "lock"):
        channel.submit(lambda: lock)
    assert len(channel) == 0


def test_results_that_cannot_travel(kernel, fails_with):
    """A TaskExecutionError whose cause says so; the worker goes on."""

    def task():
        import threading

        return {"key": threading.Lock()}

    with fails_with(farm.TaskExecutionError, "SerializationError", "['key']", "lock") as caught:
        call(kernel, task)
    assert isinstance(caught.value.__cause__, farm.SerializationError)
    assert call(kernel, abs, -1) == 1


def test_futures_and_kernels_do_not_travel(kernel, channel, fails_with):
    """They say what to send instead."""
    future = farm.future(abs, -1)
    with fails_with(farm.SerializationError, "force() it"):
        channel.submit(print, future)
    assert farm.force(future) == 1
    with pytest.raises(farm.SerializationError):
        channel.submit(print, kernel)


def test_an_argument_whose_class_fails_to_load(kernel, fails_with):
    """Fails that task only."""

    class Odd:
        def __reduce__(self):
            return operator.truediv, (1, 0)

    with fails_with(farm.TaskExecutionError, "ZeroDivisionError"):
        call(kernel, abs, Odd())
    assert call(kernel, abs, -1) == 1


def test_a_result_whose_class_fails_to_load(kernel, fails_with):
    """The same for what comes back."""

    class Odd:
        def __reduce__(self):
            return operator.truediv, (1, 0)

    with fails_with(farm.TaskExecutionError, "could not be loaded here", "ZeroDivisionError"):
        call(kernel, Odd)
    assert call(kernel, abs, -1) == 1


# shared values


def test_a_shared_value_crosses_each_connection_once(launch, make, wire):
    """Counted on the way: once a worker, not once a task; nothing before it is needed."""
    link = wire(launch("127.0.0.1:0", "--workers", "2").address)
    kernel = make(link.address)
    size = 1_000_000
    value = farm.shared(os.urandom(size))
    kernel.broadcast_task(abs, -1)
    assert link.sent_bytes < size
    for _ in range(10):
        kernel.broadcast_task(lambda: len(value.value))
        kernel.broadcast_task(lambda v: v.value[0], value)
    assert 2 * size <= link.sent_bytes < 2.5 * size


def test_a_captured_value_crosses_once_per_function(launch, make, wire):
    """Not once a task: it is part of the function."""
    link = wire(launch("127.0.0.1:0", "--workers", "2").address)
    kernel = make(link.address)
    data = os.urandom(300_000)
    channel = kernel.make_channel()
    for value in range(200):
        channel.submit(lambda i: data[i], value)
    assert len(list(channel)) == 200
    assert link.sent_bytes < 200 * len(data) / 10


def test_shared_values_are_released(kernel, fails_with):
    """The value is gone there and here, and says so."""
    value = farm.shared([1, 2])
    kept = value
    assert kernel.broadcast_task(lambda v: v.value, value) == [[1, 2], [1, 2]]
    value.release()
    value.release()
    with fails_with(farm.FarmError, "released"):
        _ = kept.value
    with fails_with(farm.SerializationError, "released"):
        kernel.broadcast_task(lambda v: v.value, value)


def test_a_shared_value_on_a_replaced_worker(launch, make, until):
    """The successor gets it when it is needed again."""
    kernel = make(launch("127.0.0.1:0", "--workers", "1").address)
    value = farm.shared(list(range(10)))
    assert call(kernel, lambda: sum(value.value)) == 45
    channel = kernel.make_channel()
    channel.submit("os:_exit", 3)
    with pytest.raises(farm.WorkerLostError):
        channel.receive()
    assert call(kernel, lambda: sum(value.value)) == 45


# options


def test_categories_are_shown_while_a_task_runs(kernel, until, tmp_path):
    """One entry a worker, None for idle ones."""

    def wait(path):
        import os
        import time

        while not os.path.exists(path):
            time.sleep(0.01)

    gate = str(tmp_path / "gate")
    channel = kernel.make_channel()
    assert farm.task_categories_running() == [None, None]
    with farm.task_category("sim"):
        channel.submit(wait, gate)
    until(lambda: set(farm.task_categories_running()) == {"sim", None})
    channel.submit(wait, gate)
    until(lambda: set(farm.task_categories_running()) == {"sim", "default"})
    open(gate, "w").close()
    list(channel)
    assert farm.task_categories_running() == [None, None]


def test_low_priority_runs_after_everything_else(launch, make, tmp_path):
    """Tasks of low priority wait until no other does."""
    kernel = make(launch("127.0.0.1:0", "--workers", "1").address)
    channel = kernel.make_channel()
    channel.submit("time:sleep", 0.3)
    with farm.task_priority("low"):
        for _ in range(5):
            channel.submit(lambda: "low")
    for _ in range(5):
        channel.submit(lambda: "default")
    assert list(channel) == [None] + 5 * ["default"] + 5 * ["low"]


# many threads


def test_many_threads_share_a_kernel(kernel):
    """Each gets its own results, through channels and futures."""
    failed = []

    def work(seed):
        try:
            channel = kernel.make_channel()
            for start in range(0, 300, 100):
                for value in range(start, start + 100):
                    channel.submit("builtins:pow", seed + value, 2)
                assert sorted(channel) == [(seed + v) ** 2 for v in range(start, start + 100)]
                fs = [farm.future(abs, -seed) for _ in range(20)]
                assert {farm.force(f, BOUND) for f in fs} == {seed}
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
        assert not thread.is_alive()
    assert failed == []
