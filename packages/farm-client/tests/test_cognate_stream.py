"""Streams: as much of the input as is needed, and no more."""

import asyncio
import gc
import itertools
import operator
import threading

import pytest

import farm_client as farm
from farm_client.cognate import stream as module


class Counter:
    """Counts, and tells how far it is.

    Args:
        end: What to raise an error at.
    """

    def __init__(self, end=None):
        self.read = 0
        self._end = end

    def __iter__(self):
        return self

    def __next__(self):
        if self.read == self._end:
            raise LookupError("the end")
        self.read += 1
        return self.read - 1


class Rooted:
    """Cannot travel."""

    def __reduce__(self):
        raise TypeError("rooted")


def picky(x):
    """Fail at 57."""
    if x == 57:
        raise ValueError("fifty-seven")
    return -x


gates = {}


def gated(x):
    """Wait for the gate of the element, if it has one."""
    if x in gates:
        assert gates[x].wait(20)
    return x


@pytest.fixture(autouse=True)
def no_gates():
    """There are none before a test."""
    gates.clear()


def quiet(kernel):
    """Wait until nothing is on its way; nothing must be queued then."""
    kernel._engine.wait(lambda: not kernel._engine.unfinished)
    assert not kernel._engine._dispatcher.queue


class TestIteration:
    @pytest.mark.parametrize("window", [None, 1, 2, 3, 10, 1000])
    @pytest.mark.parametrize("length", [0, 1, 5, 500])
    def test_order(self, kernel, window, length):
        """Results are in the order of the elements; unordered they are all there."""
        expected = [-i for i in range(length)]
        assert list(farm.pmap_iter(operator.neg, range(length), window=window)) == expected
        assert list(farm.pmap_iter(operator.neg, iter(range(length)), window=window)) == expected
        got = farm.pmap_iter(operator.neg, iter(range(length)), ordered=False, window=window)
        assert sorted(got, reverse=True) == expected

    def test_an_iterator(self, kernel):
        """It is one, and when it has ended it has ended."""
        stream = farm.pmap_iter(operator.neg, [1])
        assert isinstance(stream, farm.Stream)
        assert iter(stream) is stream
        assert next(stream) == -1
        assert list(stream) == []
        assert next(stream, "end") == "end"

    def test_unordered(self, kernel):
        """What is ready comes, though what was before is not."""
        gates[0] = threading.Event()
        stream = farm.pmap_iter(gated, itertools.count(), ordered=False)
        got = list(itertools.islice(stream, 5))
        assert 0 not in got
        gates[0].set()
        assert 0 in stream  # after however many that the other worker is faster with
        stream.close()

    def test_nothing_is_read_before_it_is_asked_for(self, kernel):
        """The first step is the first next()."""
        source = Counter()
        stream = farm.pmap_iter(abs, source)
        assert source.read == 0
        next(stream)
        assert source.read > 0
        stream.close()

    @pytest.mark.parametrize("window", [1, 2, 7, 100])
    def test_the_window(self, kernel, window):
        """Is how far the input is ahead of the results that were used."""
        source = Counter()
        with farm.pmap_iter(abs, source, window=window) as stream:
            for used in range(300):
                assert source.read <= used + window
                assert next(stream) == used

    def test_flat_memory(self, kernel, monkeypatch):
        """An endless input is read only so far, without a window, too."""
        monkeypatch.setattr(module, "_PARTS", 4)
        monkeypatch.setattr(module, "_BYTES", 1 << 60)
        source = Counter()
        gates[0] = threading.Event()
        stream = farm.pmap_iter(gated, source)
        got = []
        thread = threading.Thread(target=lambda: got.append(next(stream)))
        thread.start()
        # The other worker goes on until there is no room left; then nothing is on its way but 0.
        call, room = stream._call, 4 * kernel.worker_count
        full = kernel._engine.wait(lambda: call.pending == 1 and call._number >= room, 20)
        seen = call.pending, call._number
        assert got == []
        gates[0].set()
        thread.join()
        assert full, seen
        assert got == [0]
        assert source.read <= (4 + 2) * kernel.worker_count * module._ELEMENTS
        stream.close()

    def test_a_numpy_array(self, kernel):
        """Is sliced."""
        np = pytest.importorskip("numpy")
        got = list(farm.pmap_iter(operator.neg, np.arange(100.0)))
        assert got == [-float(i) for i in range(100)]


class TestClosing:
    def test_close(self, kernel):
        """Takes back what is on its way; twice is no error, and the input is left as it is."""
        source = Counter()
        stream = farm.pmap_iter(abs, source)
        next(stream)
        stream.close()
        stream.close()
        read = source.read
        assert list(stream) == []
        quiet(kernel)
        assert source.read == read
        assert farm.pmap(abs, [-1]) == [1]

    def test_close_before_the_beginning(self, kernel):
        """Then nothing is read."""
        source = Counter()
        farm.pmap_iter(abs, source).close()
        assert source.read == 0

    def test_queued_parts_are_not_run(self, paper, connect):
        """They are taken back."""
        paper.workers = 1
        kernel = connect()
        gates[2] = threading.Event()
        ran = []
        recorded.append(ran)
        stream = farm.pmap_iter(recording, itertools.count(), window=50)
        assert next(stream) == 0
        stream.close()
        gates[2].set()
        quiet(kernel)
        assert len(ran) < 50

    def test_forgotten(self, kernel):
        """The garbage collector closes it."""
        source = Counter()
        for _ in farm.pmap_iter(abs, source):
            break
        gc.collect()  # PyPy's finds it only so
        read = source.read
        farm.pmap(abs, range(100))
        quiet(kernel)
        assert source.read == read

    def test_interrupted(self, kernel, monkeypatch):
        """Whoever waits may be interrupted; that ends it, for something may be missing then."""
        stream = farm.pmap_iter(abs, itertools.count())
        next(stream)

        def interrupt(*args):
            raise KeyboardInterrupt

        monkeypatch.setattr(stream._call, "wait", interrupt)
        with pytest.raises(KeyboardInterrupt):
            list(stream)
        assert list(stream) == []
        quiet(kernel)

    def test_the_end_of_the_kernel(self, kernel):
        """Is told."""
        stream = farm.pmap_iter(abs, itertools.count())
        next(stream)
        kernel.end()
        with pytest.raises(farm.KernelEndedError):
            list(stream)


recorded = []


def recording(x):
    """Remember the element."""
    recorded[-1].append(x)
    return gated(x)


class TestErrors:
    def test_a_task_that_fails(self, kernel):
        """All before come first; then it has ended."""
        stream = farm.pmap_iter(picky, itertools.count())
        got = []
        with pytest.raises(farm.TaskExecutionError, match="ValueError: fifty-seven") as caught:
            got.extend(stream)
        assert got == [-i for i in range(57)]
        assert caught.value.index == 57
        assert list(stream) == []
        quiet(kernel)

    def test_an_input_that_fails(self, kernel):
        """Likewise, with its own error."""
        stream = farm.pmap_iter(operator.neg, Counter(100))
        got = []
        with pytest.raises(LookupError, match="the end"):
            got.extend(stream)
        assert got == [-i for i in range(100)]
        assert list(stream) == []

    def test_an_element_that_cannot_travel(self, kernel):
        """Is told by its number, after what was before its part."""
        stream = farm.pmap_iter(str, [1, Rooted()], window=1)
        assert next(stream) == "1"
        with pytest.raises(farm.SerializationError, match=r"^element 1: "):
            next(stream)
        assert list(stream) == []

    def test_bad_arguments(self, kernel):
        """Are told at once."""
        with pytest.raises(TypeError, match=r"pmap_iter\(\) takes sequences and other iterables"):
            farm.pmap_iter(abs, 5)
        with pytest.raises(ValueError, match="window is a whole number from 1 on"):
            farm.pmap_iter(abs, [1], window=0)
        with pytest.raises(farm.InvalidTaskError):
            farm.pmap_iter(5, [1])
        root = Rooted()
        with pytest.raises(farm.SerializationError, match="cell"):
            farm.pmap_iter(lambda x: root, [1])

    def test_no_kernel(self):
        """Is told at once."""
        with pytest.raises(farm.NoKernelError):
            farm.pmap_iter(abs, [1])


class TestAsync:
    def test_async_for(self, kernel):
        """Gives the same."""

        async def main():
            return [x async for x in farm.pmap_iter(operator.neg, iter(range(1000)))]

        assert asyncio.run(main()) == [-i for i in range(1000)]

    def test_others_go_on(self, kernel):
        """While it waits, and while results are there."""

        async def main():
            gates[0] = threading.Event()
            ticks = 0

            async def tick():
                nonlocal ticks
                while True:
                    ticks += 1
                    if ticks == 10:
                        gates[0].set()
                    await asyncio.sleep(0)

            ticker = asyncio.ensure_future(tick())
            async with farm.pmap_iter(gated, itertools.count()) as stream:
                async for value in stream:
                    if value == 0:
                        assert ticks >= 10
                    if value == 20_000:
                        break
            ticker.cancel()

        asyncio.run(main())
        quiet(kernel)

    def test_many(self, kernel):
        """Streams wait in threads of their own, and leave none behind."""
        gates[0] = threading.Event()
        before = threading.active_count()

        async def main():
            streams = [farm.pmap_iter(gated, itertools.count()) for _ in range(40)]
            waiting = [asyncio.ensure_future(stream.__anext__()) for stream in streams]
            await asyncio.sleep(0)
            assert await asyncio.get_running_loop().run_in_executor(None, abs, -5) == 5
            gates[0].set()
            assert await asyncio.gather(*waiting) == [0] * 40
            for stream in streams:
                await stream.aclose()

        asyncio.run(main())
        quiet(kernel)
        for thread in threading.enumerate():
            if thread.name.startswith("farm-stream"):
                thread.join(20)
        assert threading.active_count() <= before + 2  # of the kernel's own

    def test_errors(self, kernel):
        """Come in their places."""

        async def main(stream, kind):
            got = []

            async def collect():
                async for value in stream:
                    got.append(value)

            with pytest.raises(kind):
                await collect()
            assert got == [-i for i in range(57)]
            return [x async for x in stream]

        assert asyncio.run(main(farm.pmap_iter(picky, range(100)), farm.TaskExecutionError)) == []
        assert asyncio.run(main(farm.pmap_iter(operator.neg, Counter(57)), LookupError)) == []

    def test_cancelled(self, kernel):
        """Whoever waits may be cancelled; that ends it, and takes back what is on its way."""
        gates[0] = threading.Event()

        async def main():
            stream = farm.pmap_iter(gated, itertools.count())
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(stream.__anext__(), 0.05)
            await stream.aclose()
            return [x async for x in stream]

        assert asyncio.run(main()) == []
        gates[0].set()
        quiet(kernel)
