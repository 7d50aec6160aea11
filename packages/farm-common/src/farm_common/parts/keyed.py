"""Runners that reduce a part, or look for elements in it, or for what a key makes of them."""

from __future__ import annotations

import functools
import operator
from array import array
from collections.abc import Iterable, Iterator
from typing import Any, Callable, Optional

from ..errors import FarmError
from ..shipping.pickling import pack
from ..shipping.tasks import Task
from .failure import Failure
from .runner import Runner, call_of, object_to_stop, portable

__all__ = ["MISSING", "CountPart", "FindPart", "MarkPart", "ReducePart", "SomePart"]

#: Every supported interpreter reads it.
_PROTOCOL = 5


class _Missing:
    """What stands for an argument that was not given."""

    def __reduce__(self) -> str:
        return "MISSING"  # there is one in each process

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()


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
        self.key = None if key is None else portable(key)
        self.from_end = from_end
        self.item = item

    def test(self) -> Callable[..., Any]:
        """The task, with its first argument where that is always the same."""
        task = call_of(self.task)
        return task if self.item is MISSING else functools.partial(task, self.item)

    def values(self, part: Any) -> tuple[Iterator[Any], Iterable[Any]]:
        """An iterator over the part, and what the key makes of what it yields."""
        if isinstance(part, array):
            part = part.tolist()  # whose iterators know how many are left
        elements = reversed(part) if self.from_end else iter(part)
        return elements, elements if self.key is None else map(call_of(self.key), elements)

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
        task = call_of(self.task)
        combine = (lambda left, right: task(right, left)) if self.from_end else task
        initial = () if self.initial is MISSING else (self.initial,)
        elements, values = self.values(part)
        try:
            result = functools.reduce(combine, values, *initial)
            if operator.length_hint(elements):
                object_to_stop()
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
                object_to_stop()
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
                object_to_stop()
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
