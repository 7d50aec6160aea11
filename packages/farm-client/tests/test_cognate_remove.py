"""Counting and removing."""

import collections
import operator
from array import array

import pytest

import farm_client as farm


def picky(x):
    """Fail at 57."""
    if x == 57:
        raise ValueError("fifty-seven")
    return x % 2


PARTS = [None, 1, 2, 3, 50]

VALUES = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 1]


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("wrap", [list, iter])
class TestCount:
    def test_all(self, kernel, parts, wrap):
        """How many there are."""
        assert farm.pcount(1, wrap(VALUES), parts=parts) == 3
        assert farm.pcount(7, wrap(VALUES), parts=parts) == 0
        assert farm.pcount_if("operator:not_", wrap([0, 1, 0]), parts=parts) == 2
        assert farm.pcount_if_not(bool, wrap([0, 1, 0]), parts=parts) == 2
        assert farm.pcount_if(bool, wrap([]), parts=parts) == 0
        assert farm.pcount_if_not(bool, wrap([]), parts=parts) == 0

    def test_a_part_of_it(self, kernel, parts, wrap):
        """From start to end; the direction makes no difference."""
        for from_end in (False, True):
            keywords = {"from_end": from_end, "parts": parts}
            assert farm.pcount(1, wrap(VALUES), start=2, end=11, **keywords) == 1
            assert farm.pcount(1, wrap(VALUES), start=-1, **keywords) == 1
            assert farm.pcount_if_not(bool, wrap([0, 0, 1, 0]), end=3, **keywords) == 2
            assert farm.pcount_if(bool, wrap(VALUES), start=5, end=3, **keywords) == 0

    def test_key_and_test(self, kernel, parts, wrap):
        """The key makes what is compared; a test compares in place of ==."""
        assert farm.pcount(1, wrap(["a", "bb", "c"]), key=len, parts=parts) == 2
        assert farm.pcount(4, wrap(VALUES), test=operator.lt, parts=parts) == 5
        assert farm.pcount_if(bool, wrap(VALUES), key=picky, parts=parts) == 9


@pytest.mark.parametrize("parts", PARTS)
class TestRemove:
    @pytest.mark.parametrize(
        ("seq", "item", "rest"),
        [
            ([1, 2, 1, 3], 1, [2, 3]),
            ((1, 2, 1, 3), 1, (2, 3)),
            (range(4), 1, [0, 2, 3]),
            ("banana", "a", "bnn"),
            (b"banana", 97, b"bnn"),
            (bytearray(b"ab"), 97, bytearray(b"b")),
            (array("h", [1, 2, 1]), 1, array("h", [2])),
            (collections.deque([1, 2]), 1, [2]),
            ([], 1, []),
            ([1], 1, []),
        ],
    )
    def test_the_same_type(self, kernel, parts, seq, item, rest):
        """What is left is a new sequence of the same type, else a list."""
        before = seq[:] if not isinstance(seq, collections.deque) else seq.copy()
        got = farm.premove(item, seq, parts=parts)
        assert got == rest
        assert type(got) is type(rest)
        assert got is not seq
        assert seq == before
        assert farm.premove(item, iter(seq), parts=parts) == list(rest)

    def test_predicates(self, kernel, parts):
        """What they are true of goes, or what they are not."""
        assert farm.premove_if(picky, VALUES, parts=parts) == [4, 2, 6]
        assert farm.premove_if_not(picky, (1, 2, 3), parts=parts) == (1, 3)
        assert farm.premove_if("builtins:bool", [1, 0], parts=parts) == [0]

    def test_the_very_same(self, kernel, parts):
        """Elements are left, not copies of them."""
        values = [[], [1], [2]]
        got = farm.premove_if_not(bool, values, parts=parts)
        assert got[0] is values[1]
        assert got[1] is values[2]

    def test_start_and_end(self, kernel, parts):
        """What is outside stays."""
        assert farm.premove(1, [1, 2, 1, 2, 1], start=1, end=4, parts=parts) == [1, 2, 2, 1]
        assert farm.premove(1, [1, 2, 1, 2, 1], start=-2, parts=parts) == [1, 2, 1, 2]
        assert farm.premove(1, iter([1, 2, 1]), start=1, parts=parts) == [1, 2]

    def test_key_and_test(self, kernel, parts):
        """As in a search."""
        assert farm.premove(2, ["a", "bb"], key=len, parts=parts) == ["a"]
        assert farm.premove(2, [1, 2, 3], test=operator.lt, parts=parts) == [1, 2]
        assert farm.premove_if(bool, "aB", key=str.isupper, parts=parts) == "a"

    def test_count(self, kernel, parts):
        """Only so many go, the first ones or the last ones."""
        text = "a-b-c-d-e"
        assert farm.premove("-", text, count=2, parts=parts) == "abc-d-e"
        assert farm.premove("-", text, count=2, from_end=True, parts=parts) == "a-b-cde"
        assert farm.premove("-", text, count=0, parts=parts) == text
        assert farm.premove("-", text, count=9, parts=parts) == "abcde"
        assert farm.premove("-", text, count=1, start=2, end=8, parts=parts) == "a-bc-d-e"
        keywords = {"start": 2, "end": 7, "from_end": True}
        assert farm.premove("-", text, count=1, parts=parts, **keywords) == "a-b-cd-e"
        assert farm.premove_if_not(str.isalpha, text, count=3, parts=parts) == "abcd-e"

    def test_an_error(self, kernel, parts):
        """Says at which element."""
        with pytest.raises(farm.TaskExecutionError, match="at element 57"):
            farm.premove_if(picky, range(100), parts=parts)
        with pytest.raises(farm.TaskExecutionError, match="at element 57"):
            farm.pcount_if(picky, range(100), start=3, from_end=True, parts=parts)
        with pytest.raises(farm.TaskExecutionError, match="at element 57"):
            farm.pcount_if(picky, iter(range(100)), start=3, parts=parts)


def test_bad_arguments(kernel):
    """Are told at once."""
    for name in ("pcount", "pcount_if", "pcount_if_not", "premove", "premove_if"):
        function = getattr(farm, name)
        with pytest.raises(TypeError, match=f"{name}\\(\\) takes sequences"):
            function(bool, 5)
        with pytest.raises(ValueError, match="parts"):
            function(bool, [1], parts=0)
    with pytest.raises(ValueError, match="count is a whole number from 0 on, or None for all"):
        farm.premove(1, [1], count=-1)


def test_a_numpy_array(kernel):
    """An array is left; of a matrix, some rows."""
    np = pytest.importorskip("numpy")
    got = farm.premove(1, np.array([1, 2, 1, 3]), parts=2)
    assert got.tolist() == [2, 3]
    assert got.dtype == np.array([1]).dtype
    assert farm.premove_if(np.any, np.eye(3, 2)).tolist() == [[0.0, 0.0]]
    empty = np.zeros(0)
    assert farm.premove(1, empty).shape == (0,)
    assert farm.premove(1, empty) is not empty
