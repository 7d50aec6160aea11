"""Whether something travels as its name: the other side then looks it up in a module."""

from __future__ import annotations

import sys
import types
from typing import Any

from .aliases import public_name
from .by_value import goes_by_value, ship_by_value

__all__ = ["is_importable", "is_imported", "ship_by_value"]


def is_importable(obj: Any) -> bool:
    """Whether a function or class can be found under its name in an importable module."""
    if public_name(obj) is not None:
        return True
    module = getattr(obj, "__module__", None)
    if not isinstance(module, str) or module in ("__main__", "__mp_main__"):
        return False
    if goes_by_value(module):
        return False
    found: Any = sys.modules.get(module)
    # A module made by hand is nowhere else. PyPy's builtins have no spec.
    if found is None or (
        getattr(found, "__spec__", None) is None and module not in sys.builtin_module_names
    ):
        return False
    for name in str(getattr(obj, "__qualname__", "") or getattr(obj, "__name__", "")).split("."):
        found = getattr(found, name, None)
    return found is obj


def is_imported(module: types.ModuleType) -> bool:
    """Whether a module travels as its name: one made by hand goes with all that is in it."""
    name: Any = getattr(module, "__name__", None)
    if sys.modules.get(name) is not module or name in ("__main__", "__mp_main__"):
        return False
    # PyPy's builtins have no spec.
    return getattr(module, "__spec__", None) is not None or name in sys.builtin_module_names
