"""The function table: each submit sees what a function captured at that moment."""

import gc
import sys
import types

import pytest

import farm_client as farm
from farm_client import function as function_module
from farm_client.function import FunctionTable
from farm_common.frames import Kind
from farm_common.shipping import load_function


@pytest.fixture
def table():
    """An empty table."""
    return FunctionTable(protocol=5)


def value(function, *args):
    """What a worker would compute with it."""
    return load_function(memoryview(function.body)[16:])(*args)


def test_the_same_task_is_found_again(table):
    """Nothing is packed twice as long as nothing changed."""
    n = 3

    def f():
        return n

    first = table.find(f)
    assert table.find(f) is first
    assert value(first) == 3
    assert table.find(abs) is table.find(abs)
    assert table.find("math:hypot") is table.find("math:hypot")
    assert table.find(dict) is table.find(dict)


def test_a_cell_that_changes(table):
    """The latest content counts; the same content again is the same function."""
    n = 1

    def f():
        return n

    one = table.find(f)
    n = 2
    assert value(table.find(f)) == 2
    n = 1
    assert table.find(f).ident == one.ident


def test_a_mutable_capture_that_changes_in_place(table):
    """Each look is a new one."""
    items = []

    def f():
        return len(items)

    for count in range(3):
        assert value(table.find(f)) == count
        items.append(0)


def test_a_captured_function_that_changes(table):
    """Through any number of functions, recursive ones too."""
    n = 1

    def inner(depth):
        return n if depth == 0 else outer(depth - 1)

    def outer(depth):
        return inner(depth)

    assert value(table.find(outer), 3) == 1
    n = 2
    assert value(table.find(outer), 3) == 2


def test_defaults_and_code_that_change(table):
    """The function object may stay, and yet be another function."""

    def f(a=1, *, b=1):
        return a + b

    def g(a=1, *, b=1):
        return a - b

    assert value(table.find(f)) == 2
    f.__defaults__ = (5,)
    assert value(table.find(f)) == 6
    f.__kwdefaults__["b"] = 7
    assert value(table.find(f)) == 12
    f.__code__ = g.__code__
    assert value(table.find(f)) == -2


def test_a_global_that_changes(table):
    """It is looked up in the function's own module; one that is missing may come."""
    namespace = {"__name__": "__main__"}
    exec("def f():\n    return G + 1\ndef h():\n    return len(LATER)\nG = 1", namespace)
    assert value(table.find(namespace["f"])) == 2
    namespace["G"] = 10
    assert value(table.find(namespace["f"])) == 11
    table.find(namespace["h"])
    namespace["LATER"] = "abc"
    assert value(table.find(namespace["h"])) == 3


def test_an_attribute_that_is_set_later(table):
    """On the function itself; and once more after that."""

    def f():
        return getattr(f, "mode", 1)

    assert value(table.find(f)) == 1
    for mode in (2, 3):
        f.mode = mode
        assert value(table.find(f)) == mode
    del f.mode
    assert value(table.find(f)) == 1


def test_a_module_made_by_hand_that_changes(table):
    """It goes with all that is in it, so each look is a new one."""
    module = types.ModuleType("made_by_hand")

    def f():
        return module.n

    for n in range(3):
        module.n = n
        assert value(table.find(f)) == n


def test_a_redefined_function(table):
    """Another object of the same name is another function."""
    namespace = {"__name__": "__main__"}
    exec("def f():\n    return 1", namespace)
    assert value(table.find(namespace["f"])) == 1
    exec("def f():\n    return 2", namespace)
    assert value(table.find(namespace["f"])) == 2


def test_tasks_that_are_gone_are_forgotten(table):
    """An id that is used again is not taken for the old function's."""
    for n in range(2000):
        assert value(table.find(lambda n=n: n)) == n


@pytest.mark.parametrize("other", ["inserts", "clears"])
def test_room_is_made_while_another_thread_changes_the_table(monkeypatch, table, other):
    """What was put in first goes; no submit fails over it."""

    class Changing(dict):
        changes = 2

        def __iter__(self):
            keys = super().__iter__()
            if self.changes:
                self.changes -= 1
                if other == "inserts":
                    self[f"math:other{self.changes}"] = None
                else:
                    self.clear()
                    return iter(())
            return keys

    monkeypatch.setattr(function_module, "_MOST", 3)
    table._by_name = Changing()
    names = ["math:sin", "math:cos", "math:tan", "math:exp", "math:log"]
    for name in names:
        assert table.find(name).name == name
    assert len(table._by_name) <= 3
    assert "math:log" in table._by_name


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="counts references")
def test_captured_values_are_not_kept(table):
    """A loop over large values that tasks capture does not add them up."""

    def capturing(data):
        return lambda: data

    gc.collect()
    before = len(gc.get_objects())
    for n in range(1000):
        table.find(capturing(str(n)))
    gc.collect()
    assert len(gc.get_objects()) - before < 500


def test_a_captured_array_is_that_of_the_submit(kernel, paper):
    """What changes in it while the task waits for a worker does not reach the task."""
    data = pytest.importorskip("numpy").zeros(10_000)
    channel = kernel.make_channel()
    for key in "ab":
        channel.submit("paper:wait", key)
        assert paper.started[key].wait(20)
    for n in range(3):
        data[:] = n
        channel.submit(lambda: float(data.min() + data.max()))
    data[:] = -1
    for key in "ab":
        paper.events[key].set()
    assert sorted(map(str, channel)) == ["0.0", "2.0", "4.0", "a", "b"]


def test_what_is_no_task(table):
    """Says what would be one."""
    with pytest.raises(farm.InvalidTaskError, match=r"3 is not a task: submit a callable"):
        table.find(3)
    with pytest.raises(farm.InvalidTaskError, match="'abs' names no task: write"):
        table.find("abs")


def test_a_function_is_sent_once_a_connection(kernel, paper):
    """By content: another object that is equal needs no second sending."""
    channel = farm.make_channel()

    def make():
        return lambda x: x + 1

    for _ in range(20):
        channel.submit(make(), 1)
        channel.submit(abs, -2)
    assert list(channel) == [2] * 40
    assert paper.count(Kind.FUNCTION) <= 2 * 2


def test_portable_functions(table):
    """For workers yet to come: as source where there is any, though all could load bytecode."""
    function = table.find_portable(lambda: 3)
    assert not function.bytecode
    assert value(function) == 3
    space = {"__name__": "__main__"}
    exec("def f():\n    return 4\n", space)
    assert table.find_portable(space["f"]).bytecode


def test_closures_of_one_function_share_an_estimate(table):
    """A lambda that is made anew for each task is not unknown each time."""

    def make(n):
        return lambda: n

    one, two = table.find(make(1)), table.find(make(2))
    assert one is not two
    assert one.estimate is two.estimate
    assert one.estimate is not table.find(lambda: 1).estimate


def test_other_workers(table):
    """When workers come that cannot load bytecode, what was found before is shipped again."""

    def f():
        return 5

    assert table.find(f).bytecode
    table.adapt(bytecode=False, mixed=False)
    assert not table.find(f).bytecode
    table.adapt(bytecode=True, mixed=False)
    assert table.find(f).bytecode
