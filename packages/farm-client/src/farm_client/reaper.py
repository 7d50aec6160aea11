"""Ends the tasks that nobody needs any more: of a search that is decided, of a call that failed.

Whoever gives up a task does not wait for servers. He hands it over to the reaper, which is its sink
from then on and drops what it returns. A thread looks what becomes of it, and each request to a
server is a thread of its own, so that a server that is slow to answer delays no other.

- Most of what is given up ends by itself within milliseconds, as parts are made to be short. To
  interrupt it costs a connection, and its worker too if it cannot be interrupted. So the reaper
  lets it run for `PATIENCE_SECONDS` first.
- A worker may hold the task and others that were sent ahead. A server ends the one that runs. So it
  is asked about a worker when the first task there is one of ours, and again for the next one: what
  others have sent there has its turn, and is never named to the server.
- The server compares ids, and stops the process to be sure, before it ends one; so a task that ends
  in that very moment is not hit, nor is the one behind it.
- A task of ours whose worker is lost is not started again.
- A server that cannot be asked, because it drains or is cut off, is asked again. After
  `DESPAIR_SECONDS` the connection to the worker is given up, and the server ends the worker then.
  An old one that cannot end tasks at all is left alone: there, tasks run to their end.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Any, Callable

from .job import Job
from .link import Link

__all__ = ["DESPAIR_SECONDS", "PATIENCE_SECONDS", "Killer", "Reaper"]

_log = logging.getLogger("farm.client")

#: How long a task that is given up may go on before it is killed.
PATIENCE_SECONDS = 0.05

#: After how long without a server that could be asked a connection is given up.
DESPAIR_SECONDS = 5.0

#: How long the end of a kernel waits for requests that are under way.
_END_SECONDS = 1.0

#: Makes what asks servers to kill, one action a server, with the links concerned. It is given the
#: tasks in question by their links, and whether a connection is to be given up if need be.
Killer = Callable[
    [Sequence[tuple[Link, list[int]]], bool], list[tuple[list[Link], Callable[[], Any]]]
]


class Reaper:
    """The sink of tasks that were given up.

    Args:
        lock: The engine's.
        links: Gives the connected links; called with the lock held.
        killer: Asks servers to kill.
    """

    lasting = False

    def __init__(
        self, lock: threading.Lock, links: Callable[[], Iterable[Link]], killer: Killer
    ) -> None:
        self.pending = 0
        self._lock = lock
        self._links = links
        self._killer = killer
        self._victims: dict[Job, float] = {}  # and since when
        self._asked: set[Link] = set()  # about whose tasks a server is being asked
        self._work = threading.Event()
        self._over = threading.Event()
        self._threads: set[threading.Thread] = set()

    def take(self, jobs: Iterable[Job]) -> None:
        """Take tasks over that were sent to workers; with the lock held."""
        now = monotonic()
        for job in jobs:
            job.sink = self
            self._victims[job] = now
        if self._victims and not self._work.is_set():
            self._work.set()
            if not self._threads:
                self._start(self._run, "farm-reaper")

    def end(self) -> None:
        """End the threads; without locks."""
        self._over.set()
        self._work.set()
        until = monotonic() + _END_SECONDS
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                # One that asks a server that does not answer ends by itself, a little later.
                thread.join(max(0.0, until - monotonic()))

    def _start(self, target: Callable[..., None], name: str, *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, name=name, daemon=True)
        self._threads.add(thread)
        thread.start()

    def _run(self) -> None:
        while not self._over.is_set():  # looked at after `_work` was cleared: `end` sets it first
            self._work.wait()
            if self._over.wait(PATIENCE_SECONDS):
                return
            with self._lock:
                now = monotonic()
                ripe = self._ripe(now - PATIENCE_SECONDS)
                desperate = self._ripe(now - DESPAIR_SECONDS)
                if not self._victims:
                    self._work.clear()
            calm = [target for target in ripe if target not in desperate]
            for targets, give_up in ((calm, False), (desperate, True)):
                for links, action in self._killer(targets, give_up) if targets else ():
                    self._asked.update(links)
                    self._start(self._ask, "farm-kill", links, action)

    def _ripe(self, since: float) -> list[tuple[Link, list[int]]]:
        """What runs of the tasks that were given up before a time, with those behind it."""
        victims = self._victims
        targets = []
        for link in self._links() if victims else ():
            head = next(iter(link.inflight.values()), None)
            if (
                head is not None
                and link.kills
                and link not in self._asked
                and victims.get(head, since) < since
            ):
                targets.append((link, [i for i, job in link.inflight.items() if job in victims]))
        return targets

    def _ask(self, links: list[Link], action: Callable[[], Any]) -> None:
        try:
            action()
        except Exception:  # ours: the tasks go on, and are asked for again
            _log.exception("cannot kill what is not needed any more")
        finally:
            with self._lock:
                self._asked.difference_update(links)
            self._threads.discard(threading.current_thread())

    # what the engine calls, with its lock held

    def start(self, job: Job) -> None:
        """Nothing to do: it is not started again."""

    restart = start

    def deliver(self, job: Job, value: Any) -> None:
        """It has ended; nobody asks how."""
        self._victims.pop(job, None)

    def fail(self, job: Job, error: BaseException) -> None:
        """It has ended."""
        self._victims.pop(job, None)
