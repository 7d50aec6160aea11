"""The errors of tasks that were ended while they ran."""

from __future__ import annotations

from typing import Optional

from farm_common.errors import FarmError, TaskKilledError, TaskTimeoutError
from farm_common.kills import TIMEOUT

from .job import Job

__all__ = ["interruption"]


def interruption(
    job: Job, worker: str, reason: str, seconds: Optional[float], description: str = ""
) -> FarmError:
    """The error of a task that was ended.

    Args:
        job: The task.
        worker: What to call its worker.
        reason: `farm_common.kills.KILLED` or `TIMEOUT`.
        seconds: How long it had run, where that is known.
        description: Where it was, as a traceback.
    """
    name = job.function.name
    timeout = None if job.options is None else job.options.timeout
    if reason == TIMEOUT and timeout is not None:
        return TaskTimeoutError(name, worker, timeout, description)
    return TaskKilledError(name, worker, seconds, description)
