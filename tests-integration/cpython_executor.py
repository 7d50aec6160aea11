"""CPython's own tests of executors, with a kernel's: ``python cpython_executor.py ADDRESS``.

Run by `test_executor.py` in each interpreter that has the standard library's tests. Prints a JSON
object: which ran, which were skipped by themselves, and what failed.
"""

import io
import json
import sys
import unittest

import farm_client as farm

try:
    from test import support
    from test.test_concurrent_futures import (
        executor,
        test_as_completed,
        test_shutdown,
        test_wait,
        util,
    )
    from test.test_concurrent_futures import test_process_pool as process_pool
except ImportError:  # one module before 3.12
    try:
        from test import support
        from test import test_concurrent_futures as executor
    except ImportError:
        print("null")  # an interpreter without them
        sys.exit()
    test_as_completed = test_shutdown = test_wait = process_pool = util = executor

#: What a kernel's executor is not tested by, and why.
LEFT_OUT = {
    "test_max_workers_negative": "a kernel has the workers it has: there is no max_workers",
    "test_interpreter_shutdown": "makes its executor by name; the end of a program is a kernel's",
    "test_submit_after_interpreter_shutdown": "makes its executor by name",
    "test_hang_gh83386": "makes its executor by name; the end of a program is a kernel's",
}

#: What is taken from the tests of process pools: the others are about their processes.
TAKEN = ["test_map_chunksize"]


class FarmMixin(util.ExecutorMixin):
    """Makes executors where the tests make pools."""

    def executor_type(self, max_workers):
        """A new executor; the kernel is the same for all."""
        return kernel.executor()


def cases():
    """A test case for each of CPython's classes of tests, without what is left out."""
    taken = {name: vars(process_pool.ProcessPoolExecutorTest)[name] for name in TAKEN}
    for tests in (
        executor.ExecutorTest,
        test_shutdown.ExecutorShutdownTest,
        test_wait.WaitTests,
        test_as_completed.AsCompletedTests,
        type("ChunksTest", (), taken),
    ):
        left_out = {name: None for name in LEFT_OUT if hasattr(tests, name)}
        yield type(f"Farm{tests.__name__}", (tests, FarmMixin, util.BaseTestCase), left_out)


def main():
    global kernel
    support.verbose = 0  # or each says how long it took
    suite = unittest.TestSuite()
    load = unittest.TestLoader().loadTestsFromTestCase
    suite.addTests(load(case) for case in cases())
    names = [test.id().rpartition(".")[2] for part in suite for test in part]
    with farm.make_kernel(sys.argv[1]) as kernel:
        with kernel.executor() as pool:  # starts the threads that a kernel has, for BaseTestCase
            pool.submit(abs, 1).add_done_callback(abs_of_result)
        runner = unittest.TextTestRunner(io.StringIO(), verbosity=0)
        result = runner.run(suite)
    failed = {str(test): text for test, text in result.failures + result.errors}
    skipped = {str(test): reason for test, reason in result.skipped}
    print(json.dumps({"ran": names, "skipped": skipped, "failed": failed}))


def abs_of_result(future):
    """A callback."""
    assert future.result() == 1


if __name__ == "__main__":
    main()
