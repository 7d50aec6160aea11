"""One address of a kernel, and the workers used there."""

from __future__ import annotations

import contextlib
import logging
import socket
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
from farm_common.interpreter import FEATURES, hello_fields
from farm_common.kills import KILLED, TIMEOUT, Spans
from farm_common.resumption import FEATURE as RESUME
from farm_common.security import Authenticator, NoAuth
from farm_common.stream import (
    HANDSHAKE_SECONDS,
    Greeting,
    client_handshake,
    connect,
    connect_stream,
    is_silent,
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

#: How often to look whether machines are gone, in seconds.
_WATCH_SECONDS = 5.0

#: For how many seconds a host may say that nobody listens until what ran there is believed to be
#: gone: a proxy or a tunnel in between, which may be started anew, says the same.
_REFUSED_SECONDS = 5.0

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
        self._watch: Optional[threading.Thread] = None
        #: Whether the kernel is about to do without this address.
        self.leaving = False
        self._repairs: set[threading.Thread] = set()
        self._news = threading.Condition()
        self._returns = 0  # how often a worker was found again
        self._calls: set[socket.socket] = set()  # that wait for a worker as long as it takes
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
        if self.address.kind == "tcp":
            self._watch = threading.Thread(target=self._listen, name="farm-watch", daemon=True)
            self._watch.start()

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
        with self._news:
            self._news.notify_all()
        for sock in list(self._calls):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        deadline = Deadline(_STOP_SECONDS)
        for thread in (*self._repairs, self._watch):
            if thread is not None and thread is not threading.current_thread():
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

    def _listen(self) -> None:
        """Cut the connections to machines that are gone, so that who reads finds out."""
        while not self._stopped.wait(_WATCH_SECONDS):
            for link in list(self.links.values()):
                if not (link.lost or link.away) and is_silent(link.stream.sock):
                    _log.info("%s: its machine does not acknowledge what it is sent", link.label)
                    link.stream.cut()

    def _greet(
        self, index: int, role: str, deadline: Deadline, session: bytes = NEW_SESSION
    ) -> Greeting:
        address = self.address if self._launcher is None else self._launcher.start(deadline)
        step = Deadline(deadline.cap(HANDSHAKE_SECONDS))
        return connect_stream(address, self._auth, self._hello(index, role), step, session)

    def _hello(self, index: int, role: str, received: int = 0) -> ClientHello:
        fields = hello_fields(physical_memory())
        fields["features"] = (*FEATURES, RESUME)
        return ClientHello(
            **fields,
            role=role,
            name=self._name,
            index=index,
            output=self._output,
            received=received,
        )

    def _call(self, link: Link) -> Greeting:
        """Ask for a link's session to go on; see `client_handshake` for how long that may take."""
        resumption = link.stream.resumption
        assert resumption is not None
        hello = self._hello(link.index, "work", resumption.confirm())
        session = bytes.fromhex(link.hello.session)
        address = self.address if self._launcher is None else self._launcher.start(Deadline(None))
        step = Deadline(HANDSHAKE_SECONDS)
        sock = connect(address, step)
        self._calls.add(sock)
        try:
            if self._stopped.is_set():
                raise ConnectionError("the kernel has ended")
            return client_handshake(sock, address, self._auth, hello, step, session, resume=True)
        except BaseException:
            sock.close()
            raise
        finally:
            self._calls.discard(sock)

    def _link(self, greeting: Greeting, index: int) -> Link:
        if greeting.hello.grace > 0 and RESUME in greeting.hello.features:
            greeting.stream.outlive()
        link = Link(greeting.stream, greeting.hello, f"worker {index} at {self.address.endpoint}")
        link.index = index
        if self._launcher is not None:
            link.launch = self._launcher.launches
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

    def _has_ended(self, link: Link) -> bool:
        """Whether a link's server was this kernel's own, and is gone with all that it kept."""
        launcher = self._launcher
        return launcher is not None and (not launcher.running or launcher.launches != link.launch)

    def _unreachable(self, error: BaseException) -> str:
        if self._launcher is not None:  # nobody can start that one
            return f"the private server of {str(self.address)!r} does not answer: {_reason(error)}"
        return unreachable(self.address, error)

    def _over(self, link: Link) -> bool:
        """Whether a lost worker need not be replaced any more."""
        return self._stopped.is_set() or self.leaving or self.links.get(link.index) is not link

    def _reconnect(self, link: Link, error: BaseException, engine: Engine) -> None:
        patience = _Patience()
        if link.done:
            self._stillbirths.pop(link.index, None)
        elif link.index in self._stillbirths:
            # Twice in a row a worker died that had not done anything: it is not replaced at once.
            self._stopped.wait(next(self._stillbirths[link.index]))
        reason = f"the connection was lost: {_reason(error)}"
        recovered = False
        greeting: Optional[Greeting] = None
        try:
            if link.away:
                recovered, greeting = self._regain(link, engine, patience)
                if recovered:
                    return
                if greeting is None:
                    reason = _lost_for(error, None if self._has_ended(link) else patience)
            if greeting is None:
                greeting, recovered = self._replace(link, reason, engine, patience)
            if greeting is not None and not self._over(link):
                self._succeed(link, error, greeting, engine, patience, recovered)
                greeting, recovered = None, True
        finally:
            if greeting is not None:
                greeting.stream.close()
            if not recovered:
                engine.recover(link, None, reason)
            self._repairs.discard(threading.current_thread())

    def _replace(
        self, link: Link, reason: str, engine: Engine, patience: _Patience
    ) -> tuple[Optional[Greeting], bool]:
        """Connect to another worker in place of a lost one, for as long as it takes.

        Returns:
            What came of it, None when nobody wants one any more; and whether the tasks of the
            lost worker were sent elsewhere meanwhile, for this reason.
        """
        recovered = False
        if link.away:  # nothing will become of its session
            recovered = True
            engine.recover(link, None, reason)
        session = bytes.fromhex(link.hello.session)
        for pause in backoff():
            if self._over(link):
                break
            returns = self._returns
            try:
                return self._greet(link.index, "work", Deadline(None), session), recovered
            except (FarmError, OSError, EOFError) as failure:
                if not recovered:
                    recovered = True
                    engine.recover(link, None, reason)
                self._tell(link, failure, patience)
                self._rest(pause, returns)
        return None, recovered

    def _rest(self, seconds: float, returns: int) -> None:
        """Wait before the next attempt, but no longer than until another worker here is back."""
        with self._news:
            self._news.wait_for(lambda: self._stopped.is_set() or self._returns != returns, seconds)

    def _tell_others(self) -> None:
        """Have those try again that wait: the server answers."""
        with self._news:
            self._returns += 1
            self._news.notify_all()

    def _succeed(
        self,
        link: Link,
        error: BaseException,
        greeting: Greeting,
        engine: Engine,
        patience: _Patience,
        recovered: bool,
    ) -> None:
        """Have another worker take the place of a lost one, whose server tells how it ended."""
        lost = greeting.hello.lost
        verdict, seconds = _verdict(lost)
        if not recovered:
            engine.recover(link, *_account(lost, error), verdict, seconds)
        if not link.done and verdict is None:
            self._stillbirths.setdefault(link.index, backoff())
        if patience.failures:
            _log.warning("%s is back after %.0f s", link.label, patience.seconds())
        self._tell_others()
        successor = self._link(greeting, link.index)
        self.links[link.index] = successor
        try:
            engine.add(successor, self._replay(link.index))
        except FarmError:  # the kernel ended meanwhile
            greeting.stream.close()

    def _regain(
        self, link: Link, engine: Engine, patience: _Patience
    ) -> tuple[bool, Optional[Greeting]]:
        """Have a session go on whose connection was lost, for as long as the server keeps it.

        Returns:
            Whether it does, or nobody wants that any more; and otherwise the connection to another
            worker that the server gave instead, if it did.
        """
        refused: Optional[float] = None  # since when
        for pause in backoff():
            if self._stopped.is_set() or link.lost or self.links.get(link.index) is not link:
                break
            if self._has_ended(link):
                break  # without waiting for the next one, which may never start
            returns = self._returns
            try:
                greeting = self._call(link)
                if greeting.preamble.session == NEW_SESSION:
                    return False, greeting
                if not _go_on(link, greeting, engine):
                    break
            except FarmError as failure:
                self._tell(link, failure, patience)
                break
            except (OSError, EOFError) as failure:
                self._tell(link, failure, patience, link.grace)
                if isinstance(failure, (ConnectionRefusedError, FileNotFoundError)):
                    if not failure.errno:
                        break  # in the server's own words: it has no such session
                    refused = patience.seconds() if refused is None else refused
                else:
                    refused = None
                since = patience.seconds()
                if since >= link.grace or (
                    refused is not None and since >= refused + _REFUSED_SECONDS
                ):
                    break
                self._rest(min(pause, link.grace - since), returns)
            else:
                self._tell_others()
                level = logging.WARNING if patience.failures else logging.INFO
                _log.log(level, "%s goes on after %.1f s", link.label, patience.seconds())
                return True, None
        return False, None

    def _tell(
        self, link: Link, failure: BaseException, patience: _Patience, grace: float = 0.0
    ) -> None:
        """Log that a lost worker cannot be replaced: each time, but loudly only once.

        Args:
            link: Its link.
            failure: Why not.
            patience: Counts the failures.
            grace: How many seconds its server may keep it, if it may be there yet.
        """
        final = isinstance(failure, FarmError)
        reason = _reason(failure) if final else self._unreachable(failure)
        worn = patience.worn()
        if worn:
            _log.error(
                "%s has been lost for %.0f s: %s; %s",
                link.label,
                patience.seconds(),
                reason,
                f"what it was sent waits for it, {grace:.0f} s at most"
                if patience.seconds() < grace
                else "its tasks run on other workers, or wait",
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
    if lost.get("expired"):
        reason = "its server ended it, because this client was away for too long"
    elif _verdict(lost)[0] is not None:
        reason = "its server ended it, because a task had to be ended that ran on it"
    elif lost.get("reason") == "signal":
        reason = f"it was killed by {lost.get('signal')}"
    else:
        reason = f"it exited with status {lost.get('status')}"
    if lost.get("memory"):
        reason += ", out of memory"
    return last if isinstance(last, int) else None, reason


def _go_on(link: Link, greeting: Greeting, engine: Engine) -> bool:
    """Have a session go on over a connection; return whether it does."""
    went_on = False
    try:
        went_on = engine.resume(link, greeting)
    finally:
        if not went_on:
            greeting.stream.close()
    return went_on


def _lost_for(error: BaseException, patience: Optional[_Patience]) -> str:
    """How a worker was lost that may be there yet; without patience, it was not waited for."""
    if patience is None:
        end = "with it the server that this kernel had started"
    else:
        end = f"not found again in {patience.seconds():.0f} s"
    return (
        f"the connection was lost ({_reason(error)}) and {end}; "
        "whether the task was executed is not known"
    )


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
