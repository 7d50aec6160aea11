"""What the tasks do that are accounted for; a worker without farm-client can import it."""

from __future__ import annotations

import os
import time
from typing import Any

__all__ = ["work"]


def work(folder: str, number: int, what: str, amount: Any) -> Any:
    """The task: leaves a mark, does something, and says which it was."""
    mark = os.open(os.path.join(folder, str(number)), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(mark, b"x")
    os.close(mark)
    if what == "sleep":
        time.sleep(amount)
    elif what == "spin":
        end = time.perf_counter() + amount
        while time.perf_counter() < end:
            pass
    elif what == "fail":
        raise ValueError(number)
    elif what == "die":
        os._exit(amount)
    elif what == "large":
        return number, what, bytes([number % 251]) * amount
    elif what == "print":
        print(number, "x" * amount)
    return number, what, None
