"""What the pickles of functions and classes name: the receiving side of `functions` and `classes`.

All names here are part of the wire format: a peer of another release calls them, so they stay,
and take what they took. What comes in is made in two steps, first a skeleton and then its state,
so that things may refer to one another in circles.
"""

from __future__ import annotations

import builtins
import importlib
import marshal
import sys
import types
from collections.abc import Iterable, Sequence
from typing import Any, Callable, Optional

from .lines import show
from .rebuild_belongings import offer_module as offered
from .rebuild_belongings import renew_offered

__all__ = [
    "code_from_bytecode",
    "code_from_source",
    "fill_cell",
    "fill_function",
    "import_module",
    "make_cell",
    "make_function",
    "make_method",
    "make_module",
    "make_namespace",
    "offer_module",
    "with_offers",
]


def code_from_source(*fields: Any) -> types.CodeType:
    """The code of a `Unit`; raises `SerializationError` where its syntax is too new."""
    from .unit import Unit, compile_unit  # reads syntax trees, which few clients need

    return compile_unit(Unit(*fields[: len(Unit._fields)]))  # a later release may send more


def code_from_bytecode(data: bytes, filename: str, line: int, text: str) -> types.CodeType:
    """Code of an interpreter like this one, with its source lines for tracebacks.

    Args:
        data: What `marshal` made of it.
        filename: The file that it is from.
        line: The number of the first line of `text`.
        text: Its source, "" where that is unknown.
    """
    if text:
        show(filename, line, text)
    return marshal.loads(data)  # type: ignore[no-any-return]  # noqa: S302


def make_cell() -> types.CellType:
    """An empty cell; `fill_function` or `fill_cell` fills it."""
    return types.CellType()


def fill_cell(cell: types.CellType, value: Any) -> None:
    """Give a cell its content."""
    cell.cell_contents = value


def make_namespace(module: Optional[str], package: Optional[str]) -> dict[str, Any]:
    """The globals of functions that come from one module; `fill_function` puts in what they use."""
    namespace: dict[str, Any] = {"__builtins__": builtins, "__name__": module}
    if package is not None:
        namespace["__package__"] = package
    return namespace


def make_function(
    code: types.CodeType,
    namespace: dict[str, Any],
    freevars: Sequence[str],
    cells: Sequence[types.CellType],
) -> types.FunctionType:
    """A function without state.

    Args:
        code: Its code, whose free variables may stand in another order than at the sender.
        namespace: Its globals.
        freevars: The names of its free variables at the sender.
        cells: Their cells.
    """
    if code.co_freevars == freevars:
        closure = tuple(cells)
    else:
        named = dict(zip(freevars, cells))
        closure = tuple(named.get(name) or types.CellType() for name in code.co_freevars)
    return types.FunctionType(code, namespace, code.co_name, None, closure or None)


def fill_function(function: types.FunctionType, state: dict[str, Any]) -> None:
    """Give a function its state.

    Args:
        function: What `make_function` made.
        state: By what it is: ``attributes`` of the function (``__defaults__`` …), its ``dict``,
            ``cells`` with their contents, ``globals``, ``imports``, submodules that it reaches as
            attributes of their packages, and ``members``, what it uses of modules that were sent
            by value. What a later release adds is ignored.
    """
    for name, value in state.get("attributes", _NOTHING).items():
        try:
            setattr(function, name, value)
        except (AttributeError, TypeError):
            pass  # what only other versions have, such as __type_params__
    if "dict" in state:
        function.__dict__.update(state["dict"])
    for cell, content in state.get("cells", ()):
        cell.cell_contents = content
    function.__globals__.update(state.get("globals", _NOTHING))
    _add_members(state.get("members", ()))
    for name in state.get("imports", ()):
        try:
            importlib.import_module(name)
        except ImportError:
            pass  # it may be one that this platform has not, and the task need not get there


_NOTHING: dict[str, Any] = {}


def _add_members(members: Iterable[tuple[types.ModuleType, dict[str, Any]]]) -> None:
    for module, content in members:
        vars(module).update(content)
        renew_offered(module.__name__, content)


def offer_module(
    module: types.ModuleType, members: Iterable[tuple[types.ModuleType, dict[str, Any]]]
) -> None:
    """Have the import statements of functions find a module that was sent by value.

    Args:
        module: The module.
        members: What they use of it, and of modules in it.
    """
    _add_members(members)
    offered(module)


def with_offers(*parts: Any) -> Any:
    """The first of what came: a value. Its functions import what came after it."""
    return parts[0]


def make_method(function: Callable[..., Any], owner: Any) -> types.MethodType:
    """A bound method that its object does not have under the method's name."""
    return types.MethodType(function, owner)


def import_module(name: str) -> types.ModuleType:
    """A module by its name; raises `ImportError`."""
    found = sys.modules.get(name)
    return importlib.import_module(name) if found is None else found


def make_module(name: str, doc: Optional[str]) -> types.ModuleType:
    """A module that was made by hand; its state is its attributes."""
    return types.ModuleType(name, doc)
