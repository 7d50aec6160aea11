"""Reduces sentinels, which Python 3.15 makes with ``sentinel("NAME")``.

Nothing matters of them but which one it is. Those of importable modules go by their names; others
get an id when they are first sent, so that each is one object on either side, and the same one
when it comes back.
"""

from __future__ import annotations

import sys
from typing import Any

from . import rebuild_sentinels as rebuild
from .aliases import resolve
from .by_value import goes_by_value

__all__ = ["reduce_sentinel"]


def reduce_sentinel(mark: Any) -> Any:
    """Reduce a sentinel: by its name, or by an id of its own."""
    module, name = mark.__module__, mark.__name__
    if module not in ("__main__", "__mp_main__") and not goes_by_value(module):
        found: Any = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is mark:
            return resolve, (module, name)
    return rebuild.sentinel, (rebuild.ident_of(mark), module, name, repr(mark))
