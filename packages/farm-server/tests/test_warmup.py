"""What is run before the first worker is forked."""

import os

from farm_server.warmup import warm_up


def test_warming_up_leaves_nothing(monkeypatch):
    """No thread, no descriptor."""
    before = os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd") else None
    warm_up(rounds=3)
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == len(before)
