"""What is known of code objects: a table by identity, and comparison by meaning.

Code objects that do the same in different places are equal to Python (up to 3.10 even with other
columns, in all versions with another file name), so a dict of them would mix them up.
"""

from __future__ import annotations

import dis
import sys
import types
import weakref
from collections.abc import Iterator
from typing import Any, Generic, Optional, TypeVar

__all__ = ["CodeTable", "inner_codes", "is_rewritten", "operands", "same_code", "walk_codes"]

T = TypeVar("T")

#: The flags that say how a function is called; the others follow from its text and its place, or
#: exist in some versions only: *args, **keywords, generator, coroutine, asynchronous generator.
_CALL_FLAGS = 0x04 | 0x08 | 0x20 | 0x80 | 0x200

#: Set in code that has fast locals: functions, but not the bodies of classes.
CO_OPTIMIZED = 0x01


class CodeTable(Generic[T]):
    """Remembers something of each code object for as long as that exists."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[weakref.ref[types.CodeType], T]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, code: types.CodeType) -> Optional[T]:
        """What was put for this very object."""
        entry = self._entries.get(id(code))
        return entry[1] if entry is not None and entry[0]() is code else None

    def put(self, code: types.CodeType, value: T) -> None:
        """Remember `value`, in place of what was put before."""
        key, entries = id(code), self._entries

        def forget(reference: weakref.ref[types.CodeType]) -> None:
            entry = entries.get(key)
            if entry is not None and entry[0] is reference:  # no newer object has this id
                del entries[key]

        entries[key] = (weakref.ref(code, forget), value)


def operands(code: types.CodeType) -> Iterator[tuple[str, Any]]:
    """The name of each instruction, and its operand: a name or constant rather than its number.

    PyPy's own `dis` (7.3.19, for 3.11) reads operands as CPython has them, and fails.
    """
    if sys.implementation.name != "pypy":
        for step in dis.get_instructions(code):
            yield step.opname, step.argval
        return
    extended = 0
    for number, low in zip(code.co_code[::2], code.co_code[1::2]):
        operand: Any = extended << 8 | low
        extended = operand if number == dis.EXTENDED_ARG else 0
        if number in dis.hasname:
            operand = code.co_names[operand]
        elif number in dis.hasconst:
            operand = code.co_consts[operand]
        yield dis.opname[number], operand


def inner_codes(code: types.CodeType) -> list[types.CodeType]:
    """The code objects directly inside of one."""
    return [const for const in code.co_consts if isinstance(const, types.CodeType)]


def walk_codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code object and all inside of it."""
    yield code
    for inner in inner_codes(code):
        yield from walk_codes(inner)


def is_rewritten(code: types.CodeType) -> bool:
    """Whether pytest rewrote the asserts in a function, so that no text compiles to its code."""
    return any(
        name.startswith(("@py", "@pytest"))
        for part in walk_codes(code)
        for name in (*part.co_names, *part.co_varnames)
    )


def same_code(ours: types.CodeType, theirs: types.CodeType) -> bool:
    """Whether two functions' code objects do the same.

    Compares all that is executed, recursively; lines and columns may differ, and what the
    outermost is called.
    """
    return not (ours.co_flags ^ theirs.co_flags) & _CALL_FLAGS and _same_body(ours, theirs)


def _same_body(ours: types.CodeType, theirs: types.CodeType) -> bool:
    return (
        ours.co_argcount == theirs.co_argcount
        and ours.co_posonlyargcount == theirs.co_posonlyargcount
        and ours.co_kwonlyargcount == theirs.co_kwonlyargcount
        and ours.co_names == theirs.co_names
        and ours.co_varnames == theirs.co_varnames
        and set(ours.co_freevars) == set(theirs.co_freevars)
        and set(ours.co_cellvars) == set(theirs.co_cellvars)
        and len(ours.co_consts) == len(theirs.co_consts)
        and ours.co_code == theirs.co_code
        # From 3.11 on `try` leaves no trace in co_code.
        and getattr(ours, "co_exceptiontable", b"") == getattr(theirs, "co_exceptiontable", b"")
        and all(
            _same_constant(mine, yours, not ours.co_flags & CO_OPTIMIZED)
            for mine, yours in zip(ours.co_consts, theirs.co_consts)
        )
    )


def _same_constant(mine: Any, yours: Any, of_class: bool) -> bool:
    kind = type(mine)
    if kind is not type(yours):
        return False
    if kind is types.CodeType:
        return (
            mine.co_name == yours.co_name
            and mine.co_flags == yours.co_flags
            and _same_body(mine, yours)
        )
    if kind is tuple:
        if of_class and all(type(item) is str for item in (*mine, *yours)):
            # __static_attributes__, which 3.13.0 writes in the order of a set.
            return sorted(mine) == sorted(yours)
        return len(mine) == len(yours) and all(
            _same_constant(one, other, False) for one, other in zip(mine, yours)
        )
    if kind is frozenset:
        return {(type(item), item) for item in mine} == {(type(item), item) for item in yours}
    if kind in (float, complex):
        return repr(mine) == repr(yours)  # 0.0 is not -0.0, but nan is nan
    return bool(mine == yours)
