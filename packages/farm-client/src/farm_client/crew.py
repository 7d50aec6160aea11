"""The workers of a kernel that are connected, and what not every one of them can run."""

from __future__ import annotations

from typing import Optional

from farm_common.errors import FarmError, SerializationError, UnsupportedError
from farm_common.shipping import Parcel

from .demand import Demand
from .dispatcher import Dispatcher
from .function import Function, FunctionTable
from .job import Job
from .link import Link
from .options import Options

__all__ = ["Crew"]


class Crew:
    """The connected workers. All methods are called with the engine's lock held.

    Args:
        functions: Packs for those workers that there are.

    Attributes:
        links: Their links, by descriptor.
        limbo: Links that were lost, and whose tasks wait for `Engine.recover`.
        absent: The indices of workers that are to be replaced.
        picky: Whether some worker cannot load our bytecode.
        special: Whether there were tasks whose options not every worker may meet.
        badge: Another object whenever workers come or go.
        foreign: Whether some worker belongs to an executor of the user's.
    """

    def __init__(self, functions: FunctionTable) -> None:
        self.links: dict[int, Link] = {}
        self.limbo: set[Link] = set()
        self.absent: set[int] = set()
        self.picky = False
        self.special = False
        self.badge = object()
        self._functions = functions
        self.foreign = False
        self._dated = False  # whether some server cannot end a task whose time is up

    def join(self, link: Link) -> None:
        """Take a worker in."""
        self.links[link.descriptor] = link
        self.absent.discard(link.index)
        self._adapt()

    def leave(self, link: Link) -> None:
        """Do without a worker."""
        del self.links[link.descriptor]
        self._adapt()

    def _adapt(self) -> None:
        """Ship from now on for the workers that there are now."""
        self._dated = not all(link.kills for link in self.links.values())
        self.foreign = any(link.foreign for link in self.links.values())
        same = [link.same_bytecode for link in self.links.values()]
        self.badge = object()
        if same:
            self.picky = not all(same)
            self._functions.adapt(bytecode=all(same), mixed=self.picky and any(same))

    def is_special(self, options: Options) -> bool:
        """Whether not every worker may be what the options of a task ask for; needs no lock."""
        if options.tags or (self._dated and options.timeout is not None):
            self.special = True
            return True
        return False

    def demand(
        self, function: Function, parcel: Optional[Parcel], options: Optional[Options]
    ) -> Optional[Demand]:
        """What a task demands of a worker; None if all can run it.

        Raises:
            SerializationError: No worker can load it.
            UnsupportedError: No worker is what its options ask for.
        """
        if not self.picky and (options is None or not self.is_special(options)):
            return None
        demand = _whole_demand(function, parcel, options)
        able = [link.can_run(demand) for link in self.links.values()]
        if all(able):
            return None
        if not (any(able) or self.absent):
            raise self.unmet(demand, function, parcel)
        return demand

    def demand_of(self, job: Job) -> Optional[Demand]:
        """`demand`, of a task that is queued already; raises nothing."""
        try:
            return self.demand(job.function, job.parcel, job.options)
        except (SerializationError, UnsupportedError):
            return _whole_demand(job.function, job.parcel, job.options)

    def strand(self, dispatcher: Dispatcher) -> None:
        """Fail the tasks that no worker will ever run, now that other workers have come."""
        if self.absent or not self.links:
            return
        for demand, queue in list(dispatcher.choosy.items()):
            if not any(link.can_run(demand) for link in self.links.values()):
                job = queue[0]
                dispatcher.reject(demand, self.unmet(demand, job.function, job.parcel))

    def unmet(
        self,
        demand: Demand,
        function: Function,
        parcel: Optional[Parcel],
        link: Optional[Link] = None,
    ) -> FarmError:
        """Why a worker cannot run a task; of none that is given, the first that cannot."""
        if link is None:
            tagged = [link for link in self.links.values() if demand.tags <= link.tags]
            if not tagged:
                return self._untagged(demand.tags)
            link = next(link for link in tagged if not link.can_run(demand))
        if demand.limited and not link.kills:
            return UnsupportedError(
                f"{link.label} cannot end tasks whose time is up: {link.remedy}, or submit "
                f"{function.name} without a timeout"
            )
        if link.python_version < demand.minimum:
            newest = function.newest
            if parcel is not None and parcel.minimum > function.minimum:
                newest = parcel.newest
            return SerializationError(
                f"{newest} is in the syntax of Python {'.'.join(map(str, demand.minimum))}, and "
                f"{link.label} runs {link.python}: write it in older syntax, or use a newer Python "
                f"there"
            )
        return SerializationError(
            f"task {function.name} travels as bytecode, which {link.label}, {link.python}, cannot "
            f"load: define it in a file, or run the same Python there"
        )

    def _untagged(self, tags: frozenset[str]) -> UnsupportedError:
        """Why no worker can run a task that asks for tags."""
        options = " ".join(f"--tag {tag}" for tag in sorted(tags))
        several = "the tag" if len(tags) == 1 else "all of the tags"
        there = sorted(set().union(*(link.tags for link in self.links.values())))
        have = f"their tags are {', '.join(there)}" if there else "they have no tags"
        return UnsupportedError(
            f"no worker of this kernel has {several} {', '.join(sorted(tags))}; {have}: start a "
            f"server with {options}, and add it to the kernel"
        )


def _whole_demand(
    function: Function, parcel: Optional[Parcel], options: Optional[Options]
) -> Demand:
    bytecode, minimum = function.bytecode, function.minimum
    if parcel is not None:
        bytecode = bytecode or parcel.bytecode
        minimum = max(minimum, parcel.minimum)
    if options is None:
        return Demand(bytecode, minimum)
    return Demand(bytecode, minimum, options.tags, options.timeout is not None, options.low)
