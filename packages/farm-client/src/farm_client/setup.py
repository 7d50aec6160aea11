"""What each worker of a kernel is to run before anything else."""

from __future__ import annotations

import logging
from typing import Any

from farm_common.errors import KernelEndedError

from .job import Job

__all__ = ["Setup"]

_log = logging.getLogger("farm.client")


class Setup:
    """The tasks that set up workers; it is empty until there are some."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def keep(self, job: Job) -> None:
        """Have workers that come later run a task, which has run on all others."""
        self._jobs.append(job)

    def replay(self, index: int) -> list[Job]:
        """The tasks for a worker that comes, given its index."""
        return [
            Job(job.function, (), job.parcel, job.options, _Replay(index), index)
            for job in self._jobs
        ]


class _Replay:
    """The sink of a setup task that runs again on a new worker: nobody waits for it."""

    lasting = False

    def __init__(self, index: int) -> None:
        self.pending = 0
        self._index = index

    def start(self, job: Job) -> None:
        """Nothing to do."""

    restart = start

    def deliver(self, job: Job, value: Any) -> None:
        """Nothing to do."""

    def fail(self, job: Job, error: BaseException) -> None:
        """Tell who reads the log, unless there is nothing to set up any more."""
        if not isinstance(error, KernelEndedError):
            name, index = job.function.name, self._index
            _log.error("setup task %s failed on worker %d: %s", name, index, error)
