"""The addresses of a kernel: connected to together, added, removed, and who is where."""

from __future__ import annotations

import atexit
import functools
import logging
import threading
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from farm_common.address import Address
from farm_common.deadline import Deadline
from farm_common.errors import KernelEndedError
from farm_common.frames import Kind
from farm_common.security import Authenticator

from . import interrupts
from .capacity import make_room
from .engine import Engine
from .job import Job
from .kill import Target, find_targets, kill_at
from .leave import take_leave
from .library import Library
from .link import Link
from .output import Printer
from .places import is_at
from .pool import at_once
from .repair import repair
from .setup import Setup
from .site import Site

if TYPE_CHECKING:
    from .foreign import ForeignSite

__all__ = ["Sites"]

_log = logging.getLogger("farm.client")

#: What is to be ended when this process ends.
_living: weakref.WeakSet[Sites] = weakref.WeakSet()


class Sites:
    """Everywhere that a kernel has workers, and the engine that uses them.

    Args:
        name: The kernel's name.
        auth: The security mechanism.
        output: What becomes of what tasks print.
        library: The modules that tasks may import.

    Attributes:
        engine: The kernel's.
        setup: What workers run first.
        changing: Held by whoever adds or removes workers, or what they run first.
    """

    def __init__(self, name: str, auth: Authenticator, output: str, library: Library) -> None:
        self._name = name
        self._auth = auth
        self._output = output
        self._all: list[Union[Site, ForeignSite]] = []
        self._next_index = 0
        self.setup = Setup()
        self.changing = threading.Lock()
        self.engine = Engine(self._lost, Printer(), library, self._killer)
        _living.add(self)

    def __iter__(self) -> Iterator[Union[Site, ForeignSite]]:
        return iter(self._all)

    def links(self) -> list[Link]:
        """The links to all workers, lost ones that are to be replaced included."""
        return [link for site in self._all for link in list(site.links.values())]

    def refuse_foreign(self, what: str) -> None:
        """Raise `UnsupportedError` if any worker belongs to an executor of the user's."""
        for site in self._all:
            if site.foreign:
                raise site.unable(what)

    # they come and go

    def open(self, places: Sequence[Union[Address, Executor]], deadline: Deadline) -> None:
        """Connect to all workers at some addresses, or to none; blocks.

        Raises:
            KernelCreationError: An address does not answer in time, or never will.
            AuthError, ProtocolError: A server refused, or is no farm server.
        """
        self._connect([self._site(place) for place in places], deadline)

    def add(self, place: Union[Address, Executor], timeout: Optional[float]) -> None:
        """Connect to all workers at one more address, in so many seconds; raises as `open`.

        Raises:
            KernelEndedError: The kernel has ended.
            UnsupportedError: It is an executor, and there are tasks to set up its workers.
        """
        with self.changing:
            self._refuse_ended()
            site = self._site(place)
            if self.setup and site.foreign:
                site.stop()
                raise site.unable("set up each of its workers")
            self._connect([site], Deadline(timeout))

    def remove(self, place: Union[Address, Executor], wait: bool) -> None:
        """Use the workers of an address no more; see `Kernel.remove`.

        Raises:
            ValueError: It is none of these, or the only one.
            KernelEndedError: The kernel has ended.
        """
        text = type(place).__name__ if isinstance(place, Executor) else str(place)
        with self.changing:
            self._refuse_ended()
            site = self._find(place)
            if site is None:
                others = ", ".join(str(site.address) for site in self._all)
                raise ValueError(f"the kernel does not use {text}: {others}")
            if not self._elsewhere(site):
                raise ValueError(f"{text} is the kernel's only address: end the kernel instead")
            site.leaving = True  # no lost worker is replaced there any more
            links = list(site.links.values())
            for link in links:
                link.draining = True
            if wait:
                self.engine.wait(
                    lambda: all(link.lost or not (link.inflight or link.pinned) for link in links)
                )
            self._all.remove(site)
            for link in list(site.links.values()):
                site.forget(link.index)
                self.engine.remove(link)
            site.stop()
            self._take_leave({site: links})

    def _find(self, place: Union[Address, Executor]) -> Optional[Union[Site, ForeignSite]]:
        """The site of a place; its options may be left out where that leaves no doubt."""
        for site in self._all:
            if is_at(site, place):
                return site
        if isinstance(place, Executor) or str(place) != place.endpoint:
            return None
        found = [site for site in self._all if str(site.address).partition("?")[0] == str(place)]
        return found[0] if len(found) == 1 else None

    def end(self) -> None:
        """End the engine, connect nowhere any more, and end private servers; twice is no error."""
        if self.engine.ended is None:
            _log.info("ending the kernel %r", self._name)
        self.engine.end(f"the kernel {self._name!r} has ended")
        for site in self._all:
            site.stop()
        self._take_leave({site: list(site.links.values()) for site in self._all})
        _living.discard(self)
        if not _living:
            interrupts.unguard()

    def _take_leave(self, left: dict[Union[Site, ForeignSite], list[Link]]) -> None:
        own = [(site, links) for site, links in left.items() if not site.foreign]
        take_leave(own, self.engine.unheard)

    def _refuse_ended(self) -> None:
        """Raise `KernelEndedError` if the kernel has ended."""
        if self.engine.ended is not None:
            raise KernelEndedError(self.engine.ended)

    def _site(self, address: Union[Address, Executor]) -> Union[Site, ForeignSite]:
        if isinstance(address, Executor):
            from .foreign import ForeignSite  # most programs have no use for it

            return ForeignSite(address, self._name, self._elsewhere)
        return Site(address, self._name, self._auth, self._output, self._replay)

    def _elsewhere(self, site: Union[Site, ForeignSite]) -> bool:
        """Whether the kernel has workers at another address than this one."""
        return any(
            other is not site and not (other.foreign and other.broken) for other in self._all
        )

    def _connect(self, sites: Sequence[Union[Site, ForeignSite]], deadline: Deadline) -> None:
        """Connect to all workers of some sites, or to none."""

        def give_up() -> None:
            for site in sites:
                site.give_up()

        try:
            counting = [functools.partial(site.count_workers, deadline) for site in sites]
            counts = at_once(counting, give_up)
            make_room(sum(counts))
            ranges, start = [], self._next_index
            for count in counts:
                ranges.append(range(start, start + count))
                start += count
            at_once(
                [functools.partial(s.connect, r, deadline) for s, r in zip(sites, ranges)], give_up
            )
        except BaseException:
            for site in sites:
                for link in site.links.values():
                    _part(link)
                site.stop()
            raise
        self._next_index = start
        self._all += sites
        links = [link for site in sites for link in site.links.values()]
        for number, link in enumerate(links):
            try:
                self.engine.add(link, self._replay(link.index))
            except KernelEndedError:  # meanwhile, and knows nothing of what was begun here
                for rest in links[number:]:
                    _part(rest)
                for site in sites:
                    site.stop()
                raise
        for site in sites:
            _log.info("kernel %r, workers at %s: %d", self._name, site.address, len(site.links))

    def _replay(self, index: int) -> list[Job]:
        return self.setup.replay(index)

    def _lost(self, link: Link, error: BaseException) -> None:
        for site in self._all:
            if site.links.get(link.index) is link:
                if site.foreign:
                    site.repair(link, error, self.engine)
                else:
                    repair(site, link, error, self.engine)
                return
        # It is being removed: nobody else takes care of its tasks.
        threading.Thread(
            target=self.engine.recover, args=(link, None, str(error)), daemon=True
        ).start()

    # what runs there

    def kill(self, wanted: Callable[[Job], bool], dry_run: bool = False) -> int:
        """Kill the tasks that run and are wanted; return how many these were."""
        if self.engine.ended is not None:
            return 0
        targets = find_targets(self.engine, wanted)
        actions = [
            functools.partial(kill_at, site, self.engine, there, dry_run)
            for site, there in self._by_site(targets)
        ]
        return sum(at_once(actions, lambda: None)) if actions else 0

    def _killer(
        self, targets: Sequence[Target], give_up: bool
    ) -> list[tuple[list[Link], Callable[[], Any]]]:
        """What kills tasks at each site that has some of them; see `reaper`."""
        return [
            (
                [link for link, _ in there],
                functools.partial(kill_at, site, self.engine, there, False, give_up),
            )
            for site, there in self._by_site(targets)
        ]

    def _by_site(self, targets: Sequence[Target]) -> Iterator[tuple[Site, list[Target]]]:
        """Tasks by the site that they were sent to."""
        for site in self._all:
            if site.foreign:
                continue  # nobody there can
            links = set(site.links.values())
            there = [target for target in targets if target[0] in links]
            if there:
                yield site, there


def _part(link: Link) -> None:
    """Leave a worker that no task was sent to; its server need not keep it for a return."""
    try:
        link.stream.send(link.stream.connection.send(Kind.GOODBYE))
    except OSError:
        pass  # it has left
    link.stream.close()


@atexit.register
def _end_all() -> None:
    for sites in list(_living):
        sites.end()
