"""Kernels: the set of workers that a program uses."""

from __future__ import annotations

import atexit
import functools
import logging
import math
import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Callable, Optional, Union

from farm_common.address import Address
from farm_common.deadline import Deadline
from farm_common.errors import (
    KernelCreationError,
    KernelEndedError,
    NoKernelError,
)
from farm_common.frames import Kind
from farm_common.place import worker_index
from farm_common.security import Authenticator, NoAuth
from farm_common.shipping.tasks import Task

from . import interrupts
from .capacity import make_room
from .channel import Channel
from .engine import Engine
from .executor import KernelExecutor
from .foreign import ForeignSite
from .future import Future
from .job import Job
from .kill import Target, find_targets, kill_at
from .leave import take_leave
from .library import Library
from .link import Link
from .options import Category, checked_category
from .output import Printer
from .places import Place, is_at, list_places, parse_place
from .site import Site
from .trace import Trace
from .workers import WorkerInfo, describe_worker

__all__ = [
    "Kernel",
    "WorkerInfo",
    "broadcast_task",
    "check_kernel",
    "current_kernel",
    "end_kernel",
    "kernel_name",
    "kernel_worker_count",
    "kill_tasks",
    "make_channel",
    "make_kernel",
    "set_kernel",
    "task_categories_running",
    "worker_index",
]

_log = logging.getLogger("farm.client")

_OUTPUTS = ("forward", "server", "discard")

#: How many addresses are connected to at once.
_AT_ONCE = 32


# Above the functions that say `global`: PyPy 3.9 wants annotations to come first.
_context: ContextVar[Optional[Kernel]] = ContextVar("farm_kernel", default=None)
_process_kernel: Optional[Kernel] = None
_kernels: weakref.WeakSet[Kernel] = weakref.WeakSet()


class Kernel:
    """The workers of some servers; made by `make_kernel`.

    As a context manager it is the current kernel inside the ``with`` and ends on exit.

    Attributes:
        name: For people: servers show it.
    """

    def __init__(self, name: str, auth: Authenticator, output: str, library: Library) -> None:
        self.name = name
        self._auth = auth
        self._output = output
        self._sites: list[Union[Site, ForeignSite]] = []
        self._next_index = 0
        self._setup: list[Job] = []
        self._tokens: dict[int, list[Token[Optional[Kernel]]]] = {}  # by thread
        self._changing = threading.Lock()  # add and remove take turns
        self._engine = Engine(self._lost, Printer(), library, self._killer)
        _kernels.add(self)

    # what it is

    @property
    def worker_count(self) -> int:
        """How many workers it has, those included that are being replaced."""
        return sum(len(site.links) for site in self._sites)

    @property
    def addresses(self) -> list[str]:
        """The addresses it was made of, in order."""
        return [str(site.address) for site in self._sites]

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._engine.ended is not None

    def workers(self) -> list[WorkerInfo]:
        """Its workers as they are at the moment, in the order of their indices."""
        infos = [
            describe_worker(link, site.address.endpoint)
            for site in self._sites
            for link in list(site.links.values())
        ]
        return sorted(infos, key=lambda info: info.index)

    def task_categories_running(self) -> list[Optional[Category]]:
        """The category of the task that each worker runs, None for idle ones; in worker order."""
        return [info.category for info in self.workers()]

    def kill_tasks(self, category: Category, *, dry_run: bool = False) -> int:
        """Kill the tasks of a category that run; see `kill_tasks`."""
        checked_category(category)
        self._refuse_foreign("kill tasks that run")

        def wanted(job: Job) -> bool:
            theirs = "default" if job.options is None else job.options.category
            return theirs is category or bool(theirs == category)

        return self._kill(wanted, dry_run)

    def _kill(self, wanted: Callable[[Job], bool], dry_run: bool = False) -> int:
        """Kill the tasks that run and are wanted; return how many these were."""
        if self._engine.ended is not None:
            return 0
        targets = find_targets(self._engine, wanted)
        actions = [
            functools.partial(kill_at, site, self._engine, there, dry_run)
            for site, there in self._by_site(targets)
        ]
        return sum(_at_once(actions, lambda: None)) if actions else 0

    def _killer(
        self, targets: Sequence[Target], give_up: bool
    ) -> list[tuple[list[Link], Callable[[], Any]]]:
        """What kills tasks at each site that has some of them; see `reaper`."""
        return [
            (
                [link for link, _ in there],
                functools.partial(kill_at, site, self._engine, there, False, give_up),
            )
            for site, there in self._by_site(targets)
        ]

    def _by_site(self, targets: Sequence[Target]) -> Iterator[tuple[Site, list[Target]]]:
        """Tasks by the site that they were sent to."""
        for site in self._own_sites():
            links = set(site.links.values())
            there = [target for target in targets if target[0] in links]
            if there:
                yield site, there

    def _own_sites(self) -> list[Site]:
        """The addresses of servers; an executor can neither kill nor be left."""
        return [site for site in self._sites if isinstance(site, Site)]

    # tasks

    def make_channel(self, *, capacity: Optional[int] = None) -> Channel:
        """A channel for the results of tasks; see `make_channel`."""
        if self._engine.ended is not None:
            raise NoKernelError(f"{self._engine.ended}; make another by farm.make_kernel(...)")
        return Channel(self._engine, capacity)

    def executor(self) -> KernelExecutor:
        """Its workers as a `concurrent.futures.Executor`.

        Its futures raise what their tasks raised, with the `TaskExecutionError`, which has the
        remote traceback, as the cause; or that error itself where the original cannot be rebuilt
        here. Its ``shutdown`` is not the end of the kernel.

        Raises:
            NoKernelError: The kernel has ended.
        """
        return KernelExecutor(self, self._engine)

    def trace(self, path: Union[str, os.PathLike[str]]) -> Trace:
        """Write what runs where and when, while inside a ``with``.

        The file is in Chrome's trace-event format, which Perfetto (https://ui.perfetto.dev) and
        chrome://tracing show: each server or host is a process there, each worker a thread, and
        each task a slice with its name, category, priority, how long it was queued, how often it
        was started, the size of its result, and what became of it.

        Workers have clocks of their own, so times are as seen from here. How long a task took is
        what its worker measured, to a microsecond; tasks of less than some milliseconds are
        measured together with others, and shown as if each had taken as long as the next. When it
        ended is when its reply was read here, which is later by the reply's travel, and by up to
        some milliseconds where short tasks are answered together or this process was busy. No two
        tasks of a worker overlap.

        Any number of traces may be written at a time. They hold a bounded number of events in
        memory, and the file is whole also when the block ends by an error, or the kernel inside it.

        Args:
            path: The file; what is there is replaced.

        Raises:
            OSError: It cannot be written; when the block is entered, or, where the disk became
                full, at its end.
            NoKernelError: The kernel has ended.
        """
        return Trace(self._engine, path, self.name)

    def broadcast_task(self, task: Task, /, *args: Any, **kwargs: Any) -> list[Any]:
        """Run a task once on every worker; see `broadcast_task`."""
        self._refuse_foreign("broadcast tasks")
        return self._broadcast(self._engine.prepare(task, args, kwargs))

    def setup(self, task: Task, /, *args: Any, **kwargs: Any) -> list[Any]:
        """Run a task once on every worker, and on each that joins or is replaced later.

        Args:
            task: As for `submit_task`.
            *args: Its arguments.
            **kwargs: Its keyword arguments.

        Returns:
            The results in the order of the workers.

        Raises:
            TaskExecutionError: The task failed on a worker; it is then not kept for later.
        """
        self._refuse_foreign("set up each of its workers")
        job = self._engine.prepare(task, args, kwargs, lasting=True)
        parcel = job.parcel
        if parcel is not None and parcel.buffers:  # theirs may change until they are sent again
            job.parcel = parcel._replace(buffers=[bytearray(b) for b in parcel.buffers])
        with self._changing:
            results = self._broadcast(job)
            self._setup.append(job)
        return results

    def _refuse_foreign(self, what: str) -> None:
        """Raise `UnsupportedError` if any worker belongs to an executor of the user's."""
        for site in self._sites:
            if isinstance(site, ForeignSite):
                raise site.unable(what)

    def _broadcast(self, job: Job) -> list[Any]:
        links = sorted(
            (link for site in self._sites for link in list(site.links.values())),
            key=lambda link: link.index,
        )
        sinks = [Future(self._engine) for _ in links]
        self._engine.pin(links, sinks, job)
        return [sink.result() for sink in sinks]

    # workers

    def add(self, address: Place, *, timeout: Optional[float] = None) -> None:
        """Use the workers of another address too; blocks until they are connected.

        Args:
            address: As for `make_kernel`.
            timeout: How many seconds to wait; None: for ever.

        Raises:
            KernelCreationError: It does not answer in time, or never will.
            UnsupportedError: It is an executor, and the kernel has tasks to set up its workers.
        """
        limit = _checked(timeout)
        with self._changing:
            site = self._site(parse_place(address))
            if self._setup and isinstance(site, ForeignSite):
                site.stop()
                raise site.unable("set up each of its workers")
            self._connect([site], Deadline(limit))

    def remove(self, address: Place, *, wait: bool = True) -> None:
        """Use the workers of an address no more.

        Args:
            address: One of `addresses`.
            wait: Let the tasks that run there end first; otherwise they are started elsewhere.

        Raises:
            ValueError: The kernel does not use it, or uses nothing else.
        """
        place = parse_place(address)
        text = type(place).__name__ if isinstance(place, Executor) else str(place)
        with self._changing:
            site = next((site for site in self._sites if is_at(site, place)), None)
            if site is None:
                raise ValueError(f"the kernel does not use {text}: {', '.join(self.addresses)}")
            if not self._elsewhere(site):
                raise ValueError(f"{text} is the kernel's only address: end the kernel instead")
            site.leaving = True  # no lost worker is replaced there any more
            links = list(site.links.values())
            for link in links:
                link.draining = True
            if wait:
                self._engine.wait(
                    lambda: all(link.lost or not (link.inflight or link.pinned) for link in links)
                )
            self._sites.remove(site)
            for link in list(site.links.values()):
                site.forget(link.index)
                self._engine.remove(link)
            site.stop()
            if isinstance(site, Site):
                take_leave([(site, links)], self._engine.unheard)

    def end(self, wait: bool = False) -> None:
        """End the kernel; twice is no error.

        Args:
            wait: Let all submitted tasks finish first; results are still receivable afterwards.
                Otherwise unfinished tasks fail with `KernelEndedError`, and running ones stop.
        """
        if wait:
            self._engine.wait(lambda: not self._engine.unfinished)
        self._engine.end(f"the kernel {self.name!r} has ended")
        for site in self._sites:
            site.stop()
        take_leave([(s, list(s.links.values())) for s in self._own_sites()], self._engine.unheard)
        _kernels.discard(self)
        if not _kernels:
            interrupts.unguard()

    def __enter__(self) -> Kernel:  # noqa: PYI034  (nobody derives from a kernel)
        self._tokens.setdefault(threading.get_ident(), []).append(_context.set(self))
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        try:
            _context.reset(self._tokens[threading.get_ident()].pop())
        finally:
            self.end()

    def __repr__(self) -> str:
        state = "ended" if self.ended else f"{self.worker_count} workers"
        return f"<Kernel {self.name!r} at {', '.join(self.addresses)}: {state}>"

    # inside

    def _site(self, address: Union[Address, Executor]) -> Union[Site, ForeignSite]:
        if isinstance(address, Executor):
            return ForeignSite(address, self.name, self._elsewhere)
        return Site(address, self.name, self._auth, self._output, self._replay)

    def _elsewhere(self, site: Union[Site, ForeignSite]) -> bool:
        """Whether the kernel has workers at another address than this one."""
        return any(
            other is not site and not (isinstance(other, ForeignSite) and other.broken)
            for other in self._sites
        )

    def _connect(self, sites: Sequence[Union[Site, ForeignSite]], deadline: Deadline) -> None:
        """Connect to all workers of some sites, or to none."""

        def give_up() -> None:
            for site in sites:
                site.give_up()

        try:
            counting = [functools.partial(site.count_workers, deadline) for site in sites]
            counts = _at_once(counting, give_up)
            make_room(sum(counts))
            ranges, start = [], self._next_index
            for count in counts:
                ranges.append(range(start, start + count))
                start += count
            _at_once(
                [functools.partial(s.connect, r, deadline) for s, r in zip(sites, ranges)], give_up
            )
        except BaseException:
            for site in sites:
                for link in site.links.values():
                    _part(link)
                site.stop()
            raise
        self._next_index = start
        self._sites += sites
        for site in sites:
            for index, link in site.links.items():
                self._engine.add(link, self._replay(index))

    def _replay(self, index: int) -> list[Job]:
        return [
            Job(job.function, (), job.parcel, job.options, _Replay(index), index)
            for job in self._setup
        ]

    def _lost(self, link: Link, error: BaseException) -> None:
        for site in self._sites:
            if site.links.get(link.index) is link:
                site.repair(link, error, self._engine)
                return
        # It is being removed: nobody else takes care of its tasks.
        threading.Thread(
            target=self._engine.recover, args=(link, None, str(error)), daemon=True
        ).start()


def _part(link: Link) -> None:
    """Leave a worker that no task was sent to; its server need not keep it for a return."""
    try:
        link.stream.send(link.stream.connection.send(Kind.GOODBYE))
    except OSError:
        pass  # it has left
    link.stream.close()


class _Replay:
    """The sink of a setup task that runs again on a new worker: nobody waits for it."""

    lasting = False

    def __init__(self, index: int) -> None:
        self.pending = 0
        self._index = index

    def start(self, job: Job) -> None:
        """Nothing to do."""

    restart = start

    def deliver(self, job: Job, value: Any) -> None:
        """Nothing to do."""

    def fail(self, job: Job, error: BaseException) -> None:
        """Tell who reads the log, unless there is nothing to set up any more."""
        if not isinstance(error, KernelEndedError):
            name, index = job.function.name, self._index
            _log.error("setup task %s failed on worker %d: %s", name, index, error)


def make_kernel(
    addresses: Union[Place, Iterable[Place]] = "local",
    *,
    name: str = "farm-client",
    auth: Optional[Authenticator] = None,
    timeout: Optional[float] = None,
    modules: Union[str, Iterable[str], None] = "auto",
    output: str = "forward",
) -> Kernel:
    """Connect to servers and make a kernel of their workers.

    Blocks until every address is connected. The first kernel becomes the process-wide current one
    while there is none.

    Args:
        addresses: One address or an iterable of them: ``"host:port"``, ``("host", port)``,
            ``"unix:///path"``, ``"ssh://user@host"`` for a private server there, or ``"local"``
            for one on this machine. ``?workers=N`` after any caps the workers used there. Or a
            `concurrent.futures.Executor`, which then runs the tasks, and which the kernel does not
            shut down.
        name: For people: servers show it.
        auth: The security mechanism; the servers must have been started with the same.
        timeout: How many seconds to wait for all addresses; None: for ever.
        modules: Which modules tasks may import that the servers do not have, and that are sent
            to them for it. ``"auto"``: your own, that is all but the standard library and what is
            installed in a ``site-packages``. A list of names: these, and what is in them, wherever
            they are. None: none.
        output: What becomes of what tasks print: ``"forward"`` shows it here, ``"server"`` leaves
            it with the server, ``"discard"`` drops it.

    Raises:
        AddressError: An address is malformed.
        KernelCreationError: An address did not answer in time; names each, and why.
        AuthError, ProtocolError: A server refused, or is no farm server; at once.
        ValueError, TypeError: `timeout`, `modules`, `output` or `auth` is not what it may be.
    """
    if output not in _OUTPUTS:
        raise ValueError(f"output is one of {', '.join(map(repr, _OUTPUTS))}, not {output!r:.100}")
    if auth is not None and not isinstance(auth, Authenticator):
        raise TypeError(f"auth is an Authenticator, not {auth!r:.100}")
    places = [parse_place(address) for address in list_places(addresses)]
    if not places:
        raise ValueError("a kernel needs at least one address")
    limit = _checked(timeout)
    kernel = Kernel(name, auth or NoAuth(), output, Library(modules))
    if threading.current_thread() is threading.main_thread():
        interrupts.guard()
    try:
        kernel._connect([kernel._site(place) for place in places], Deadline(limit))
    except BaseException:
        kernel.end()
        raise
    global _process_kernel
    if _process_kernel is None or _process_kernel.ended:
        _process_kernel = kernel
    return kernel


def current_kernel() -> Optional[Kernel]:
    """The kernel that functions without a kernel argument use, or None."""
    kernel = _context.get()
    if kernel is None or kernel._engine.ended is not None:
        kernel = _process_kernel
        if kernel is None or kernel._engine.ended is not None:
            return None
    return kernel


def set_kernel(kernel: Optional[Kernel]) -> Optional[Kernel]:
    """Make `kernel` the process-wide current one; None clears it.

    Returns:
        The previous one.
    """
    global _process_kernel
    previous, _process_kernel = _process_kernel, kernel
    return None if previous is None or previous.ended else previous


def check_kernel() -> Kernel:
    """The current kernel.

    Raises:
        NoKernelError: There is none; explains how to make one.
    """
    kernel = current_kernel()
    if kernel is None:
        # Who did make one, and then forked or ended it, would wonder.
        last = _context.get() or _process_kernel
        why = "" if last is None else f" ({last._engine.ended})"
        raise NoKernelError(
            f"there is no current kernel{why}. Make one by farm.make_kernel(), which uses this "
            "machine, or start servers (farm-server 127.0.0.1:11111) and name them: "
            'farm.make_kernel(["127.0.0.1:11111"])'
        )
    return kernel


def end_kernel(wait: bool = False) -> None:
    """End the current kernel, if there is one; see `Kernel.end`."""
    kernel = current_kernel()
    if kernel is not None:
        kernel.end(wait)


def make_channel(*, capacity: Optional[int] = None) -> Channel:
    """A channel for the results of tasks of the current kernel.

    Args:
        capacity: At most so many tasks are submitted and not yet received; the next submit blocks.

    Raises:
        NoKernelError: There is no current kernel.
    """
    return check_kernel().make_channel(capacity=capacity)


def broadcast_task(task: Task, /, *args: Any, **kwargs: Any) -> list[Any]:
    """Run a task once on every worker of the current kernel.

    Args:
        task: As for `submit_task`.
        *args: Its arguments.
        **kwargs: Its keyword arguments.

    Returns:
        The results in the order of the workers.

    Raises:
        NoKernelError: There is no current kernel.
        TaskExecutionError: The task failed on a worker.
    """
    return check_kernel().broadcast_task(task, *args, **kwargs)


def kernel_worker_count() -> int:
    """How many workers the current kernel has; raises `NoKernelError`."""
    return check_kernel().worker_count


def kernel_name() -> str:
    """The current kernel's name; raises `NoKernelError`."""
    return check_kernel().name


def task_categories_running() -> list[Optional[Category]]:
    """The category of the task that each worker of the current kernel runs, None for idle ones."""
    return check_kernel().task_categories_running()


def kill_tasks(category: Category, *, dry_run: bool = False) -> int:
    """Kill the tasks of a category that run on workers of the current kernel, whatever they do.

    They end with `TaskKilledError`, and are not started again. Tasks that wait are not affected,
    neither here nor at their worker. A task has 0.3 seconds to leave its ``finally`` blocks; then,
    or if it cannot be interrupted at all, its worker is ended with it, and replaced.

    Args:
        category: What `task_category` said where they were submitted; ``"default"`` otherwise.
        dry_run: Kill none, and only count them.

    Returns:
        How many were killed.

    Raises:
        NoKernelError: There is no current kernel.
        TypeError: `category` cannot be one.
    """
    return check_kernel().kill_tasks(category, dry_run=dry_run)


def _checked(timeout: Any) -> Optional[float]:
    """A time-out that a user gave, if it is one."""
    if timeout is None:
        return None
    text = f"timeout is seconds from 0 on, or None to wait for ever, not {timeout!r:.100}"
    if isinstance(timeout, (str, bytes)) or not hasattr(timeout, "__float__"):
        raise TypeError(text)
    if not 0 <= timeout < math.inf:
        raise ValueError(text)
    return float(timeout)


def _at_once(actions: Sequence[Callable[[], Any]], give_up: Callable[[], None]) -> list[Any]:
    """Do several things at the same time; if some fail, raise one error that tells all.

    Args:
        actions: What to do.
        give_up: Makes those that still try fail soon; called when one has failed for good.
    """
    if len(actions) == 1:
        return [actions[0]()]
    pool = ThreadPoolExecutor(min(len(actions), _AT_ONCE), "farm-connect")
    futures = [pool.submit(action) for action in actions]
    try:
        for future in as_completed(futures):
            error = future.exception()
            if error is not None and type(error) is not KernelCreationError:
                raise error  # it will not become better by waiting for the others
        failed = [error for future in futures if (error := future.exception()) is not None]
        if len(failed) == 1:
            raise failed[0]
        if failed:
            raise KernelCreationError("\n".join(str(error) for error in failed))
        return [future.result() for future in futures]
    except BaseException:  # Ctrl-C, too
        give_up()
        for future in futures:
            future.cancel()
        raise
    finally:
        pool.shutdown(wait=False)


@atexit.register
def _end_all() -> None:
    for kernel in list(_kernels):
        kernel.end()
