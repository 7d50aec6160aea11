"""The kernels of this process: how one is made, which is the current one, and its use."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Optional, Union

from farm_common.deadline import Deadline
from farm_common.errors import NoKernelError
from farm_common.security import Authenticator, NoAuth
from farm_common.shipping.tasks import Task

from .. import interrupts
from ..channel import Channel
from ..library import Library
from ..options import Category
from ..places import Place, list_places, parse_place
from ..sites import Sites
from .kernel import Kernel, checked_timeout, context

__all__ = [
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
]

_OUTPUTS = ("forward", "server", "discard")

# Above the functions that say `global`: PyPy 3.9 wants annotations to come first.
_process_kernel: Optional[Kernel] = None


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
        ValueError, TypeError: `name`, `timeout`, `modules`, `output` or `auth` is not what it may
            be.
    """
    if output not in _OUTPUTS:
        raise ValueError(f"output is one of {', '.join(map(repr, _OUTPUTS))}, not {output!r:.100}")
    if not isinstance(name, str):
        raise TypeError(f"a kernel's name is a string, not {name!r:.100}")
    if auth is not None and not isinstance(auth, Authenticator):
        raise TypeError(f"auth is an Authenticator, not {auth!r:.100}")
    places = [parse_place(address) for address in list_places(addresses)]
    if not places:
        raise ValueError("a kernel needs at least one address")
    limit = checked_timeout(timeout)
    sites = Sites(name, auth or NoAuth(), output, Library(modules))
    kernel = Kernel(name, sites)
    if threading.current_thread() is threading.main_thread():
        interrupts.guard()
    try:
        sites.open(places, Deadline(limit))
    except BaseException:
        kernel.end()
        raise
    global _process_kernel
    if _process_kernel is None or _process_kernel.ended:
        _process_kernel = kernel
    return kernel


def current_kernel() -> Optional[Kernel]:
    """The kernel that functions without a kernel argument use, or None."""
    kernel = context.get()
    if kernel is None or kernel._engine.ended is not None:
        kernel = _process_kernel
        if kernel is None or kernel._engine.ended is not None:
            return None
    return kernel


def set_kernel(kernel: Optional[Kernel]) -> Optional[Kernel]:
    """Make `kernel` the process-wide current one; None clears it.

    Returns:
        The previous one.

    Raises:
        TypeError: It is neither.
    """
    if kernel is not None and not isinstance(kernel, Kernel):
        raise TypeError(f"set_kernel() takes a kernel or None, not {kernel!r:.100}")
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
        last = context.get() or _process_kernel
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
