"""An executor of the user's as one of the addresses of a kernel."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Callable, Literal

from farm_common import guest
from farm_common.deadline import Deadline
from farm_common.errors import FarmError, KernelCreationError, UnsupportedError
from farm_common.handshake import ClientHello, ServerHello
from farm_common.interpreter import hello_fields
from farm_common.shipping import Shared

from ..link import Link
from .counter import Counter
from .link import ForeignLink
from .size import slots_of

if TYPE_CHECKING:
    from ..engine import Engine

__all__ = ["ExecutorAddress", "ForeignSite"]

_NO_LIMIT = 1 << 62


class ExecutorAddress:
    """What a kernel calls an executor, where others have an address.

    Args:
        executor: The user's.
    """

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        #: As of an `Address`.
        self.endpoint = type(executor).__name__

    def __str__(self) -> str:
        return self.endpoint


class ForeignSite:
    """Takes the part of a `Site` for an executor.

    Args:
        executor: The user's; it is never shut down from here.
        name: The kernel's name.
        elsewhere: Whether tasks that cannot run here could run at another address.
    """

    foreign: Literal[True] = True

    def __init__(
        self, executor: Executor, name: str, elsewhere: Callable[[ForeignSite], bool]
    ) -> None:
        self.address = ExecutorAddress(executor)
        self.executor = executor
        self.links: dict[int, Link] = {}
        self.leaving = False
        self._slots: list[ForeignLink] = []
        self._elsewhere = elsewhere
        self._stopped = threading.Event()
        self._settled = threading.Event()  # the first task has ended, or nobody waits for it
        self._hello: Any = None
        self._inner: dict[bytes, Sequence[Shared[Any]]] = {}
        fields = hello_fields(_NO_LIMIT)
        self._counter = Counter(executor, ClientHello(**fields, role="work", name=name))

    @property
    def broken(self) -> bool:
        """Whether the executor takes no tasks any more."""
        return self._counter.broken is not None

    def count_workers(self, deadline: Deadline) -> int:
        """How many slots the executor has. Blocks until it has run something.

        Raises:
            KernelCreationError: It did not in time, or cannot.
        """
        self._hello = self._introduce(deadline)
        return slots_of(self.executor)

    def _introduce(self, deadline: Deadline) -> ServerHello:
        """What one of its workers says of itself; the others are taken to be alike."""
        label = self.address.endpoint
        try:
            future = self.executor.submit(guest.introduce, os.urandom(8).hex())
        except Exception as error:
            raise KernelCreationError(f"{label} takes no tasks: {_reason(error)}") from error
        future.add_done_callback(lambda _: self._settled.set())
        if not self._settled.wait(deadline.remaining()) or self._stopped.is_set():
            future.cancel()
            raise KernelCreationError(
                f"{label} has not started a first task in time: it may be busy with others, or "
                f"have no workers"
            )
        try:
            hello: ServerHello = ServerHello.decode(future.result())
        except BaseException as error:
            raise KernelCreationError(
                f"{label} cannot run farm's tasks: {_reason(error)}; its workers must be able to "
                f"import farm_common: install farm-common for them"
            ) from error
        return hello

    def connect(self, indices: range, deadline: Deadline) -> None:
        """Make a link for each slot."""
        for index in indices:
            self.links[index] = self._link(index)
        self._counter.start()

    def _link(self, index: int) -> ForeignLink:
        label = f"worker {index} at {self.address.endpoint}"
        link = ForeignLink(
            self._counter,
            self._hello,
            label,
            index,
            self._inner,
            self._broke,
            lambda: self._elsewhere(self),
        )
        self._slots.append(link)
        return link

    def repair(self, link: Link, error: BaseException, engine: Engine) -> None:
        """Have the tasks of a lost link run elsewhere, in a thread of its own."""
        threading.Thread(
            target=self._repair, args=(link, error, engine), name="farm-repair", daemon=True
        ).start()

    def _repair(self, link: Link, error: BaseException, engine: Engine) -> None:
        engine.recover(link, None, _reason(error))
        if self.broken:
            self.forget(link.index)
            engine.remove(link)
            return
        successor = self.links[link.index] = self._link(link.index)
        try:
            engine.add(successor)
        except FarmError:  # the kernel ended meanwhile
            successor.stream.close()

    def _broke(self, reason: str) -> None:
        """Take note that the executor is no more, and have all links look at that."""
        if self._counter.broken is None:
            self._counter.broken = f"{self.address.endpoint} takes no tasks any more: {reason}"
        for link in self._slots:
            link.ring()

    def give_up(self) -> None:
        """Have a wait for the executor end soon."""
        self._stopped.set()
        self._settled.set()

    def stop(self) -> None:
        """Hand nothing over any more, and take back what was not started."""
        self._counter.end()
        for link in self._slots:
            link.cancel_all()

    def unable(self, what: str) -> UnsupportedError:
        """The error for what no executor can do."""
        return UnsupportedError(
            f"{self.address.endpoint} cannot {what}: the kernel uses it as a "
            f"concurrent.futures.Executor, which has no way to do that; farm's own servers do"
        )

    def forget(self, index: int) -> None:
        """Use the worker with this index no more."""
        self.links.pop(index, None)


def _reason(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
