"""Reductions: associativity is all they ask for."""

import functools
import operator

import pytest

import farm_client as farm


def multiply(a, b):
    """The product of two matrices, which is associative and not commutative."""
    return (
        a[0] * b[0] + a[1] * b[2],
        a[0] * b[1] + a[1] * b[3],
        a[2] * b[0] + a[3] * b[2],
        a[2] * b[1] + a[3] * b[3],
    )


def add(a, b):
    """The sum, but of nothing that is negative."""
    if a < 0 or b < 0:
        raise ValueError("negative")
    return a + b


def nothing():
    """What the task is without arguments."""
    return "nothing"


WAYS = [
    {},
    {"from_end": True},
    {"recurse": True},
    {"recurse": True, "from_end": True},
    *({"parts": parts} for parts in range(1, 11)),
    *({"parts": parts, "recurse": True, "from_end": True} for parts in range(1, 11)),
]


@pytest.mark.parametrize("ways", WAYS, ids=str)
class TestLikeReduce:
    def test_order(self, kernel, ways):
        """Elements are combined with their neighbours, never in another order."""
        for values in ("abcdefgh", ["x"], [chr(i) for i in range(65, 165)]):
            assert farm.preduce(operator.add, values, **ways) == "".join(values)
            assert farm.preduce(operator.add, iter(values), **ways) == "".join(values)
        matrices = [(i, i + 1, i % 3, i % 7) for i in range(60)]
        assert farm.preduce(multiply, matrices, **ways) == functools.reduce(multiply, matrices)

    def test_start_and_end(self, kernel, ways):
        """Are those of a slice."""
        text = "abcdefghijklmnopqrstuvwxyz"
        for start, end in ((0, None), (4, 20), (20, None), (-5, None), (3, -3), (0, 99)):
            got = farm.preduce(operator.add, text, start=start, end=end, **ways)
            assert got == text[start:end]
            got = farm.preduce(operator.add, iter(text), start=start, end=end, **ways)
            assert got == text[start:end]

    def test_key(self, kernel, ways):
        """Is applied to each element once, and not to what the parts give."""
        assert farm.preduce(operator.add, range(100), key=str, **ways) == "".join(
            map(str, range(100))
        )

    def test_an_initial_value_that_changes_nothing(self, kernel, ways):
        """Changes nothing."""
        values = list("abcdefghijk")
        got = farm.preduce(operator.add, values, initial_value="", **ways)
        assert got == "abcdefghijk"
        assert farm.preduce(operator.add, [], initial_value="", **ways) == ""

    def test_nothing(self, kernel, ways):
        """Is the initial value, or what the task returns without arguments."""
        assert farm.preduce(operator.add, [], initial_value=None, **ways) is None
        assert farm.preduce(nothing, [], **ways) == "nothing"
        assert farm.preduce("builtins:dict", (), **ways) == {}
        assert farm.preduce(nothing, [1, 2], start=2, **ways) == "nothing"
        with pytest.raises(farm.TaskExecutionError, match="TypeError"):
            farm.preduce(operator.add, [], **ways)


@pytest.mark.parametrize(
    ("parts", "expected"), [(1, 22), (2, 23), (3, 24), (6, 27), (7, 27), (10**20, 27)]
)
def test_the_initial_value_is_one_of_each_part(kernel, parts, expected):
    """As lparallel's documentation has it."""
    assert farm.preduce(operator.add, range(1, 7), parts=parts, initial_value=1) == expected


def test_the_initial_value_of_what_is_reduced_again(kernel):
    """Is one of each part there, too: of 8 parts, of 4, of 2."""
    got = farm.preduce(operator.add, [0] * 8, parts=8, initial_value=1, recurse=True)
    assert got == 8 + 4 + 2


def test_from_the_end(kernel):
    """A part is combined from its end, with the arguments in their places."""
    values = range(10)
    assert farm.preduce(operator.sub, values, parts=1, from_end=True) == -5
    assert farm.preduce(operator.sub, values, parts=1) == functools.reduce(operator.sub, values)
    partial = farm.preduce_partial(operator.sub, values, parts=2, from_end=True)
    assert partial == [0 - (1 - (2 - (3 - 4))), 5 - (6 - (7 - (8 - 9)))]


@pytest.mark.parametrize("from_end", [False, True])
def test_preduce_partial(kernel, from_end):
    """What each part gives, in order: of as many parts as asked for, or as there are workers."""
    for parts, expected in ((2, [18, 34]), (4, [7, 11, 15, 19]), (3, [12, 21, 19])):
        got = farm.preduce_partial(operator.add, range(3, 11), parts=parts, from_end=from_end)
        assert got == expected
    assert farm.preduce_partial(operator.add, iter(range(3, 11))) == [18, 34]
    assert farm.preduce_partial(operator.add, [5]) == [5]
    got = farm.preduce_partial(operator.add, "abcd", key=str.upper, start=1, initial_value="x")
    assert got == ["xBC", "xD"]
    with pytest.raises(ValueError, match="of no elements"):
        farm.preduce_partial(operator.add, [])
    with pytest.raises(ValueError, match="of no elements"):
        farm.preduce_partial(operator.add, [1], start=1, initial_value=0)


def test_pmap_reduce(kernel):
    """Is a reduction with a key."""
    square = {"start": 1, "end": 5, "parts": 2}
    assert farm.pmap_reduce(abs, operator.add, [-3, 4, -5]) == 12
    assert farm.pmap_reduce("builtins:str", "operator:add", range(9), **square) == "1234"
    assert farm.pmap_reduce(abs, operator.add, [], initial_value=7, recurse=True) == 7


def test_a_task_that_is_only_a_task(kernel):
    """Is never called here."""

    @farm.deftask(local=False)
    def only(a=0, b=0):
        return a + b

    assert farm.preduce(only, range(10), parts=3) == 45
    assert farm.preduce(only, []) == 0
    assert farm.preduce("operator:add", range(10), parts=3) == 45


def test_an_error(kernel):
    """Says at which element; where the parts are combined there is none."""
    with pytest.raises(farm.TaskExecutionError, match="ValueError: negative") as caught:
        farm.preduce(add, [1, 2, 3, -4, 5], parts=1)
    assert caught.value.index == 3
    with pytest.raises(farm.TaskExecutionError, match="ValueError: negative") as caught:
        farm.preduce(add, [1, 2, 3, 4], key=operator.neg, parts=1, start=1)
    assert caught.value.index == 2  # the second that there is
    with pytest.raises(farm.TaskExecutionError, match="ValueError: negative") as caught:
        farm.preduce(add, [1, -1], parts=2)
    assert caught.value.index is None
    assert type(caught.value.__cause__) is ValueError
    assert "in add" in caught.value.description


def test_bad_arguments(kernel):
    """Are told at once."""
    for function in (farm.preduce, farm.preduce_partial):
        with pytest.raises(TypeError, match=f"{function.__name__}\\(\\) takes sequences"):
            function(operator.add, 5)
        with pytest.raises(ValueError, match="parts"):
            function(operator.add, [1], parts=0)
        with pytest.raises(TypeError, match="start is a whole number, not 'a'"):
            function(operator.add, [1], start="a")
        with pytest.raises(TypeError, match=r"end is a whole number, not 1\.5"):
            function(operator.add, [1], end=1.5)
        with pytest.raises(farm.InvalidTaskError):
            function(operator.add, [1], key=5)


def test_a_numpy_array(kernel):
    """Is cut into arrays; so is a matrix, by its rows."""
    np = pytest.importorskip("numpy")
    values = np.arange(1000.0)
    assert farm.preduce(operator.add, values, parts=7) == 499500.0
    assert farm.preduce(np.add, values.reshape(10, 100), parts=3).tolist() == list(
        values.reshape(10, 100).sum(axis=0)
    )
