"""What is handed to an executor at a time: some tasks, and what they need."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any, Callable, NamedTuple, Optional

__all__ = ["Item", "Request"]


class Item(NamedTuple):
    """Something that tasks need, and that their worker may have already.

    Attributes:
        ident: Its content id.
        encode: Makes the frame that has it; may raise whatever packing raises.
    """

    ident: bytes
    encode: Callable[[], bytes]


class Request:
    """Tasks that are handed over together.

    Args:
        first: The id of the first.
        count: How many they are.
        items: What they need.
        task: Their frame.

    Attributes:
        whole: Whether nothing may be left out: the worker lacked something.
        future: The executor's, once it has one.
        taken: Whether it was handed over, or is just about to be.
        withdrawn: Whether nobody wants it any more; what arrives for it is dropped.
    """

    __slots__ = (
        "count", "first", "future", "items", "lock", "taken", "task", "whole", "withdrawn",
    )  # fmt: skip

    def __init__(self, first: int, count: int, items: list[Item], task: bytes) -> None:
        self.first = first
        self.count = count
        self.items = items
        self.task = task
        self.whole = False
        self.future: Optional[Future[Any]] = None
        self.taken = False
        self.withdrawn = False
        self.lock = threading.Lock()

    def take(self) -> bool:
        """Be about to hand it over; return whether anybody still wants it."""
        with self.lock:
            self.taken = not self.withdrawn
            return self.taken

    def again(self) -> None:
        """Hand it over once more, with all that it needs."""
        with self.lock:
            self.whole, self.taken, self.future = True, False, None

    def withdraw(self) -> bool:
        """Take it back, unless it runs or may run any moment; return whether it was possible."""
        with self.lock:
            if not self.taken:
                self.withdrawn = True
                return True
            future = self.future
            if future is None:
                return False  # it is just being handed over
            self.withdrawn = True
        # Without the lock: this may call back at once.
        if not future.cancel():
            self.withdrawn = False
        return self.withdrawn
