"""What a map makes of its results: a new sequence, or a part of one that is there already."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from array import array
from collections.abc import MutableSequence
from functools import partial
from typing import Any, Callable, Optional

from farm_common.parts import make_array, make_ndarray

from .inputs import is_ndarray

__all__ = ["Output", "make_output", "make_target", "overlap"]

#: Makes something of the results of a part, on the worker.
Make = Optional[Callable[[list[Any]], Any]]


class Output(ABC):
    """Takes the results of the parts.

    Attributes:
        make: What the workers are to make of the results of a part; None: a list.
    """

    make: Make = None

    @abstractmethod
    def put(self, start: int, values: Any) -> None:
        """Take the results of a part whose first element has this number."""

    @abstractmethod
    def finish(self) -> Any:
        """What the cognate returns."""


class _Values(Output):
    """A list, or what a function makes of one; parts come in order."""

    def __init__(self, convert: Callable[[list[Any]], Any] = list, make: Make = None) -> None:
        self.make = make
        self._convert = convert
        self._values: list[Any] = []

    def put(self, start: int, values: Any) -> None:
        self._values += values

    def finish(self) -> Any:
        return self._values if self._convert is list else self._convert(self._values)


class _Array(Output):
    """An `array.array`; parts come in order."""

    def __init__(self, typecode: str) -> None:
        self.make = partial(make_array, typecode)
        self._result: array[Any] = array(typecode)

    def put(self, start: int, values: Any) -> None:
        self._result += values

    def finish(self) -> Any:
        return self._result


class _Arrays(Output):
    """A NumPy array; parts come in order."""

    def __init__(self, dtype: Any = None) -> None:
        self.make = partial(make_ndarray, dtype)
        self._dtype = dtype
        self._parts: list[Any] = []

    def put(self, start: int, values: Any) -> None:
        self._parts.append(values)

    def finish(self) -> Any:
        import numpy as np

        parts = self._parts
        if not parts:
            return np.array([], self._dtype)
        arrays = [np.asarray(part, self._dtype) for part in parts]
        if all(each.dtype == arrays[0].dtype for each in arrays):
            return np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
        # As if all had come together: the types that parts were given have to make room.
        return np.array([value for part in parts for value in part], self._dtype)


class _Target(Output):
    """A part of a list, an array or another mutable sequence, which is written to."""

    def __init__(self, result: Any) -> None:
        self._result = result
        self._whole = isinstance(result, (list, bytearray))
        if isinstance(result, array):
            self._whole = True
            self.make = partial(make_array, result.typecode)

    def put(self, start: int, values: Any) -> None:
        if self._whole:
            self._result[start : start + len(values)] = values
        else:
            for index, value in enumerate(values, start):
                self._result[index] = value

    def finish(self) -> Any:
        return self._result


class _ArrayTarget(Output):
    """A part of a NumPy array, which is written to."""

    def __init__(self, result: Any, inputs: tuple[Any, ...]) -> None:
        self._result = result
        if not result.dtype.hasobject:
            self.make = partial(make_ndarray, result.dtype)
        # An element that is written too early might be an argument still to be read.
        self._late: Optional[list[tuple[int, Any]]] = None
        if any(each is not result and overlap(each, result) for each in inputs):
            self._late = []

    def put(self, start: int, values: Any) -> None:
        if self._late is not None:
            self._late.append((start, values))
        else:
            self._write(start, values)

    def _write(self, start: int, values: Any) -> None:
        result = self._result
        if is_ndarray(values) and values.shape[1:] == result.shape[1:]:
            result[start : start + len(values)] = values
        else:
            for index, value in enumerate(values, start):
                result[index] = value

    def finish(self) -> Any:
        for start, values in self._late or ():
            self._write(start, values)
        return self._result


def overlap(one: Any, other: Any) -> bool:
    """Whether writing to a sequence changes another, for they are the same or share memory."""
    if not (is_ndarray(one) and is_ndarray(other)):
        return one is other
    import numpy as np

    return bool(np.may_share_memory(one, other))


def make_output(result_type: Any) -> Optional[Output]:
    """What gathers results in a new sequence of some type.

    Args:
        result_type: A type, or an array as an example of its own; None: nothing is gathered.

    Raises:
        TypeError: Nobody can make such a sequence.
    """
    if result_type is None:
        return None
    if isinstance(result_type, array):
        return _Array(result_type.typecode)
    if is_ndarray(result_type):
        return _Arrays(result_type.dtype)
    if not isinstance(result_type, type):
        raise TypeError(
            f"result_type is a type, or an array as an example of one, not {result_type!r:.100}"
        )
    if issubclass(result_type, array):
        raise TypeError("result_type=array.array needs an example: array.array('d')")
    numpy = sys.modules.get("numpy")
    if numpy is not None and issubclass(result_type, numpy.ndarray):
        return _Arrays()
    if issubclass(result_type, str):
        return _Values(lambda values: result_type("".join(values)))
    return _Values(result_type)


def make_target(name: str, result: Any, inputs: tuple[Any, ...]) -> Output:
    """What writes results into a sequence that is there already.

    Args:
        name: The cognate's.
        result: The sequence.
        inputs: What the results come from, which may be the same.

    Raises:
        TypeError: It cannot be written to.
    """
    if is_ndarray(result) and result.ndim > 0:
        if not result.flags.writeable:
            raise TypeError(f"{name}() cannot write into an array that is read-only")
        return _ArrayTarget(result, inputs)
    if isinstance(result, (MutableSequence, array)):
        return _Target(result)
    raise TypeError(f"{name}() writes into a list, an array or a NumPy array, not {result!r:.100}")
