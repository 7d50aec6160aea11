"""What a task demands of the worker that runs it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Demand"]


class Demand(NamedTuple):
    """Why not every worker of a kernel can run a task.

    Attributes:
        bytecode: It holds bytecode of this interpreter.
        minimum: The oldest Python that can read its source; (0, 0): any.
    """

    bytecode: bool
    minimum: tuple[int, int]
