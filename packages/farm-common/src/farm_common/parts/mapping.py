"""Runners that call a task on each element of a part, or of parts of several sequences."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import repeat, starmap
from typing import Any, Callable, Optional

from ..errors import FarmError
from ..shipping.tasks import Task
from .failure import Failure
from .runner import Runner, call_of, object_to_stop

__all__ = ["CallPart", "ChainPart", "EachPart", "MapPart", "make_array", "make_ndarray"]


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
        calls, count = self.calls(call_of(self.task), *parts)
        results: list[Any] = []
        try:
            results.extend(calls)
            if len(results) < count:
                object_to_stop()
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


class EachPart(MapPart):
    """Call the task on each element, and return nothing."""

    def __call__(self, *parts: Any) -> Any:
        """None, or a `Failure`."""
        calls, count = self.calls(call_of(self.task), *parts)
        index = 0
        try:
            for _ in calls:
                index += 1
            if index < count:
                object_to_stop()
        except FarmError:
            raise
        except Exception as error:
            return Failure(error, index)
        return None


class ChainPart(MapPart):
    """Call the task on each element, and return all that is in the results, in one list."""

    def __call__(self, *parts: Any) -> Any:
        """The list, or a `Failure`."""
        calls, count = self.calls(call_of(self.task), *parts)
        results: list[Any] = []
        index = 0
        try:
            for value in calls:
                if value is not None:  # lparallel's empty list
                    results.extend(value)
                index += 1
            if index < count:
                object_to_stop()
        except FarmError:
            raise
        except Exception as error:
            return Failure(error, index)
        return results


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


def _culprit(make: Callable[[list[Any]], Any], values: list[Any]) -> Optional[int]:
    """Which of some values it is that nothing can be made of."""
    for index, value in enumerate(values):
        try:
            make([value])
        except Exception:
            return index
    return None
