"""What a kernel tells about its workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .link import Link
from .options import Category

__all__ = ["WorkerInfo", "describe_worker"]


@dataclass(frozen=True)
class WorkerInfo:
    """One worker of a kernel, as it is at the moment.

    Attributes:
        index: Its number in the kernel, from 0.
        address: The address it was reached at.
        host: The name of its host.
        pid: Its process there.
        implementation: Of Python, for example ``"cpython"``.
        python_version: For example ``"3.11.7"``.
        tags: What its server was labelled with.
        state: ``"idle"``, ``"busy"``, ``"leaving"`` (it is being removed), ``"reconnecting"`` (its
            connection was lost, and its tasks go on) or ``"lost"`` (it is being replaced).
        category: Of the task that it runs, None when idle.
        tasks_done: How many results it has given.
    """

    index: int
    address: str
    host: str
    pid: int
    implementation: str
    python_version: str
    tags: tuple[str, ...]
    state: str
    category: Optional[Category]
    tasks_done: int


def describe_worker(link: Link, endpoint: str) -> WorkerInfo:
    """The worker at the other end of a link, as it is at the moment."""
    hello = link.hello
    job = next(iter(list(link.inflight.values())[:1]), None)
    category: Optional[Category] = None
    if job is not None:
        category = "default" if job.options is None else job.options.category
    busy = "leaving" if link.draining else "idle" if job is None else "busy"
    return WorkerInfo(
        index=link.index,
        address=endpoint,
        host=hello.host,
        pid=hello.pid,
        implementation=hello.implementation,
        python_version=".".join(map(str, hello.python)),
        tags=hello.tags,
        state="lost" if link.lost else "reconnecting" if link.away else busy,
        category=category,
        tasks_done=link.done,
    )
