"""A backend for joblib, and so for scikit-learn: ``joblib.parallel_config(backend="farm")``.

joblib itself is imported when `register` is called. The servers need it, too.
"""

from __future__ import annotations

import copy
import math
import sys
import threading
import weakref
from collections import deque
from concurrent import futures
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Optional

from farm_common.shipping import Shared

from .kernel import Kernel, current_kernel, make_kernel, set_kernel

__all__ = ["register"]

_Callback = Callable[[Any], Any]

# The kernel that is used where there is no current one; above the function that says `global`.
_local: Optional[Kernel] = None
_making = threading.Lock()


def register() -> None:
    """Make joblib know the backend ``"farm"``; twice is no error.

    ``with joblib.parallel_config(backend="farm"):`` then runs what uses joblib on the workers of
    the current kernel. Where there is none, on a local one that is made then, for joblib only, and
    ends with the program.

    ``n_jobs`` counts workers: -1, the default, stands for all of them, and 1 for no parallelism at
    all. Errors are raised as they were. Calls of joblib inside a task use threads there, and inside
    those they are sequential. An error and Ctrl-C end the tasks that run, and withdraw the others.

    Large NumPy arrays that several tasks have as an argument cross each connection once, and tasks
    cannot write to them; as with joblib's own processes, and ``max_nbytes`` and ``mmap_mode`` mean
    what they mean there.

    Raises:
        ImportError: There is no joblib, or it is older than 1.3.
    """
    try:
        from joblib import parallel
        from joblib._parallel_backends import (
            AutoBatchingMixin,
            FallbackToBackend,
            ParallelBackendBase,
            SequentialBackend,
        )
    except ImportError as error:
        raise ImportError(
            "the backend needs joblib 1.3 or later: pip install 'farm-client[joblib]'"
        ) from error
    if not hasattr(ParallelBackendBase, "supports_retrieve_callback"):
        raise ImportError("the backend needs joblib 1.3 or later: pip install 'joblib>=1.3'")

    def be_sequential(backend: Any) -> None:
        raise FallbackToBackend(SequentialBackend(nesting_level=backend.nesting_level))

    bases = (_Backend, AutoBatchingMixin, ParallelBackendBase)
    made = type("FarmBackend", bases, {"_be_sequential": be_sequential})
    parallel.register_parallel_backend("farm", made)


class _Backend:
    """What is farm's in the backend; joblib's own classes come after it among the bases."""

    supports_retrieve_callback = True
    default_n_jobs = -1

    if TYPE_CHECKING:  # what the other bases have

        def _be_sequential(self) -> None: ...

        def reset_batch_stats(self) -> None: ...

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Any, Optional[_Callback]]] = deque()

    # what joblib calls before and after a call

    def effective_n_jobs(self, n_jobs: Optional[int]) -> int:
        """How many workers `n_jobs` stands for."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        count = max(1, _kernel().worker_count)
        if n_jobs is None:
            return count
        return max(1, count + 1 + n_jobs) if n_jobs < 0 else min(n_jobs, count)

    def configure(
        self,
        n_jobs: Optional[int] = -1,
        parallel: Any = None,
        max_nbytes: Optional[float] = None,
        mmap_mode: Optional[str] = None,
        **_: Any,
    ) -> int:
        """Get ready for calls; the answer is how many workers they may use."""
        if n_jobs == 1:
            self._be_sequential()
        self.parallel = parallel
        self._kernel = _kernel()
        self._executor = self._kernel.executor()
        count = self.effective_n_jobs(n_jobs)
        # How many tasks may be under way; all may, where they may use all workers.
        self._room = math.inf if count >= self._kernel.worker_count else count
        large = max_nbytes if mmap_mode == "r" else None
        self._sharing = _Sharing(math.inf if large is None else large)
        self._context = copy_context()
        return max(2, count)  # where it is 1, joblib runs all of it here

    def start_call(self) -> None:
        """A call begins: its tasks have the category and priority that are in force here."""
        self._context = copy_context()

    def stop_call(self) -> None:
        """A call has ended."""
        self._sharing.end()

    def terminate(self) -> None:
        """There will be no more calls."""
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Withdraw what was not sent, and kill what runs: nobody wants the results."""
        with self._lock:
            self._waiting.clear()
        self._executor._abandon()
        if ensure_ready and not self._kernel.ended:
            self._executor = self._kernel.executor()

    # tasks

    def submit(self, func: Any, callback: Optional[_Callback] = None) -> Any:
        """Have a batch of calls done, and the callback called with a future afterwards."""
        with self._lock:
            if not self._room:
                self._waiting.append((func, callback))
                return None
            self._room -= 1
        future = self._start(func)
        future.add_done_callback(partial(self._finish, callback))
        return future

    apply_async = submit  # its name before joblib 1.5

    def retrieve_result_callback(self, out: futures.Future[Any]) -> Any:
        """What the calls returned; raises what one of them raised."""
        return out.result()

    def _start(self, batch: Any) -> futures.Future[Any]:
        # What cannot be sent is told by the future: this may be the thread of the callbacks, where
        # nobody would see an exception.
        try:
            batch = self._sharing.share(batch)
            return self._context.copy().run(self._executor.submit, _run_batch, batch)
        except Exception as error:  # noqa: BLE001 (raised by who asks the future)
            failed: futures.Future[Any] = futures.Future()
            failed.set_exception(error)
            return failed

    def _finish(self, callback: Optional[_Callback], future: futures.Future[Any]) -> None:
        """A batch is done: tell joblib, and begin the next that waits."""
        while True:  # a loop, as thousands may fail one after the other
            if callback is not None:
                callback(future)
            with self._lock:
                if not self._waiting:
                    self._room += 1
                    return
                batch, callback = self._waiting.popleft()
            future = self._start(batch)
            if not future.done():
                future.add_done_callback(partial(self._finish, callback))
                return


class _Sharing:
    """Replaces large arrays, where they come as an argument again, by handles.

    Not where they come the first time: most are made for one task, and a handle keeps its array.

    Args:
        least: How many bytes are large.
    """

    def __init__(self, least: float) -> None:
        self._least = least
        self._lock = threading.Lock()
        self._seen: dict[int, weakref.ref[Any]] = {}
        self._handles: dict[int, Shared[Any]] = {}

    def share(self, batch: Any) -> Any:
        """The batch, or a copy of it with handles in the place of arrays."""
        numpy = sys.modules.get("numpy")
        if numpy is None or self._least == math.inf:
            return batch
        kind, fresh, items = numpy.ndarray, {}, []

        def place(value: Any) -> Any:
            """The value, or its handle."""
            if type(value) is not kind or value.nbytes < self._least or value.dtype.hasobject:
                return value
            seen = self._seen.get(id(value))
            if seen is None or seen() is not value:
                fresh[id(value)] = weakref.ref(value)
                return value
            handle = self._handles.get(id(value))
            if handle is None:
                handle = self._handles[id(value)] = Shared(value)
            return handle

        with self._lock:
            for function, args, keywords in batch.items:
                named = {name: place(value) for name, value in keywords.items()}
                items.append((function, tuple(map(place, args)), named))
            for key, reference in fresh.items():
                self._handles.pop(key, None)  # of an array that is gone
                self._seen[key] = reference
        if not self._handles:
            return batch
        batch = copy.copy(batch)
        batch.items = items
        return batch

    def end(self) -> None:
        """Free all arrays."""
        with self._lock:
            for handle in self._handles.values():
                handle.release()
            self._handles.clear()
            self._seen.clear()


def _make_task() -> Callable[[Any], Any]:
    """The task that runs a batch."""

    # As it is made in here, it travels by value: servers need not have this module.
    def run_batch(batch: Any) -> Any:
        from farm_common.shipping import Shared

        views: dict[Any, Any] = {}

        def found(value: Any) -> Any:
            if type(value) is not Shared:
                return value
            if value not in views:
                views[value] = value.value.view()
                views[value].flags.writeable = False  # others use the array, too
            return views[value]

        batch.items = [
            (function, tuple(map(found, args)), {k: found(v) for k, v in keywords.items()})
            for function, args, keywords in batch.items
        ]
        return batch()

    return run_batch


_run_batch = _make_task()


def _kernel() -> Kernel:
    """The current kernel, or else a local one."""
    global _local
    found = current_kernel()
    if found is not None:
        return found
    with _making:
        if _local is None or _local.ended:
            _local = make_kernel(name="joblib")
            # It is not to take the place of one that the program makes later.
            current = set_kernel(None)
            if current is not _local:
                set_kernel(current)
        return _local
