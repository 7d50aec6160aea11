"""The error of one element of a part, on its way to whoever cut the part."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Callable, Optional

from ..place import worker_index
from ..shipping.exceptions import PackedException, pack_exception

__all__ = ["Failure", "pack_failures_by"]

#: Every supported interpreter reads it.
_PROTOCOL = 5

#: How errors are packed: with how many frames of the traceback left out.
Packer = Callable[[BaseException, int], PackedException]


def _pack(error: BaseException, skip: int) -> PackedException:
    """Pack an error for an interpreter of which nothing is known."""
    return pack_exception(error, _PROTOCOL, skip, bytecode=False)


_packer: Packer = _pack


def pack_failures_by(packer: Optional[Packer]) -> None:
    """Have the errors of elements packed by who knows the other side; None: as for anybody."""
    global _packer
    _packer = packer or _pack


class Failure:
    """The error of a task at one element of a part.

    Args:
        error: What was raised.
        index: Which element of the part it was; None where nobody can tell.
        done: What the elements before it gave, where that was asked for.

    Attributes:
        body: The error, as `unpack_exception` reads it.
        worker: The index of the worker.
    """

    def __init__(
        self, error: BaseException, index: Optional[int], done: Sequence[Any] = ()
    ) -> None:
        skip, traceback = 0, error.__traceback__
        while traceback is not None and _is_own(traceback):
            skip, traceback = skip + 1, traceback.tb_next
        self.index = index
        self.done = done
        self.body = _packer(error, skip).body
        self.worker = worker_index()


def _is_own(traceback: TracebackType) -> bool:
    return traceback.tb_frame.f_globals.get("__package__") == __package__
