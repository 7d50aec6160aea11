"""The sizes of parts: simulated, because what counts is how the work divides."""

import heapq
import itertools
import random
from types import SimpleNamespace

import pytest

from farm_client.cognate.pace import Even, Pace, PartEstimate
from farm_client.scheduler import DEPTH


def simulate(costs, workers, sizes=None, overhead=200.0, known=True):
    """Run elements of these costs, in microseconds, and return when the last worker is done.

    A worker takes `overhead` for each part, besides. Parts are made when a worker is free, or as
    many before as `sizes` says.

    Returns:
        The time, and the sizes of the parts.
    """
    sizes = sizes or Pace()
    free = [0.0] * workers  # when each worker is free
    heapq.heapify(free)
    flying = []  # (when done, size, micros)
    now, place, made = 0.0, 0, []
    while place < len(costs) or flying:
        while place < len(costs) and len(flying) < sizes.ahead(workers):
            size = sizes.next(len(costs) - place if known else None, workers)
            assert size >= 1
            part = costs[place : place + size]
            place += size
            made.append(len(part))
            start = max(now, heapq.heappop(free))
            done = start + overhead + sum(part)
            heapq.heappush(free, done)
            heapq.heappush(flying, (done, len(made), len(part), sum(part)))
        now, number, size, micros = heapq.heappop(flying)
        alone = workers < number and len(flying) < workers
        sizes.note(size, int(micros), overhead if alone else None, 10 * size)
    return now, made


def ideal(costs, workers):
    """When all would be done if they could be divided at will."""
    return max(sum(costs) / workers, *costs)


class TestPace:
    @pytest.mark.parametrize("workers", [1, 2, 8, 64])
    def test_tiny_elements_are_batched(self, workers):
        """A million of 0.1 µs take little more than they must, in few parts."""
        count = 1_000_000
        time, made = simulate([0.1] * count, workers)
        assert sum(made) == count
        assert len(made) < 20 * workers + 40
        assert time < 1.25 * 0.1 * count / workers + 3000

    @pytest.mark.parametrize("timeout", [1e-3, 0.01, 0.1])
    @pytest.mark.parametrize("overhead", [200.0, 100_000.0])
    def test_a_time_limit(self, timeout, overhead):
        """Parts are expected to take a quarter of it at most, on slow networks too."""
        sizes = Pace()
        sizes.limit(timeout)
        _, made = simulate([10.0] * 50_000, 2, sizes, overhead)
        assert max(made) * 10.0 <= timeout * 1e6 / 4
        assert max(made) > 1

    @pytest.mark.parametrize("workers", [2, 8])
    @pytest.mark.parametrize("known", [True, False])
    def test_even_elements(self, workers, known):
        """400 of 5 ms are divided to a few percent."""
        costs = [5000.0] * 400
        time, _ = simulate(costs, workers, known=known)
        assert time < (1.03 if known else 1.15) * ideal(costs, workers)

    @pytest.mark.parametrize("workers", [2, 3, 8])
    @pytest.mark.parametrize("order", ["up", "down", "any", "one"])
    def test_uneven_elements(self, workers, order):
        """Of 0.1 to 100 ms, however they are sorted: within a tenth of the best equal parts."""
        costs = [100 * 1000 ** (i / 399) for i in range(400)]
        if order == "down":
            costs.reverse()
        elif order == "any":
            random.Random(7).shuffle(costs)
        elif order == "one":
            costs = [200.0] * 2000 + [50_000.0]
        time, _ = simulate(costs, workers)
        best = min(
            simulate(costs, workers, Even(len(costs), parts))[0]
            for parts in (*range(1, 100), 150, 200, 400)
        )
        assert time < 1.1 * best

    @pytest.mark.parametrize("seed", range(5))
    def test_random_elements(self, seed):
        """200 of 1 to 80 ms are divided to a few percent and the last element."""
        rng = random.Random(seed)
        costs = [rng.uniform(1000, 80_000) for _ in range(200)]
        time, _ = simulate(costs, 2)
        assert time < 1.02 * ideal(costs, 2) + 80_000

    def test_the_first_parts_have_one_element(self):
        """Nobody knows how long that takes; as many are sent as there are workers."""
        pace = Pace()
        assert pace.ahead(3) == 3
        assert [pace.next(1000, 3) for _ in range(3)] == [1, 1, 1]

    def test_it_does_not_leap(self):
        """A part is at most so many times larger than what was seen."""
        pace, largest = Pace(), 1
        for _ in range(8):
            pace.note(largest, 0, 100, largest)
            size = pace.next(None, 2)
            assert size <= 64 * largest
            largest = size
        assert largest > 10_000

    def test_a_function_that_takes_long_to_load(self):
        """Is forgotten as soon as elements turn out to be short."""
        pace = Pace()
        pace.note(1, 100_000, 100, 10)
        assert pace.next(100_000, 2) == 1
        pace.note(1, 2, 100, 10)
        assert pace.next(100_000, 2) == 64

    def test_elements_that_become_longer(self):
        """Are believed at once."""
        pace = Pace()
        for _ in range(5):
            pace.note(1000, 10_000, 100, 10)
        assert pace.next(None, 2) == 4999
        pace.note(1000, 10_000_000, 100, 10)
        assert pace.next(None, 2) == 4

    def test_large_elements(self):
        """A part has no more than some megabytes, but one element."""
        pace = Pace()
        pace.note(1, 1, 100, 1 << 20)
        assert pace.next(1000, 2) == 4
        pace.note(1, 1, 100, 1 << 30)
        assert pace.next(1000, 2) == 1

    def test_a_slow_network(self):
        """Makes parts larger, and keeps one waiting at each worker."""
        fast, slow = Pace(), Pace()
        for pace, overhead in ((fast, 200), (slow, 50_000)):
            for _ in range(20):
                pace.note(10_000, 10_000, overhead, 10_000)
        assert slow.next(None, 2) > 1.9 * fast.next(None, 2)
        assert slow.long > 100_000 > fast.long

    def test_what_others_took_is_no_overhead(self):
        """A part that had to wait says nothing of it; the least that was seen counts."""
        pace = Pace()
        for overhead in (None, 3000, None, 1000, 2000):
            pace.note(100, 100, overhead, 100)
        assert pace.next(1600, 1) == 800
        assert pace.next(100_000, 100) == 500

    def test_a_bound(self):
        """Parts take no longer than asked for."""
        pace = Pace(1000.0)
        pace.note(100, 100, 100, 100)
        assert pace.next(None, 2) == int(1000 / 1.005)


class TestEven:
    @pytest.mark.parametrize(
        ("total", "parts", "sizes"),
        [
            (10, 1, [10]),
            (10, 3, [4, 3, 3]),
            (10, 10, [1] * 10),
            (10, 99, [1] * 10),
            (1, 5, [1]),
            (7, 2, [4, 3]),
        ],
    )
    def test_sizes(self, total, parts, sizes):
        """The larger ones stand first, from whichever end one comes."""
        for backwards in (False, True):
            even = Even(total, parts, backwards)
            got = list(itertools.islice(iter(lambda e=even: e.next(None, 2), 0), len(sizes)))
            assert got == (sizes[::-1] if backwards else sizes)

    def test_nothing(self):
        """Has no parts worth mentioning."""
        assert Even(0, 5).next(0, 2) == 0

    def test_ahead(self):
        """Long parts are not sent before their time."""
        even = Even(100, 100)
        assert even.ahead(4) == 9
        even.note(1, 1_000_000, 100, 10)
        assert even.ahead(4) == 5


def test_an_estimate_of_parts():
    """One part is sent ahead, unless parts take long."""
    estimate = PartEstimate()
    assert (estimate.cost, estimate.most) == (None, 1)
    estimate.update(4000, 2)
    assert estimate.latest == 2000
    assert (estimate.cost, estimate.most) == (DEPTH / 2, 2)
    estimate.update(1_000_000, 1)
    assert estimate.cost > DEPTH
    assert estimate.most == 1


def test_the_size_of_parts_that_come_together():
    """Is that of each, on average: not that of all."""
    estimate = PartEstimate()
    estimate.update(100, 2, SimpleNamespace(body=b"12345678", buffers=(b"1234",)))
    assert estimate.size == 6
