"""Maps over tails: the sequences travel once, and a tail goes to the end of its own."""

from array import array

import pytest

import farm_client as farm
from farm_common.frames import Kind

seen = []


class Rooted:
    """Cannot travel."""

    def __reduce__(self):
        raise TypeError("rooted")


def pair(a, b):
    """Both, in a tuple."""
    return a, b


def note(tail):
    """Remember a tail, and return it."""
    seen.append(tail)
    return tail


def chars(tail):
    """The tail as a list, None for the last."""
    return list(tail) if len(tail) > 1 else None


@pytest.mark.parametrize("parts", [None, 1, 2, 3, 100])
def test_pmaplist(kernel, parts):
    """There are as many tails as the shortest has elements; slices of whatever it is."""
    assert farm.pmaplist(pair, [1, 2, 3], "abcd", parts=parts) == [
        ([1, 2, 3], "abcd"),
        ([2, 3], "bcd"),
        ([3], "cd"),
    ]
    assert farm.pmaplist(list, iter("abc"), parts=parts) == [list("abc"), list("bc"), ["c"]]
    assert farm.pmaplist(len, range(50), parts=parts) == list(range(50, 0, -1))
    assert farm.pmaplist(array.tolist, array("h", [1, 2]), parts=parts) == [[1, 2], [2]]
    assert farm.pmaplist(len, [], parts=parts) == []


@pytest.mark.parametrize("parts", [None, 2])
def test_size(kernel, parts):
    """Says how many tails there are; these go to the end all the same."""
    assert farm.pmaplist(len, "abcdef", size=2, parts=parts) == [6, 5]
    assert farm.pmaplist(len, "ab", size=9, parts=parts) == [2, 1]
    assert farm.pmaplist(len, "ab", size=0, parts=parts) == []


@pytest.mark.parametrize("parts", [None, 2])
def test_pmapl(kernel, parts):
    """The first sequence comes back, the very same."""
    seen.clear()
    values = [1, 2, 3]
    assert farm.pmapl(note, values, parts=parts) is values
    assert sorted(seen, key=len, reverse=True) == [[1, 2, 3], [2, 3], [3]]


@pytest.mark.parametrize("parts", [None, 2])
def test_pmapcon(kernel, parts):
    """Lists are joined in order; None is an empty one."""
    assert farm.pmapcon(chars, "abc", parts=parts) == ["a", "b", "c", "b", "c"]


@pytest.mark.parametrize("parts", [None, 1, 2])
def test_pmaplist_into(kernel, parts):
    """As far as the shorter of the result and the sequences goes, and the size."""
    result = [0, 0, 0, 0]
    assert farm.pmaplist_into(result, len, "abc", parts=parts) is result
    assert result == [3, 2, 1, 0]
    farm.pmaplist_into(result, len, iter("abcdef"), size=2, parts=parts)
    assert result == [6, 5, 1, 0]
    assert farm.pmaplist_into([0], len, "abc", parts=parts) == [3]
    assert farm.pmaplist_into(array("h", [0, 0]), len, "abc", parts=parts) == array("h", [3, 2])
    assert farm.pmaplist_into([7, 8, 9], int, size=2, parts=parts) == [0, 0, 9]
    values = [1, 2, 3]
    assert farm.pmaplist_into(values, sum, values, parts=parts) is values
    assert values == [6, 5, 3]


def test_the_sequences_go_to_each_worker_once(kernel, paper):
    """However many tails there are; and they are freed there at the end."""
    farm.pmaplist(len, bytes(1 << 16), size=100, parts=50)
    assert paper.count(Kind.SHARED) <= 2
    kernel.broadcast_task(abs, -1)
    assert paper.count(Kind.RELEASE) == paper.count(Kind.SHARED)


def test_what_cannot_travel(kernel):
    """Is told, and where it is."""
    with pytest.raises(farm.SerializationError, match=r"a shared value -> \[0\] -> \[1\]"):
        farm.pmaplist(len, [1, Rooted()])


def test_a_task_that_fails(kernel):
    """The error says on which tail."""
    with pytest.raises(farm.TaskExecutionError, match="at element 2"):
        farm.pmaplist(divmod_first, [1, 2, 0, 4])


def divmod_first(tail):
    """Divide by the first."""
    return divmod(1, tail[0])


@pytest.mark.parametrize("name", ["pmaplist", "pmapl", "pmapcon"])
def test_bad_arguments(kernel, name):
    """Are told at once."""
    function = getattr(farm, name)
    with pytest.raises(TypeError, match=f"{name}\\(\\) needs at least one sequence"):
        function(len)
    with pytest.raises(TypeError, match=f"{name}\\(\\) takes sequences and other iterables, not 3"):
        function(len, 3)
    with pytest.raises(ValueError, match="parts"):
        function(len, [1], parts=0)
    with pytest.raises(ValueError, match="size"):
        function(len, [1], size=-1)
    with pytest.raises(TypeError, match="writes into"):
        farm.pmaplist_into("abc", len, [1])
    with pytest.raises(ValueError, match="parts"):
        farm.pmaplist_into([1], int, parts=0)


def test_a_result_that_is_read_from(kernel, paper):
    """Is read before it is written, also when a worker comes late."""
    values = [1, 2, 3, 4]
    deaths[:] = [paper.die]
    assert farm.pmaplist_into(values, sum_or_die, values, parts=4) == [10, 9, 7, 4]
    np = pytest.importorskip("numpy")
    values = np.arange(4)
    deaths[:] = [paper.die]
    got = farm.pmaplist_into(values[::-1], sum_or_die, values, parts=4)
    assert got.tolist() == [6, 6, 5, 3]


deaths = []


def sum_or_die(tail):
    """The sum; of two the worker dies the first time."""
    if len(tail) == 2 and deaths:
        raise deaths.pop()
    return sum(tail)


def test_tails_of_a_numpy_array(kernel):
    """Are arrays."""
    np = pytest.importorskip("numpy")
    assert farm.pmaplist(np.sum, np.arange(4), parts=2) == [6, 6, 5, 3]
