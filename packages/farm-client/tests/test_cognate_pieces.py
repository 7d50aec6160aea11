"""Pieces of the input: slices of what can be sliced, and what iterators yield in time."""

import itertools
import sys
from array import array

import pytest

from farm_client.cognate import pieces as module
from farm_client.cognate.inputs import window_of
from farm_client.cognate.pieces import Draws, Slices, cut, cut_window, gather


def test_slices():
    """Of each sequence, of its own type, as large as asked for."""
    slices = Slices(([1, 2, 3, 4], "abcd", array("h", [1, 2, 3, 4]), range(9)), 1, 4)
    assert slices.remaining == 3
    assert slices.take(2) == (1, 2, ([2, 3], "bc", array("h", [2, 3]), range(1, 3)))
    assert slices.remaining == 1
    assert slices.take(2) == (3, 1, ([4], "d", array("h", [4]), range(3, 4)))
    assert slices.take(2) is None
    assert Slices(([],), 0, 0).take(1) is None


def test_slices_from_the_end():
    """The last come first, each slice in the order of the sequence."""
    slices = Slices(([1, 2, 3, 4],), 0, 4, backwards=True, before=("x",))
    assert slices.take(3) == (1, 3, ("x", [2, 3, 4]))
    assert slices.take(3) == (0, 1, ("x", [1]))
    assert slices.take(3) is None


def test_a_numpy_array_is_sliced():
    """Its slices are views of it: nothing is copied, nothing is made a list of."""
    np = pytest.importorskip("numpy")
    values = np.arange(10)
    (piece,) = Slices((values,), 0, 10).take(5).args
    assert piece.base is values


def test_draws():
    """What iterators yield is in lists; beside them is what can be sliced."""
    draws = Draws((iter("abcdef"), [1, 2, 3, 4, 5], iter(range(9))), None, 100)
    assert draws.remaining == 5
    assert draws.take(2) == (100, 2, (["a", "b"], [1, 2], [0, 1]))
    assert draws.take(9) == (102, 3, (["c", "d", "e"], [3, 4, 5], [2, 3, 4]))
    assert draws.remaining == 0
    assert draws.take(9) is None
    assert draws.take(9) is None


def test_how_much_remains():
    """Iterators may know or not, or be wrong; that is never taken for the end."""
    assert Draws(((x for x in "ab"),), None).remaining is None
    assert Draws(((x for x in "ab"), [1]), None).remaining is None
    assert Draws(({1, 2},), 1).remaining == 1
    assert Draws((range(10**30),), None).remaining == sys.maxsize

    class Modest:
        def __len__(self):
            return 1

        def __iter__(self):
            return iter("abc")

    draws = Draws((Modest(),), None)
    assert [draws.take(2), draws.take(2), draws.take(2)] == [
        (0, 2, (["a", "b"],)),
        (2, 1, (["c"],)),
        None,
    ]
    assert draws.remaining == 0


def test_draws_stop_at_the_limit():
    """Not one element more is read."""
    rest = iter(range(100))
    draws = Draws((rest,), 5)
    assert draws.take(3).args == ([0, 1, 2],)
    assert draws.take(3).args == ([3, 4],)
    assert draws.take(3) is None
    assert next(rest) == 5
    assert Draws((rest,), 0).take(3) is None
    assert next(rest) == 6


def test_a_slow_iterator(monkeypatch):
    """What it has yielded when patience ends is a piece."""
    now = [0.0]
    monkeypatch.setattr(module, "perf_counter", lambda: now[0])

    def slow():
        for i in range(100):
            now[0] += 0.009
            yield i

    draws = Draws((slow(),), None)
    sizes = []
    while (piece := draws.take(1000)) is not None:
        sizes.append(piece.length)
    assert sum(sizes) == 100
    assert max(sizes) <= 8


def test_gather():
    """All in one piece; sequences are left as they are, though they may go on."""
    values = [1, 2, 3]
    piece = gather((values, iter("ab")), None)
    assert piece == (0, 2, (values, ["a", "b"]))
    assert piece.args[0] is values
    assert gather((iter([]), iter("ab")), None) == (0, 0, ([], []))
    assert gather((values,), 2) == (0, 2, (values,))
    assert gather((values,), 9) == (0, 3, (values,))
    assert gather((iter(range(10**9)),), 2) == (0, 2, ([0, 1],))


def test_cut():
    """Slices where that can be done or must be, else draws."""
    assert isinstance(cut("f", ([1], "a"), None, None)[0], Slices)
    assert isinstance(cut("f", ([1], iter("a")), None, None)[0], Draws)
    assert isinstance(cut("f", ([1], iter("a")), 3, None)[0], Slices)


@pytest.mark.parametrize("start", [0, 1, 3, 5, 9, -1, -3, -9])
@pytest.mark.parametrize("end", [None, 0, 1, 3, 5, 9, -1, -3, -9])
@pytest.mark.parametrize("parts", [None, 2])
@pytest.mark.parametrize("backwards", [False, True])
def test_windows(start, end, parts, backwards):
    """Are slices, of iterators too, and know the numbers of their elements."""
    values = list(range(5))
    for thing in (values, iter(values)):
        pieces, _ = cut_window("f", thing, start, end, parts, backwards)
        got = []
        while (piece := pieces.take(2)) is not None:
            numbers = range(piece.start, piece.start + piece.length)
            assert list(numbers) == piece.args[0]
            got[:] = [*piece.args[0], *got] if backwards else [*got, *piece.args[0]]
        assert got == values[start:end]


def test_a_window_of_an_iterator_is_not_read_at_once():
    """Unless it has to be."""
    assert window_of(iter("abc"), 1, None, False)[1:] == (1, None)
    assert window_of(iter("abc"), -1, None, False) == (["a", "b", "c"], 2, 3)
    assert window_of(iter("abc"), 0, None, True) == (["a", "b", "c"], 0, 3)


@pytest.mark.parametrize("parts", [None, 2])
@pytest.mark.parametrize("backwards", [False, True])
def test_what_is_behind_a_window_is_not_read(parts, backwards):
    """It may have no end, whether or not all of the window has to be known at once."""
    pieces, _ = cut_window("f", itertools.count(), 1, 4, parts, backwards)
    assert pieces.take(9).args == ([1, 2, 3],)
    assert pieces.take(9) is None
