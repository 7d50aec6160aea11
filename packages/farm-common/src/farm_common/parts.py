"""What workers run for the cognates: one part of a sequence at a time.

A cognate (`pmap`, `preduce`, ...) cuts its input into parts and sends each to a worker. What the
worker calls is one of the runners below. A runner holds the user's task and travels as the
function of all parts, so once over each connection; the parts travel as arguments.

An error of the user's task at one element is returned as a `Failure`, with what the elements
before it gave: raised, it could not say which element it was. Only what is not about an element
is raised.
"""

from __future__ import annotations

import functools
import operator
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat, starmap
from typing import Any, Callable, Optional

from .errors import FarmError
from .place import worker_index
from .shipping.exceptions import PackedException, pack_exception
from .shipping.pickling import SCALARS, pack
from .shipping.shared import Shared
from .shipping.tasks import BY_NAME, Task, load_function, task_function, task_name, travels_by_name

__all__ = [
    "MISSING",
    "CallPart",
    "ChainPart",
    "ChainTails",
    "CountPart",
    "EachPart",
    "EachTail",
    "Failure",
    "FindPart",
    "MapPart",
    "MapTails",
    "MarkPart",
    "ReducePart",
    "Runner",
    "SomePart",
    "SortPart",
    "make_array",
    "make_ndarray",
    "pack_failures_by",
    "time_calls_by",
]

#: Every supported interpreter reads it.
_PROTOCOL = 5


class _Missing:
    """What stands for an argument that was not given."""

    def __reduce__(self) -> str:
        return "MISSING"  # there is one in each process

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()


#: How errors are packed: with how many frames of the traceback left out.
Packer = Callable[[BaseException, int], PackedException]


def _pack(error: BaseException, skip: int) -> PackedException:
    """Pack an error for an interpreter of which nothing is known."""
    return pack_exception(error, _PROTOCOL, skip, bytecode=False)


_packer: Packer = _pack


def pack_failures_by(packer: Optional[Packer]) -> None:
    """Have the errors of elements packed by who knows the other side; None: as for anybody."""
    global _packer
    _packer = packer or _pack


#: Gives what restarts the clock of the task that runs, None where its time is not limited.
Timekeeper = Callable[[], Optional[Callable[[], None]]]


def _no_timekeeper() -> None:
    """No task's time is limited."""


_timekeeper: Timekeeper = _no_timekeeper


def time_calls_by(timekeeper: Optional[Timekeeper]) -> None:
    """Have the time limit of a part be that of each call in it, as if each were a task.

    Args:
        timekeeper: Gives what is to be called before each call, None where no time is limited. None
            in its place: nobody limits any.
    """
    global _timekeeper
    _timekeeper = timekeeper or _no_timekeeper


class Failure:
    """The error of a task at one element of a part.

    Args:
        error: What was raised.
        index: Which element of the part it was; None where nobody can tell.
        done: What the elements before it gave, where that was asked for.

    Attributes:
        body: The error, as `unpack_exception` reads it.
        worker: The index of the worker.
    """

    def __init__(
        self, error: BaseException, index: Optional[int], done: Sequence[Any] = ()
    ) -> None:
        skip, traceback = 0, error.__traceback__
        while traceback is not None and traceback.tb_frame.f_globals is globals():
            skip, traceback = skip + 1, traceback.tb_next
        self.index = index
        self.done = done
        self.body = _packer(error, skip).body
        self.worker = worker_index()


class Runner(ABC):
    """A task, and how to apply it to a part.

    Args:
        task: A callable or the name of one.

    Raises:
        InvalidTaskError: It is neither.
    """

    def __init__(self, task: Task) -> None:
        self.task = _portable(task)
        self.__qualname__ = task_name(task)  # what messages call it

    @abstractmethod
    def __call__(self, *parts: Any) -> Any:
        """Apply the task to a part of each sequence."""


class MapPart(Runner):
    """Call the task on each element, and return the results.

    Args:
        task: Takes as many arguments as there are sequences.
        make: Makes something else than a list of the results.
        keep: Whether a `Failure` has the results of the elements before it.
    """

    def __init__(
        self,
        task: Task,
        make: Optional[Callable[[list[Any]], Any]] = None,
        keep: bool = False,
    ) -> None:
        super().__init__(task)
        self.make = make
        self.keep = keep

    def calls(self, task: Callable[..., Any], *parts: Any) -> tuple[Iterable[Any], int]:
        """What the calls return, one after the other, and how many there are."""
        return map(task, *parts), len(parts[0])

    def __call__(self, *parts: Any) -> Any:
        """The results, or a `Failure`."""
        calls, count = self.calls(_callable(self.task), *parts)
        results: list[Any] = []
        try:
            results.extend(calls)
            if len(results) < count:
                _stopped()
        except FarmError:
            raise
        except Exception as error:
            return Failure(error, len(results), results if self.keep else ())
        if self.make is None:
            return results
        try:
            return self.make(results)
        except (TypeError, ValueError, OverflowError) as error:
            return Failure(error, _culprit(self.make, results))


class CallPart(MapPart):
    """Call the task without arguments, once for each element."""

    def calls(self, task: Callable[..., Any], *parts: Any) -> tuple[Iterable[Any], int]:
        """As `MapPart.calls`."""
        count = len(parts[0])
        return starmap(task, repeat((), count)), count


class MapTails(MapPart):
    """Call the task on the tails of sequences that begin at each of some positions."""

    def calls(self, task: Callable[..., Any], *parts: Any) -> tuple[Iterable[Any], int]:
        """As `MapPart.calls`."""
        return _tails(task, *parts)


class EachPart(MapPart):
    """Call the task on each element, and return nothing."""

    def __call__(self, *parts: Any) -> Any:
        """None, or a `Failure`."""
        calls, count = self.calls(_callable(self.task), *parts)
        index = 0
        try:
            for _ in calls:
                index += 1
            if index < count:
                _stopped()
        except FarmError:
            raise
        except Exception as error:
            return Failure(error, index)
        return None


class EachTail(EachPart):
    """`EachPart` on tails."""

    def calls(self, task: Callable[..., Any], *parts: Any) -> tuple[Iterable[Any], int]:
        """As `MapPart.calls`."""
        return _tails(task, *parts)


class ChainPart(MapPart):
    """Call the task on each element, and return all that is in the results, in one list."""

    def __call__(self, *parts: Any) -> Any:
        """The list, or a `Failure`."""
        calls, count = self.calls(_callable(self.task), *parts)
        results: list[Any] = []
        index = 0
        try:
            for value in calls:
                if value is not None:  # lparallel's empty list
                    results.extend(value)
                index += 1
            if index < count:
                _stopped()
        except FarmError:
            raise
        except Exception as error:
            return Failure(error, index)
        return results


class ChainTails(ChainPart):
    """`ChainPart` on tails."""

    def calls(self, task: Callable[..., Any], *parts: Any) -> tuple[Iterable[Any], int]:
        """As `MapPart.calls`."""
        return _tails(task, *parts)


class KeyedRunner(Runner):
    """A task for single elements, or for what a key makes of them.

    Args:
        task: The task.
        key: What to apply to each element first.
        from_end: Whether to begin with the last element.
        item: What the task gets before the element.
    """

    def __init__(
        self,
        task: Task,
        key: Optional[Task] = None,
        from_end: bool = False,
        item: Any = MISSING,
    ) -> None:
        super().__init__(task)
        self.key = None if key is None else _portable(key)
        self.from_end = from_end
        self.item = item

    def test(self) -> Callable[..., Any]:
        """The task, with its first argument where that is always the same."""
        task = _callable(self.task)
        return task if self.item is MISSING else functools.partial(task, self.item)

    def values(self, part: Any) -> tuple[Iterator[Any], Iterable[Any]]:
        """An iterator over the part, and what the key makes of what it yields."""
        if isinstance(part, array):
            part = part.tolist()  # whose iterators know how many are left
        elements = reversed(part) if self.from_end else iter(part)
        return elements, elements if self.key is None else map(_callable(self.key), elements)

    def fail(self, error: Exception, part: Any, elements: Iterator[Any]) -> Failure:
        """The failure at the element that the iterator yielded last."""
        left = operator.length_hint(elements, -1)
        if not 0 <= left < len(part):
            return Failure(error, None)
        return Failure(error, left if self.from_end else len(part) - left - 1)


class ReducePart(KeyedRunner):
    """Reduce a part to one value.

    Args:
        task: Takes two values.
        key: What to apply to each element first.
        from_end: Whether the last two elements are combined first.
        initial: What to begin with.
    """

    def __init__(
        self,
        task: Task,
        key: Optional[Task] = None,
        from_end: bool = False,
        initial: Any = MISSING,
    ) -> None:
        super().__init__(task, key, from_end)
        self.initial = initial

    def __call__(self, *parts: Any) -> Any:
        """The value, or a `Failure`."""
        (part,) = parts
        task = _callable(self.task)
        combine = (lambda left, right: task(right, left)) if self.from_end else task
        initial = () if self.initial is MISSING else (self.initial,)
        elements, values = self.values(part)
        try:
            result = functools.reduce(combine, values, *initial)
            if operator.length_hint(elements):
                _stopped()
        except FarmError:
            raise
        except Exception as error:
            return self.fail(error, part, elements)
        return result


class FindPart(KeyedRunner):
    """Look for the first element, or elements of several sequences, for which the task is true.

    Args:
        task: The predicate.
        key: What to apply to each element first, where there is only one sequence.
        from_end: Whether to look for the last one.
        item: What the task gets before the element.
        wanted: False to look for one for which it is false.
    """

    def __init__(
        self,
        task: Task,
        key: Optional[Task] = None,
        from_end: bool = False,
        item: Any = MISSING,
        wanted: bool = True,
    ) -> None:
        super().__init__(task, key, from_end, item)
        self.wanted = wanted

    def __call__(self, *parts: Any) -> Any:
        """What `found` makes of it, None where there is none, or a `Failure`."""
        task, wanted, count = self.test(), self.wanted, len(parts[0])
        if len(parts) == 1:
            values = map(task, self.values(parts[0])[1])
        else:
            values = map(task, *parts)
        index = 0
        try:
            for value in values:
                if bool(value) is wanted:
                    return self.found(count - 1 - index if self.from_end else index, value)
                index += 1
            if index < count:
                _stopped()
        except FarmError:
            raise
        except Exception as error:
            return Failure(error, count - 1 - index if self.from_end else index)
        return None

    def found(self, index: int, value: Any) -> Any:
        """What to return: the index of the element."""
        return index


class SomePart(FindPart):
    """Look for the first elements for which the task is true, for the sake of what it returns."""

    def found(self, index: int, value: Any) -> Any:
        """What the task returned, or True where that cannot travel."""
        try:
            pack(value, _PROTOCOL, "the result", bytecode=False)
        except Exception:
            return True
        return value


class MarkPart(KeyedRunner):
    """Mark the elements for which the task is true."""

    def __call__(self, *parts: Any) -> Any:
        """Bytes, 1 where it is true and 0 elsewhere, in the order of the part; or a `Failure`."""
        (part,) = parts
        elements, values = self.values(part)
        try:
            marks = bytes(map(bool, map(self.test(), values)))
            if len(marks) < len(part):
                _stopped()
        except FarmError:
            raise
        except Exception as error:
            return self.fail(error, part, elements)
        return marks[::-1] if self.from_end else marks


class CountPart(MarkPart):
    """Count the elements for which the task is true."""

    def __call__(self, *parts: Any) -> Any:
        """Their number, or a `Failure`."""
        marks = super().__call__(*parts)
        return marks.count(1) if type(marks) is bytes else marks


class SortPart(Runner):
    """Sort a part.

    Args:
        key: What to compare in place of the elements.
        reverse: Whether the largest comes first.
    """

    def __init__(self, key: Optional[Task], reverse: bool) -> None:
        super().__init__(sorted if key is None else key)
        self.keyed = key is not None
        self.reverse = reverse

    def __call__(self, *parts: Any) -> Any:
        """How the part is to be sorted.

        Returns:
            The sorted part itself, where nobody can tell its elements from copies of them;
            else the indices of its elements, sorted, and with a key also the keys, sorted.
        """
        (part,) = parts
        if hasattr(part, "dtype") and not self.keyed:
            if self.reverse:  # so that equal ones stay in order
                return _sorted_array(part[::-1])[::-1]
            return _sorted_array(part)
        if not self.keyed and isinstance(part, array):
            return array(part.typecode, self._sort(part))
        if not self.keyed and (isinstance(part, (range, bytes, bytearray)) or _all_numbers(part)):
            return self._sort(part)
        keys: Any = part
        if self.keyed:
            keys = MapPart(self.task)(part)
            if isinstance(keys, Failure):
                return keys
        order = self._sort(range(len(part)), key=keys.__getitem__)
        indices = array("I", order)
        return indices, list(map(keys.__getitem__, order)) if self.keyed else None

    def _sort(self, part: Iterable[Any], **keywords: Any) -> list[Any]:
        return sorted(part, reverse=self.reverse, **keywords)


def make_array(typecode: str, values: list[Any]) -> array[Any]:
    """An array of a type that `array.array` knows."""
    return array(typecode, values)


def make_ndarray(dtype: Any, values: list[Any]) -> Any:
    """A NumPy array; the list itself where there is no NumPy."""
    try:
        import numpy as np
    except ImportError:
        return values
    return np.array(values, dtype)


def _portable(task: Task) -> Task:
    """A task as it may be in a pickle: what is only a task stands for another function."""
    function: Task = task_function(task)
    if function is task:
        task_name(task)  # raises if it is no task
    elif travels_by_name(task) and not isinstance(task, str):
        return f"{task.__module__}:{task.__qualname__}"
    return function


def _callable(task: Task) -> Callable[..., Any]:
    """The callable, which a name has to be looked up for; each call has its own time."""
    function = load_function(BY_NAME + task.encode()) if isinstance(task, str) else task
    restart = _timekeeper()
    if restart is None:
        return function

    def timed(*args: Any) -> Any:
        restart()
        return function(*args)

    return timed


def _tails(
    task: Callable[..., Any], sequences: Shared[Any], starts: Sequence[int]
) -> tuple[Iterable[Any], int]:
    """Calls on the tails of some sequences."""
    return map(task, *[_cut(whole, starts) for whole in sequences.value]), len(starts)


def _cut(whole: Any, starts: Iterable[int]) -> Iterator[Any]:
    return (whole[start:] for start in starts)


def _stopped() -> None:
    """Object to an error of a task that would else pass for the end of its sequence."""
    raise RuntimeError("the task raised StopIteration")


def _culprit(make: Callable[[list[Any]], Any], values: list[Any]) -> Optional[int]:
    """Which of some values it is that nothing can be made of."""
    for index, value in enumerate(values):
        try:
            make([value])
        except Exception:
            return index
    return None


_NUMBERS = SCALARS & {int, float, bool}


def _all_numbers(values: Iterable[Any]) -> bool:
    return set(map(type, values)) <= _NUMBERS


def _sorted_array(values: Any) -> Any:
    import numpy as np

    return np.sort(values, kind="stable")
