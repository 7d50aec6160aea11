"""The cognates on real workers, ground against Python's own functions for sequences."""

import contextlib
import functools
import itertools
import multiprocessing
import operator
import os
import signal
import sys
import threading
import time
from array import array
from concurrent.futures import ProcessPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import farm_client as farm

BOUND = 60.0

grind = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

INTS = st.lists(st.integers(-100, 100), max_size=60)

PARTS = st.none() | st.integers(1, 20) | st.just(10**20)

SIZES = st.none() | st.integers(0, 70)

INDICES = st.integers(-70, 70)


@st.composite
def sequences(draw):
    """Some integers, and what makes a sequence or another iterable of them."""
    values = draw(INTS)
    kinds = [list, tuple, iter, lambda x: array("h", x), lambda x: dict.fromkeys(x).keys()]
    if "numpy" in sys.modules:
        kinds.append(lambda x: sys.modules["numpy"].array(x, "i8"))
    kind = draw(st.sampled_from(kinds))
    return list(kind(values)), lambda: kind(values)


@pytest.fixture(params=["local", "tcp", "processes"], scope="module")
def cruncher(request, address):
    """A kernel of two workers, of a private server, over TCP, or of a pool; the current one."""
    try:
        import numpy as np  # noqa: F401 (so that `sequences` has some of its arrays)
    except ImportError:
        pass
    farm.set_kernel(None)
    with contextlib.ExitStack() as stack:
        place = address if request.param == "tcp" else "local?workers=2"
        if request.param == "processes":
            context = multiprocessing.get_context("spawn")
            place = stack.enter_context(ProcessPoolExecutor(2, mp_context=context))
        kernel = farm.make_kernel(place, timeout=BOUND)
        stack.callback(kernel.end)
        yield kernel


def rest(kernel):
    """Wait until nothing is on its way; nothing may be queued."""
    engine = kernel._engine
    assert engine.wait(lambda: not engine.unfinished, BOUND)
    assert not engine._dispatcher.queue


class TestGrind:
    @grind
    @given(sequences(), PARTS, SIZES)
    def test_pmap(self, cruncher, sequence, parts, size):
        """As map, of one sequence."""
        values, make = sequence
        assert farm.pmap(operator.neg, make(), parts=parts, size=size) == [
            -value for value in values[:size]
        ]
        got = farm.pmap(lambda x: x * 2, make(), parts=parts, size=size, result_type=tuple)
        assert got == tuple(value * 2 for value in values[:size])

    @grind
    @given(sequences(), sequences(), sequences(), PARTS, SIZES)
    def test_pmap_of_several(self, cruncher, a, b, c, parts, size):
        """As map, of three sequences of any lengths."""

        def join(x, y, z):
            return [int(x), int(y), int(z)]

        expected = list(map(join, a[0], b[0], c[0]))[:size]
        keywords = {"parts": parts, "size": size}
        args = join, a[1](), b[1](), c[1]()
        assert farm.pmapcar(*args, **keywords) == expected
        args = join, a[1](), b[1](), c[1]()
        assert farm.pmapcan(*args, **keywords) == list(itertools.chain(*expected))
        first = a[1]()
        assert farm.pmapc(join, first, b[1](), c[1](), **keywords) is first

    @grind
    @given(sequences(), INTS, PARTS, SIZES)
    def test_pmap_into(self, cruncher, sequence, before, parts, size):
        """As map, and nothing beyond is touched."""
        values, make = sequence
        new = [-value for value in values[:size]][: len(before)]
        expected = new + before[len(new) :]
        result = list(before)
        assert farm.pmap_into(result, operator.neg, make(), parts=parts, size=size) is result
        assert result == expected
        result = array("h", before)
        farm.pmap_into(result, operator.neg, make(), parts=parts, size=size)
        assert result.tolist() == expected

    @grind
    @given(sequences(), sequences(), PARTS, SIZES)
    def test_tails(self, cruncher, a, b, parts, size):
        """As a loop over slices."""

        def join(x, y):
            return [int(x[0]), len(x), len(y)]

        number = min(len(a[0]), len(b[0]))
        expected = [join(a[0][i:], b[0][i:]) for i in range(number)][:size]
        keywords = {"parts": parts, "size": size}
        assert farm.pmaplist(join, a[1](), b[1](), **keywords) == expected
        got = farm.pmapcon(join, a[1](), b[1](), **keywords)
        assert got == list(itertools.chain(*expected))
        result = [0] * 5
        farm.pmaplist_into(result, join, a[1](), b[1](), **keywords)
        assert result == expected[:5] + [0] * (5 - len(expected[:5]))

    @grind
    @given(sequences(), PARTS, INDICES, st.none() | INDICES, st.booleans(), st.booleans())
    def test_preduce(self, cruncher, sequence, parts, start, end, from_end, recurse):
        """As functools.reduce, by a function that is associative and not commutative."""
        values, make = sequence
        keywords = {"key": str, "start": start, "end": end, "from_end": from_end, "parts": parts}
        text = "".join(map(str, values[start:end]))
        got = farm.preduce(operator.add, make(), initial_value="", recurse=recurse, **keywords)
        assert got == text
        if values[start:end]:
            assert farm.preduce(operator.add, make(), recurse=recurse, **keywords) == text
            partial = farm.preduce_partial(operator.add, make(), **keywords)
            assert "".join(partial) == text
            if parts is not None:
                assert len(partial) == min(parts, len(values[start:end]))

    @grind
    @given(INTS.filter(bool), st.integers(1, 70))
    def test_parts_of_a_reduction(self, cruncher, values, parts):
        """With one part it is functools.reduce, and with one for each element, too."""

        def odd(a, b):
            return a * 2 - b

        expected = functools.reduce(odd, values)
        assert farm.preduce(odd, values, parts=1) == expected
        assert farm.preduce(odd, values, parts=len(values)) == expected
        got = farm.preduce(lambda a, b: odd(b, a), values, parts=1, from_end=True)
        assert got == functools.reduce(odd, values[::-1])
        got = farm.preduce(operator.add, [0] * parts, parts=parts, initial_value=1)
        assert got == parts

    @grind
    @given(sequences(), PARTS, INDICES, st.none() | INDICES, st.booleans(), st.integers(0, 20))
    def test_searches(self, cruncher, sequence, parts, start, end, from_end, item):
        """As loops."""
        values, make = sequence
        window = values[start:end]
        ordered = window[::-1] if from_end else window
        keywords = {"start": start, "end": end, "from_end": from_end, "parts": parts}

        def large(x):
            return bool(x > item)

        found = next(filter(large, ordered), None)
        assert farm.pfind_if(large, make(), **keywords) == found
        found = next(itertools.filterfalse(large, ordered), None)
        assert farm.pfind_if_not(large, make(), **keywords) == found
        assert farm.pfind(item, make(), **keywords) == (item if item in window else None)
        found = next((x for x in ordered if abs(x) == item), None)
        assert farm.pfind(item, make(), key=abs, **keywords) == found
        assert farm.pcount(item, make(), **keywords) == window.count(item)
        assert farm.pcount_if(large, make(), **keywords) == sum(map(large, window))
        assert farm.pcount_if_not(large, make(), **keywords) == len(window) - sum(
            map(large, window)
        )

    @grind
    @given(sequences(), sequences(), PARTS, SIZES, st.integers(0, 200))
    def test_quantifiers(self, cruncher, a, b, parts, size, limit):
        """As any and all."""

        def below(x, y):
            return bool(x + y < limit)

        true = list(map(below, a[0], b[0]))[:size]
        keywords = {"parts": parts, "size": size}
        assert farm.pevery(below, a[1](), b[1](), **keywords) is all(true)
        assert farm.psome(below, a[1](), b[1](), **keywords) is any(true)
        assert farm.pnotany(below, a[1](), b[1](), **keywords) is not any(true)
        assert farm.pnotevery(below, a[1](), b[1](), **keywords) is not all(true)

    @grind
    @given(
        sequences(),
        PARTS,
        INDICES,
        st.none() | INDICES,
        st.booleans(),
        st.none() | st.integers(0, 10),
        st.integers(0, 3),
    )
    def test_premove(self, cruncher, sequence, parts, start, end, from_end, count, item):
        """As a loop that counts."""
        values, make = sequence
        numbers = range(len(values))[start:end]
        gone = [i for i in numbers if values[i] % 4 == item]
        if count is not None:
            gone = gone[max(0, len(gone) - count) :] if from_end else gone[:count]
        expected = [value for i, value in enumerate(values) if i not in gone]
        keywords = {
            "start": start,
            "end": end,
            "from_end": from_end,
            "count": count,
            "parts": parts,
        }

        def rest(x):
            return x % 4

        def is_item(x):
            return bool(x % 4 == item)

        assert list(farm.premove(item, make(), key=rest, **keywords)) == expected
        assert list(farm.premove_if(is_item, make(), **keywords)) == expected
        got = farm.premove_if_not(lambda x: not is_item(x), make(), **keywords)
        assert list(got) == expected

    @grind
    @given(sequences(), PARTS, st.booleans(), st.sampled_from([None, abs, str, lambda x: -x % 3]))
    def test_psort(self, cruncher, sequence, parts, reverse, key):
        """As sorted."""
        values, make = sequence
        got = farm.psort(make(), key=key, reverse=reverse, parts=parts)
        assert list(got) == sorted(values, key=key, reverse=reverse)
        tagged = [(value % 5, i) for i, value in enumerate(map(int, values))]
        got = farm.psort(tagged, key=operator.itemgetter(0), reverse=reverse, parts=parts)
        assert got == sorted(tagged, key=operator.itemgetter(0), reverse=reverse)

    @grind
    @given(sequences(), st.none() | st.integers(1, 20), st.booleans())
    def test_pmap_iter(self, cruncher, sequence, window, ordered):
        """As map."""
        values, make = sequence
        got = list(farm.pmap_iter(operator.neg, make(), window=window, ordered=ordered))
        expected = [-value for value in values]
        assert (got if ordered else sorted(got)) == (expected if ordered else sorted(expected))

    @grind
    @given(INTS, PARTS, st.integers(-100, 100))
    def test_errors(self, cruncher, values, parts, bad):
        """The element that is named is one that fails, and the first in a search or a stream."""

        def picky(x):
            if x == bad:
                raise ValueError(f"not {x}")
            return x

        indices = [i for i, value in enumerate(values) if value == bad]
        if not indices:
            assert farm.pmap(picky, values, parts=parts) == values
            return
        with pytest.raises(farm.TaskExecutionError, match=f"ValueError: not {bad}") as caught:
            farm.pmap(picky, values, parts=parts)
        assert caught.value.index in indices
        with pytest.raises(farm.TaskExecutionError) as caught:
            farm.pfind_if(lambda x: picky(x) > 1000, values, parts=parts)
        assert caught.value.index == indices[0]
        stream, got = farm.pmap_iter(picky, values), []
        with pytest.raises(farm.TaskExecutionError) as caught:
            got.extend(stream)
        assert got == values[: indices[0]]
        assert caught.value.index == indices[0]
        rest(cruncher)

    def test_large_inputs(self, cruncher):
        """A hundred thousand elements are divided, and come together again."""
        values = list(range(100_000))
        assert farm.pmap(operator.neg, values) == [-value for value in values]
        assert farm.preduce(operator.add, values) == sum(values)
        assert farm.pcount_if(lambda x: x % 7 == 0, values) == 14286
        assert farm.premove_if(lambda x: x % 2, values) == values[::2]
        assert farm.psort(values, reverse=True) == values[::-1]
        assert farm.psort(map(str, values), key=int, reverse=True) == list(map(str, values[::-1]))
        assert farm.pfind(99_999, values) == 99_999
        assert list(farm.pmap_iter(operator.neg, iter(values))) == [-value for value in values]

    def test_threads(self, cruncher):
        """Several cognates at the same time do not get in each other's way."""
        failed = []

        def work(n):
            try:
                for i in range(20):
                    values = range(n * i)
                    assert farm.pmap(lambda x: x * n, values) == [x * n for x in values]
                    assert farm.pfind(n, values) == (n if n in values else None)
            except BaseException as error:
                failed.append(error)
                raise

        farm.set_kernel(cruncher)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(100, 105)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed


class TestTraffic:
    """What crosses the connections to two workers, counted by a proxy."""

    @pytest.fixture
    def counted(self, address, wire, make):
        """A kernel through a wire, and what tells how many bytes a call sends."""
        between = wire(address)
        kernel = make(between.address)
        kernel.broadcast_task(abs, -1)

        def count(function):
            before = between.sent_bytes
            function()
            kernel.broadcast_task(abs, -1)
            return between.sent_bytes - before

        return count

    @pytest.mark.parametrize("parts", [None, 100])
    def test_what_a_task_captured(self, counted, parts):
        """It goes to each worker once, not with each part."""
        data = os.urandom(1_000_000)

        def task(x):
            return data[x]

        assert 1_000_000 < counted(lambda: farm.pmap(task, range(1000), parts=parts)) < 2_200_000
        counted(lambda: farm.pfind_if(lambda x: x > 900 and data[x] < 0, range(1000), parts=parts))

    @pytest.mark.parametrize("parts", [None, 50])
    def test_tails(self, counted, parts):
        """The sequences go to each worker once, not each tail."""
        data = [os.urandom(1000) for _ in range(1000)]
        sent = counted(lambda: farm.pmaplist(len, data, size=200, parts=parts))
        assert 1_000_000 < sent < 2_200_000

    def test_slices(self, counted):
        """Ranges stay ranges, arrays arrays; a list goes once, in parts."""
        assert counted(lambda: farm.pmap(operator.neg, range(100_000), parts=10)) < 10_000
        values = array("d", range(100_000))
        assert 800_000 < counted(lambda: farm.pmapc(abs, values)) < 900_000
        lines = [b"%099d" % i for i in range(10_000)]
        assert 1_000_000 < counted(lambda: farm.pmapc(len, lines)) < 1_200_000

    def test_numpy_arrays(self, counted):
        """They go as they are."""
        np = pytest.importorskip("numpy")
        assert 800_000 < counted(lambda: farm.pmapc(abs, np.zeros(100_000))) < 900_000
        assert 800_000 < counted(lambda: farm.psort(np.zeros(100_000))) < 900_000


class TestTrouble:
    def test_the_worker_is_named(self, kernel):
        """An error says which worker it was, and at which element."""
        with pytest.raises(farm.TaskExecutionError) as caught:
            farm.pmap(lambda x: 1 // x, [1, 1, 0, 1])
        error = caught.value
        assert error.worker in [link.label for link in kernel._engine.links]
        assert f"(on {error.worker}, at element 2)" in str(error)
        assert "1 // x" in error.description
        assert type(error.__cause__) is ZeroDivisionError

    def test_an_exception_that_cannot_travel(self, kernel):
        """Leaves its text, and the number of its element."""

        def fail(x):
            if x == 3:
                error = ValueError("three")
                error.lock = threading.Lock()
                raise error
            return x

        with pytest.raises(farm.TaskExecutionError, match="ValueError: three") as caught:
            farm.pmap(fail, range(10), parts=1)
        assert caught.value.index == 3

    def test_exits_are_errors(self, kernel):
        """SystemExit and KeyboardInterrupt of a task cost no worker."""
        pids = {worker.pid for worker in kernel.workers()}
        for error in (SystemExit, KeyboardInterrupt):

            def leave(x, error=error):
                raise error(x)

            with pytest.raises(farm.TaskExecutionError, match=error.__name__):
                farm.pmap(leave, [1])
        assert {worker.pid for worker in kernel.workers()} == pids

    def test_a_worker_that_dies_once(self, kernel, tmp_path):
        """Its part is run again, and nothing is missing."""
        mark = str(tmp_path / "mark")

        def die_once(x):
            if x == 500:
                try:
                    os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    return x
                os.kill(os.getpid(), signal.SIGKILL)
            return x

        assert farm.pmap(die_once, range(1000), parts=20) == list(range(1000))

    def test_a_worker_that_dies_always(self, kernel, fails_with):
        """Is told after three times, with the signal."""

        def die(x):
            os.kill(os.getpid(), signal.SIGKILL)

        with fails_with(farm.WorkerLostError, "die", "3 times", "SIGKILL"):
            farm.pmap(die, [1, 2])

    def test_what_is_queued_is_withdrawn(self, kernel, tmp_path):
        """After an error nothing of the cognate is started any more."""

        def note(x):
            (tmp_path / str(x)).touch()
            if x == 3:
                raise ValueError
            time.sleep(0.01)

        with pytest.raises(farm.TaskExecutionError):
            farm.pmap(note, range(1000), parts=1000)
        rest(kernel)
        assert len(list(tmp_path.iterdir())) < 50

    def test_ctrl_c(self, run, address):
        """It ends the cognate, and the kernel goes on, with nothing of it queued."""
        done = run(
            f"""
            import os, signal, threading, time
            import farm_client as farm

            with farm.make_kernel({address!r}) as kernel:
                farm.pmap(abs, range(10))
                for _ in range(5):
                    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
                    try:
                        farm.pmap(time.sleep, [0.05] * 100)
                    except KeyboardInterrupt:
                        print("interrupted", len(kernel._engine._dispatcher.queue))
                print(farm.pmap(abs, [-1, -2]))
                kernel.end(wait=True)
            """
        )
        assert done.stderr == ""
        assert done.stdout.splitlines() == ["interrupted 0"] * 5 + ["[1, 2]"]

    def test_a_kernel_that_grows(self, launch, make):
        """Workers that join get parts, too."""
        kernel = make(launch("127.0.0.1:0", "--workers", "1").address)
        other = launch("127.0.0.1:0", "--workers", "1").address
        seen = set()
        stream = farm.pmap_iter(lambda x: (time.sleep(0.002), farm_worker())[1], itertools.count())
        for count, index in enumerate(stream):
            if count == 10:
                kernel.add(other)
            seen.add(index)
            if len(seen) == 2:
                break
        stream.close()
        assert seen == {0, 1}


def farm_worker():
    """The index of the worker."""
    from farm_common.place import worker_index

    return worker_index()


class TestStreams:
    def test_flat_memory(self, run, address):
        """A stream of a gigabyte takes some megabytes."""
        done = run(
            f"""
            import itertools, resource
            import farm_client as farm

            with farm.make_kernel({address!r}):
                total = 0
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                for block in farm.pmap_iter(bytes, itertools.repeat(100_000)):
                    total += len(block)
                    if total == 1_000_000_000:
                        break
                after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                print((after - before) // 1024)
            """
        )
        assert done.stderr == ""
        assert int(done.stdout) < 200

    def test_progress_on_a_pipe(self, run, address):
        """Nothing is written there."""
        done = run(
            f"""
            import farm_client as farm

            with farm.make_kernel({address!r}):
                farm.pmap(abs, range(1000), progress=True)
                list(farm.pmap_iter(abs, range(1000), progress=True))
            """
        )
        assert (done.stdout, done.stderr) == ("", "")

    def test_a_forgotten_stream(self, kernel):
        """A loop that is left lets the workers rest."""
        for value in farm.pmap_iter(operator.neg, itertools.count()):
            if value == -1000:
                break
        if sys.implementation.name == "pypy":
            import gc

            gc.collect()
        farm.pmap(abs, range(1000))
        rest(kernel)


def test_mixed_kernels(launch, make, peer):
    """Functions of the program go to workers of this version and of others at the same time."""
    addresses = [launch("127.0.0.1:0", "--workers", "2").address]
    addresses.append(launch("127.0.0.1:0", "--workers", "2", python=peer).address)
    make(addresses)
    shift = 7

    def work(x):
        time.sleep(0.001)
        return x + shift, sys.version

    got = farm.pmap(work, range(300), parts=100)
    assert [value for value, _ in got] == list(range(7, 307))
    assert len({version for _, version in got}) == 2
    assert farm.psort(range(300), key=lambda x: -x) == list(range(299, -1, -1))

    def picky(x):
        if x == 57:
            raise LookupError("fifty-seven")
        return x

    with pytest.raises(farm.TaskExecutionError) as caught:
        farm.pmap(picky, range(300), parts=100)
    assert caught.value.index == 57
    assert type(caught.value.__cause__) is LookupError


def test_other_interpreters(launch, make, peer):
    """Workers of any version run parts of what they can import."""
    make(launch("127.0.0.1:0", "--workers", "2", python=peer).address)
    values = list(range(-500, 500))
    assert farm.pmap(abs, values) == list(map(abs, values))
    assert farm.pmap("operator:neg", iter(values), result_type=array("h")) == array(
        "h", map(operator.neg, values)
    )
    assert farm.preduce(operator.add, values, key=abs) == sum(map(abs, values))
    assert farm.pmaplist(len, values, size=3) == [1000, 999, 998]
    assert farm.pfind(99, values) == 99
    assert farm.psort(values, key=abs) == sorted(values, key=abs)
    assert farm.psort(array("d", values), reverse=True) == array("d", values[::-1])
    assert farm.premove_if_not("builtins:bool", values) == list(filter(None, values))
    assert list(farm.pmap_iter(operator.neg, values)) == [-value for value in values]
    with pytest.raises(farm.TaskExecutionError, match="ZeroDivisionError") as caught:
        farm.pmap(operator.truediv, values, values)
    assert caught.value.index == 500
    assert type(caught.value.__cause__) is ZeroDivisionError
