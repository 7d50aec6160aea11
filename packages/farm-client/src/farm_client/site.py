"""One address of a kernel, and the workers used there."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from farm_common.address import Address
from farm_common.deadline import Deadline
from farm_common.errors import (
    AuthError,
    FarmError,
    IncompatibleVersionError,
    KernelCreationError,
    ProtocolError,
)
from farm_common.handshake import NEW_SESSION, ClientHello
from farm_common.interpreter import hello_fields
from farm_common.kills import KILLED, TIMEOUT, Spans
from farm_common.security import Authenticator, NoAuth
from farm_common.stream import (
    HANDSHAKE_SECONDS,
    Greeting,
    connect_stream,
    physical_memory,
    unreachable,
)

from .backoff import backoff
from .job import Job
from .kill import ask_to_kill
from .launch import launcher
from .link import Link

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Site"]

_log = logging.getLogger("farm.client")

#: How long to wait for attempts to connect when the kernel ends, in seconds.
_STOP_SECONDS = 1.0

#: After how many seconds somebody who waits for a server is told so: by default only errors show.
_PATIENCE = 5.0


class Site:
    """Connects to the workers of one address, and again when a connection is lost.

    Args:
        address: As the user gave it.
        name: The kernel's name.
        auth: The security mechanism.
        output: What becomes of the output of tasks.
        replay: Makes the tasks that a worker must run first; given its index.
    """

    def __init__(
        self,
        address: Address,
        name: str,
        auth: Authenticator,
        output: str,
        replay: Callable[[int], list[Job]],
    ) -> None:
        self.address = address
        self.links: dict[int, Link] = {}  # by the index of the worker; lost ones until replaced
        self._name = name
        self._auth = auth
        self._output = output
        self._replay = replay
        self._launcher = launcher(address)
        if self._launcher is not None:
            # Nobody else can reach it: it is in a folder of this user's, on both sides of ssh.
            self._auth = NoAuth()
        self._stopped = threading.Event()
        #: Whether the kernel is about to do without this address.
        self.leaving = False
        self._repairs: set[threading.Thread] = set()
        # How long to pause after workers that died without a result, by their index.
        self._stillbirths: dict[int, Iterator[float]] = {}

    def count_workers(self, deadline: Deadline) -> int:
        """How many workers to use here: what the server advertises, or less if the address says so.

        Blocks until the server answers.

        Raises:
            KernelCreationError: It did not in time, or never will.
        """
        greeting = self._persist(-1, "control", deadline)
        greeting.stream.close()
        advertised = greeting.hello.workers
        wanted = self.address.workers
        return advertised if wanted is None else min(wanted, advertised)

    def connect(self, indices: range, deadline: Deadline) -> None:
        """Open a connection to a worker for each index; blocks, and raises as `count_workers`."""
        for index in indices:
            greeting = self._persist(index, "work", deadline)
            self.links[index] = self._link(greeting, index)

    def repair(self, link: Link, error: BaseException, engine: Engine) -> None:
        """Replace a lost worker, in a thread of its own, for as long as it takes."""
        thread = threading.Thread(
            target=self._reconnect, args=(link, error, engine), name="farm-repair", daemon=True
        )
        self._repairs.add(thread)
        thread.start()

    def give_up(self) -> None:
        """Have attempts to connect fail soon."""
        self._stopped.set()

    def stop(self) -> None:
        """Connect no more, and end the server if it is a private one; twice is no error."""
        self._stopped.set()
        deadline = Deadline(_STOP_SECONDS)
        for thread in list(self._repairs):
            if thread is not threading.current_thread():
                # One that waits for a host that does not answer ends by itself, a little later.
                thread.join(deadline.remaining())
        if self._launcher is not None:
            self._launcher.end()

    def kill(self, tasks: Mapping[str, Spans], dry_run: bool) -> dict[str, int]:
        """Have the server end tasks that run there.

        Args:
            tasks: Those that may be ended, by the session that they were sent in.
            dry_run: Only ask which of them run.

        Returns:
            The task that was ended, by its session.

        Raises:
            FarmError, OSError, EOFError: The server could not be asked.
        """
        greeting = self._greet(-1, "control", Deadline(HANDSHAKE_SECONDS))
        return ask_to_kill(greeting, tasks, dry_run)

    def forget(self, index: int) -> None:
        """Use the worker with this index no more."""
        self.links.pop(index, None)

    def _greet(
        self, index: int, role: str, deadline: Deadline, session: bytes = NEW_SESSION
    ) -> Greeting:
        address = self.address if self._launcher is None else self._launcher.start(deadline)
        hello = ClientHello(
            **hello_fields(physical_memory()),
            role=role,
            name=self._name,
            index=index,
            output=self._output,
        )
        step = Deadline(deadline.cap(HANDSHAKE_SECONDS))
        return connect_stream(address, self._auth, hello, step, session)

    def _link(self, greeting: Greeting, index: int) -> Link:
        link = Link(greeting.stream, greeting.hello, f"worker {index} at {self.address.endpoint}")
        link.index = index
        return link

    def _persist(self, index: int, role: str, deadline: Deadline) -> Greeting:
        """Try to connect until it succeeds or the deadline passes."""
        patience = _Patience()
        for pause in backoff():
            try:
                return self._greet(index, role, deadline)
            except (AuthError, ProtocolError) as error:
                raise _named(error, self.address) from error
            except (OSError, EOFError) as error:
                reason = self._unreachable(error)
                # Whoever gave a time-out is told by it; whoever waits for ever, by this.
                worn = deadline.remaining() is None and patience.worn()
                _log.log(
                    logging.ERROR if worn else logging.INFO,
                    "still waiting for %s: %s",
                    self.address.endpoint,
                    reason,
                )
                stopped = deadline.expired() or self._stopped.wait(deadline.cap(pause))
                # Not once more without time: that would only say that there is none left.
                if stopped or deadline.expired():
                    raise KernelCreationError(reason) from error
        raise AssertionError("backoff is endless")

    def _unreachable(self, error: BaseException) -> str:
        if self._launcher is not None:  # nobody can start that one
            return f"the private server of {str(self.address)!r} does not answer: {_reason(error)}"
        return unreachable(self.address, error)

    def _over(self, link: Link) -> bool:
        """Whether a lost worker need not be replaced any more."""
        return self._stopped.is_set() or self.leaving or self.links.get(link.index) is not link

    def _reconnect(self, link: Link, error: BaseException, engine: Engine) -> None:
        recovered = False
        patience = _Patience()
        if link.done:
            self._stillbirths.pop(link.index, None)
        elif link.index in self._stillbirths:
            # Twice in a row a worker died that had not done anything: it is not replaced at once.
            self._stopped.wait(next(self._stillbirths[link.index]))
        session = bytes.fromhex(link.hello.session)
        try:
            for pause in backoff():
                if self._over(link):
                    break
                try:
                    greeting = self._greet(link.index, "work", Deadline(None), session)
                except (FarmError, OSError, EOFError) as failure:
                    if not recovered:
                        recovered = True
                        engine.recover(link, None, f"the connection was lost: {_reason(error)}")
                    self._tell(link, failure, patience)
                    self._stopped.wait(pause)
                    continue
                if self._over(link):
                    greeting.stream.close()
                    break
                lost = greeting.hello.lost
                verdict, seconds = _verdict(lost)
                if not recovered:
                    recovered = True
                    engine.recover(link, *_account(lost, error), verdict, seconds)
                if not link.done and verdict is None:
                    self._stillbirths.setdefault(link.index, backoff())
                if patience.failures:
                    _log.warning("%s is back after %.0f s", link.label, patience.seconds())
                successor = self._link(greeting, link.index)
                self.links[link.index] = successor
                try:
                    engine.add(successor, self._replay(link.index))
                except FarmError:  # the kernel ended meanwhile
                    greeting.stream.close()
                return
        finally:
            if not recovered:
                engine.recover(link, None, f"the connection was lost: {_reason(error)}")
            self._repairs.discard(threading.current_thread())

    def _tell(self, link: Link, failure: BaseException, patience: _Patience) -> None:
        """Log that a lost worker cannot be replaced: each time, but loudly only once."""
        final = isinstance(failure, FarmError)
        reason = _reason(failure) if final else self._unreachable(failure)
        worn = patience.worn()
        if worn:
            _log.error(
                "%s has been lost for %.0f s: %s; its tasks run on other workers, or wait",
                link.label,
                patience.seconds(),
                reason,
            )
        else:
            level = logging.WARNING if patience.failures == 1 else logging.INFO
            _log.log(level, "cannot reconnect %s: %s", link.label, reason)


class _Patience:
    """How long somebody who waits for a server is not told; wears out once."""

    def __init__(self) -> None:
        self.failures = 0
        self._since = time.monotonic()
        self._worn = False

    def seconds(self) -> float:
        """How long the wait has been."""
        return time.monotonic() - self._since

    def worn(self) -> bool:
        """Count a failure; return True once, at the first one after some seconds."""
        self.failures += 1
        if self._worn or self.seconds() < _PATIENCE:
            return False
        self._worn = True
        return True


def _account(lost: Optional[dict[str, Any]], error: BaseException) -> tuple[Optional[int], str]:
    """The task that a lost worker started last, and how it ended, from the server's account."""
    if lost is None:
        return None, f"the connection was lost ({_reason(error)}), and the server does not know why"
    task, done = lost.get("task"), lost.get("done")
    last: Union[Any, None] = task if isinstance(task, int) else done
    if _verdict(lost)[0] is not None:
        reason = "its server ended it, because a task had to be ended that ran on it"
    elif lost.get("reason") == "signal":
        reason = f"it was killed by {lost.get('signal')}"
    else:
        reason = f"it exited with status {lost.get('status')}"
    if lost.get("memory"):
        reason += ", out of memory"
    return last if isinstance(last, int) else None, reason


def _verdict(lost: Optional[dict[str, Any]]) -> tuple[Optional[str], Optional[float]]:
    """Why the server itself ended a worker and its task, if so, and how long that had run."""
    lost = lost or {}
    reason, seconds = lost.get("verdict"), lost.get("seconds")
    if reason not in (KILLED, TIMEOUT) or not isinstance(lost.get("task"), int):
        return None, None
    return reason, seconds if isinstance(seconds, (int, float)) else None


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _named(error: KernelCreationError, address: Address) -> KernelCreationError:
    """The same error, saying which address it is about."""
    if isinstance(error, IncompatibleVersionError):
        return IncompatibleVersionError(error.ours, error.theirs, address.endpoint)
    if len(error.args) == 1 and not str(error).startswith(address.endpoint):
        return type(error)(f"{address.endpoint}: {error}")
    return error
