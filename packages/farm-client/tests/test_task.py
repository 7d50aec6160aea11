"""deftask, and what it makes of functions."""

import pytest

import farm_client as farm
from farm_client.function import FunctionTable
from farm_common import place
from farm_common.shipping import load_function, ship_function

HELD = [1]


@farm.deftask(local=False)
def remote(n):
    """Only a task, in a module that can be imported; it calls itself."""
    return HELD if n == 0 else remote(n - 1)


@farm.deftask
def plain(n):
    """Stays a function."""
    return n


wrapped = farm.deftask(local=False)(plain)


class Counter:
    """Has methods that are only tasks."""

    def __init__(self, n):
        self.n = n

    @farm.deftask(local=False)
    def plus(self, k):
        """The sum."""
        return self.n + k

    @staticmethod
    @farm.deftask(local=False)
    def twice(n):
        """The double."""
        return 2 * n


def test_a_task_stays_callable_here():
    """@deftask gives back the function itself."""

    def f(x):
        """Doc."""
        return x + 1

    assert farm.deftask(f) is f
    assert farm.deftask(local=True)(f) is f


def test_a_task_that_is_only_a_task():
    """It keeps its name and says what to do with it when it is called."""

    @farm.deftask(local=False)
    def g(x):
        """Doc."""

    assert g.__name__ == "g"
    assert g.__doc__ == "Doc."
    with pytest.raises(farm.InvalidTaskError, match=r"g is only a task.*: submit it, or define it"):
        g(1)


def test_methods(kernel):
    """A task in a class has its instance, as a function there has."""
    counter = Counter(5)
    assert farm.force(farm.future(counter.plus, 2)) == 7
    assert farm.force(farm.future(Counter.plus, counter, k=2)) == 7
    assert farm.force(farm.future(Counter.twice, 3)) == 6
    assert counter.plus.__name__ == "plus"
    with pytest.raises(farm.InvalidTaskError, match=r"Counter\.plus is only a task"):
        counter.plus(2)


def test_what_is_no_function():
    """Is refused where it is defined."""
    with pytest.raises(farm.InvalidTaskError, match="@deftask marks a function, not 3"):
        farm.deftask(3)


def test_both_are_submitted_as_the_function(kernel):
    """Arguments and results are the function's."""

    @farm.deftask
    def f(x, k=1):
        return x + k

    @farm.deftask(local=False)
    def g(x, k=1):
        return x * k

    assert farm.force(farm.future(f, 1, k=2)) == 3
    assert farm.force(farm.future(g, 3, k=2)) == 6


def test_a_task_that_can_be_imported_goes_by_name(monkeypatch):
    """And is found again, whatever it captures; on a worker it may call itself and others."""
    shipped = ship_function(remote, 5)
    assert shipped.body == f"N{__name__}:remote".encode()
    assert not shipped.bytecode
    table = FunctionTable(5)
    assert table.find(remote) is table.find(remote)
    monkeypatch.setattr(place, "_index", 0)
    assert load_function(shipped.body)(2) is HELD


def test_a_task_of_a_function_that_can_be_imported():
    """The function goes by its own name."""
    assert ship_function(wrapped, 5).body == f"N{__name__}:plain".encode()
    table = FunctionTable(5)
    assert table.find(wrapped) is table.find(wrapped) is table.find(plain)


def test_a_task_that_cannot_be_imported_is_sent_again_when_it_changed():
    """By value, and with its latest captures."""
    n = 1

    @farm.deftask(local=False)
    def local():
        return n

    table = FunctionTable(5)
    one = table.find(local)
    assert table.find(local) is one
    n = 2
    two = table.find(local)
    assert two is not one
    assert load_function(memoryview(two.body)[16:])() == 2
