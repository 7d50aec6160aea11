"""Tells cheaply whether a function still is what it was when it was shipped.

What a function captured may change between two submits, and each submit must see the latest
(lfarm's rule). Packing a closure again costs a hundred microseconds, so a `Capture` remembers
what was captured, as long as all of it is immutable, and tells cheaply whether it is still so.
"""

from __future__ import annotations

import types
import weakref
from typing import Any

from .classes import MADE
from .functions import global_names
from .importable import is_importable, is_imported
from .pickling import SCALARS
from .shared import Shared

__all__ = ["Capture"]


class Capture:
    """What a function had captured when it was shipped.

    Args:
        function: The function that was shipped.
    """

    __slots__ = ("_cells", "_dicts", "_functions", "_globals", "stable")

    def __init__(self, function: Any) -> None:
        self._cells: list[tuple[types.CellType, Any]] = []
        self._globals: list[tuple[dict[str, Any], str, Any]] = []
        # Weak: what was shipped may be forgotten; what it captured is held above.
        self._functions: list[tuple[weakref.ref[types.FunctionType], Any, Any]] = []
        # The dicts of functions and classes, and those of keyword defaults, with what was in them.
        self._dicts: list[tuple[weakref.ref[Any], str, dict[str, Any]]] = []
        #: Whether all of it is immutable, so that `current` can tell.
        self.stable = False
        try:
            self.stable = self._is_fixed(function, set())
        except RecursionError:
            pass  # packing it will say so

    def current(self) -> bool:
        """Whether the function would be shipped as before; False when that is unknown."""
        if not self.stable:
            return False
        for reference, code, defaults in self._functions:
            function = reference()
            if (
                function is None
                or function.__code__ is not code
                or function.__defaults__ is not defaults
            ):
                return False
        for owner, name, known in self._dicts:
            content = getattr(owner(), name, None) or _EMPTY
            if len(content) != len(known):
                return False
            for key, value in known.items():
                if content.get(key, _MISSING) is not value:
                    return False
        for cell, content in self._cells:
            try:
                if cell.cell_contents is not content:
                    return False
            except ValueError:  # emptied since
                return False
        for namespace, name, value in self._globals:
            if namespace.get(name, _MISSING) is not value:
                return False
        return True

    def _is_fixed(self, value: Any, seen: set[int]) -> bool:
        """Whether `value` cannot change but in the ways that `current` looks at."""
        kind = type(value)
        if kind in SCALARS:
            return True
        if kind is types.ModuleType:
            return is_imported(value)
        if kind in _CONSTANT:
            return True
        if kind is tuple:
            return all(self._is_fixed(item, seen) for item in value)
        if kind is Shared:
            return True
        if kind is types.FunctionType:
            return is_importable(value) or self._is_fixed_function(value, seen)
        if kind is staticmethod or kind is classmethod:
            return self._is_fixed(value.__func__, seen)
        if kind is property:
            return all(self._is_fixed(item, seen) for item in (value.fget, value.fset, value.fdel))
        if issubclass(kind, type):
            return is_importable(value) or self._is_fixed_class(value, seen)
        return kind is frozenset and all(type(item) in SCALARS for item in value)

    def _is_fixed_function(self, function: types.FunctionType, seen: set[int]) -> bool:
        if id(function) in seen:
            return True
        seen.add(id(function))
        code = function.__code__
        if not hasattr(code, "co_names"):  # PyPy's builtin functions are functions like others
            return True
        reference = weakref.ref(function)
        self._functions.append((reference, code, function.__defaults__))
        values: list[Any] = [function.__defaults__]
        for name in ("__dict__", "__kwdefaults__"):
            content = getattr(function, name) or _EMPTY
            self._dicts.append((reference, name, dict(content)))
            values += content.values()
        for cell in function.__closure__ or ():
            try:
                content = cell.cell_contents
            except ValueError:  # not assigned yet
                return False
            self._cells.append((cell, content))
            values.append(content)
        for name in global_names(code):
            content = function.__globals__.get(name, _MISSING)
            self._globals.append((function.__globals__, name, content))
            if content is not _MISSING:
                values.append(content)
        return all(self._is_fixed(value, seen) for value in values)

    def _is_fixed_class(self, cls: Any, seen: set[int]) -> bool:
        if id(cls) in seen:
            return True
        seen.add(id(cls))
        content = dict(cls.__dict__)
        self._dicts.append((weakref.ref(cls), "__dict__", content))
        values = [*cls.__bases__, type(cls)]
        values += [value for name, value in content.items() if name not in MADE]
        return all(self._is_fixed(value, seen) for value in values)


_MISSING = object()

#: What is made by C code, and does not change.
_CONSTANT = frozenset(
    {
        *(types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType),
        *(types.ClassMethodDescriptorType, types.GetSetDescriptorType),
        types.MemberDescriptorType,
    }
) - {types.FunctionType, classmethod}  # which some of these are on PyPy

_EMPTY: dict[str, Any] = {}
