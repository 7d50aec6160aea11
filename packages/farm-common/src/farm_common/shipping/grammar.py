"""Tells which Python is the oldest that can read a unit.

So that a task in newer syntax than a server's is refused when it is submitted, not when it
arrives. Everything here is about grammar; what a function calls is another matter.
"""

from __future__ import annotations

import ast
import functools
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from typing import Any

from .unit import LAMBDA, Unit, parse, span

__all__ = ["minimum_version"]

Version = tuple[int, int]

#: The oldest Python that farm runs on, whose grammar has all that is not found here.
OLDEST = (3, 9)

#: Kinds of nodes, by the version that brought them.
_NODES: dict[str, Version] = {
    "Match": (3, 10),
    "TryStar": (3, 11),
    "TypeVar": (3, 12),
    "ParamSpec": (3, 12),
    "TypeVarTuple": (3, 12),
    "TypeAlias": (3, 12),
    "TemplateStr": (3, 14),
}

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@functools.lru_cache(16384)  # a large package that is sent by value has as many
def minimum_version(unit: Unit) -> Version:
    """The oldest Python whose grammar reads a unit, ``(3, 9)`` at least.

    Source: the "Other language changes" of each version's "What's new", and PEPs 634, 654, 646,
    695, 696, 701, 750, 758, 798.
    """
    if unit.name == LAMBDA:
        source = f"(\n{span(unit)}\n)\n"
    else:
        source = f"if 1:\n{unit.text}\n\n" if unit.column else f"{unit.text}\n\n"
    tree = parse(source)
    versions = {OLDEST, *_fstring_versions(source)}
    lines = source.split("\n")
    for node in ast.walk(tree):
        versions.update(_node_versions(node, lines))
    return max(versions)


def _node_versions(node: Any, lines: list[str]) -> Iterator[Version]:
    kind = type(node).__name__
    if kind in _NODES:
        yield _NODES[kind]
        if getattr(node, "default_value", None) is not None:
            yield (3, 13)
    elif isinstance(node, ast.Subscript):
        index = node.slice
        parts = index.elts if isinstance(index, ast.Tuple) else [index]
        bare = not isinstance(index, ast.Tuple) or not _is_bracketed(index, lines)
        if bare and any(isinstance(part, ast.Starred) for part in parts):
            yield (3, 11)
        if bare and any(_is_bare_walrus(part, lines) for part in parts):
            yield (3, 10)
    elif isinstance(node, ast.arguments):
        if node.vararg is not None and isinstance(node.vararg.annotation, ast.Starred):
            yield (3, 11)
    elif isinstance(node, ast.ExceptHandler):
        if isinstance(node.type, ast.Tuple) and not _is_bracketed(node.type, lines):
            yield (3, 14)
    elif isinstance(node, _COMPREHENSIONS):
        yield from _comprehension_versions(node)
    elif isinstance(node, ast.JoinedStr) and sys.version_info >= (3, 12):
        inside = [value.value for value in node.values if isinstance(value, ast.FormattedValue)]
        if _format_depth(node) > 2 or any("\\" in _segment(part, lines) for part in inside):
            yield (3, 12)


def _comprehension_versions(node: Any) -> Iterator[Version]:
    if type(node) is ast.DictComp:
        if getattr(node, "value", None) is None:
            yield (3, 15)
    elif isinstance(node.elt, ast.Starred):
        yield (3, 15)
    if not _is_async(node) and any(_is_async(inner) for inner in _inner_comprehensions(node)):
        yield (3, 11)


def _inner_comprehensions(node: Any) -> Iterator[Any]:
    """The list, set and dict comprehensions that belong to the scope of one around them."""
    outside = node.generators[0].iter
    for child in ast.iter_child_nodes(node):
        parts = [child]
        if isinstance(child, ast.comprehension):
            parts = [part for part in ast.iter_child_nodes(child) if part is not outside]
        while parts:
            part = parts.pop()
            if isinstance(part, _COMPREHENSIONS) and not isinstance(part, ast.GeneratorExp):
                yield part
            if not isinstance(part, (*_FUNCTIONS, *_COMPREHENSIONS)):
                parts.extend(ast.iter_child_nodes(part))


def _is_async(comprehension: Any) -> bool:
    """Whether a comprehension itself makes its scope asynchronous."""
    return any(generator.is_async for generator in comprehension.generators)


def _is_bracketed(node: ast.Tuple, lines: list[str]) -> bool:
    """Whether a tuple has parentheses of its own: ``(a, b)``, but not ``(a), (b)``."""
    text = _segment(node, lines)
    if not (text.startswith("(") and text.endswith(")")):
        return False
    try:
        parse(f"[\n{text[1:-1]}\n]")
    except SyntaxError:
        return False
    return True


def _is_bare_walrus(node: Any, lines: list[str]) -> bool:
    if not isinstance(node, ast.NamedExpr):
        return False
    line = lines[node.lineno - 1].encode()[: node.col_offset].decode()
    before = "\n".join([*lines[: node.lineno - 1], line])
    return not before.rstrip().endswith("(")


def _segment(node: Any, lines: list[str]) -> str:
    cut = [line.encode() for line in lines[node.lineno - 1 : node.end_lineno]]
    cut[-1] = cut[-1][: node.end_col_offset]
    cut[0] = cut[0][node.col_offset :]
    return b"\n".join(cut).decode()


def _format_depth(node: ast.JoinedStr) -> int:
    """How deeply the format specifications of an f-string are nested."""
    depths = [
        _format_depth(value.format_spec)
        for value in node.values
        if isinstance(value, ast.FormattedValue) and isinstance(value.format_spec, ast.JoinedStr)
    ]
    return 1 + max(depths, default=0)


if sys.version_info >= (3, 12):

    def _fstring_versions(source: str) -> Iterator[Version]:
        """(3, 12), for an f-string that only PEP 701 allows.

        Before it, an f-string was a string like any other, so that it could not have its
        own quotes inside; and there were no backslashes or comments in its expressions, nor
        spaces after ``!r``.
        """
        if not re.search(r"(?i)\bf?r?f['\"]", source):
            return
        starts: list[tokenize.TokenInfo] = []
        lines = source.split("\n")
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
        for token, after, last in zip(tokens, tokens[1:], tokens[2:]):
            if token.type == tokenize.FSTRING_START:
                starts.append(token)
            elif token.type == tokenize.FSTRING_END:
                start = starts.pop()
                if not _is_plain_string(start, token, lines):
                    yield (3, 12)
            elif starts:
                is_spaced = token.string == "!" and after.end != last.start
                if is_spaced or token.type == tokenize.COMMENT:
                    yield (3, 12)

    def _is_plain_string(
        start: tokenize.TokenInfo, end: tokenize.TokenInfo, lines: list[str]
    ) -> bool:
        """Whether a tokenizer that knows no f-strings takes one for a string, as a whole."""
        (first, column), (last, end_column) = start.start, end.end
        cut = lines[first - 1 : last]
        cut[-1] = cut[-1][:end_column]
        cut[0] = cut[0][column:]
        quote = end.string
        body = "\n".join(cut)[len(start.string) : -len(quote)]
        if len(quote) == 1 and re.search(r"(?<!\\)\n", body):
            return False
        return quote not in re.sub(r"\\.", "", body, flags=re.DOTALL)

else:

    def _fstring_versions(_: str) -> Iterator[Version]:
        """Nothing: this Python does not read f-strings that older ones do not."""
        return iter(())
