"""Every error that farm raises.

::

    FarmError
    ├── AddressError (ValueError)          an address that cannot be understood
    ├── InvalidTaskError                   something that is not a task was submitted
    ├── SerializationError                 a task, argument or result cannot travel
    ├── UnsupportedError                   this server, engine or release cannot do that
    ├── NoKernelError (RuntimeError)       there is no current kernel
    ├── KernelEndedError (RuntimeError)    the kernel ended before the task did
    ├── KernelCreationError                an address did not answer as it should
    │   ├── AuthError                      one side would not accept the other
    │   └── ProtocolError                  the peer does not speak farm's protocol
    │       └── IncompatibleVersionError   it speaks another version of it
    ├── TaskExecutionError                 the task raised, on a server
    ├── WorkerLostError                    the worker died under the task
    └── PtreeError                         a tree of computations is not as it should be
        ├── PtreeUndefinedFunctionError    a node has no function
        ├── PtreeRedefinitionError         a node has a function already
        └── PtreeCycleError                nodes refer to one another in a circle

Errors store what they were made from; their text is made in ``__str__`` or at the place that
raises them, and always says what was wrong, where, and what to do next.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Optional

__all__ = [
    "AddressError",
    "AuthError",
    "FarmError",
    "IncompatibleVersionError",
    "InvalidTaskError",
    "KernelCreationError",
    "KernelEndedError",
    "NoKernelError",
    "ProtocolError",
    "PtreeCycleError",
    "PtreeError",
    "PtreeRedefinitionError",
    "PtreeUndefinedFunctionError",
    "SerializationError",
    "TaskExecutionError",
    "UnsupportedError",
    "WorkerLostError",
]


class FarmError(Exception):
    """The root of all errors that farm raises."""


class AddressError(FarmError, ValueError):
    """An address that cannot be understood; quotes it and shows the accepted forms."""


class InvalidTaskError(FarmError):
    """A task that is neither a callable nor a string ``"package.module:qualified.name"``."""


class SerializationError(FarmError):
    """Something cannot travel to or from a server; names the object and the path to it."""


class UnsupportedError(FarmError):
    """What was asked for cannot be done here; says by whom, and what can."""


class NoKernelError(FarmError, RuntimeError):
    """There is no current kernel."""


class KernelEndedError(FarmError, RuntimeError):
    """The kernel ended before the task did, or before it was submitted."""


class KernelCreationError(FarmError):
    """A server could not be reached, or would not serve."""


class AuthError(KernelCreationError):
    """One side did not accept the other's proof of who it is."""


class ProtocolError(KernelCreationError):
    """The peer sent what the protocol does not allow, or is not a farm peer at all."""


class IncompatibleVersionError(ProtocolError):
    """The two sides have no protocol version in common.

    Args:
        ours: The lowest and highest version that this side speaks.
        theirs: The lowest and highest version that the peer speaks.
        peer: Which peer, where that is known.
    """

    def __init__(
        self, ours: tuple[int, int], theirs: tuple[int, int], peer: str = "the peer"
    ) -> None:
        super().__init__(ours, theirs, peer)
        self.ours = ours
        self.theirs = theirs
        self.peer = peer

    def __str__(self) -> str:
        older = self.peer if self.theirs[1] < self.ours[0] else "this side"
        return (
            f"this side speaks protocol {_span(self.ours)}, {self.peer} {_span(self.theirs)}; "
            f"upgrade farm on {older}"
        )


class TaskExecutionError(FarmError):
    """A task failed on a server.

    The original exception is ``__cause__`` when it could be rebuilt here, with its own causes and
    with tracebacks that show what ran on the server. Where it could not, the text of this error
    has the description; where it could, whoever prints this error prints that, too. Behind an
    original, a `TaskExecutionError` without a worker stands in for one that could not be rebuilt.

    Args:
        report: The error in one line, for example ``"ZeroDivisionError: division by zero"``.
        description: The remote traceback, as text; cut where it is very long.
        worker: Which worker ran the task, for example ``"worker 1 at 127.0.0.1:11111"``.

    Attributes:
        index: Which element of a sequence the task failed at, where a cognate called it and
            knows; else None.
    """

    index: Optional[int] = None

    def __init__(self, report: str, description: str = "", worker: Optional[str] = None) -> None:
        super().__init__(report, description, worker)
        self.report = report
        self.description = description
        self.worker = worker

    def __str__(self) -> str:
        places = [f"on {self.worker}"] if self.worker else []
        if self.index is not None:
            places.append(f"at element {self.index}")
        where = f" ({', '.join(places)})" if places else ""
        # Not twice: a traceback of this error begins with that of its cause.
        told = self.__cause__ is not None or not self.description
        remote = "" if told else f"\n\n{self.description.rstrip()}"
        return f"{self.report}{where}{remote}"


class WorkerLostError(FarmError):
    """The worker died under the task as often as the task may be started.

    Args:
        task: The name of the task.
        worker: Which worker died last, for example ``"worker 1 at 127.0.0.1:11111"``.
        reason: How it died: a signal, an exit status, or a lost connection.
        attempts: How often the task was started.
    """

    def __init__(self, task: str, worker: str, reason: str, attempts: int) -> None:
        super().__init__(task, worker, reason, attempts)
        self.task = task
        self.worker = worker
        self.reason = reason
        self.attempts = attempts

    def __str__(self) -> str:
        times = "once" if self.attempts == 1 else f"{self.attempts} times"
        return (
            f"task {self.task} was started {times}, and each time its worker died; "
            f"last {self.worker}: {self.reason}"
        )


class PtreeError(FarmError):
    """A `Ptree` is not as it should be."""


class PtreeUndefinedFunctionError(PtreeError):
    """A node of a `Ptree` has no function.

    Args:
        name: The node's name.
        references: The names of the nodes that have it among their arguments.
    """

    def __init__(self, name: Hashable, references: Sequence[Hashable] = ()) -> None:
        super().__init__(name, references)
        self.name = name
        self.references = list(references)

    def __str__(self) -> str:
        if not self.references:
            return f"there is no node {self.name!r} in this tree: define() it"
        refer = "refers" if len(self.references) == 1 else "refer"
        return (
            f"node {self.name!r} has no function, and {_listing(self.references, ', ', ' and ')} "
            f"{refer} to it: define() it"
        )


class PtreeRedefinitionError(PtreeError):
    """A node of a `Ptree` has a function already.

    Args:
        name: The node's name.
    """

    def __init__(self, name: Hashable) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"node {self.name!r} is defined already: define it under another name, or make "
            f"another Ptree"
        )


class PtreeCycleError(PtreeError):
    """Nodes of a `Ptree` refer to one another in a circle, so that none can be computed.

    Args:
        names: The names of the nodes, each of which has the next one among its arguments, and the
            last one the first.
    """

    def __init__(self, names: Sequence[Hashable]) -> None:
        super().__init__(names)
        self.names = list(names)

    def __str__(self) -> str:
        circle = _listing([*self.names, self.names[0]], " -> ", " -> ")
        return f"these nodes need one another, so none can be computed: {circle}"


def _listing(names: Sequence[Hashable], separator: str, last: str) -> str:
    """Names in one line; the middle of a long list is left out."""
    texts = [repr(name) for name in names]
    if len(texts) > 12:
        texts[6:-6] = [f"({len(texts) - 12} more)"]
    return last.join(filter(None, [separator.join(texts[:-1]), texts[-1]]))


def _span(versions: tuple[int, int]) -> str:
    low, high = versions
    return str(low) if low == high else f"{low} to {high}"
