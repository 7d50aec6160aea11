"""Traces, read by the rules of the trace-event format."""

import json
import math
import threading
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest

import farm_client as farm
from farm_client import trace as tracing
from farm_client.job import Job
from farm_client.link import Seat
from farm_common.frames import Frame, Kind

BOUND = 20.0


class Events:
    """The events of a file, checked against what viewers rely on.

    Attributes:
        tasks: The complete events, in the order of the file.
        counts, instants: The counters, and what has no length.
        processes, threads: The names of tracks.
    """

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            events = json.load(file)
        assert isinstance(events, list)
        by_phase = defaultdict(list)
        for event in events:
            assert type(event["pid"]) is type(event["tid"]) is int
            assert isinstance(event["name"], str)
            by_phase[event["ph"]].append(event)
        assert set(by_phase) <= {"X", "M", "C", "i"}
        self.tasks = by_phase["X"]
        self.counts = by_phase["C"]
        self.instants = by_phase["i"]
        self.processes = self._names(by_phase["M"], "process_name", "pid")
        self.threads = self._names(by_phase["M"], "thread_name", "pid", "tid")
        timed = (*self.tasks, *self.counts, *self.instants)
        for event in timed:
            assert event["ts"] >= 0
            assert math.isfinite(event["ts"])
            assert event["pid"] in {key[0] for key in self.processes}
        for event in self.instants:
            assert event["s"] in ("g", "p", "t")
        for event in self.counts:
            assert all(type(value) is int for value in event["args"].values())
        tracks = defaultdict(list)
        for event in self.tasks:
            assert event["dur"] >= 0
            assert isinstance(event["cat"], str)
            assert (event["pid"], event["tid"]) in self.threads
            tracks[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
        for spans in tracks.values():
            spans.sort()
            for (_, ended), (begun, _) in zip(spans, spans[1:]):
                assert begun >= ended, "two tasks of a worker overlap"

    @staticmethod
    def _names(events, kind, *keys):
        named = [event for event in events if event["name"] == kind]
        names = {tuple(event[key] for key in keys): event["args"]["name"] for event in named}
        assert len(names) == len(named), "a track has two names"
        return names

    def outcomes(self):
        """How many tasks ended how."""
        return Counter(event["args"]["outcome"] for event in (*self.tasks, *self.instants))

    def of(self, name):
        """The only task with a name."""
        (found,) = [event for event in (*self.tasks, *self.instants) if event["name"] == name]
        return found


class TestTrace:
    def test_tasks(self, kernel, tmp_path):
        """Each task is an event with what is known of it."""
        path = tmp_path / "trace.json"
        with kernel.trace(path):
            with farm.task_category("sim"), farm.task_priority("low"):
                farm.future(abs, -1).result()
            farm.pmap(lambda x: x, range(100), parts=7)
        events = Events(path)
        task = events.of("abs")
        assert task["cat"] == "sim"
        args = task["args"]
        assert args["outcome"] == "ok"
        assert (args["category"], args["priority"], args["attempts"]) == ("sim", "low", 1)
        assert args["took (us)"] == 1
        assert args["result (bytes)"] > 0
        assert args["queued (us)"] >= 0
        assert len(events.tasks) == 1 + 7

    def test_tracks(self, paper, kernel, tmp_path):
        """A process for the client and each address, a thread for each worker."""
        path = tmp_path / "trace.json"
        with kernel.trace(path):
            futures = [farm.future("paper:wait", key) for key in "ab"]
            for key in "ab":
                assert paper.started[key].wait(BOUND)
            paper.events["a"].set()
            paper.events["b"].set()
            assert [future.result() for future in futures] == ["a", "b"]
        events = Events(path)
        assert events.processes == {
            (1,): "client farm-client", (2,): f"{paper.address} on localhost"
        }  # fmt: skip
        assert set(events.threads) == {(2, 1), (2, 2)}
        assert set(events.threads.values()) == {"worker 0", "worker 1"}
        assert len({event["tid"] for event in events.tasks}) == 2

    def test_error(self, kernel, tmp_path):
        """A task that failed says how; so does one that fails at an element."""
        path = tmp_path / "trace.json"

        def fail():
            raise ValueError("odd " + "x" * 10_000)

        with kernel.trace(path):
            with pytest.raises(farm.TaskExecutionError):
                farm.future(fail).result()
            with pytest.raises(farm.TaskExecutionError):
                farm.pmap(lambda x: 1 // x, [0], parts=1)
        events = Events(path)
        assert events.outcomes() == {"error": 2}
        error = next(event["args"]["error"] for event in events.tasks if "fail" in event["name"])
        assert error.startswith("ValueError: odd")
        assert len(error) <= 300

    def test_lost(self, kernel, tmp_path):
        """A task whose workers died is drawn at the last, with how often it was started."""
        path = tmp_path / "trace.json"
        with kernel.trace(path), farm.task_options(attempts=2):
            error = farm.future("paper:die").exception()
        assert isinstance(error, farm.WorkerLostError)
        task = Events(path).of("paper:die")
        assert (task["args"]["outcome"], task["args"]["attempts"]) == ("lost", 2)
        assert task["ph"] == "X"

    def test_kernel_ends_inside(self, paper, kernel, tmp_path):
        """The file is whole; what did not end is told."""
        path = tmp_path / "trace.json"
        with kernel.trace(path):
            farm.future(abs, -1).result()
            waiting = farm.future("paper:wait", "a")
            assert paper.started["a"].wait(BOUND)
            kernel.end()
        with pytest.raises(farm.KernelEndedError):
            waiting.result()
        assert Events(path).outcomes() == {"ok": 1, "kernel ended": 1}

    def test_exception_inside(self, kernel, tmp_path):
        """The file is whole, and the exception goes on."""
        path = tmp_path / "trace.json"

        def work():
            with kernel.trace(path):
                farm.future(abs, -1).result()
                raise KeyError

        with pytest.raises(KeyError):
            work()
        assert len(Events(path).tasks) == 1

    def test_nothing(self, kernel, tmp_path):
        """A trace of nothing is one, too."""
        path = tmp_path / "trace.json"
        with kernel.trace(path):
            pass
        events = Events(path)
        assert (events.tasks, events.processes) == ([], {(1,): "client farm-client"})

    def test_two(self, kernel, tmp_path):
        """Two at a time each have what happened inside them."""
        with kernel.trace(tmp_path / "a"):
            farm.future(abs, -1).result()
            with kernel.trace(tmp_path / "b"):
                farm.future(hash, 2).result()
            farm.future(abs, -3).result()
        assert [event["name"] for event in Events(tmp_path / "a").tasks] == ["abs", "hash", "abs"]
        assert [event["name"] for event in Events(tmp_path / "b").tasks] == ["hash"]
        assert kernel._engine._traces == ()

    def test_task_from_before(self, paper, kernel, tmp_path):
        """A task that was submitted before the trace is in it, without the time it was queued."""
        future = farm.future("paper:wait", "a")
        assert paper.started["a"].wait(BOUND)
        with kernel.trace(tmp_path / "a"):
            paper.events["a"].set()
            future.result()
        args = Events(tmp_path / "a").of("paper:wait")["args"]
        assert "queued (us)" not in args

    def test_again(self, kernel, tmp_path):
        """A trace is for one block at a time, and begins anew in the next."""
        trace = kernel.trace(tmp_path / "a")
        with trace:
            farm.future(abs, -1).result()
            with pytest.raises(RuntimeError, match="in use"), trace:
                pass
        assert len(Events(tmp_path / "a").tasks) == 1
        with trace:
            farm.future(hash, 2).result()
        assert [event["name"] for event in Events(tmp_path / "a").tasks] == ["hash"]

    def test_path(self, kernel, tmp_path):
        """A path that cannot be written fails at once, and nothing is traced."""
        with pytest.raises(FileNotFoundError), kernel.trace(tmp_path / "no" / "such" / "folder"):
            pytest.fail("the block was entered")
        assert kernel._engine._traces == ()

    def test_no_path(self, kernel):
        """A number would be that of an open file."""
        with pytest.raises(TypeError, match="not int"):
            kernel.trace(5)

    def test_ended_kernel(self, kernel, tmp_path):
        """There is nothing to trace, and nothing is written."""
        kernel.end()
        with pytest.raises(farm.NoKernelError), kernel.trace(tmp_path / "a"):
            pytest.fail("the block was entered")
        assert not (tmp_path / "a").exists()

    def test_full_disk(self, kernel, tmp_path, monkeypatch):
        """It costs the trace and not the tasks; the block's end tells."""
        monkeypatch.setattr(tracing, "_MOST", 1)
        trace = kernel.trace(tmp_path / "a")

        def refuse(_):
            raise OSError(28, "No space left on device")

        def work():
            with trace:
                trace._file = _Full(trace._file, refuse)
                results.append(farm.pmap(abs, range(50), parts=50))

        results = []
        with pytest.raises(OSError, match="No space left"):
            work()
        assert results == [list(range(50))]

    def test_bounded_memory(self, kernel, tmp_path, monkeypatch):
        """Events go to disk while the trace goes on, and none is missing."""
        monkeypatch.setattr(tracing, "_MOST", 10)
        with kernel.trace(tmp_path / "a") as trace:
            for _ in range(300):
                farm.future(abs, -1).result()
                assert len(trace._events) < 30
        assert len(Events(tmp_path / "a").tasks) == 300

    def test_odd_names(self, kernel, tmp_path):
        """What a task is called is text, whatever is in it."""

        def odd():
            pass

        odd.__qualname__ = 'quo"te\n\ud800\u00e9'
        with kernel.trace(tmp_path / "a"), farm.task_category(("a", 1)):
            farm.future(odd).result()
        (task,) = Events(tmp_path / "a").tasks
        assert task["cat"] == "('a', 1)"

    def test_over_an_executor(self, tmp_path):
        """Threads of an executor are threads there."""
        with ThreadPoolExecutor(2) as pool, farm.make_kernel(pool) as kernel:
            both = threading.Barrier(2)
            pool_meets = [pool.submit(both.wait, BOUND) for _ in range(2)]
            for met in pool_meets:
                met.result(BOUND)
            with kernel.trace(tmp_path / "a"):
                farm.pmap(abs, range(100), parts=20)
        events = Events(tmp_path / "a")
        assert len(events.tasks) == 20
        assert events.processes[(2,)].startswith("ThreadPoolExecutor on ")
        assert all(name.startswith("process ") for name in events.threads.values())

    def test_off(self, kernel):
        """Without a trace nothing is noted of tasks."""
        assert kernel._engine._traces == ()
        future = farm.future(abs, -1)
        job = future._job
        future.result()
        assert job is None or not hasattr(job, "born")


class _Full:
    """A file on a full disk."""

    def __init__(self, file, write):
        self._file = file
        self.write = write

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()


class _Engine:
    """What a trace knows of an engine."""

    ended = None

    def record(self, trace):
        pass

    record_no_more = record


class _Link:
    def __init__(self, index):
        self.label = f"worker {index} at server"

    def seat_of(self, _):
        return Seat("host", 1, 0)


class _Function:
    name = "task"


def _reply(trace, link, micros, count=1):
    jobs = [Job(_Function, (), None, None, None) for _ in range(count)]
    frame = Frame(Kind.RESULT, count=count, micros=micros, body=b"12345678")
    trace.ended(link, jobs, frame, [None] * count)


class TestPlaces:
    @pytest.fixture
    def drawn(self, tmp_path, monkeypatch):
        """Draws replies; given when each piece of them arrived and which there were."""
        monkeypatch.setattr(tracing, "perf_counter", lambda: 100.0)

        def draw(*pieces):
            links = [_Link(0), _Link(1)]
            with tracing.Trace(_Engine(), tmp_path / "a", "name") as trace:
                for now, replies in pieces:
                    for index, micros, *count in replies:
                        _reply(trace, links[index], micros, *count)
                    trace.settle(100.0 + now, 0)
            tracks = defaultdict(list)
            for event in Events(tmp_path / "a").tasks:
                tracks[event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
            return dict(tracks)

        return draw

    def test_ends_on_arrival(self, drawn):
        """A task ended when its reply arrived, and took what its worker measured."""
        assert drawn((0.5, [(0, 100_000)])) == {1: [(400_000, 500_000)]}

    def test_together(self, drawn):
        """Of replies that arrive together, each ended when the next began; of each worker."""
        assert drawn((0.5, [(0, 100_000), (1, 50_000), (0, 200_000)])) == {
            1: [(200_000, 300_000), (300_000, 500_000)],
            2: [(450_000, 500_000)],
        }

    def test_batch(self, drawn):
        """Tasks that were measured together share the time."""
        assert drawn((0.5, [(0, 90_000, 3)])) == {
            1: [(410_000, 440_000), (440_000, 470_000), (470_000, 500_000)]
        }

    def test_no_overlap(self, drawn):
        """A reply that was read late leaves the next one less room than it would need."""
        assert drawn((0.5, [(0, 100_000)]), (0.55, [(0, 100_000)])) == {
            1: [(400_000, 500_000), (500_000, 550_000)]
        }

    def test_before_the_beginning(self, drawn):
        """A task that began before the trace begins with it."""
        assert drawn((0.5, [(0, 2_000_000)])) == {1: [(0, 500_000)]}
