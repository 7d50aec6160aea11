"""Packs functions and arguments so that every worker of a kernel can take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

from farm_common.errors import SerializationError
from farm_common.shipping import Parcel, Shared, pack, pack_arguments
from farm_common.shipping.tasks import Task

from .function import Function, FunctionTable
from .link import Link

__all__ = ["Packer"]


class Packer:
    """What a kernel's tasks become before they are queued.

    Args:
        release: Called when a shared value that can travel is released.

    Attributes:
        functions: Those of the tasks so far.
        limit: How many bytes a frame may have that any of the workers is sent.
    """

    def __init__(self, release: Callable[[Shared[Any]], None]) -> None:
        self.functions = FunctionTable(protocol=5)
        self.limit = 1 << 62
        self._release = release
        self._shared: set[bytes] = set()  # the ids of shared values that can travel

    def suit(self, link: Link) -> None:
        """Pack from now on what this worker can take, too."""
        self.limit = min(self.limit, link.hello.frame_limit)
        self.functions.protocol = min(self.functions.protocol, link.protocol)

    def find(self, task: Task) -> Function:
        """The function of a task.

        Raises:
            InvalidTaskError: `task` is no task.
            SerializationError: It cannot travel.
        """
        function = self.functions.find(task)
        self.check(function)
        return function

    def check(self, function: Function) -> None:
        """Raise `SerializationError` if a function cannot travel to all workers."""
        if function.largest > self.limit:
            raise SerializationError(
                f"task {function.name} has {function.largest} bytes with all that it captured, and "
                f"a server of this kernel takes {self.limit} at most: use less of it, or "
                f"farm.shared in parts"
            )
        self._check_shared(function.shared)

    def pack(self, function: Function, args: tuple[Any, ...], keywords: dict[str, Any]) -> Parcel:
        """The arguments of a call as they travel; raises `SerializationError`."""
        functions = self.functions
        protocol, name = functions.protocol, function.name
        try:
            parcel = pack_arguments(args, keywords, protocol, name, functions.bytecode)
        except SerializationError:
            if not functions.mixed:
                raise
            parcel = pack_arguments(args, keywords, protocol, name)  # for those that can load it
        size = len(parcel.body) + sum(map(len, parcel.buffers)) + len(function.ident)
        if size > self.limit:
            raise SerializationError(
                f"the arguments of {function.name} have {size} bytes, and a server of this kernel "
                f"takes {self.limit} at most: send them in parts"
            )
        if parcel.shared:
            self._check_shared(parcel.shared)
        return parcel

    def forget(self, shared: Shared[Any]) -> None:
        """Look anew at a shared value when it is used again."""
        self._shared.discard(shared.ident)

    def _check_shared(self, values: Sequence[Shared[Any]]) -> None:
        """See to it that shared values can travel, and that their release is heard of."""
        for shared in values:
            if shared.ident in self._shared:
                continue
            functions = self.functions
            parcel = pack(shared.value, functions.protocol, "a shared value", functions.bytecode)
            size = len(parcel.body) + sum(map(len, parcel.buffers)) + len(shared.ident)
            if size > self.limit:
                raise SerializationError(
                    f"a shared value has {size} bytes, and a server of this kernel takes "
                    f"{self.limit} at most: share it in parts"
                )
            self._check_shared(parcel.shared)
            shared.on_release(self._release)
            self._shared.add(shared.ident)
