"""One address of a kernel, and the workers used there."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Callable, Literal, Optional

from farm_common.address import Address
from farm_common.deadline import Deadline
from farm_common.errors import (
    AuthError,
    IncompatibleVersionError,
    KernelCreationError,
    ProtocolError,
)
from farm_common.greeting import HANDSHAKE_SECONDS, Greeting, client_handshake, connect_stream
from farm_common.handshake import NEW_SESSION, ClientHello
from farm_common.interpreter import FEATURES, hello_fields
from farm_common.kills import Spans
from farm_common.memory import physical_memory
from farm_common.resumption import FEATURE as RESUME
from farm_common.security import Authenticator, NoAuth
from farm_common.sockets import connect, is_silent, unreachable

from .backoff import backoff
from .job import Job
from .kill import ask_to_kill
from .launch import launcher
from .leave import send_leave
from .link import Link
from .loss import reason_of
from .patience import Patience

__all__ = ["Site"]

_log = logging.getLogger("farm.client")

#: How long to wait for attempts to connect when the kernel ends, in seconds.
_STOP_SECONDS = 1.0

#: How often to look whether machines are gone, in seconds.
_WATCH_SECONDS = 5.0


class Site:
    """Connects to the workers of one address.

    Args:
        address: As the user gave it.
        name: The kernel's name.
        auth: The security mechanism.
        output: What becomes of the output of tasks.
        replay: Makes the tasks that a worker must run first; given its index.

    Attributes:
        links: By the index of the worker; lost ones until they are replaced.
        foreign: That its workers do not belong to an executor of the user's.
        leaving: Whether the kernel is about to do without this address.
        stopped: Set when no more connections are wanted.
        repairs: The threads that replace lost workers.
        returns: How often a worker was found again.
        stillbirths: How long to pause after workers that died before any task of the
            user's, by their index.
    """

    foreign: Literal[False] = False

    def __init__(
        self,
        address: Address,
        name: str,
        auth: Authenticator,
        output: str,
        replay: Callable[[int], list[Job]],
    ) -> None:
        self.address = address
        self.links: dict[int, Link] = {}
        self._name = name
        self._auth = auth
        self._output = output
        self.replay = replay
        self._launcher = launcher(address)
        if self._launcher is not None:
            # Nobody else can reach it: it is in a folder of this user's, on both sides of ssh.
            self._auth = NoAuth()
        self.stopped = threading.Event()
        self._watch: Optional[threading.Thread] = None
        self.leaving = False
        self.repairs: set[threading.Thread] = set()
        self._news = threading.Condition()
        self.returns = 0
        self._calls: set[socket.socket] = set()  # that wait for a worker as long as it takes
        self.stillbirths: dict[int, Iterator[float]] = {}

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
            self.links[index] = self.link_to(greeting, index)
        if self.address.kind == "tcp":
            self._watch = threading.Thread(target=self._listen, name="farm-watch", daemon=True)
            self._watch.start()

    def give_up(self) -> None:
        """Have attempts to connect fail soon."""
        self.stopped.set()

    def stop(self) -> None:
        """Connect no more, and end the server if it is a private one; twice is no error."""
        self.stopped.set()
        with self._news:
            self._news.notify_all()
        for sock in list(self._calls):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        deadline = Deadline(_STOP_SECONDS)
        for thread in (*self.repairs, self._watch):
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
        greeting = self.greet(-1, "control", Deadline(HANDSHAKE_SECONDS))
        return ask_to_kill(greeting, tasks, dry_run)

    def leave(self, sessions: Sequence[str], deadline: Deadline) -> None:
        """Tell the server that sessions are over; raises as `kill` does."""
        if self._launcher is None:  # else it ends with the kernel
            send_leave(self.greet(-1, "control", deadline), sessions)

    def forget(self, index: int) -> None:
        """Use the worker with this index no more."""
        self.links.pop(index, None)

    def _listen(self) -> None:
        """Cut the connections to machines that are gone, so that who reads finds out."""
        while not self.stopped.wait(_WATCH_SECONDS):
            for link in list(self.links.values()):
                if not (link.lost or link.away) and is_silent(link.stream.sock):
                    _log.info("%s: its machine does not acknowledge what it is sent", link.label)
                    link.stream.cut()

    def greet(
        self, index: int, role: str, deadline: Deadline, session: bytes = NEW_SESSION
    ) -> Greeting:
        """Try once to connect.

        Args:
            index: The index of the worker; -1 for none.
            role: ``"work"`` or ``"control"``.
            deadline: For all of it; the handshake has a limit of its own besides.
            session: The session that this connection replaces.

        Raises:
            FarmError, OSError, EOFError: It failed.
        """
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

    def _persist(self, index: int, role: str, deadline: Deadline) -> Greeting:
        """Try to connect until it succeeds or the deadline passes."""
        patience = Patience()
        for pause in backoff():
            try:
                return self.greet(index, role, deadline)
            except (AuthError, ProtocolError) as error:
                raise _named(error, self.address) from error
            except (OSError, EOFError) as error:
                reason = self.unreachable(error)
                # Whoever gave a time-out is told by it; whoever waits for ever, by this.
                worn = deadline.remaining() is None and patience.worn()
                _log.log(
                    logging.ERROR if worn else logging.INFO,
                    "still waiting for %s: %s",
                    self.address.endpoint,
                    reason,
                )
                stopped = deadline.expired() or self.stopped.wait(deadline.cap(pause))
                # Not once more without time: that would only say that there is none left.
                if stopped or deadline.expired():
                    raise KernelCreationError(reason) from error
        raise AssertionError("backoff is endless")

    def unreachable(self, error: BaseException) -> str:
        """Why the server cannot be talked to, and what to do about it."""
        if self._launcher is not None:  # nobody can start that one
            reason = reason_of(error)
            return f"the private server of {str(self.address)!r} does not answer: {reason}"
        return unreachable(self.address, error)

    # for the repair of lost workers, see `repair`

    def call(self, link: Link) -> Greeting:
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
            if self.stopped.is_set():
                raise ConnectionError("the kernel has ended")
            return client_handshake(sock, address, self._auth, hello, step, session, resume=True)
        except BaseException:
            sock.close()
            raise
        finally:
            self._calls.discard(sock)

    def link_to(self, greeting: Greeting, index: int) -> Link:
        """Make a link of a new connection to the worker with this index."""
        if greeting.hello.grace > 0 and RESUME in greeting.hello.features:
            greeting.stream.outlive()
        link = Link(greeting.stream, greeting.hello, f"worker {index} at {self.address.endpoint}")
        link.index = index
        if self._launcher is not None:
            link.launch = self._launcher.launches
        return link

    def has_ended(self, link: Link) -> bool:
        """Whether a link's server was this kernel's own, and is gone with all that it kept."""
        launcher = self._launcher
        return launcher is not None and (not launcher.running or launcher.launches != link.launch)

    def over(self, link: Link) -> bool:
        """Whether a lost worker need not be replaced any more."""
        return self.stopped.is_set() or self.leaving or self.links.get(link.index) is not link

    def rest(self, seconds: float, returns: int) -> None:
        """Wait before the next attempt, but no longer than until another worker here is back."""
        with self._news:
            self._news.wait_for(lambda: self.stopped.is_set() or self.returns != returns, seconds)

    def tell_others(self) -> None:
        """Have those try again that wait: the server answers."""
        with self._news:
            self.returns += 1
            self._news.notify_all()


def _named(error: KernelCreationError, address: Address) -> KernelCreationError:
    """The same error, saying which address it is about."""
    if isinstance(error, IncompatibleVersionError):
        return IncompatibleVersionError(error.ours, error.theirs, address.endpoint)
    if len(error.args) == 1 and not str(error).startswith(address.endpoint):
        return type(error)(f"{address.endpoint}: {error}")
    return error
