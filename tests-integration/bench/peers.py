"""The standard library's pools of two processes, with their default settings.

They fork, so make them before threads are started.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.pool import Pool

#: The cheapest start there is, and the one that all supported versions have.
_FORK = multiprocessing.get_context("fork")


@contextmanager
def make_executor() -> Iterator[ProcessPoolExecutor]:
    """A `ProcessPoolExecutor` whose workers have started."""
    with ProcessPoolExecutor(2, mp_context=_FORK) as executor:
        list(executor.map(abs, range(10)))
        yield executor


@contextmanager
def make_pool() -> Iterator[Pool]:
    """A `multiprocessing.Pool` whose workers have started."""
    with _FORK.Pool(2) as pool:
        pool.map(abs, range(10))
        yield pool
        pool.close()
        pool.join()
