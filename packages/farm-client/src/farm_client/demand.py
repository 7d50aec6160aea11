"""What a task demands of the worker that runs it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Demand"]


class Demand(NamedTuple):
    """Why not every worker of a kernel can run a task.

    Attributes:
        bytecode: It holds bytecode of this interpreter.
        minimum: The oldest Python that can read its source; (0, 0): any.
        tags: What the worker's server must have been labelled with.
        limited: The server must end it when its time is up, which those of older releases cannot.
        low: Whether it waits until no other task does. It demands nothing by that, but tasks that
            wait together must be alike in it.
    """

    bytecode: bool = False
    minimum: tuple[int, int] = (0, 0)
    tags: frozenset[str] = frozenset()
    limited: bool = False
    low: bool = False
