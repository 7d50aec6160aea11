"""Trees of computations: nodes are computed from the values of others, as soon as those are there.

Whoever calls for a node drives its computation: he submits what is free, waits for what arrives,
and looks what has become free by that. Several threads may do so at a time, on one tree:

- All that changes does so under the tree's lock. It may be held when the engine's lock is taken,
  but not the other way round; so what a worker returns only joins a queue, and the next thread
  that has the tree's lock takes it from there.
- Threads wait in the engine whose workers compute, until something has arrived or another thread
  has taken it, which the version of the tree tells. So one kernel at a time computes; who calls
  with another one waits until nothing is under way.
- A node that is given up (by `Ptree.clear`, or by Ctrl-C if no other call needs it) forgets its
  errand, which is killed if it runs. Calls that may have waited for it look at the whole tree anew.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Optional

from farm_common.errors import (
    FarmError,
    InvalidTaskError,
    PtreeCycleError,
    PtreeRedefinitionError,
    PtreeUndefinedFunctionError,
)
from farm_common.shipping.exceptions import fresh
from farm_common.shipping.tasks import Task

from . import interrupts
from .errand import Errand, drop
from .interrupts import protected
from .kernel import check_kernel

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Ptree"]

#: A task to be submitted, with its arguments.
_Order = tuple[Errand, Task, tuple[Any, ...]]

_NOTHING: Any = object()


class _Node:
    """One node: from `define`, or mentioned there."""

    __slots__ = ("args", "children", "errand", "error", "name", "parents", "task", "value")

    def __init__(self, name: Hashable) -> None:
        self.name = name
        self.task: Optional[Task] = None
        self.args: tuple[_Node, ...] = ()
        self.children: tuple[_Node, ...] = ()  # the arguments, each once
        self.parents: list[_Node] = []
        self.value = _NOTHING
        self.error: Optional[BaseException] = None
        self.errand: Optional[Errand] = None  # that is under way

    @property
    def settled(self) -> bool:
        return self.value is not _NOTHING or self.error is not None


class _Call:
    """What one call waits for.

    Attributes:
        missing: For each node that it needs and that has no value yet, how many of its arguments
            have none.
        free: Nodes of which none was missing, in the order in which that came to be.
        error: That of a node that it needs.
        stale: Whether all this has to be found out anew.
        errands: What it submitted.
    """

    def __init__(self, root: _Node) -> None:
        self.root = root
        self.missing: dict[_Node, int] = {}
        self.free: deque[_Node] = deque()
        self.error: Optional[BaseException] = None
        self.stale = True
        self.errands: list[Errand] = []

    def look(self) -> None:
        """Find out what it needs."""
        self.missing, self.error = _survey([self.root])
        self.free = deque(node for node, count in self.missing.items() if not count)
        self.stale = False

    def note(self, node: _Node) -> None:
        """Take note that a node has a value or an error now."""
        if node.error is not None:
            if node in self.missing:
                self.error = node.error
            return
        for parent in node.parents:
            count = self.missing.get(parent, 0)
            if count:
                self.missing[parent] = count - 1
                if count == 1:
                    self.free.append(parent)


class Ptree:
    """A computation as a tree of nodes, each of which has a function and is computed once.

    The arguments of a node's function are the values of other nodes. A call for a node computes
    those it needs, in parallel, each as soon as its arguments are there. Functions should depend
    on their arguments only.

    Any number of threads may use a tree.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: dict[Hashable, _Node] = {}
        self._calls: list[_Call] = []  # in progress
        self._arrived: deque[Errand] = deque()
        self._under_way = 0  # nodes with an errand
        self._engine: Optional[Engine] = None  # which computes those
        self._version = 0

    def define(self, name: Hashable, args: Iterable[Hashable], task: Task) -> None:
        """Add a node.

        Args:
            name: Any hashable value.
            args: The names of the nodes whose values are the arguments of the function. They may
                be defined later.
            task: The function: a callable, or a string ``"package.module:qualified.name"`` that
                names one on the servers.

        Raises:
            PtreeRedefinitionError: There is a node of this name.
            InvalidTaskError: `task` is no task.
            TypeError: `args` is a string, or a name is not hashable.
        """
        if isinstance(args, (str, bytes)):
            raise TypeError(f"args is a list of names, not {args!r:.100}: write [{args!r:.100}]")
        if not (callable(task) or isinstance(task, str)):
            raise InvalidTaskError(f"the function of node {name!r:.100} is no task: {task!r:.100}")
        names = list(args)
        for each in (name, *names):
            hash(each)  # before anything is changed
        self._add(name, names, task)

    def call(self, name: Hashable) -> Any:
        """The value of a node; computed, with all that it needs, where it is not there yet.

        What has been computed is kept. So is an error, until `clear_errors`: a node that needs a
        node that failed raises the error of that. Other nodes that run at that moment run on, and
        their values are kept. But what runs for an interrupted call alone is killed.

        Args:
            name: The node's.

        Raises:
            PtreeUndefinedFunctionError: The node, or one that it needs, has no function.
            PtreeCycleError: It needs itself.
            NoKernelError: There is no current kernel, and something is to be computed.
            TaskExecutionError, SerializationError, KernelEndedError, ...: A node failed.
        """
        with self._lock:
            call = _Call(self._find(name))
        interrupted = True
        try:
            value = self._drive(call)
            interrupted = False
        except Exception:
            interrupted = False
            raise
        finally:
            self._leave(call, interrupted)
        return value

    def check(self) -> None:
        """See to it that every node has a function, and that none needs itself.

        Raises:
            PtreeUndefinedFunctionError: A node has no function; says which nodes refer to it.
            PtreeCycleError: Nodes refer to one another in a circle.
        """
        with self._lock:
            _survey(self._nodes.values())

    def clear(self) -> None:
        """Forget all values and errors; what is under way is given up, and killed if it runs."""
        self._forget(errors_only=False)

    def clear_errors(self) -> None:
        """Forget all errors: the next call computes anew what failed, and what it could not."""
        self._forget(errors_only=True)

    def is_computed(self, name: Hashable) -> bool:
        """Whether the function of a node has returned, or failed.

        Args:
            name: The node's.

        Raises:
            PtreeUndefinedFunctionError: There is no such node.
        """
        with self._lock:
            self._absorb()
            return self._find(name).settled

    def dot(self) -> str:
        """The tree as text in Graphviz' language, for ``dot -Tsvg``.

        An arrow leads from a node to each of its arguments. Nodes that have a value are filled,
        those that failed are red, those without a function dashed.
        """
        with self._lock:
            self._absorb()
            names: dict[_Node, str] = {}
            taken: set[str] = set()
            for node in self._nodes.values():
                text = node.name if isinstance(node.name, str) else repr(node.name)
                while text in taken:  # 1 and "1", say
                    text += "'"
                taken.add(text)
                names[node] = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
            lines = [f"    {names[node]}{_style(node)};" for node in names]
            lines += [
                f"    {names[node]} -> {names[child]};" for node in names for child in node.children
            ]
        return "\n".join(["digraph ptree {", *lines, "}", ""])

    def __repr__(self) -> str:
        with self._lock:
            self._absorb()
            values = sum(node.value is not _NOTHING for node in self._nodes.values())
            return f"<Ptree: {len(self._nodes)} nodes, {values} computed>"

    def __reduce__(self) -> Any:
        raise FarmError("a ptree cannot travel: call() its nodes, and send their values")

    # With the lock held.

    def _mention(self, name: Hashable) -> _Node:
        node = self._nodes.get(name)
        if node is None:
            node = self._nodes[name] = _Node(name)
        return node

    def _find(self, name: Hashable) -> _Node:
        try:
            return self._nodes[name]
        except KeyError:
            raise PtreeUndefinedFunctionError(name) from None

    @protected
    def _absorb(self) -> None:
        """Take in what has arrived."""
        arrived = False
        while self._arrived:
            errand = self._arrived.popleft()
            node: _Node = errand.key
            if node.errand is not errand:
                continue  # it was given up
            node.errand = None
            self._under_way -= 1
            if errand.error is None:
                node.value = errand.value
            else:
                node.error = errand.error
            arrived = True
            for call in self._calls:
                call.note(node)
        if arrived:
            self._tell()
        if interrupts.pending:
            interrupts.raise_pending()

    def _begin_anew(self) -> None:
        """Have all calls look what they need."""
        for call in self._calls:
            call.stale = True
        self._tell()

    def _needed(self) -> set[_Node]:
        """The nodes that calls in progress wait for."""
        needed: set[_Node] = set()
        for call in self._calls:
            try:
                if call.stale:
                    call.look()
            except FarmError:
                continue  # it will meet that error itself
            needed.update(call.missing)
        return needed

    def _tell(self) -> None:
        """Wake the calls in progress."""
        self._version += 1
        if self._engine is not None and self._calls:
            self._engine.notify()

    def _switch(self, engine: Engine) -> bool:
        """Have a kernel compute from now on, unless another is at it; return whether it does."""
        current = self._engine
        if self._under_way and current is not None and current.ended is not None:
            # Nothing arrives any more. In a forked child nobody has said so.
            for node in self._nodes.values():
                node.errand = None
            self._under_way = 0
            self._begin_anew()
        if not self._under_way:
            self._engine = engine
        return self._engine is engine

    def _take(self, call: _Call, engine: Engine) -> Iterator[_Order]:
        """Take what is free."""
        while call.free:
            node = call.free.popleft()
            if node.errand is None and not node.settled and node.task is not None:
                errand = node.errand = Errand(engine, self._arrived, node)
                call.errands.append(errand)
                self._under_way += 1
                yield errand, node.task, tuple(arg.value for arg in node.args)

    # Taking the lock.

    @protected
    def _add(self, name: Hashable, names: list[Hashable], task: Task) -> None:
        try:
            with self._lock:
                node = self._mention(name)
                if node.task is not None:
                    raise PtreeRedefinitionError(name)
                node.task = task
                node.args = tuple(map(self._mention, names))
                node.children = tuple(dict.fromkeys(node.args))
                for child in node.children:
                    child.parents.append(node)
        finally:
            if interrupts.pending:
                interrupts.raise_pending()

    @protected
    def _forget(self, errors_only: bool) -> None:
        """Forget errors, or everything."""
        with self._lock:
            self._absorb()
            errands = []
            for node in self._nodes.values():
                node.error = None
                if not errors_only:
                    node.value = _NOTHING
                    if node.errand is not None:
                        errands.append(node.errand)
                        node.errand = None
                        self._under_way -= 1
            drop(errands)
            self._begin_anew()
        if interrupts.pending:
            interrupts.raise_pending()

    def _drive(self, call: _Call) -> Any:
        """Compute the value of a call's node."""
        engine: Optional[Engine] = None
        while True:
            orders, at_work, seen = self._advance(call, engine)
            value = call.root.value
            if value is not _NOTHING:
                return value
            if call.error is not None:
                raise fresh(call.error)
            if at_work is None:
                engine = check_kernel()._engine
                continue
            for errand, task, args in orders:
                try:
                    errand.submit(task, args)
                except Exception as error:  # noqa: BLE001 (packing runs the user's code)
                    errand.error = error
                    self._arrived.append(errand)
            at_work.wait(partial(self._changed, seen))

    def _changed(self, seen: int) -> bool:
        """Whether there is something to do for a call that saw the tree; without the lock."""
        return bool(self._arrived) or self._version != seen

    @protected
    def _advance(
        self, call: _Call, engine: Optional[Engine]
    ) -> tuple[list[_Order], Optional[Engine], int]:
        """Take in what has arrived.

        Returns:
            What to submit now, where to wait then, and the version of the tree after which
            something has changed.
        """
        try:
            with self._lock:
                self._absorb()
                if call not in self._calls:
                    self._calls.append(call)
                orders: list[_Order] = []
                mine = engine is not None and self._switch(engine)
                if call.stale:
                    call.look()
                if mine and engine is not None and call.error is None:
                    orders += self._take(call, engine)
                at_work = self._engine if engine is not None else None
                return orders, at_work, self._version
        finally:
            if interrupts.pending:
                interrupts.raise_pending()

    @protected
    def _leave(self, call: _Call, interrupted: bool) -> None:
        """Forget a call; if it was interrupted, what it submitted for itself alone is given up."""
        try:
            with self._lock:
                if call in self._calls:
                    self._calls.remove(call)
                if interrupted:
                    needed = self._needed()
                    mine = [
                        errand
                        for errand in call.errands
                        if errand.key.errand is errand and errand.key not in needed
                    ]
                    for errand in drop(mine):
                        errand.key.errand = None
                        self._under_way -= 1
                    self._begin_anew()
        finally:
            if interrupts.pending:
                interrupts.raise_pending()


def _survey(roots: Iterable[_Node]) -> tuple[dict[_Node, int], Optional[BaseException]]:
    """Look at all that some nodes need, as far as it has no value.

    Returns:
        How many arguments without a value each of them has, and the error of one that failed.

    Raises:
        PtreeUndefinedFunctionError, PtreeCycleError: They cannot be computed.
    """
    missing: dict[_Node, int] = {}
    error: Optional[BaseException] = None
    path: dict[_Node, None] = {}  # from a root to where we are
    stack: list[tuple[Optional[_Node], Iterator[_Node]]] = [(None, iter(list(roots)))]
    while stack:
        node, children = stack[-1]
        for child in children:
            if child in path:
                names = [each.name for each in path]
                raise PtreeCycleError(names[names.index(child.name) :])
            if child.error is not None:
                error = error or child.error
            elif child not in missing and child.value is _NOTHING:
                if child.task is None:
                    raise PtreeUndefinedFunctionError(
                        child.name, [parent.name for parent in child.parents]
                    )
                path[child] = None
                stack.append((child, iter(child.children)))
                break
        else:
            stack.pop()
            if node is not None:
                del path[node]
                missing[node] = sum(each.value is _NOTHING for each in node.children)
    return missing, error


def _style(node: _Node) -> str:
    if node.value is not _NOTHING:
        return " [style=filled]"
    if node.error is not None:
        return " [color=red]"
    return " [style=dashed]" if node.task is None else ""
