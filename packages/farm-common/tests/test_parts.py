"""What workers run for the cognates, run here: each runner as it is after its journey."""

import functools
import operator
import pickle
import sys
from array import array

import pytest

from farm_common import parts
from farm_common.errors import FarmError, InvalidTaskError
from farm_common.parts import (
    MISSING,
    CallPart,
    ChainPart,
    ChainTails,
    CountPart,
    EachPart,
    EachTail,
    Failure,
    FindPart,
    MapPart,
    MapTails,
    MarkPart,
    ReducePart,
    SomePart,
    SortPart,
    make_array,
    make_ndarray,
    pack_failures_by,
    time_calls_by,
)
from farm_common.shipping import (
    Shared,
    load_function,
    pack_exception,
    ship_function,
    unpack_exception,
)
from farm_common.shipping.tasks import task_name

seen = []


def note(*values):
    """Remember the arguments, and return them."""
    seen.append(values)
    return values[0]


def picky(x):
    """Fail at 3, and stop at 4."""
    if x == 3:
        raise KeyError("three")
    if x == 4:
        raise StopIteration
    if x == 5:
        raise FarmError("not of an element")
    if x == 6:
        raise SystemExit(6)
    return x


def add(a, b):
    """The sum; fails where there is none."""
    return a + b


class Only:
    """Stands for a function that is only a task."""

    def __init__(self, function):
        self.__farm_task__ = function
        self.__module__, self.__qualname__ = __name__, function.__name__

    __farm_task__ = None

    def __call__(self, *args):
        raise AssertionError("called as itself")


def _inner(x):
    return x * 10


_stands = Only(_inner)


def run(runner, *parts):
    """The runner's answer, after it travelled."""
    shipped = ship_function(runner, 5)
    return load_function(shipped.body)(*parts)


def report(failure):
    """What a failure says, and of which element."""
    assert type(failure) is Failure
    failure = pickle.loads(pickle.dumps(failure, 5))
    return failure.index, unpack_exception(failure.body, True)[0]


PARTS = [[1, 2], (1, 2), range(1, 3), array("b", [1, 2]), b"\1\2"]


class TestMap:
    @pytest.mark.parametrize("part", PARTS)
    def test_each_element(self, part):
        """The results are in a list, whatever the part is."""
        assert run(MapPart(abs), part) == [1, 2]
        assert run(MapPart("operator:neg"), part) == [-1, -2]

    def test_several_sequences(self):
        """The task gets an element of each."""
        assert run(MapPart(add), [1, 2], (3, 4)) == [4, 6]

    def test_nothing_but_how_often(self):
        """The task gets no arguments."""
        assert run(CallPart(dict), range(3)) == [{}, {}, {}]

    def test_for_its_effect(self):
        """Nothing is returned."""
        seen.clear()
        assert run(EachPart(note), "abc") is None
        assert seen == [("a",), ("b",), ("c",)]

    def test_joined(self):
        """The task's lists are one list; None is an empty one."""
        assert run(ChainPart("builtins:list"), ["ab", "", "c"]) == ["a", "b", "c"]
        assert run(ChainPart(note), [None, (1, 2)]) == [1, 2]

    def test_made_there(self):
        """Results may become an array where they are."""
        made = run(MapPart(abs, functools.partial(make_array, "h")), [-1, 2])
        assert made == array("h", [1, 2])
        assert made.typecode == "h"
        failure = run(MapPart(note, functools.partial(make_array, "h")), [1, "x", 3])
        index, text = report(failure)
        assert index == 1
        assert text.startswith("TypeError: ")

    def test_an_error(self):
        """It is returned, with the number of its element, and what came before it if wanted."""
        failure = run(MapPart(picky), [1, 2, 3, 4])
        assert report(failure) == (2, "KeyError: 'three'")
        assert failure.done == ()
        failure = run(MapPart(picky, keep=True), [1, 2, 3, 4])
        assert failure.done == [1, 2]
        for kind in (EachPart, ChainPart):
            assert report(run(kind(picky), [3]))[0] == 0
        assert report(run(ChainPart(abs), [1])) == (0, "TypeError: 'int' object is not iterable")

    def test_the_text_of_an_error(self):
        """The traceback begins with the task."""
        failure = run(MapPart(picky), [3])
        lines = unpack_exception(failure.body, True)[1].splitlines()
        assert lines[0] == "Traceback (most recent call last):"
        assert lines[1].endswith("in picky")

    @pytest.mark.parametrize("kind", [MapPart, EachPart, FindPart, MarkPart, CountPart])
    def test_stop_iteration(self, kind):
        """It is an error of the task, not the end of the sequence."""
        failure = run(kind(picky), [0, 4, 0])
        assert report(failure) == (1, "RuntimeError: the task raised StopIteration")

    def test_stop_iteration_in_a_list(self):
        """Likewise where lists are joined."""
        failure = run(ChainPart(_lists), [0, 4, 0])
        assert report(failure) == (1, "RuntimeError: the task raised StopIteration")

    @pytest.mark.parametrize("kind", [MapPart, EachPart, FindPart, MarkPart, CountPart])
    def test_what_is_not_about_an_element(self, kind):
        """Errors of farm's own, and those that end programs, are raised."""
        with pytest.raises(FarmError):
            run(kind(picky), [5])
        with pytest.raises(SystemExit):
            run(kind(picky), [6])


def _lists(x):
    return [picky(x)]


class TestTails:
    def test_each_tail(self):
        """A tail is a slice to the end of its own sequence."""
        shared = Shared(([1, 2, 3], "abcd"))
        assert MapTails(_pair)(shared, range(1, 3)) == [([2, 3], "bcd"), ([3], "cd")]
        assert ChainTails(_chars)(Shared(("abc",)), range(3)) == ["a", "b", "c", "b", "c", "c"]

    def test_for_its_effect(self):
        """Nothing is returned."""
        seen.clear()
        assert EachTail(note)(Shared(((1, 2),)), range(2)) is None
        assert seen == [((1, 2),), ((2,),)]


def _pair(a, b):
    return a, b


def _chars(text):
    return list(text)


class TestReduce:
    @pytest.mark.parametrize("part", PARTS)
    def test_to_one_value(self, part):
        """From left to right, or from the end with the arguments in their places."""
        assert run(ReducePart(operator.sub), part) == -1
        assert run(ReducePart("operator:sub", initial=10), part) == 7
        assert run(ReducePart(operator.sub, from_end=True, initial=10), part) == 1 - (2 - 10)

    def test_one_element(self):
        """Is the result, after the key."""
        assert run(ReducePart(operator.add, "operator:neg"), [5]) == -5

    def test_none_is_a_value_to_begin_with(self):
        """What is missing is something else."""
        assert run(ReducePart(_second, initial=None), [1]) == 1
        assert pickle.loads(pickle.dumps(MISSING)) is MISSING
        assert repr(MISSING) == "MISSING"

    @pytest.mark.parametrize("from_end", [False, True])
    @pytest.mark.parametrize("kind", [list, tuple, lambda x: array("b", x), bytes])
    def test_an_error(self, from_end, kind):
        """Says which element could not be combined."""
        runner = ReducePart(operator.add, picky, from_end)
        assert report(run(runner, kind([0, 1, 3, 2, 1]))) == (2, "KeyError: 'three'")
        assert report(run(runner, kind([0, 1, 4, 2, 1])))[0] == 2
        runner = ReducePart(_no_three, None, from_end)
        assert report(run(runner, kind([0, 1, 3, 2, 1])))[0] == 2
        with pytest.raises(FarmError):
            run(ReducePart(add, picky), kind([5]))

    def test_an_error_nobody_knows_where(self):
        """Iterators need not tell how many are left; nor does it matter then."""

        class Odd(list):
            def __iter__(self):
                return (x for x in list(self[:]))

            def __getitem__(self, index):
                return list.__getitem__(self, index)

        assert report(ReducePart(operator.add, picky)(Odd([0, 3])))[0] is None


def _second(_, b):
    return b


def _no_three(a, b):
    if 3 in (a, b):
        raise ValueError("three")
    return 0


class TestFind:
    def test_the_first(self):
        """Its index, None where there is none; wanted or not, from either end."""
        part = [0, 5, 0, 7]
        assert run(FindPart(bool), part) == 1
        assert run(FindPart(bool, from_end=True), part) == 3
        assert run(FindPart(bool, wanted=False), part) == 0
        assert run(FindPart(bool, wanted=False, from_end=True), part) == 2
        assert run(FindPart(bool, key="operator:not_"), part) == 0
        assert run(FindPart(operator.eq, item=7), part) == 3
        assert run(FindPart("operator:lt", item=6), part) == 3
        assert run(FindPart(bool), [0]) is None

    def test_several_sequences(self):
        """The predicate gets an element of each."""
        assert run(FindPart(add), [0, 1], [0, 1]) == 1

    def test_what_it_returned(self):
        """The value, or True where that cannot travel."""
        assert run(SomePart(abs), [0, -7]) == 7
        assert run(SomePart(abs), [0]) is None
        assert run(SomePart(Rooted), [1]) is True

    @pytest.mark.parametrize("from_end", [False, True])
    def test_an_error(self, from_end):
        """Counts only where nothing is found before."""
        runner = FindPart(picky, from_end=from_end)
        assert report(run(runner, [0, 3, 0])) == (1, "KeyError: 'three'")
        assert run(runner, [1, 3, 1]) == (2 if from_end else 0)


class Rooted:
    """Cannot travel."""

    def __init__(self, _):
        pass

    def __reduce__(self):
        raise TypeError("rooted")


class TestMark:
    @pytest.mark.parametrize("part", [[0, 1, 2], (0, 1, 2), range(3), b"\0\1\2"])
    def test_all(self, part):
        """A byte for each element, in their order from either end; or their number."""
        assert run(MarkPart(bool), part) == b"\0\1\1"
        assert run(MarkPart(bool, from_end=True), part) == b"\0\1\1"
        assert run(MarkPart(operator.eq, item=2, key=abs), part) == b"\0\0\1"
        assert run(CountPart(bool), part) == 2

    @pytest.mark.parametrize("kind", [MarkPart, CountPart])
    @pytest.mark.parametrize("from_end", [False, True])
    def test_an_error(self, kind, from_end):
        """Says at which element."""
        assert report(run(kind(picky, from_end=from_end), [0, 1, 3, 0])) == (2, "KeyError: 'three'")


class TestSort:
    def test_numbers(self):
        """Come back themselves."""
        assert run(SortPart(None, False), [3, 1.5, True]) == [True, 1.5, 3]
        assert run(SortPart(None, True), range(3)) == [2, 1, 0]
        assert run(SortPart(None, False), array("i", [2, 1])) == array("i", [1, 2])
        assert run(SortPart(None, False), b"ba") == [97, 98]

    def test_others(self):
        """Are told by their indices, equal ones in their order."""
        assert run(SortPart(None, False), "bab") == (array("I", [1, 0, 2]), None)
        assert run(SortPart(None, True), "bab") == (array("I", [0, 2, 1]), None)

    def test_a_key(self):
        """Comes along, sorted."""
        assert run(SortPart("builtins:len", False), ["ccc", "a", "bb", "d"]) == (
            array("I", [1, 3, 2, 0]),
            [1, 1, 2, 3],
        )
        assert report(run(SortPart(picky, False), [1, 3])) == (1, "KeyError: 'three'")

    def test_what_cannot_be_compared(self):
        """Raises what sorted() does."""
        with pytest.raises(TypeError, match="not supported between"):
            run(SortPart(None, False), [1, "a"])

    @pytest.mark.parametrize("reverse", [False, True])
    def test_a_numpy_array(self, reverse):
        """Is a sorted one, equal elements in their order."""
        np = pytest.importorskip("numpy")
        part = np.array([1.0, -0.0, 2.0, 0.0])
        got = run(SortPart(None, reverse), part)
        assert got.dtype == part.dtype
        assert list(map(str, got.tolist())) == list(
            map(str, sorted(part.tolist(), reverse=reverse))
        )
        got = run(SortPart(abs, reverse), part)
        assert list(got[0]) == sorted(range(4), key=part.__getitem__, reverse=reverse)


class TestTasks:
    def test_names(self):
        """Messages call a runner what its task is called."""
        assert task_name(MapPart(picky)) == "picky"
        assert task_name(SortPart(None, False)) == "sorted"
        assert task_name(FindPart("operator:eq")) == "operator:eq"

    def test_no_task(self):
        """Is told at once."""
        for bad in (3, "nothing"):
            with pytest.raises(InvalidTaskError):
                MapPart(bad)
            with pytest.raises(InvalidTaskError):
                ReducePart(add, key=bad)

    def test_what_is_only_a_task(self):
        """The function that it stands for travels, or the name under which it is found."""
        stands = Only(_inner)
        assert run(MapPart(stands), [1, 2]) == [10, 20]
        stands.__qualname__ = "_stands"
        sys.modules[__name__]._stands = stands
        runner = MapPart(stands)
        assert runner.task == f"{__name__}:_stands"
        assert run(runner, [1]) == [10]


def test_arrays_where_there_is_no_numpy(monkeypatch):
    """Results stay a list, for the client to make an array of."""
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert make_ndarray(None, [1, 2]) == [1, 2]


def test_arrays_where_there_is_numpy():
    """Results become an array, of a type that is given or follows."""
    np = pytest.importorskip("numpy")
    assert make_ndarray(None, [1, 2]).tolist() == [1, 2]
    assert make_ndarray(np.dtype("f4"), [1, 2]).dtype == np.float32


def test_who_packs_failures():
    """A worker, which knows what its client can load; the task's frames come first."""
    packed = []

    def pack(error, skip):
        packed.append((error, skip))
        return pack_exception(error, 5, skip)

    pack_failures_by(pack)
    try:
        failure = MapPart(picky)([3])
    finally:
        pack_failures_by(None)
    ((error, skip),) = packed
    assert type(error) is KeyError
    assert skip == 1
    assert report(failure) == (0, "KeyError: 'three'")
    MapPart(picky)([3])
    assert len(packed) == 1


@pytest.mark.parametrize(
    ("runner", "calls"),
    [
        (MapPart(operator.neg), 3),
        (MapPart("operator:neg"), 3),
        (EachPart(operator.neg), 3),
        (CallPart(list), 3),
        (ReducePart(operator.add), 2),
        (ReducePart(operator.add, operator.neg), 5),
        (FindPart(operator.not_), 3),
        (MarkPart(operator.not_, operator.neg), 6),
        (CountPart(operator.eq, item=2), 3),
        (SortPart(operator.neg, reverse=False), 3),
        (SortPart(None, reverse=False), 0),
    ],
)
def test_each_call_is_timed(runner, calls):
    """Where the time is limited, its clock begins anew at each call of the user's functions."""
    expected = runner([1, 2, 3])
    restarts = []
    time_calls_by(lambda: functools.partial(restarts.append, 1))
    try:
        assert runner([1, 2, 3]) == expected
        assert len(restarts) == calls
        time_calls_by(lambda: None)  # this task's time is not limited
        assert runner([1, 2, 3]) == expected
    finally:
        time_calls_by(None)
    assert runner([1, 2, 3]) == expected
    assert len(restarts) == calls


def test_errors_of_timed_calls():
    """Are as they would be otherwise, and the traceback begins at the user's function."""
    skips = []

    def pack(error, skip):
        skips.append(skip)
        return pack_exception(error, 5, skip)

    pack_failures_by(pack)
    time_calls_by(lambda: lambda: None)
    try:
        failure = MapPart(picky)([1, 3])
    finally:
        time_calls_by(None)
        pack_failures_by(None)
    assert report(failure) == (1, "KeyError: 'three'")
    assert skips == [2]  # the part's and the clock's


@pytest.mark.parametrize("name", parts.__all__)
def test_names_for_other_versions(name):
    """What travels by name does so under the name that every version of farm knows."""
    thing = getattr(parts, name)
    assert thing.__module__ == "farm_common.parts"
    data = pickle.dumps(thing, 0)
    assert b"farm_common.parts" + f"\n{name}\n".encode() in data
    assert pickle.loads(data) is thing
