"""Sorting: as sorted() does it."""

import operator
import random
import threading
from array import array

import pytest

import farm_client as farm

PARTS = [None, 1, 2, 3, 8, 50]


def picky(x):
    """Fail at 57."""
    if x == 57:
        raise ValueError("fifty-seven")
    return -x


class Thing:
    """Is compared by its size only."""

    def __init__(self, size):
        self.size = size

    def __lt__(self, other):
        return self.size < other.size


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("parts", PARTS)
class TestSort:
    def test_like_sorted(self, kernel, parts, reverse):
        """Whatever is sorted, it becomes a list."""
        rng = random.Random(1)
        keywords = {"parts": parts, "reverse": reverse}
        for values in (
            [],
            [1],
            [2, 1, 3],
            [5, 1, 9, 3, 6, 0, 1, 9],
            [5] * 50,
            [rng.random() for _ in range(100)],
            [rng.randrange(5) for _ in range(100)],
            [1, 0.5, True, 2],
            "the quick brown fox",
            (3, 1, 2),
            range(20),
            b"bytes",
            {3, 1, 2},
            ["b", "a", "c"],
        ):
            assert farm.psort(values, **keywords) == sorted(values, reverse=reverse)
            assert farm.psort(iter(values), **keywords) == sorted(values, reverse=reverse)

    def test_stable(self, kernel, parts, reverse):
        """Equal elements stay in order, and are the very same."""
        rng = random.Random(2)
        things = [Thing(rng.randrange(4)) for _ in range(100)]
        got = farm.psort(things, parts=parts, reverse=reverse)
        assert list(map(id, got)) == list(map(id, sorted(things, reverse=reverse)))
        key = operator.attrgetter("size")
        got = farm.psort(things, key=key, parts=parts, reverse=reverse)
        assert list(map(id, got)) == list(map(id, sorted(things, key=key, reverse=reverse)))

    def test_a_key(self, kernel, parts, reverse):
        """Is called by the workers; equal keys stay in order."""
        words = ["it", "was", "the", "best", "of", "times", "and", "so", "were", "we"]
        expected = sorted(words, key=len, reverse=reverse)
        assert farm.psort(words, key=len, parts=parts, reverse=reverse) == expected
        got = farm.psort(words, key="builtins:len", parts=parts, reverse=reverse)
        assert got == expected
        assert farm.psort([], key=len, parts=parts, reverse=reverse) == []

    def test_an_array(self, kernel, parts, reverse):
        """Becomes an array of the same type."""
        values = array("d", [3, 1, 2] * 9)
        got = farm.psort(values, parts=parts, reverse=reverse)
        assert got == array("d", sorted(values, reverse=reverse))
        assert values == array("d", [3, 1, 2] * 9)
        got = farm.psort(values, key=picky, parts=parts, reverse=reverse)
        assert got == array("d", sorted(values, key=picky, reverse=reverse))

    def test_a_numpy_array(self, kernel, parts, reverse):
        """Likewise; equal elements stay in order."""
        np = pytest.importorskip("numpy")
        values = np.array([1.0, 0.0, 2.0, -0.0, 1.0])
        for key in (None, abs):
            got = farm.psort(values, key=key, parts=parts, reverse=reverse)
            expected = sorted(values.tolist(), key=key, reverse=reverse)
            assert list(map(str, got.tolist())) == list(map(str, expected))
            assert got.dtype == values.dtype
            empty = farm.psort(values[:0], key=key, parts=parts, reverse=reverse)
            assert empty.shape == (0,)
        assert values.tolist() == [1.0, 0.0, 2.0, -0.0, 1.0]


def test_errors(kernel):
    """Of the key at its element; and what cannot be compared, wherever that comes out."""
    with pytest.raises(farm.TaskExecutionError, match="at element 57"):
        farm.psort(range(100), key=picky)
    for parts in (1, 2):
        with pytest.raises(farm.TaskExecutionError, match="'<' not supported between") as caught:
            farm.psort([1, "a"], parts=parts)
        assert type(caught.value.__cause__) is TypeError
        with pytest.raises(farm.TaskExecutionError, match="'<' not supported between"):
            farm.psort([1, "a"], key=same, parts=parts)


def same(x):
    """The element itself."""
    return x


class Meeting:
    """A number that two threads have to compare at the same time, and then any may.

    Args:
        number: The number.
    """

    barrier = threading.Barrier(2)
    met = threading.local()

    def __init__(self, number):
        self.number = number

    def __lt__(self, other):
        if threading.current_thread() is not threading.main_thread() and not self.met.__dict__:
            self.met.once = self.barrier.wait(20)
        return self.number < other.number


def test_few_are_not_divided(kernel, paper):
    """Unless it is asked for, or a key has to be computed."""
    farm.psort(range(1000))
    assert sum(paper.tasks().values()) == 1
    farm.psort([Meeting(number) for number in range(5000)])
    assert sum(paper.tasks().values()) == 3
    assert set(paper.tasks().values()) == {1, 2}


def test_bad_arguments(kernel):
    """Are told at once."""
    with pytest.raises(TypeError, match=r"psort\(\) takes sequences"):
        farm.psort(5)
    with pytest.raises(ValueError, match="parts"):
        farm.psort([1], parts=0)
    with pytest.raises(farm.InvalidTaskError):
        farm.psort([1], key=5)
    np = pytest.importorskip("numpy")
    with pytest.raises(TypeError, match="arrays of one dimension, not of 2"):
        farm.psort(np.eye(2))
