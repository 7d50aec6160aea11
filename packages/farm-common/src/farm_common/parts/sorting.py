"""The runner that sorts a part."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any, Optional

from ..shipping.pickling import SCALARS
from ..shipping.tasks import Task
from .failure import Failure
from .mapping import MapPart
from .runner import Runner

__all__ = ["SortPart"]

_NUMBERS = SCALARS & {int, float, bool}


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


def _all_numbers(values: Iterable[Any]) -> bool:
    return set(map(type, values)) <= _NUMBERS


def _sorted_array(values: Any) -> Any:
    import numpy as np

    return np.sort(values, kind="stable")
