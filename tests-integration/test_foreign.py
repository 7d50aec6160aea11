"""Kernels over executors of the user's: a pool of processes, Dask's, and MPI's."""

import functools
import multiprocessing
import operator
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

import farm_client as farm
from farm_common.shipping.importable import ship_by_value

BOUND = 60.0

# The workers have no module of this name, and need none.
ship_by_value(__name__)


class OddError(Exception):
    """An error of this program."""


def fail(code):
    raise OddError(code)


def check(kernel):
    """What works over every executor; the kernel is the current one."""
    base = 5
    assert farm.pmap(lambda x: x + base, range(3000)) == list(range(5, 3005))
    assert farm.preduce(operator.add, range(1000), parts=7) == 499500
    assert farm.psort(range(500, 0, -1), parts=5) == list(range(1, 501))
    assert farm.pfind_if(lambda x: x > 77, range(200), parts=20) == 78
    assert list(farm.pmap_iter(abs, range(-20, 0))) == list(range(20, 0, -1))
    handle = farm.shared(bytes(2_000_000))
    assert farm.pmap(lambda i: len(handle.value) + i, range(6), parts=6) == [
        2_000_000 + i for i in range(6)
    ]
    with pytest.raises(farm.TaskExecutionError) as caught:
        farm.future(fail, 7).result(BOUND)
    assert isinstance(caught.value.__cause__, OddError)
    assert "in fail" in caught.value.description
    with kernel.executor() as executor:
        assert list(executor.map(pow, range(5), range(5))) == [1, 1, 4, 27, 256]
        with pytest.raises(OddError):
            executor.submit(fail, 1).result(BOUND)
    tree = farm.Ptree()
    tree.define("pid", [], os.getpid)
    tree.define("other", ["pid"], functools.partial(operator.ne, os.getpid()))
    assert tree.call("other")
    with pytest.raises(farm.UnsupportedError):
        kernel.kill_tasks("default")


@pytest.fixture
def processes():
    """A pool of two processes."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


class TestProcesses:
    def test_all(self, make, processes):
        """The whole API, and the pool is whole afterwards."""
        kernel = make(processes)
        check(kernel)
        kernel.end()
        assert processes.submit(abs, -1).result(BOUND) == 1

    def test_joblib(self, make, processes):
        """joblib runs on it."""
        joblib = pytest.importorskip("joblib")
        farm.joblib.register()
        make(processes)
        with joblib.parallel_config(backend="farm"):
            squares = joblib.Parallel()(joblib.delayed(pow)(x, 2) for x in range(20))
        assert squares == [x * x for x in range(20)]

    def test_process_dies(self, make, address):
        """Beside servers, a pool that breaks costs nothing but itself."""
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            pid = pool.submit(os.getpid).result(BOUND)
            kernel = make([address, pool])
            assert kernel.worker_count == 3
            futures = [farm.future(pow, number, 2) for number in range(200)]
            os.kill(pid, signal.SIGKILL)
            assert [future.result(BOUND) for future in futures] == [n * n for n in range(200)]
            assert farm.pmap(abs, range(1000)) == list(range(1000))

    @pytest.mark.skipif(sys.version_info >= (3, 12), reason="a fork beside threads is a warning")
    def test_forked(self, run):
        """A pool that forks, from a script whose functions it cannot import."""
        done = run(
            """
            from concurrent.futures import ProcessPoolExecutor
            import os
            import farm_client as farm

            def square(x):
                return x * x, os.getpid()

            if __name__ == "__main__":
                with ProcessPoolExecutor(2) as pool, farm.make_kernel(pool):
                    values = farm.pmap(square, range(10), parts=10)
                    assert [value for value, _ in values] == [x * x for x in range(10)]
                    assert os.getpid() not in {pid for _, pid in values}
                    print("done")
            """
        )
        assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)

    def test_never_ended(self, run):
        """A script that ends neither kernel nor pool exits all the same."""
        done = run(
            """
            from concurrent.futures import ThreadPoolExecutor
            import farm_client as farm

            farm.make_kernel(ThreadPoolExecutor(2))
            print(farm.pmap(abs, [-1, -2]))
            """
        )
        assert (done.stdout, done.stderr, done.returncode) == ("[1, 2]\n", "", 0)


class TestDask:
    def test_all(self, run):
        """The whole API over Dask's workers, which are processes of their own."""
        pytest.importorskip("distributed")
        done = run(
            f"""
            import importlib.util
            import sys
            from distributed import Client, LocalCluster
            import farm_client as farm

            if __name__ == "__main__":
                spec = importlib.util.spec_from_file_location("test_foreign", {__file__!r})
                tests = sys.modules["test_foreign"] = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(tests)
                options = dict(n_workers=2, threads_per_worker=1, dashboard_address=None)
                with LocalCluster(**options) as cluster, Client(cluster) as client:
                    with farm.make_kernel(client.get_executor()) as kernel:
                        assert kernel.worker_count == 2
                        tests.check(kernel)
                        assert len(set(farm.pmap(lambda i: __import__("time").sleep(0.05)
                            or __import__("os").getpid(), range(8), parts=8))) == 2
                    assert client.submit(abs, -1).result() == 1
                print("done")
            """,
            env={**os.environ, "DASK_DISTRIBUTED__ADMIN__TICK__LIMIT": "1h"},
        )
        assert done.stdout == "done\n", done.stderr


class TestMPI:
    def test_all(self, tmp_path):
        """The whole API over the processes of an MPI program."""
        pytest.importorskip("mpi4py")
        mpirun = shutil.which("mpirun", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        if mpirun is None:
            pytest.skip("there is no mpirun")
        script = tmp_path / "program.py"
        script.write_text(
            textwrap.dedent(
                f"""
                import importlib.util
                import sys
                from mpi4py.futures import MPIPoolExecutor
                import farm_client as farm

                if __name__ == "__main__":
                    spec = importlib.util.spec_from_file_location("test_foreign", {__file__!r})
                    tests = sys.modules["test_foreign"] = importlib.util.module_from_spec(spec)
                    spec.loader.exec_module(tests)
                    with MPIPoolExecutor() as pool, farm.make_kernel(pool) as kernel:
                        assert kernel.worker_count == 2
                        tests.check(kernel)
                        kernel.end()
                        assert pool.submit(abs, -1).result() == 1
                    print("done")
                """
            ),
            encoding="utf-8",
        )
        options = ["--allow-run-as-root", "--oversubscribe", "-n", "3"]
        done = subprocess.run(
            [mpirun, *options, sys.executable, "-m", "mpi4py.futures", str(script)],
            capture_output=True,
            text=True,
            timeout=BOUND,
            check=False,
        )
        assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr
