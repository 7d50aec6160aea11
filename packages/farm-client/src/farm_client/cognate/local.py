"""What a cognate calls here, of what the user gave it for workers."""

from __future__ import annotations

from typing import Any, Callable

from farm_common.errors import TaskExecutionError
from farm_common.shipping import pack_exception, unpack_exception

__all__ = ["call_here"]


def call_here(function: Callable[..., Any], *args: Any) -> Any:
    """Call the user's function.

    Raises:
        TaskExecutionError: It failed; where it was called makes no difference.
    """
    try:
        return function(*args)
    except Exception as error:
        report, description, _ = unpack_exception(pack_exception(error, 5, 1).body, load=False)
        raise TaskExecutionError(report, description) from error
