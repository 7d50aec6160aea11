"""Maps: in order, of several sequences, into whatever one wants."""

import collections
import itertools
import operator
import threading
from array import array

import pytest

import farm_client as farm
from farm_client.cognate import output

seen = []


def note(*values):
    """Remember the arguments, and return the first."""
    seen.append(values)
    return values[0]


class Rooted:
    """Cannot travel."""

    def __reduce__(self):
        raise TypeError("rooted")


def picky(x):
    """Fail at 57."""
    if x == 57:
        raise ValueError("fifty-seven")
    return x


def twice(x):
    """So many of it, or None for none."""
    return [x] * x or None


@pytest.fixture(autouse=True)
def forget():
    """Nothing was seen before a test."""
    seen.clear()


class TestPmap:
    @pytest.mark.parametrize("parts", [None, 1, 2, 3, 7, 10**30])
    @pytest.mark.parametrize("length", [0, 1, 2, 6, 100])
    def test_order(self, kernel, length, parts):
        """Results are in the order of the elements, however many parts there are."""
        values = list(range(length))
        assert farm.pmap(operator.neg, values, parts=parts) == [-value for value in values]

    @pytest.mark.parametrize(
        "values",
        [
            [1, 2, 3],
            (1, 2, 3),
            range(1, 4),
            b"\1\2\3",
            bytearray(b"\1\2\3"),
            array("h", [1, 2, 3]),
            collections.deque([1, 2, 3]),
            {1: "a", 2: "b", 3: "c"},
            memoryview(b"\1\2\3"),
        ],
    )
    @pytest.mark.parametrize("parts", [None, 2])
    def test_each_kind_of_sequence(self, kernel, values, parts):
        """Its elements are what iterating over it gives."""
        assert farm.pmap(operator.neg, values, parts=parts) == [-1, -2, -3]
        assert farm.pmap(operator.neg, iter(values), parts=parts) == [-1, -2, -3]
        assert farm.pmap(note, "abc", parts=parts) == ["a", "b", "c"]

    @pytest.mark.parametrize("parts", [None, 2])
    def test_several_sequences(self, kernel, parts):
        """The shortest decides, whether it has a length or not."""
        assert farm.pmap(operator.add, [1, 2, 3], (10, 20), parts=parts) == [11, 22]
        assert farm.pmap(operator.add, iter([1, 2, 3]), (10, 20), parts=parts) == [11, 22]
        assert farm.pmap(operator.add, [1, 2], iter([10]), parts=parts) == [11]
        assert farm.pmap(operator.add, iter([1, 2]), iter([10]), parts=parts) == [11]
        assert farm.pmap(operator.add, "ab", iter([])) == []

    def test_no_more_is_read_than_map_reads(self, kernel):
        """What an iterator still has is left to it."""
        rest = iter(range(100))
        assert farm.pmap(operator.add, rest, [0] * 10) == list(range(10))
        assert next(rest) == 10
        assert farm.pmap(abs, rest, size=5) == list(range(11, 16))
        assert next(rest) == 16
        assert farm.pmap(abs, rest, size=5, parts=2) == list(range(17, 22))
        assert next(rest) == 22

    @pytest.mark.parametrize("parts", [None, 2])
    def test_size(self, kernel, parts):
        """Only the first elements are mapped; more than there are is all."""
        assert farm.pmap(abs, [1, 10, 100], size=2, parts=parts) == [1, 10]
        assert farm.pmap(abs, itertools.count(), size=3, parts=parts) == [0, 1, 2]
        assert farm.pmap(abs, [1], size=9, parts=parts) == [1]
        assert farm.pmap(abs, [1], size=0, parts=parts) == []

    def test_result_type(self, kernel):
        """The results are of the type that is asked for, and an array of its example's."""
        values = ["b", "a", "b"]
        for kind in (list, tuple, set, frozenset, collections.deque):
            got = farm.pmap(str.upper, values, result_type=kind)
            assert got == kind(["B", "A", "B"])
            assert type(got) is kind
        assert farm.pmap(str.upper, values, result_type=str) == "BAB"
        assert farm.pmap(ord, values, result_type=bytes) == b"bab"
        got = farm.pmap(ord, values, result_type=array("h"))
        assert got == array("h", [98, 97, 98])
        assert got.typecode == "h"
        assert farm.pmap(note, values, result_type=None) is None
        assert sorted(seen) == [("a",), ("b",), ("b",)]

    def test_an_array_that_cannot_hold_a_result(self, kernel):
        """Is an error of the task at that element."""
        with pytest.raises(
            farm.TaskExecutionError, match=r"OverflowError.*at element 2\)"
        ) as caught:
            farm.pmap(abs, [1, 2, 300, 4], result_type=array("B"), parts=1)
        assert caught.value.index == 2

    def test_names_of_tasks(self, kernel):
        """As anywhere, a task may be a name, or a function that is only a task."""
        assert farm.pmap("operator:neg", [1]) == [-1]

        @farm.deftask(local=False)
        def only(x):
            return x + 1

        assert farm.pmap(only, [1, 2]) == [2, 3]
        with pytest.raises(farm.InvalidTaskError):
            farm.pmap("nothing", [1])
        with pytest.raises(farm.TaskExecutionError, match="at_all"):
            farm.pmap("operator:not_at_all", [1])

    def test_pmapcar(self, kernel):
        """Is pmap to a list."""
        assert farm.pmapcar(operator.add, (1, 2), (3, 4), size=1, parts=1) == [4]

    def test_threads(self, kernel):
        """Several may map at the same time."""
        got = {}

        def work(n):
            got[n] = [farm.pmap(operator.neg, range(n)) for _ in range(10)]

        threads = [threading.Thread(target=work, args=(n,)) for n in range(50, 54)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got == {n: [[-i for i in range(n)]] * 10 for n in range(50, 54)}

    def test_category_and_priority(self, kernel, paper):
        """Parts have those of the code that calls."""
        with farm.task_category("sums"), farm.task_priority("low"):
            assert farm.pmap(abs, [-1, -2]) == [1, 2]
        assert paper.calls
        assert set(paper.calls) == {b'{"category": "sums"}'}


class TestErrors:
    @pytest.mark.parametrize("parts", [None, 1, 7, 1000])
    def test_a_task_that_fails(self, kernel, parts):
        """Ends the map; the error says at which element, and nothing is left in the kernel."""
        with pytest.raises(farm.TaskExecutionError) as caught:
            farm.pmap(picky, range(1000), parts=parts)
        error = caught.value
        assert error.report == "ValueError: fifty-seven"
        assert error.index == 57
        assert type(error.__cause__) is ValueError
        assert str(error) == "ValueError: fifty-seven (at element 57)"
        assert "in picky" in error.description
        kernel._engine.wait(lambda: not kernel._engine.unfinished)
        assert not kernel._engine._dispatcher.queue
        assert farm.pmap(abs, [-1]) == [1]

    def test_what_is_queued_is_taken_back(self, paper, connect):
        """Parts that no worker has yet are not run any more."""
        paper.workers = 1
        connect()
        with pytest.raises(farm.TaskExecutionError):
            farm.pmapc(picky_noting, range(57, 1000), parts=943)
        farm.force(farm.future(abs, -1))
        assert len(seen) < 10

    def test_an_error_of_the_iterable(self, kernel):
        """Is raised as it is, and ends the map."""

        def broken():
            yield from range(100)
            raise LookupError("broken")

        with pytest.raises(LookupError, match="broken"):
            farm.pmap(abs, broken())
        kernel._engine.wait(lambda: not kernel._engine.unfinished)

    def test_an_element_that_cannot_travel(self, kernel):
        """Is told by its number."""
        lock = Rooted()
        with pytest.raises(
            farm.SerializationError, match=r"^element 2: argument 2 of add -> \[0\]"
        ):
            farm.pmap(operator.add, "abcd", [1, 2, lock, 3], parts=1)
        with pytest.raises(farm.SerializationError, match=r"^element 3: "):
            farm.pmap(abs, iter([1, 2, 3, lock]))
        with pytest.raises(farm.SerializationError, match="closure"):
            farm.pmap(lambda x: lock, [1])

    def test_a_worker_that_dies(self, kernel, paper):
        """Ends the map when that happened too often."""
        deaths[:] = [paper.die]
        with pytest.raises(farm.WorkerLostError, match="die_now was started 3 times"):
            farm.pmap(die_now, [1])

    def test_the_end_of_the_kernel(self, kernel):
        """Ends a map in another thread."""
        gate.clear()
        caught = []

        def work():
            try:
                farm.pmap(wait_at_gate, range(100))
            except farm.KernelEndedError as error:
                caught.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        arrived.wait(20)
        kernel.end()
        gate.set()
        thread.join()
        assert caught

    def test_no_kernel(self):
        """Says how to make one."""
        with pytest.raises(farm.NoKernelError, match="make_kernel"):
            farm.pmap(abs, [])

    @pytest.mark.parametrize(
        ("keywords", "kind", "text"),
        [
            ({"parts": 0}, ValueError, "parts is a whole number from 1 on, or None for as many"),
            ({"parts": -1}, ValueError, "not -1"),
            ({"parts": 1.5}, TypeError, "parts is a whole number"),
            ({"size": -1}, ValueError, "size is a whole number from 0 on, or None for all"),
            ({"size": "3"}, TypeError, "not '3'"),
            ({"result_type": "list"}, TypeError, "result_type is a type, or an array"),
            ({"result_type": array}, TypeError, r"needs an example: array\.array\('d'\)"),
        ],
    )
    def test_bad_keywords(self, kernel, keywords, kind, text):
        """Are told at once."""
        with pytest.raises(kind, match=text):
            farm.pmap(abs, [1], **keywords)

    def test_no_sequences(self, kernel):
        """There must be one, and what is none is told."""
        for function in (farm.pmap, farm.pmapcar, farm.pmapc, farm.pmapcan):
            with pytest.raises(TypeError, match=f"{function.__name__}\\(\\) needs at least one"):
                function(abs)
            with pytest.raises(TypeError, match="takes sequences and other iterables, not 3"):
                function(abs, [1], 3)


gate, arrived = threading.Event(), threading.Event()


def wait_at_gate(x):
    """Wait until the test opens the gate."""
    arrived.set()
    assert gate.wait(20)
    return x


deaths = []


def die_now(x):
    """End the worker."""
    raise deaths[0]


def picky_noting(x):
    """`picky`, and remember."""
    seen.append(x)
    return picky(x)


class TestEffects:
    def test_pmapc(self, kernel):
        """The first sequence comes back, the very same."""
        values, others = [1, 2, 3], iter("abc")
        assert farm.pmapc(note, values, others) is values
        assert sorted(seen) == [(1, "a"), (2, "b"), (3, "c")]
        assert farm.pmapc(note, others) is others

    def test_pmapc_brings_nothing_home(self, kernel):
        """Results need not even be able to travel."""
        assert farm.pmapc(lock_of, [1]) == [1]

    def test_pdotimes(self, kernel):
        """The task is called with each number below; nothing is returned."""
        assert farm.pdotimes(50, note, parts=3) is None
        assert sorted(seen) == [(i,) for i in range(50)]
        assert farm.pdotimes(0, note) is None
        assert farm.pdotimes(-5, note) is None
        with pytest.raises(TypeError, match="takes a whole number, not 'x'"):
            farm.pdotimes("x", note)
        with pytest.raises(ValueError, match="parts"):
            farm.pdotimes(1, note, parts=0)

    @pytest.mark.parametrize("parts", [None, 1, 2, 9])
    def test_pmapcan(self, kernel, parts):
        """Lists are joined in order; None is an empty one."""
        assert farm.pmapcan(twice, [2, 0, 1, 3], parts=parts) == [2, 2, 1, 3, 3, 3]
        assert farm.pmapcan(twice, iter([2, 0]), parts=parts, size=1) == [2, 2]
        assert farm.pmapcan(pair, "ab", "cd", parts=parts) == ["a", "c", "b", "d"]
        with pytest.raises(farm.TaskExecutionError, match="at element 1"):
            farm.pmapcan(picky, [None, 1], parts=parts)


def pair(a, b):
    """Both, in a tuple."""
    return a, b


def lock_of(_):
    """What cannot travel."""
    return Rooted()


class TestPmapInto:
    @pytest.mark.parametrize("parts", [None, 1, 2, 3])
    def test_it_writes_and_returns_the_result(self, kernel, parts):
        """A list or an array; as far as the shorter of it and the sequences go."""
        result = [0, 0, 0]
        assert farm.pmap_into(result, operator.add, [5, 6, 7], (10, 11, 12), parts=parts) is result
        assert result == [15, 17, 19]
        result = [0]
        farm.pmap_into(result, operator.add, [5, 6, 7], [10, 11, 12], parts=parts)
        assert result == [15]
        result = array("d", [9, 9, 9])
        assert farm.pmap_into(result, abs, iter([-1, -2]), parts=parts) is result
        assert result == array("d", [1, 2, 9])
        for result in (bytearray(b"xyz"), collections.deque([7, 8, 9])):
            farm.pmap_into(result, abs, [1, 2], parts=parts)
            assert list(result)[:2] == [1, 2]
            assert len(result) == 3

    @pytest.mark.parametrize("parts", [None, 1, 2])
    def test_nothing_beyond_the_size(self, kernel, parts):
        """Is touched."""
        result = [99, 99, 99, 99]
        farm.pmap_into(result, abs, [-1, -10, -100, -1000], size=2, parts=parts)
        assert result == [1, 10, 99, 99]
        farm.pmap_into(result, abs, [5], size=0, parts=parts)
        assert result == [1, 10, 99, 99]

    @pytest.mark.parametrize("parts", [None, 1, 2])
    def test_without_sequences(self, kernel, parts):
        """The task is called without arguments, once for each element."""
        assert farm.pmap_into([1, 2, 3, 4], dict, parts=parts) == [{}] * 4
        assert farm.pmap_into([1, 2, 3, 4], int, size=2, parts=parts) == [0, 0, 3, 4]
        assert farm.pmap_into([1, 2], int, size=9999, parts=parts) == [0, 0]
        assert farm.pmap_into([], int, parts=parts) == []

    def test_the_result_may_be_a_sequence_of_its_own(self, kernel):
        """Each element is read before it is written."""
        values = list(range(1000))
        farm.pmap_into(values, operator.neg, values)
        assert values == [-i for i in range(1000)]
        farm.pmap_into(values, operator.neg, reversed(values))
        assert values == list(range(999, -1, -1))

    def test_what_cannot_be_written_to(self, kernel):
        """Is told at once."""
        for bad in ((1, 2), "ab", range(2), {1: 2}, None):
            with pytest.raises(TypeError, match="writes into a list, an array or a NumPy array"):
                farm.pmap_into(bad, abs, [1])
        with pytest.raises(TypeError, match="takes sequences"):
            farm.pmap_into([1], abs, 5)

    def test_a_task_that_fails(self, kernel):
        """Leaves what was written, and raises."""
        result = [0] * 100
        with pytest.raises(farm.TaskExecutionError, match="at element 57"):
            farm.pmap_into(result, picky, range(100), parts=100)
        assert result[57:] == [0] * 43


class TestNumPy:
    @pytest.fixture(autouse=True)
    def numpy(self):
        return pytest.importorskip("numpy")

    def test_a_new_array(self, kernel, numpy):
        """Of the type that the results have together, or of an example's."""
        got = farm.pmap(operator.neg, numpy.arange(10), result_type=numpy.ndarray)
        assert got.dtype == numpy.arange(1).dtype
        assert got.tolist() == [-i for i in range(10)]
        got = farm.pmap(float, range(10), result_type=numpy.zeros(0, "f4"), parts=3)
        assert got.dtype == numpy.float32
        assert got.tolist() == list(map(float, range(10)))
        assert farm.pmap(abs, [], result_type=numpy.ndarray).shape == (0,)

    def test_parts_of_different_types(self, kernel, numpy):
        """Make an array that has room for all."""
        got = farm.pmap(note, [1, 2, 2.5, 4], result_type=numpy.ndarray, parts=4)
        assert got.tolist() == [1.0, 2.0, 2.5, 4.0]
        got = farm.pmap(note, ["a", "bcd"], result_type=numpy.ndarray, parts=2)
        assert got.tolist() == ["a", "bcd"]

    def test_rows(self, kernel, numpy):
        """The elements of a matrix are its rows, in and out."""
        matrix = numpy.arange(12.0).reshape(4, 3)
        assert farm.pmap(numpy.sum, matrix, parts=2) == [3.0, 12.0, 21.0, 30.0]
        got = farm.pmap(numpy.sort, -matrix, result_type=numpy.ndarray, parts=2)
        assert got.tolist() == numpy.sort(-matrix).tolist()
        result = numpy.zeros((4, 3))
        assert farm.pmap_into(result, numpy.sort, -matrix, size=3) is result
        assert result.tolist() == [*numpy.sort(-matrix[:3]).tolist(), [0, 0, 0]]
        assert farm.pmap_into(result, float, range(4)).tolist() == [[i] * 3 for i in range(4)]

    def test_into_an_array(self, kernel, numpy):
        """Of any type; nothing beyond the size is touched."""
        for dtype in ("f8", "i4", "O", "U3", "f8,i4"):
            result = numpy.zeros(5, dtype)
            values = [(1.0, 2)] * 3 if dtype == "f8,i4" else ["7", "8", "9"]
            farm.pmap_into(result, note, values, size=2, parts=2)
            expected = numpy.zeros(5, dtype)
            for i in range(2):
                expected[i] = values[i]
            assert result.tolist() == expected.tolist()

    def test_into_itself(self, kernel, numpy):
        """Every element is read before it is written, also where views overlap."""
        values = numpy.arange(1000)
        farm.pmap_into(values, operator.neg, values, parts=10)
        assert values.tolist() == [-i for i in range(1000)]
        values = numpy.arange(1000)
        farm.pmap_into(values, abs, values[::-1], parts=10)
        assert values.tolist() == list(range(999, -1, -1))

    def test_read_only(self, kernel, numpy):
        """Such an array is refused, and one without dimensions is no sequence."""
        result = numpy.zeros(3)
        result.flags.writeable = False
        with pytest.raises(TypeError, match="read-only"):
            farm.pmap_into(result, abs, [1])
        with pytest.raises(TypeError, match="writes into"):
            farm.pmap_into(numpy.array(1), abs, [1])
        with pytest.raises(TypeError, match="takes sequences"):
            farm.pmap(abs, numpy.array(1))

    def test_where_workers_have_no_numpy(self, numpy):
        """Lists become an array here."""
        made = output.make_output(numpy.ndarray)
        made.put(0, [1, 2])
        made.put(2, [2.5])
        assert made.finish().tolist() == [1.0, 2.0, 2.5]
        made = output.make_target("pmap_into", numpy.zeros(3), ())
        made.put(0, [1, 2])
        assert made.finish().tolist() == [1.0, 2.0, 0.0]
