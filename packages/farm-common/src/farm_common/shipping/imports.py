"""Tells which modules a function imports while it runs, of those that are sent by value.

The other side does not have them, so what the function names of them is sent with it, and is
found there by its import statements (`rebuild_belongings.offer_module`). What is imported by a name
that is only put together at run time cannot be known.
"""

from __future__ import annotations

import dis
import sys
import types
from collections.abc import Iterator
from typing import Any

from .by_value import goes_by_value, is_used
from .codes import CodeTable, inner_codes, operands

__all__ = ["imported_modules"]

_IMPORT = dis.opmap["IMPORT_NAME"]


def imported_modules(code: types.CodeType, namespace: dict[str, Any]) -> Iterator[types.ModuleType]:
    """The modules sent by value that code, and the functions in it, import when they run.

    Args:
        code: The code of a function.
        namespace: Its globals, which tell what relative imports are relative to.
    """
    if not is_used():
        return
    package = namespace.get("__package__")
    if not isinstance(package, str):
        name = str(namespace.get("__name__"))
        package = name if "__path__" in namespace else name.rpartition(".")[0]
    for level, name, members in _imports(code):
        parts = package.split(".")
        if level > len(parts):
            continue
        start = parts[: len(parts) - level + 1] if level else []
        whole = ".".join([*start, name] if name else start)
        if not goes_by_value(whole):
            continue
        for found in (whole, *(f"{whole}.{member}" for member in members)):
            module = sys.modules.get(found)
            if type(module) is types.ModuleType:
                yield module


_Imports = tuple[tuple[int, str, tuple[str, ...]], ...]

_known: CodeTable[_Imports] = CodeTable()


def _imports(code: types.CodeType) -> _Imports:
    """How many dots, which name and which members, of each import statement."""
    found = _known.get(code)
    if found is None:
        found = tuple(_find_imports(code))
        _known.put(code, found)
    return found


def _find_imports(code: types.CodeType) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    # The two constants before it are the dots and the members. Few functions import anything.
    level: Any = 0
    members: Any = None
    for name, operand in operands(code) if _IMPORT in code.co_code[::2] else ():
        if name == "IMPORT_NAME":
            yield (
                level if isinstance(level, int) else 0,
                operand,
                members if isinstance(members, tuple) else (),
            )
        level, members = members, operand
    for inner in inner_codes(code):
        yield from _find_imports(inner)
