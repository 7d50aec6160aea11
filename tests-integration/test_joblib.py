"""The backend for joblib: joblib itself in all interpreters, and scikit-learn in one."""

import json
import multiprocessing
import os
import sys
import threading
import time
import warnings

import pytest

import farm_client as farm
from farm_common.shipping.importable import ship_by_value

joblib = pytest.importorskip("joblib")

# The servers have no module of this name, and need none.
ship_by_value(__name__)

PYTHONS = json.loads(os.environ.get("FARM_PYTHONS", "{}")) or {"this": sys.executable}


class OddError(Exception):
    """An error that needs two arguments."""

    def __init__(self, code, text):
        super().__init__(code, text)
        self.code = code


def double(x):
    return 2 * x


def where(_):
    return os.getpid()


def fail_at(x, bad):
    if x == bad:
        raise OddError(x, "odd")
    return x


def backend():
    """What joblib runs the calls of a task with."""
    return type(joblib.parallel.get_active_backend()[0]).__name__


def nested():
    """The same, and what it runs with those that are inside of these."""
    return [backend(), *joblib.Parallel(n_jobs=2)(joblib.delayed(backend)() for _ in range(2))]


@pytest.fixture
def parallel(kernel):
    """Makes `joblib.Parallel` objects that use the kernel's two workers."""
    farm.joblib.register()
    with joblib.parallel_config(backend="farm"):
        yield joblib.Parallel


delayed = joblib.delayed


class TestCalls:
    def test_results(self, parallel):
        """In order, computed by the workers, however tiny the tasks are."""
        assert parallel()(delayed(double)(number) for number in range(2000)) == [
            2 * number for number in range(2000)
        ]
        pids = set(parallel()(delayed(where)(number) for number in range(2000)))
        assert os.getpid() not in pids
        assert len(pids) == 2

    def test_tiny_tasks_are_batched(self, parallel, kernel):
        """By joblib itself."""
        before = sum(worker.tasks_done for worker in kernel.workers())
        parallel()(delayed(double)(number) for number in range(5000))
        assert sum(worker.tasks_done for worker in kernel.workers()) - before < 2500

    @pytest.mark.parametrize("how", ["generator", "generator_unordered"])
    def test_generators(self, parallel, how):
        """Results come as they are asked for."""
        got = parallel(return_as=how)(delayed(double)(number) for number in range(100))
        assert sorted(got) == [2 * number for number in range(100)]

    def test_a_generator_that_is_left(self, parallel):
        """Costs nothing more, and the next call works."""
        got = parallel(return_as="generator")(delayed(double)(number) for number in range(100))
        assert next(got) == 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joblib says so
            got.close()
        assert parallel()([delayed(double)(1)]) == [2]

    def test_a_time_out(self, parallel):
        """Is joblib's."""
        with pytest.raises(multiprocessing.TimeoutError):
            parallel(timeout=0.2)(delayed(time.sleep)(2) for _ in range(2))

    def test_several_calls_with_one_object(self, parallel):
        """Also after one that failed."""
        with parallel() as several:
            assert several(delayed(double)(x) for x in range(3)) == [0, 2, 4]
            with pytest.raises(OddError):
                several(delayed(fail_at)(x, 1) for x in range(3))
            assert several(delayed(double)(x) for x in range(3)) == [0, 2, 4]

    def test_nested_calls(self, parallel):
        """Threads on the worker, and one after the other inside them."""
        assert (
            parallel()(delayed(nested)() for _ in range(3))
            == [["ThreadingBackend", "SequentialBackend", "SequentialBackend"]] * 3
        )

    def test_options(self, parallel, kernel):
        """All tasks have the category of the caller, also those that are submitted later on."""
        seen = set()

        def watch():
            while not stop.wait(0.002):
                seen.update(kernel.task_categories_running())

        stop = threading.Event()
        watcher = threading.Thread(target=watch)
        watcher.start()
        with farm.task_category("learning"):
            parallel(batch_size=1)(delayed(time.sleep)(0.02) for _ in range(20))
        stop.set()
        watcher.join()
        assert seen - {None} == {"learning"}

    def test_with_another_interpreter(self, peer, server_of, make, run):
        """Functions travel as their source; joblib has to be there."""
        if run("import joblib", python=peer).returncode:
            pytest.skip("without joblib")
        make(server_of(peer))
        farm.joblib.register()
        with joblib.parallel_config(backend="farm"):
            assert joblib.Parallel()(delayed(double)(x) for x in range(50)) == [
                2 * x for x in range(50)
            ]


class TestWorkers:
    def test_how_many(self, parallel):
        """As joblib counts them."""
        counts = {-1: 2, -2: 1, 1: 1, 2: 2, 8: 2, None: 2}
        assert {n: joblib.effective_n_jobs(n) for n in counts} == counts
        with pytest.raises(ValueError, match="n_jobs == 0 in Parallel has no meaning"):
            parallel(n_jobs=0)([delayed(double)(1)])

    def test_one_job(self, parallel):
        """Is computed here, as with any backend."""
        assert parallel(n_jobs=1)([delayed(where)(1)]) == [os.getpid()]

    def test_one_worker(self, make):
        """Is used: it may be a better machine."""
        make("local?workers=1")
        farm.joblib.register()
        with joblib.parallel_config(backend="farm"):
            assert os.getpid() not in joblib.Parallel()(delayed(where)(x) for x in range(3))

    def test_fewer_than_there_are(self, make, tmp_path):
        """So many tasks run at once, and no more, however many are submitted."""

        def run(folder):
            path = os.path.join(folder, str(os.getpid()))
            with open(path, "x"):
                count = len(os.listdir(folder))
                time.sleep(0.1)
            os.unlink(path)
            return count

        make("local?workers=4")
        farm.joblib.register()
        with joblib.parallel_config(backend="farm", n_jobs=2):
            calls = [delayed(run)(str(tmp_path)) for _ in range(12)]
            counts = joblib.Parallel(pre_dispatch="all", batch_size=1)(calls)
        assert len(counts) == 12
        assert max(counts) == 2


class TestErrors:
    def test_the_original(self, parallel):
        """With the remote traceback as its cause."""
        with pytest.raises(OddError) as caught:
            parallel()(delayed(fail_at)(x, 3) for x in range(10))
        assert caught.value.code == 3
        assert 'raise OddError(x, "odd")' in caught.value.__cause__.description

    @pytest.mark.parametrize("place", [0, 500])
    @pytest.mark.parametrize("n_jobs", [-1, 1.5])
    def test_what_cannot_travel(self, make, place, n_jobs):
        """Is raised, and not waited for; also where it is submitted later on."""
        make("local?workers=3")
        farm.joblib.register()
        calls = [delayed(double)(x) for x in range(1000)]
        calls[place] = delayed(double)(threading.Lock())
        jobs = 2 if n_jobs > 0 else -1
        with joblib.parallel_config(backend="farm", n_jobs=jobs):
            with pytest.raises(farm.SerializationError, match="a lock cannot travel"):
                joblib.Parallel(batch_size=1)(calls)
            assert joblib.Parallel()([delayed(double)(1)]) == [2]

    def test_the_rest_is_withdrawn(self, make, tmp_path):
        """A call that failed leaves nothing behind in the queue."""
        kernel = make("local?workers=1")
        farm.joblib.register()

        def mark(number):
            if number == 0:
                raise OddError(0, "odd")
            time.sleep(0.05)
            (tmp_path / str(number)).touch()

        with joblib.parallel_config(backend="farm"), pytest.raises(OddError):
            joblib.Parallel(pre_dispatch="all", batch_size=1)(delayed(mark)(x) for x in range(50))
        kernel.end(wait=True)
        assert len(list(tmp_path.iterdir())) < 45

    def test_the_end_of_the_kernel(self, make):
        """Is told, and not waited for."""
        kernel = make("local?workers=1")
        farm.joblib.register()
        timer = threading.Timer(0.3, kernel.end)
        timer.start()
        with joblib.parallel_config(backend="farm"), pytest.raises(farm.KernelEndedError):
            joblib.Parallel(batch_size=1)(delayed(time.sleep)(0.05) for _ in range(1000))
        timer.join()


class TestArrays:
    def test_cross_each_connection_once(self, wire, address, make):
        """A large one that many tasks have; joblib's own limit says what is large."""
        numpy = pytest.importorskip("numpy")
        between = wire(address)
        make(f"{between.address}?workers=1")
        farm.joblib.register()
        data = numpy.arange(1 << 18, dtype="f8")  # 2 MiB

        def total(x, *, again):
            assert x is again
            return float(x.sum()), x.flags.writeable

        calls = [delayed(total)(data, again=data) for _ in range(20)]
        with joblib.parallel_config(backend="farm"):
            first, *others = joblib.Parallel(batch_size=1)(calls)
        assert first == (data.sum(), True)
        assert others == [(data.sum(), False)] * 19
        assert between.sent_bytes < 3 * data.nbytes

    def test_small_ones_are_copies(self, parallel):
        """And a task may do with its own what it likes."""
        numpy = pytest.importorskip("numpy")
        data = numpy.zeros(10)

        def change(x):
            x += 1
            return float(x.sum())

        assert parallel()(delayed(change)(data) for _ in range(5)) == [10.0] * 5
        large = numpy.zeros(1 << 18)
        assert set(parallel(max_nbytes=None)(delayed(change)(large) for _ in range(5))) == {
            float(1 << 18)
        }


PROGRAM = """
    import os, signal, sys, threading, time
    import joblib
    import farm_client as farm

    def double(x):
        return 2 * x

    def where(x):
        time.sleep(0.001)
        return os.getpid()

    farm.joblib.register()
"""


class TestPrograms:
    @pytest.mark.parametrize("name", PYTHONS)
    def test_without_a_kernel(self, run, name):
        """One is made here, for joblib only; the program exits, and leaves no process behind."""
        python = PYTHONS[name]
        if run("import joblib", python=python).returncode:
            pytest.skip("without joblib")
        done = run(
            PROGRAM
            + """
    with joblib.parallel_config(backend="farm"):
        assert joblib.Parallel()(joblib.delayed(double)(x) for x in range(500)) == [
            2 * x for x in range(500)
        ]
        pids = set(joblib.Parallel()(joblib.delayed(where)(x) for x in range(100)))
        assert os.getpid() not in pids
        assert farm.current_kernel() is None
        try:
            joblib.Parallel()(joblib.delayed(divmod)(x, 3 - x) for x in range(10))
        except ZeroDivisionError as error:
            assert type(error.__cause__) is farm.TaskExecutionError
        with farm.make_kernel("local?workers=1") as kernel:
            (pid,) = {worker.pid for worker in kernel.workers()}
            assert joblib.Parallel()([joblib.delayed(where)(0)] * 2) == [pid, pid]
        assert set(joblib.Parallel()([joblib.delayed(where)(0)])) <= pids
    print(*pids)
            """,
            python=python,
        )
        assert done.stderr == ""
        pids = done.stdout.split()
        assert pids
        assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)

    def test_ctrl_c(self, run, tmp_path):
        """Withdraws what has not started; the kernel goes on."""
        done = run(
            PROGRAM
            + """
    with farm.make_kernel("local?workers=1"), joblib.parallel_config(backend="farm"):
        folder = sys.argv[1]

        def slow(x, folder=folder):
            time.sleep(0.3)
            open(os.path.join(folder, str(x)), "w").close()

        threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            joblib.Parallel(pre_dispatch="all", batch_size=1)(
                joblib.delayed(slow)(x) for x in range(100)
            )
        except KeyboardInterrupt:
            print("interrupted")
        print(joblib.Parallel()([joblib.delayed(double)(4)]))
            """,
            str(tmp_path),
        )
        assert (done.stdout, done.stderr) == ("interrupted\n[8]\n", "")
        assert len(list(tmp_path.iterdir())) < 10


class TestScikitLearn:
    def test_grid_search(self, kernel):
        """GridSearchCV finds what it finds without a kernel, and it is the workers that fit."""
        pytest.importorskip("sklearn")
        from sklearn.datasets import load_iris
        from sklearn.model_selection import GridSearchCV
        from sklearn.svm import SVC

        data, target = load_iris(return_X_y=True)
        grid = {"C": [0.1, 1, 10], "kernel": ["linear", "rbf"]}

        def search():
            return GridSearchCV(SVC(), grid, cv=3, error_score="raise").fit(data, target)

        expected = search()
        farm.joblib.register()
        before = sum(worker.tasks_done for worker in kernel.workers())
        with joblib.parallel_config(backend="farm"):
            found = search()
        assert sum(worker.tasks_done for worker in kernel.workers()) > before
        assert found.best_params_ == expected.best_params_
        assert list(found.cv_results_["mean_test_score"]) == list(
            expected.cv_results_["mean_test_score"]
        )

    def test_its_errors(self, kernel):
        """Are those of scikit-learn."""
        pytest.importorskip("sklearn")
        from sklearn.model_selection import cross_val_score
        from sklearn.svm import SVC

        farm.joblib.register()
        with joblib.parallel_config(backend="farm"), pytest.raises(ValueError, match="NaN") as e:
            cross_val_score(SVC(), [[float("nan")]] * 10, [0, 1] * 5, cv=2, error_score="raise")
        assert type(e.value.__cause__) is farm.TaskExecutionError
