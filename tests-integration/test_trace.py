"""Traces of real workers, which run at the same time."""

import json
import os
import time
from collections import defaultdict

import farm_client as farm

BOUND = 30.0


def tracks(path):
    """The tasks of each worker as pairs of times in microseconds; no two overlap."""
    with open(path, encoding="utf-8") as file:
        events = json.load(file)
    found = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            found[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for spans in found.values():
        spans.sort()
        for (_, ended), (begun, _) in zip(spans, spans[1:]):
            assert begun >= ended
    names = {
        (event["pid"], event["tid"]): event["args"]["name"]
        for event in events
        if event["name"] == "thread_name"
    }
    assert set(found) <= set(names)
    return events, found


class TestWorkers:
    def test_several(self, make, launch, tmp_path):
        """Four workers of two servers: a process for each server, a thread for each worker."""
        addresses = [launch("127.0.0.1:0", "--workers", "2").address for _ in range(2)]
        kernel = make(addresses)
        with kernel.trace(tmp_path / "a"):
            farm.pmap(lambda i: time.sleep(0.02), range(16), parts=16)
            farm.pmap(abs, range(20_000))
        events, found = tracks(tmp_path / "a")
        assert len(found) == 4
        assert len({process for process, _ in found}) == 2
        processes = {e["args"]["name"] for e in events if e["name"] == "process_name"}
        assert {name.partition(" on ")[0] for name in processes} == {
            "client farm-client", *addresses
        }  # fmt: skip
        slept = [e for e in events if e["ph"] == "X" and e["args"]["took (us)"] >= 20_000]
        assert len(slept) == 16

    def test_where_it_was(self, make, address, tmp_path):
        """What the trace says about when is what the task itself saw, on one machine's clock."""
        kernel = make(address)

        def sleep():
            begun = time.perf_counter()
            time.sleep(0.05)
            return begun, time.perf_counter()

        farm.future(sleep).result()  # it travels only once
        with kernel.trace(tmp_path / "a") as trace:
            seen = [farm.future(sleep).result() for _ in range(3)]
            origin = trace._start
        _, found = tracks(tmp_path / "a")
        drawn = sorted(span for spans in found.values() for span in spans)
        for (begun, ended), (first, last) in zip(seen, drawn):
            # It ended before its reply was read, and its worker looked at the clock around it.
            assert (ended - origin) * 1e6 <= last + 1
            assert last - first >= (ended - begun) * 1e6 - 1

    def test_killed_and_lost(self, make, address, tmp_path):
        """What became of tasks that did not end by themselves."""
        kernel = make(address)
        with kernel.trace(tmp_path / "a"):
            with farm.task_category("k"):
                killed = farm.future(time.sleep, 1e6)
            deadline = time.monotonic() + BOUND
            while not farm.kill_tasks("k"):
                assert time.monotonic() < deadline
            assert isinstance(killed.exception(BOUND), farm.TaskKilledError)
            with farm.task_options(timeout=0.05):
                late = farm.future(time.sleep, 1e6)
            assert isinstance(late.exception(BOUND), farm.TaskTimeoutError)
            with farm.task_options(attempts=1):
                lost = farm.future(os._exit, 3)
            assert isinstance(lost.exception(BOUND), farm.WorkerLostError)
            assert farm.future(abs, -1).result(BOUND) == 1
        events, _ = tracks(tmp_path / "a")
        outcomes = [e["args"]["outcome"] for e in events if e["ph"] in "Xi"]
        assert sorted(outcomes) == ["killed", "lost", "ok", "timed out"]
