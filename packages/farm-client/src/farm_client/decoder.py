"""Makes of what workers send what it means: values, errors, and output that is shown."""

from __future__ import annotations

from time import monotonic
from typing import Any, Callable, Union

from farm_common.connection import Happening
from farm_common.errors import ProtocolError, SerializationError, TaskExecutionError
from farm_common.frames import Flag, Frame, Kind
from farm_common.shipping import unpack, unpack_exception
from farm_common.shipping.interruptions import unpack_interruption

from .interruption import interruption
from .interrupts import breakable, broken
from .lapse import Lapse
from .link import Link
from .output import Printer

__all__ = ["Decoder"]


class Decoder:
    """Decodes frames; runs the user's code, so it is called without the engine's lock.

    Args:
        printer: Shows the output of tasks.
    """

    def __init__(self, printer: Printer) -> None:
        self._printer = printer

    def decode(self, link: Link, happening: Union[Happening, Lapse]) -> Any:
        """What a frame brings: a sequence of values, or an error; what was printed is shown.

        Raises:
            ProtocolError: A worker must not send such a frame.
        """
        if isinstance(happening, Lapse):
            return happening.error
        if not isinstance(happening, Frame):
            size = getattr(happening, "size", "unknown")
            return TaskExecutionError(
                f"MemoryError: no memory here for a result of {size} bytes", worker=link.label
            )
        kind, flags = happening.kind, happening.flags
        if kind == Kind.OUTPUT:
            self._printer.show(link.index, happening)
            return None
        if kind == Kind.IMPORT:
            return None
        if self._printer.tails:
            self._printer.finish(link.index)
        if kind == Kind.RESULT:
            try:
                if flags & Flag.BYTECODE and not link.same_bytecode:
                    raise SerializationError("it holds bytecode of another interpreter")
                value = _load(unpack, happening.body, happening.buffers, began=monotonic())
            except BaseException as cause:  # the user's code, which must not end this thread
                broken()
                unloadable = TaskExecutionError(
                    f"the result could not be loaded here: {type(cause).__name__}: {cause}",
                    worker=link.label,
                )
                unloadable.__cause__ = cause
                return unloadable
            if not flags & Flag.BATCH:
                return (value,)
            if type(value) is not list:
                raise ProtocolError(f"{link.label} sent a batch of results that is no list")
            return value
        if kind == Kind.ERROR:
            ended = unpack_interruption(happening.body)
            job = None if ended is None else link.inflight.get(happening.ident)
            if ended is not None and job is not None:
                return interruption(job, link.label, *ended)
            load = link.same_bytecode or not flags & Flag.BYTECODE
            try:
                report, description, original = _load(
                    unpack_exception, happening.body, load, began=monotonic()
                )
            except KeyboardInterrupt as cause:
                if not broken():
                    raise
                report, description, original = "the error could not be loaded here", "", cause
            failure = TaskExecutionError(report, description, link.label)
            failure.__cause__ = original
            return failure
        return None


@breakable
def _load(load: Callable[..., Any], *args: Any, began: float) -> Any:  # noqa: ARG001 (see there)
    """Call what may call the user's code, which may never end: Ctrl-C gets through."""
    return load(*args)
