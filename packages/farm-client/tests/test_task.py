"""deftask, and what it makes of functions."""

import pytest

import farm_client as farm


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
