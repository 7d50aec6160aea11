"""Print how long it takes from the import of multiprocessing to the first result, in seconds."""

from time import perf_counter

started = perf_counter()

from multiprocessing import Pool  # noqa: E402

if __name__ == "__main__":
    with Pool(2) as pool:
        assert pool.apply_async(abs, (-5,)).get() == 5
        print(perf_counter() - started)
