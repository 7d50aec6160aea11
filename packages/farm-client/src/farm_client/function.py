"""The functions that a kernel has sent or is about to send.

Looking a function up must be cheap, because it happens at each submit, and must see the latest
values that the function captured, because that is the rule. See `farm_common.shipping.Capture`.
"""

from __future__ import annotations

import sys
import types
import weakref
from collections.abc import Sequence
from typing import Any, Callable, Optional

from farm_common.errors import SerializationError
from farm_common.shipping import Blob, Capture, Shared, ShippedFunction, ship_function
from farm_common.shipping.tasks import Task, task_function, travels_by_name

from .demand import Demand
from .scheduler import Estimate

__all__ = ["Function", "FunctionTable"]

#: How many functions a table remembers.
_MOST = 4096


class Function:
    """A function as the engine handles it: what to send, and how long its tasks take."""

    __slots__ = (
        "__weakref__",
        "blobs",
        "body",
        "bytecode",
        "crew",
        "demand",
        "estimate",
        "ident",
        "largest",
        "minimum",
        "name",
        "newest",
        "shared",
        "size",
    )

    def __init__(self, shipped: ShippedFunction, estimate: Estimate) -> None:
        self.ident = shipped.ident
        self.body = shipped.ident + shipped.body
        self.blobs: Sequence[Blob] = shipped.blobs
        self.bytecode = shipped.bytecode
        self.shared: Sequence[Shared[Any]] = shipped.shared
        self.name = shipped.name
        self.minimum = shipped.minimum
        self.newest = shipped.newest
        self.estimate = estimate
        # What it demands of workers, and for which workers that was found out.
        self.demand: Optional[Demand] = None
        self.crew: object = None
        #: How many bytes it takes on a server.
        self.size = len(self.body)
        #: The size of the largest frame that it takes, without its header.
        self.largest = max([self.size, *(len(blob.body) for blob in self.blobs)])


class _Entry:
    __slots__ = ("capture", "function", "task")

    def __init__(self, task: Callable[[], Any], function: Function, capture: Optional[Capture]):
        self.task = task
        self.function = function
        self.capture = capture  # None: it captures nothing


class FunctionTable:
    """Finds the `Function` for a task.

    Args:
        protocol: The pickle protocol that all servers read.

    Attributes:
        bytecode: Whether all workers can load this interpreter's bytecode; else source is sent.
        mixed: Whether only some can.
    """

    def __init__(self, protocol: int) -> None:
        self.protocol = protocol
        self.bytecode = True
        self.mixed = False
        self._by_task: dict[int, _Entry] = {}
        self._by_name: dict[str, Function] = {}
        self._estimates: dict[types.CodeType, Estimate] = {}
        # Weak: what was captured may be large, and be captured only once.
        self._by_ident: weakref.WeakValueDictionary[bytes, Function] = weakref.WeakValueDictionary()

    def adapt(self, bytecode: bool, mixed: bool) -> None:
        """Ship for other workers from now on; see the attributes."""
        self.mixed = mixed
        if not bytecode:
            _remember_script()
        if self.bytecode is not bytecode:
            self.bytecode = bytecode
            self._by_task.clear()

    def find(self, task: Task) -> Function:
        """The function to send for `task`, as it is now.

        Raises:
            InvalidTaskError: It is no task.
            SerializationError: It cannot travel.
        """
        entry = self._by_task.get(id(task))
        if entry is not None and entry.task() is task:
            capture = entry.capture
            if capture is None or capture.current():
                return entry.function
        if type(task) is str:
            known = self._by_name.get(task)
            if known is not None:
                return known
        return self._ship(task)

    def _ship(self, task: Task) -> Function:
        # Looked at before it is packed: what changes in between is then seen at the next submit.
        by_name = travels_by_name(task)
        inner = task_function(task)
        capture = Capture(inner) if type(inner) is types.FunctionType and not by_name else None
        bytecode = self.bytecode
        code = getattr(inner, "__code__", None)
        try:
            shipped = ship_function(task, self.protocol, bytecode)
        except SerializationError:
            if not self.mixed:
                raise
            shipped = ship_function(task, self.protocol)  # for those that can load it
        function = self._by_ident.get(shipped.ident)
        if function is None:
            function = Function(shipped, self._estimate(code))
            self._by_ident[shipped.ident] = function
        if self.bytecode is not bytecode:
            return function  # workers came or went just now: let nobody find it again
        if isinstance(task, str):
            _bound(self._by_name)
            self._by_name[task] = function
        elif by_name or (inner is not task and travels_by_name(inner)):
            self._remember(task, function, None)
        elif capture is not None and capture.stable:
            self._remember(task, function, capture)
        return function

    def find_portable(self, task: Task) -> Function:
        """`find`, for workers that are not known yet: as source, where there is any."""
        if not self.bytecode:
            return self.find(task)
        try:
            shipped = ship_function(task, self.protocol, bytecode=False)
        except SerializationError:
            return self.find(task)
        return Function(shipped, Estimate())

    def _estimate(self, code: Any) -> Estimate:
        """How long tasks take that run this code: as other closures of it do."""
        if not isinstance(code, types.CodeType):
            return Estimate()
        estimate = self._estimates.get(code)
        if estimate is None:
            _bound(self._estimates)
            estimate = self._estimates[code] = Estimate()
        return estimate

    def _remember(self, task: Any, function: Function, capture: Optional[Capture]) -> None:
        by_task, key = self._by_task, id(task)
        try:
            # An id may be used again once its object is gone, hence the weak reference.
            reference: Callable[[], Any] = weakref.ref(task, lambda _: by_task.pop(key, None))
        except TypeError:
            reference = lambda: task  # noqa: E731  (builtins live for ever)
        _bound(by_task)
        by_task[key] = _Entry(reference, function, capture)


def _remember_script() -> None:
    """Keep the script's text as it is: it may be edited before its functions are sent."""
    filename = getattr(sys.modules.get("__main__"), "__file__", None)
    if filename is not None:
        from farm_common.shipping.source import remember  # only this needs syntax trees

        remember(filename)


def _bound(table: dict[Any, Any]) -> None:
    """Make room by forgetting what was put in first; it will be found out again."""
    while len(table) >= _MOST:
        try:
            table.pop(next(iter(table)), None)
        except (RuntimeError, StopIteration):  # another thread changed it just then
            pass
