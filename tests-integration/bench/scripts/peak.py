"""Print the client's peak memory during echoes of an array, in parts of the array's size.

Usage: ``peak.py ADDRESS BYTES``
"""

import sys

import numpy as np
import resident
import tasks

import farm_client as farm

address, size = sys.argv[1], int(sys.argv[2])
with farm.make_kernel(address, timeout=60):
    assert len(farm.future(tasks.echo, np.arange(10)).result()) == 10
    before = resident.now()
    value = np.arange(size // 8)
    for _ in range(3):
        back = farm.future(tasks.echo, value).result()
        assert np.array_equal(back[::4096], value[::4096])
        del back
    print((resident.peak() - before) / size)
