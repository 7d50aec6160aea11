"""The standard library's pickler: the fast one, where that can be relied on.

That of PyPy 8.0 (3.11) does not remember what `reducer_override` has reduced: an object that is met
twice arrives as two, and one that refers to itself is a recursion without end. The one in Python
is right everywhere. It is asked rather than told by a version, so that a release that mends it
is used.
"""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any

__all__ = ["Pickler"]


def _remembers(kind: type[pickle.Pickler]) -> bool:
    """Whether a class of picklers reduces an object once, however often it meets it."""
    met: list[Any] = []

    class Probe(kind):  # type: ignore[valid-type, misc]
        def reducer_override(self, obj: Any) -> Any:
            if type(obj) is not type(_remembers):
                return NotImplemented
            met.append(obj)
            return list, ()

    Probe(io.BytesIO(), 5).dump([_remembers, _remembers])
    return len(met) == 1


if TYPE_CHECKING:
    from pickle import Pickler
else:
    Pickler = pickle.Pickler if _remembers(pickle.Pickler) else pickle._Pickler
