"""Which task goes to which worker, and when.

The dispatcher has the queues of tasks and knows which links have room. How much is room is
decided by `scheduler`; how tasks become frames by `link`. All methods are called with the
engine's lock held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Callable, Optional

from farm_common.errors import WorkerLostError
from farm_common.frames import Buffer
from farm_common.kills import KILLED

from .demand import Demand
from .interruption import interruption
from .job import Job
from .link import Link
from .poller import READ, WRITE, Poller

__all__ = ["Dispatcher"]

#: Work that is not worth dividing among workers, in microseconds.
_CHUNK = 50.0

#: Tasks that take less than this, in microseconds, are sent in pieces of so many: what they take
#: is known only roughly, and less than what sending a piece does.
_TINY = 8.0
_PIECE = 64


class Dispatcher:
    """The queues of a kernel, and the links with room.

    Args:
        poller: Watches the links.
        fail: What to do with tasks that cannot be sent, or were started too often.
    """

    def __init__(
        self, poller: Poller, fail: Callable[[Iterable[Job], BaseException], None]
    ) -> None:
        self._poller = poller
        self._fail = fail
        # The links with room, as ordered sets: those with nothing in flight, and the others.
        self.idle: dict[Link, None] = {}
        self.partial: dict[Link, None] = {}
        self.queue: deque[Job] = deque()
        self.low: deque[Job] = deque()
        self.suspects: deque[Job] = deque()  # a worker died under them: one at a time
        self.homeless: dict[int, deque[Job]] = {}  # for workers that are not connected
        self.choosy: dict[Demand, deque[Job]] = {}  # for workers that are what they demand

    def send_alone(self, job: Job) -> bool:
        """Send a task with plain arguments at once, if nothing waits and a worker is idle.

        The lane for a task that comes alone: it goes to the worker that was used last, whose
        caches are warm.

        Returns:
            Whether it was sent.
        """
        if not self.idle:
            return False
        link, _ = self.idle.popitem()
        if job.function.ident not in link.functions or not link.usable:
            self.offer(link)
            return False
        self.partial[link] = None
        try:
            if not link.send_one(job):
                self._watch_writes(link)
        except OSError:
            pass  # reading will tell
        return True

    def put(self, job: Job, low: bool) -> int:
        """Queue a task; return how many tasks its queue has now."""
        if job.demand is not None:
            queue = self.choosy.setdefault(job.demand, deque())
        else:
            queue = self.low if low else self.queue
        queue.append(job)
        return len(queue)

    def sift(self, demand: Callable[[Job], Optional[Demand]]) -> None:
        """Look again at what queued tasks demand, as other workers have come."""
        for queue in (self.queue, self.low, self.suspects):
            for _ in range(len(queue)):
                job = queue.popleft()
                job.demand = demand(job)
                if job.demand is not None:
                    self.choosy.setdefault(job.demand, deque()).append(job)
                else:
                    queue.append(job)

    def reject(self, demand: Demand, error: BaseException) -> None:
        """Fail the tasks with a demand that no worker meets any more."""
        self._fail(self.choosy.pop(demand, ()), error)

    @property
    def waiting(self) -> bool:
        """Whether any task waits for a worker."""
        return bool(self.queue or self.choosy or self.suspects or self.low)

    def _fill_choosy(self, low: bool) -> None:
        """Send what not every worker can run to those that can; others wait no longer for it."""
        for demand, queue in list(self.choosy.items()):
            if demand.low is not low:
                continue
            for link in [*self.idle, *self.partial]:
                if queue and link.room and link.can_run(demand):
                    share = -(-len(queue) // (len(self.idle) + len(self.partial)))
                    self.drop(link)
                    self._send(link, queue, share)
                    self.offer(link)
            if not queue:
                del self.choosy[demand]

    def fill(self) -> None:
        """Send queued tasks to the links that have room."""
        if self.choosy:
            self._fill_choosy(False)
        low = False
        passed: list[Link] = []
        while True:
            queue = self.suspects or self.queue
            if not queue:
                if self.choosy and not low:
                    low = True
                    self._fill_choosy(True)
                queue = self.low
            if not queue:
                break
            if queue[0].sink is None:
                queue.popleft()  # withdrawn
                continue
            link = self._take_ready()
            if link is None:
                break
            share = -(-len(queue) // (len(self.idle) + len(self.partial) + 1))
            cost = queue[0].function.estimate.cost
            if cost is not None and share * cost < _CHUNK:
                share = _PIECE if cost < _TINY else int(_CHUNK / cost) + 1
            if self._send(link, queue, share):
                self.offer(link)
            else:
                passed.append(link)  # another may be able to take what is first in the queue
        for link in passed:
            self.offer(link)

    def _send(self, link: Link, queue: deque[Job], share: int) -> bool:
        """Send a link up to `share` tasks in one piece; return whether there were any."""
        segments: list[Buffer] = []
        sent = 0
        while queue and sent < share:
            job = queue[0]
            if job.sink is None:
                queue.popleft()
                continue
            number = link.can_take(job)
            if number <= 0:
                break
            run = _cut(queue, min(number, share - sent))
            sent += len(run)
            try:
                segments += link.encode(run)
            except Exception as error:  # packing a shared value runs the user's code
                self._fail(run, error)
        if segments:
            self.transmit(link, segments)
        return sent > 0

    def pin(self, link: Link, job: Job) -> None:
        """Have a worker run a task of its own, before any other; now or when it is replaced."""
        if link.lost or not link.settled:  # its setup tasks go first
            self.homeless.setdefault(link.index, deque()).append(job)
        else:
            link.pinned.append(job)
            self.serve_pinned(link)

    def settle(self, link: Link) -> None:
        """Take in a new link, with the tasks that waited for its worker."""
        link.settled = True
        link.pinned.extend(self.homeless.pop(link.index, ()))
        self.offer(link)

    def evict(self, link: Link, error: BaseException) -> None:
        """Fail the tasks that only a worker could run which is used no more."""
        self._fail(self.homeless.pop(link.index, ()), error)

    def serve_pinned(self, link: Link) -> None:
        """Send a link its own tasks, as far as it has room."""
        while link.pinned and not link.away and link.can_take(link.pinned[0]):
            self._send(link, link.pinned, 1)

    def transmit(self, link: Link, segments: Sequence[Buffer]) -> None:
        """Send frames as far as the kernel takes them; the poller sees to the rest."""
        try:
            whole = link.stream.send(segments)
        except OSError:
            return  # reading will tell
        if not whole:
            self._watch_writes(link)

    def _watch_writes(self, link: Link) -> None:
        if not link.watching_writes:
            link.watching_writes = True
            self._poller.change(link.descriptor, READ | WRITE)

    def _take_ready(self) -> Optional[Link]:
        while self.idle:
            link, _ = self.idle.popitem()
            if link.room:
                return link
        while self.partial:
            link = next(iter(self.partial))
            del self.partial[link]
            if link.room:
                return link
        return None

    def offer(self, link: Link) -> None:
        """Put a link among those with room, if it has any."""
        if link.pinned:
            self.serve_pinned(link)
        if link.pinned or not link.room:
            self.drop(link)
        elif link.inflight:
            self.idle.pop(link, None)
            self.partial[link] = None
        else:
            self.partial.pop(link, None)
            self.idle[link] = None

    def drop(self, link: Link) -> None:
        """Send a link nothing until it is offered again."""
        self.idle.pop(link, None)
        self.partial.pop(link, None)

    def requeue(
        self,
        link: Link,
        last: Optional[int],
        reason: str,
        *,
        charge: bool,
        verdict: Optional[str] = None,
        seconds: Optional[float] = None,
    ) -> None:
        """Queue again what was in flight on a link, before all that waits.

        Args:
            link: A link that is used no more.
            last: The id of the task that its worker started last, where that is known.
            reason: How the worker was lost.
            charge: Whether the tasks that were started count as started.
            verdict: Why the worker was ended together with that task, if so.
            seconds: How long that task had run.
        """
        last = self._fail_ended(link, last, verdict, seconds)
        started, waiting = link.orphans(last)
        again: list[Job] = []
        for job in started:
            if charge or job.most == 1:
                job.attempts += 1
            if job.attempts < job.most:
                again.append(job)
            else:
                self._fail_lost(job, link, reason)
        for job in waiting:
            # Nobody can tell whether these were started. Most are not counted as if they were; but
            # once is once.
            if last is None and job.most == 1:
                job.attempts += 1
                self._fail_lost(job, link, reason)
            else:
                again.append(job)
        again += link.pinned
        link.pinned.clear()
        for job in reversed(again):
            job.cost = -1.0
            if job.sink is not None:
                if not job.sink.lasting:
                    name = job.function.name
                    self._fail([job], WorkerLostError(name, link.label, reason, 1))
                    continue
                job.sink.restart(job)
            self._put_first(link, job)

    def _fail_ended(
        self, link: Link, last: Optional[int], verdict: Optional[str], seconds: Optional[float]
    ) -> Optional[int]:
        """Fail the task for the sake of which a worker was ended, if there is one.

        Returns:
            The id of the task that its worker started last, as far as it is known now.
        """
        running = link.running(last)
        if running is not None and verdict is None and running in link.aimed:
            verdict = KILLED  # nobody tells; but it was to be, and must not be started again
        if verdict is None:
            return link.doomed if last is None else last
        job = None if running is None else link.inflight.pop(running, None)
        if job is not None:
            self._fail([job], interruption(job, link.label, verdict, seconds))
        return running

    def _put_first(self, link: Link, job: Job) -> None:
        """Queue a task of a lost link before all that waits."""
        if job.pin >= 0:
            self.homeless.setdefault(link.index, deque()).appendleft(job)
        elif job.demand is not None:
            self.choosy.setdefault(job.demand, deque()).appendleft(job)
        elif job.attempts:
            self.suspects.appendleft(job)
        else:
            self.queue.appendleft(job)

    def _fail_lost(self, job: Job, link: Link, reason: str) -> None:
        name = job.function.name
        self._fail([job], WorkerLostError(name, link.label, reason, job.attempts))

    def withdraw(self, chosen: Callable[[Job], bool]) -> int:
        """Take some tasks off the queues; return how many there were."""
        taken = 0
        for queue in self._queues():
            kept = [job for job in queue if not chosen(job)]
            if len(kept) < len(queue):
                taken += len(queue) - len(kept)
                queue.clear()
                queue.extend(kept)
        return taken

    def queued(self) -> list[Job]:
        """All tasks that wait, those included that were withdrawn."""
        return [job for queue in self._queues() for job in queue]

    def take_all(self) -> list[Job]:
        """Give up all tasks that wait."""
        jobs = self.queued()
        for queue in self._queues():
            queue.clear()
        return jobs

    def _queues(self) -> list[deque[Job]]:
        queues = [self.suspects, self.queue, self.low]
        return [*queues, *self.homeless.values(), *self.choosy.values()]


def _cut(queue: deque[Job], limit: int) -> list[Job]:
    """Take a run off the queue: tasks that one frame can hold."""
    first = queue.popleft()
    run = [first]
    if first.parcel is not None or first.attempts:
        return run
    function, options = first.function, first.options
    while queue and len(run) < limit:
        job = queue[0]
        if (
            job.function is not function
            or job.parcel is not None
            or job.options is not options
            or job.sink is None
        ):
            break
        run.append(queue.popleft())
    return run
