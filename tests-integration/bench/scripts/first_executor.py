"""Print how long it takes from the import of the executor to the first result, in seconds."""

from time import perf_counter

started = perf_counter()

from concurrent.futures import ProcessPoolExecutor  # noqa: E402

if __name__ == "__main__":
    with ProcessPoolExecutor(2) as executor:
        assert executor.submit(abs, -5).result() == 5
        print(perf_counter() - started)
