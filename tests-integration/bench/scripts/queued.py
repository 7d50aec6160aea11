"""Print how many bytes each of many queued tasks occupies in the client.

Usage: ``queued.py ADDRESS COUNT submit_task|future``
"""

import gc
import sys
import time

import resident

import farm_client as farm

address, count, way = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with farm.make_kernel(address, timeout=60) as kernel:
    channel = farm.make_channel()
    for i in range(100):
        farm.submit_task(channel, abs, -i)
    assert sum(farm.do_fast_receives(channel, 100)) == 4950
    blockers = [farm.future(time.sleep, 600) for _ in range(kernel.worker_count)]
    while not all(blocker.running() for blocker in blockers):
        time.sleep(0.01)
    gc.collect()
    before = resident.now()
    if way == "future":
        futures = [farm.future(abs, -i) for i in range(count)]
    else:
        for i in range(count):
            farm.submit_task(channel, abs, -i)
    print((resident.now() - before) / count)
