"""Finds the functions in a text: every ``def`` and every lambda, with its place and its scope.

A text is parsed once, when the first function in it is looked for. The tree is not kept, which
takes some hundred bytes for each word of the text, only what is needed to cut a function out.
"""

from __future__ import annotations

import ast
import itertools
import os
import sys
import threading
import types
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Optional, Union

from .unit import LAMBDA, Unit, parse, span

__all__ = ["Entry", "Text"]

#: A line that is longer than this is blanked beside a lambda.
_LINE_LIMIT = 500

#: How many functions of the same name elsewhere in the text are considered.
_MOVED_LIMIT = 50

_Comprehension = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_COMPREHENSION_NAMES = dict(
    zip(_Comprehension, ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"))
)

_PYPY = sys.implementation.name == "pypy"

#: Up to 3.11 what is in an f-string has wrong positions.
_WRONG_IN_FSTRINGS = sys.version_info < (3, 12)


class Entry(NamedTuple):
    """A function in a text.

    Attributes:
        name: Its name, or ``<lambda>``.
        first: The line of its first decorator; what its code object calls its first line.
        line: The line of its ``def``.
        column: The column of that, in bytes of UTF-8.
        end_line: Its last line.
        end: Where in that it ends, in bytes of UTF-8.
        counts: How many arguments it has: all but keyword-only ones, positional-only ones,
            keyword-only ones.
        owner: The innermost class around it, or "".
        qualname: Its qualified name.
        text: Its text, where the positions are wrong, else None.
    """

    name: str
    first: int
    line: int
    column: int
    end_line: int
    end: int
    counts: tuple[int, int, int]
    owner: str
    qualname: str
    text: Optional[str]


class _Context(NamedTuple):
    """What is around a node."""

    owner: str
    prefix: str  # of qualified names
    is_module: bool
    in_fstring: bool


class _Index(NamedTuple):
    by_place: dict[tuple[str, int], list[Entry]]
    by_line: dict[int, list[Entry]]
    by_name: dict[str, list[Entry]]
    imports: frozenset[str]


_lock = threading.Lock()


def _renew_lock() -> None:
    """In the child of a fork, nobody indexes what another thread was indexing."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class Text:
    """A text in which functions are found.

    Args:
        content: The text, with newlines of any kind.
        unit: The unit that it is, where it is no whole file.
    """

    def __init__(self, content: str, unit: Optional[Unit] = None) -> None:
        #: The text, where each line ends with a newline character.
        self.content = content.replace("\r\n", "\n").replace("\r", "\n")
        self._unit = unit
        self._index: Optional[_Index] = None
        self._error: Optional[Exception] = None
        # Where each line starts, and what would be the next one.
        self._starts: Optional[array[int]] = None

    @property
    def error(self) -> Optional[Exception]:
        """Why it cannot be parsed, if it cannot."""
        self._read()
        return self._error

    @property
    def imports(self) -> frozenset[str]:
        """The names that its import statements bind outside of functions and classes."""
        return self._read().imports

    def candidates(self, code: types.CodeType) -> Iterator[Entry]:
        """The functions on its line that a code object may be of, likely ones first."""
        index, line = self._read(), code.co_firstlineno
        here = index.by_place.get((code.co_name, line), [])
        yield from _called_alike(_by_column(here, code) if len(here) > 1 else here, code)
        # Its code may have been given another name.
        others = (entry for entry in index.by_line.get(line, []) if entry.name != code.co_name)
        yield from _called_alike(others, code)

    def moved(self, code: types.CodeType) -> Iterator[Entry]:
        """The functions of its name on other lines, should lines above it have changed."""
        line = code.co_firstlineno
        entries = self._read().by_name.get(code.co_name, [])
        moved = [entry for entry in entries if entry.first != line]
        moved.sort(key=lambda entry: abs(entry.first - line))
        yield from _called_alike(moved[:_MOVED_LIMIT], code)

    def cut(self, entry: Entry) -> tuple[str, int, int]:
        """The lines of a function, and in which columns it starts and ends."""
        if entry.text is not None:
            return entry.text, -1, 0
        first = self._unit.line if self._unit is not None else 1
        if self._starts is None:
            lengths = (len(line) + 1 for line in self.content.split("\n"))
            self._starts = array("L", itertools.accumulate(lengths, initial=0))
        start, end = self._starts[entry.line - first], self._starts[entry.end_line - first + 1]
        lines = self.content[start : end - 1].split("\n")
        if entry.name == LAMBDA:
            # What is beside it is of use only to read, and may be a table of a megabyte.
            if len(lines[-1]) > _LINE_LIMIT:
                lines[-1] = lines[-1].encode()[: entry.end].decode()
            if len(lines[0]) > _LINE_LIMIT:
                beyond = lines[0].encode()[entry.column :].decode()
                lines[0] = f"{' ' * entry.column}{beyond}"
        return "\n".join(lines), entry.column, entry.end

    def _read(self) -> _Index:
        if self._index is None:
            with _lock:
                if self._index is None:
                    self._index = self._make_index()
        return self._index

    def _make_index(self) -> _Index:
        unit = self._unit
        source, shift = self.content, 0
        if unit is not None:
            if unit.name == LAMBDA:
                source = f"(\n{' ' * max(unit.column, 0)}{span(unit)}\n)\n"
                shift = unit.line - 2
            elif unit.column:
                source = f"if 1:\n{self.content}\n\n"
                shift = unit.line - 2
            else:
                shift = unit.line - 1
        walk = _Walk(source, shift)
        prefix = ""
        if unit is not None and "." in unit.qualname:
            prefix = f"{unit.qualname.rpartition('.')[0]}."
        try:
            walk.run(_Context(unit.owner if unit else "", prefix, True, False))
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            self._error = error
        return walk.index()


def _called_alike(entries: Iterable[Entry], code: types.CodeType) -> Iterator[Entry]:
    counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    return (entry for entry in entries if entry.counts == counts)


def _by_column(entries: list[Entry], code: types.CodeType) -> list[Entry]:
    """Entries of one line, those first that the code's columns (from 3.11 on) lie in."""
    place = _body_place(code)
    if place is None:
        return entries

    def key(entry: Entry) -> tuple[bool, int, int]:
        around = (entry.line, entry.column) <= place < (entry.end_line, entry.end)
        return not around, -entry.line, -entry.column  # the innermost first

    return sorted(entries, key=key)


def _body_place(code: types.CodeType) -> Optional[tuple[int, int]]:
    if hasattr(code, "co_positions"):
        for line, end_line, column, end in code.co_positions():
            if line is not None and column is not None and (end_line, end) != (line, column):
                return line, column
    return None


_Node = Union[ast.stmt, ast.expr, ast.AST]


class _Walk:
    """One walk through the tree of a text.

    Not a recursive one: a chain of a thousand ``+`` is a tree of that depth. Simple statements and
    expressions are entered only where there is a lambda on their lines.
    """

    def __init__(self, source: str, shift: int) -> None:
        self._source = source
        self._shift = shift
        self._entries: list[Entry] = []
        self._imports: set[str] = set()
        self._stack: list[tuple[_Node, _Context]] = []
        # How many lines before each have a lambda.
        self._lambdas = [0, 0]
        for line in source.split("\n"):
            self._lambdas.append(self._lambdas[-1] + ("lambda" in line))

    def run(self, context: _Context) -> None:
        """Parse, and find everything."""
        self._push(parse(self._source).body, context)
        while self._stack:
            self._visit(*self._stack.pop())

    def index(self) -> _Index:
        """What was found."""
        index = _Index({}, {}, {}, frozenset(self._imports))
        for entry in sorted(self._entries, key=lambda entry: (entry.line, entry.column)):
            index.by_place.setdefault((entry.name, entry.first), []).append(entry)
            index.by_line.setdefault(entry.first, []).append(entry)
            index.by_name.setdefault(entry.name, []).append(entry)
        return index

    def _push(self, nodes: Sequence[Any], context: _Context) -> None:
        for node in nodes:
            if node is not None:
                self._stack.append((node, context))

    def _visit(self, node: Any, context: _Context) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self._visit_def(node, context)
        elif isinstance(node, ast.ClassDef):
            self._visit_class(node, context)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            if context.is_module:
                for alias in node.names:
                    self._imports.add(alias.asname or alias.name.partition(".")[0])
        elif isinstance(node, (ast.stmt, ast.excepthandler)):
            if hasattr(node, "body") or hasattr(node, "cases") or self._has_lambda(node):
                self._visit_children(node, context)
        elif context.in_fstring or self._has_lambda(node):
            if isinstance(node, ast.Lambda):
                self._visit_lambda(node, context)
            elif isinstance(node, _Comprehension):
                self._visit_comprehension(node, context)
            elif isinstance(node, ast.JoinedStr) and _WRONG_IN_FSTRINGS:
                self._visit_children(node, context._replace(in_fstring=True))
            else:
                self._visit_children(node, context)

    def _has_lambda(self, node: Any) -> bool:
        """Whether there is one on the lines of a node; of those without lines, that is unknown."""
        first = getattr(node, "lineno", None)
        if first is None:
            return True
        last: int = node.end_lineno
        inside: bool = self._lambdas[last + 1] > self._lambdas[first]
        return inside

    def _visit_children(self, node: Any, context: _Context) -> None:
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                self._push([item for item in value if isinstance(item, ast.AST)], context)
            elif isinstance(value, ast.AST):
                self._stack.append((value, context))

    def _visit_arguments(self, node: ast.arguments, context: _Context) -> None:
        """What is evaluated where the function is defined."""
        self._push([*node.defaults, *node.kw_defaults], context)
        for arg in (*node.posonlyargs, *node.args, *node.kwonlyargs, node.vararg, node.kwarg):
            if arg is not None and arg.annotation is not None:
                self._stack.append((arg.annotation, context))

    def _visit_def(self, node: Any, context: _Context) -> None:
        first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
        self._add(node, node.name, first, context)
        outside = context._replace(is_module=False)
        self._push([*node.decorator_list, node.returns], outside)
        self._push(getattr(node, "type_params", ()), outside)
        self._visit_arguments(node.args, outside)
        self._push(node.body, _function_scope(context, node.name))

    def _visit_class(self, node: ast.ClassDef, context: _Context) -> None:
        outside = context._replace(is_module=False)
        self._push([*node.decorator_list, *node.bases, *node.keywords], outside)
        self._push(getattr(node, "type_params", ()), outside)
        inside = _Context(node.name, f"{context.prefix}{node.name}.", False, False)
        self._push(node.body, inside)

    def _visit_lambda(self, node: ast.Lambda, context: _Context) -> None:
        self._add(node, LAMBDA, node.lineno, context)
        self._visit_arguments(node.args, context)
        self._push([node.body], _function_scope(context, LAMBDA))

    def _visit_comprehension(self, node: Any, context: _Context) -> None:
        join = ".<locals>." if _PYPY else "."
        prefix = f"{context.prefix}{_COMPREHENSION_NAMES[type(node)]}{join}"
        inside = context._replace(prefix=prefix, is_module=False)
        first = node.generators[0].iter  # evaluated outside
        self._stack.append((first, context))
        for generator in node.generators:
            parts = [generator.target, generator.iter, *generator.ifs]
            self._push([part for part in parts if part is not first], inside)
        if isinstance(node, ast.DictComp):
            self._push([node.key, node.value], inside)
        else:
            self._push([node.elt], inside)

    def _add(self, node: Any, name: str, first: int, context: _Context) -> None:
        arguments: ast.arguments = node.args
        counts = (
            len(arguments.posonlyargs) + len(arguments.args),
            len(arguments.posonlyargs),
            len(arguments.kwonlyargs),
        )
        text = None
        if context.in_fstring:
            text = ast.unparse(node)
        self._entries.append(
            Entry(
                *(name, first + self._shift, node.lineno + self._shift, node.col_offset),
                *(node.end_lineno + self._shift, node.end_col_offset, counts),
                *(context.owner, f"{context.prefix}{name}", text),
            )
        )


def _function_scope(context: _Context, name: str) -> _Context:
    prefix = f"{context.prefix}{name}.<locals>."
    return _Context(context.owner, prefix, False, context.in_fstring)
