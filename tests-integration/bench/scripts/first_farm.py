"""Print how long it takes from the import of farm to the first result, in seconds."""

from time import perf_counter

started = perf_counter()

import farm_client as farm  # noqa: E402

with farm.make_kernel("local?workers=2"):
    assert farm.future(abs, -5).result() == 5
    print(perf_counter() - started)
