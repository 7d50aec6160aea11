"""Searches: the first match, and no more work than it takes."""

import itertools
import operator
import threading

import pytest

import farm_client as farm


def above(limit, x):
    """Whether x is larger."""
    return x > limit


def picky(x):
    """Whether x is 5; fails at 7."""
    if x == 7:
        raise ValueError("seven")
    return x == 5


calls = []


def counted(x):
    """Whether x is 100, and remember that it was asked."""
    calls.append(x)
    return x == 100


PARTS = [None, 1, 2, 3, 50]


class Thing:
    """Equal to things of the same size."""

    def __init__(self, size):
        self.size = size

    def __eq__(self, other):
        return self.size == other.size

    __hash__ = None


@pytest.mark.parametrize("parts", PARTS)
class TestFind:
    def test_the_first(self, kernel, parts):
        """In the order of the sequence, or from the end; None if there is none."""
        values = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5] * 3
        for wrap in (list, tuple, iter):
            assert farm.pfind(9, wrap(values), parts=parts) == 9
            assert farm.pfind(7, wrap(values), parts=parts) is None
            assert farm.pfind_if("operator:not_", wrap(values), parts=parts) is None
            assert farm.pfind_if_not(bool, [1, 0, 2], parts=parts) == 0
        assert farm.pfind("c", "abcabc", parts=parts) == "c"
        assert farm.pfind(1, [], parts=parts) is None

    def test_which_of_several(self, kernel, parts):
        """Is found, as the very same object."""
        things = [Thing(i % 10) for i in range(50)]
        assert farm.pfind(Thing(3), things, parts=parts) is things[3]
        assert farm.pfind(Thing(3), iter(things), parts=parts) is things[3]
        assert farm.pfind(Thing(3), things, from_end=True, parts=parts) is things[43]
        assert farm.pfind(Thing(3), iter(things), from_end=True, parts=parts) is things[43]
        assert farm.pfind(Thing(3), things, start=4, end=20, parts=parts) is things[13]
        assert farm.pfind(Thing(3), iter(things), start=4, end=20, parts=parts) is things[13]
        got = farm.pfind(Thing(3), things, start=-20, end=-3, from_end=True, parts=parts)
        assert got is things[43]
        assert farm.pfind(Thing(3), things, start=44, parts=parts) is None

    def test_key_and_test(self, kernel, parts):
        """The key makes what is compared; a test compares in place of ==."""
        words = ["a", "bb", "ccc", "dd"]
        assert farm.pfind(2, words, key=len, parts=parts) == "bb"
        assert farm.pfind(2, words, key=len, from_end=True, parts=parts) == "dd"
        assert farm.pfind(2, words, key="builtins:len", test=above, parts=parts) == "ccc"
        assert farm.pfind(2, [1, 2, 3], test="operator:lt", parts=parts) == 3
        assert farm.pfind_if(str.isupper, words, key=str.upper, parts=parts) == "a"
        assert farm.pfind_if_not(str.isalpha, ["a", "-b"], key=str.strip, parts=parts) == "-b"

    def test_an_error(self, kernel, parts):
        """Counts where nothing is found before it; whichever comes first in time."""
        assert farm.pfind_if(picky, [1, 5, 7], parts=parts) == 5
        assert farm.pfind_if(picky, [7, 1, 5, 1], from_end=True, parts=parts) == 5
        with pytest.raises(farm.TaskExecutionError, match="seven") as caught:
            farm.pfind_if(picky, [1, 7, 5], parts=parts)
        assert caught.value.index == 1
        with pytest.raises(farm.TaskExecutionError) as caught:
            farm.pfind_if(picky, [5, 1, 7, 1], from_end=True, start=1, parts=parts)
        assert caught.value.index == 2


@pytest.mark.parametrize("parts", PARTS)
class TestQuantifiers:
    def test_like_any_and_all(self, kernel, parts):
        """True of all, of some, of none, not of all."""
        for values in ([], [0], [1], [0, 1, 0], [1, 1, 1], [0] * 99 + [1], [1] * 99 + [0]):
            for wrap in (list, iter):
                assert farm.pevery(bool, wrap(values), parts=parts) is all(values)
                assert farm.psome(bool, wrap(values), parts=parts) is any(values)
                assert farm.pnotany(bool, wrap(values), parts=parts) is not any(values)
                assert farm.pnotevery(bool, wrap(values), parts=parts) is not all(values)

    def test_several_sequences(self, kernel, parts):
        """The predicate gets an element of each; the shortest decides."""
        assert farm.pevery(operator.lt, [1, 2, 3], (2, 3), parts=parts)
        assert farm.psome(operator.gt, [1, 2], iter([1, 1, 0]), parts=parts) is True
        assert not farm.psome(operator.gt, [1, 2, 9], "", parts=parts)
        assert farm.pnotany(operator.gt, [1, 2], [1, 2], parts=parts)
        assert farm.pnotevery(operator.eq, [1, 2], [1, 3], parts=parts)

    def test_size(self, kernel, parts):
        """Only the first elements count."""
        assert farm.pevery(bool, [1, 1, 0], size=2, parts=parts)
        assert not farm.psome(bool, [0, 0, 1], size=2, parts=parts)
        assert farm.pnotany(bool, itertools.repeat(0), size=2, parts=parts)

    def test_the_value(self, kernel, parts):
        """psome returns what the predicate does, True where that cannot travel."""
        assert farm.psome(abs, [0, 0, -7, 3], parts=parts) == 7
        assert farm.psome(lock_if, [0, 1], parts=parts) is True

    def test_an_error(self, kernel, parts):
        """Counts where nothing is decided before it."""
        assert farm.psome(picky, [5, 7], parts=parts)
        with pytest.raises(farm.TaskExecutionError, match="at element 0"):
            farm.psome(picky, [7, 5], parts=parts)
        assert not farm.pevery(picky, [5, 1, 7], parts=parts)


class Rooted:
    """Cannot travel."""

    def __reduce__(self):
        raise TypeError("rooted")


def lock_if(x):
    """What cannot travel, or nothing."""
    return Rooted() if x else None


class TestStopping:
    @pytest.mark.parametrize("parts", [None, 10_000])
    def test_the_rest_is_not_looked_at(self, kernel, parts):
        """What is not needed any more is not even cut off."""
        calls.clear()
        assert farm.pfind_if(counted, range(10_000_000), parts=parts) == 100
        assert len(calls) < 1_000_000
        kernel._engine.wait(lambda: not kernel._engine.unfinished)
        assert not kernel._engine._dispatcher.queue

    def test_endless(self, kernel):
        """So an iterator may be."""
        assert farm.pfind(1000, itertools.count()) == 1000
        assert farm.psome(bool, itertools.count()) is True
        assert farm.pfind_if(bool, range(10**30)) == 1

    def test_earlier_parts_are_waited_for(self, kernel):
        """A match counts only when all before it is looked at."""
        gate.clear()
        got = []
        thread = threading.Thread(
            target=lambda: got.append(farm.pfind_if(slow_zero, [0, 1, 2, 3], parts=4))
        )
        thread.start()
        assert matched.wait(20)
        assert got == []
        gate.set()
        thread.join()
        assert got == [0]

    def test_a_part_is_started_again(self, kernel, paper):
        """When its worker died, though a later one has a match already."""
        gate.clear()
        deaths[:] = [paper.die]
        assert farm.pfind_if(die_once_at_zero, [0, 1, 2, 3], parts=4) == 0


gate, matched = threading.Event(), threading.Event()
deaths = []


def slow_zero(x):
    """True of all, of 0 only after a while."""
    if x == 0:
        assert gate.wait(20)
    else:
        matched.set()
    return True


def die_once_at_zero(x):
    """True of all; at 0 the worker dies the first time, when another is through."""
    if x == 0 and deaths:
        assert gate.wait(20)
        raise deaths.pop()
    gate.set()
    return True


def test_bad_arguments(kernel):
    """Are told at once."""
    for function in (farm.pfind, farm.pfind_if, farm.pfind_if_not):
        with pytest.raises(TypeError, match=f"{function.__name__}\\(\\) takes sequences"):
            function(bool, 5)
        with pytest.raises(ValueError, match="parts"):
            function(bool, [1], parts=0)
        with pytest.raises(TypeError, match="start"):
            function(bool, [1], start="x")
    for function in (farm.pevery, farm.psome, farm.pnotany, farm.pnotevery):
        with pytest.raises(TypeError, match=f"{function.__name__}\\(\\) needs at least one"):
            function(bool)
        with pytest.raises(ValueError, match="size"):
            function(bool, [1], size=-1)
    with pytest.raises(farm.InvalidTaskError):
        farm.pfind_if("x", [1])


def test_a_numpy_array(kernel):
    """The element is the array's."""
    np = pytest.importorskip("numpy")
    got = farm.pfind_if(bool, np.array([0.0, 2.5]))
    assert got == 2.5
    assert type(got) is np.float64
