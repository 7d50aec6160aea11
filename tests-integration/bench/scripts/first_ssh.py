"""Print how long it takes from nothing to the first result of a server over ssh."""

import sys
import time

START = time.perf_counter()

import farm_client as farm  # noqa: E402  the clock starts before it

with farm.make_kernel(sys.argv[1], timeout=60):
    RESULT = farm.future(abs, -5).result()
    SECONDS = time.perf_counter() - START

assert RESULT == 5
print(SECONDS)
