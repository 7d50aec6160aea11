"""The source of one function, and how another interpreter makes its code from that.

A unit is compiled where it stood: on its lines, in its columns, below headers that give it what
it saw from there. Nothing is executed, and nothing dedented, which would change the strings that
go over several lines. Of what comes out, the code object of the function is taken::

    class Owner:              so that self.__x means self._Owner__x, and super() finds its class
     def _farm_scope_(a, b):  so that a and b are free variables
        global f              so that f, if it names itself, does not mean a variable in here
        def f(self):          the unit's text
            ...

Headers that are not needed are left out. A lambda stands in parentheses. The headers take lines
above the text; the line numbers are set right afterwards, which costs less than as many empty
lines.
"""

from __future__ import annotations
import __future__

import ast
import functools
import re
import sys
import types
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

from ..errors import SerializationError
from .codes import CO_OPTIMIZED, CodeTable, inner_codes, operands, walk_codes
from .lines import show

__all__ = ["LAMBDA", "Unit", "build", "compile_unit", "made_from", "parse", "span"]

LAMBDA = "<lambda>"

#: The name that headers give to the enclosing function.
_SCOPE = "_farm_scope_"

#: What is compiled is in this file at first, so that its warnings, which the user saw when his
#: own file was compiled, can be told from others.
_FILENAME = "<farm unit>"

#: The flags of a code object that a unit keeps: nested, and made a coroutine by types.coroutine.
_KEPT_FLAGS = 0x10 | 0x100

#: How many units' code is kept.
_CACHE_SIZE = 4096


class Unit(NamedTuple):
    """The source of one function, in parts that every Python can read.

    Attributes:
        text: The lines that a ``def`` without its decorators, or a lambda, stands on.
        name: The name in the ``def``, or ``<lambda>``.
        qualname: The qualified name of its code.
        filename: The file it is from.
        line: The number of the first line of `text`.
        column: Where in its first line it starts, in bytes of UTF-8. -1: `text` is a lambda and
            nothing else, and not as in the file.
        end: Where in its last line it ends, in bytes of UTF-8.
        freevars: The names of its free variables.
        owner: The name of the innermost class around it, or "".
        flags: Flags of its code object that do not follow from its text.
        futures: The ``from __future__`` imports that change what it means.
        optimize: The interpreter's ``-O`` level: whether asserts and docstrings count.
        version: The Python that it ran on.
    """

    text: str
    name: str
    qualname: str
    filename: str
    line: int
    column: int
    end: int
    freevars: tuple[str, ...] = ()
    owner: str = ""
    flags: int = 0
    futures: tuple[str, ...] = ()
    optimize: int = 0
    version: tuple[int, int] = (0, 0)

    @property
    def place(self) -> str:
        """Which function it is, for messages."""
        return f"{self.qualname} ({self.filename}, line {self.line})"


#: The unit that a code object was made from, and whether it is the unit's outermost.
_made: CodeTable[tuple[Unit, bool]] = CodeTable()


def compile_unit(unit: Unit) -> types.CodeType:
    """The code object of a unit's function; executes nothing.

    Tracebacks show its lines from now on.

    Raises:
        SerializationError: This interpreter cannot compile it, mostly because its syntax is too
            new here; names both versions, the file and the line.
    """
    code = _compile(unit)
    if unit.column >= 0:
        show(unit.filename, unit.line, unit.text)
    return code


@functools.lru_cache(_CACHE_SIZE)
def _compile(unit: Unit) -> types.CodeType:
    try:
        code = build(unit)
    except SyntaxError as error:
        raise SerializationError(_explain(unit, error.msg, error.lineno)) from None
    except (ValueError, OverflowError, MemoryError, RecursionError) as error:
        raise SerializationError(_explain(unit, str(error) or type(error).__name__)) from None
    for part in walk_codes(code):
        _made.put(part, (unit, part is code))
    return code


def made_from(code: types.CodeType) -> Optional[tuple[Unit, bool]]:
    """The unit that a code object, or one around it, was made from here; and whether it was it."""
    return _made.get(code)


def _explain(unit: Unit, reason: str, line: Optional[int] = None) -> str:
    here = f"{_implementation()} {sys.version_info[0]}.{sys.version_info[1]}"
    there = "{}.{}".format(*unit.version)
    if line is not None and line != unit.line:
        reason = f"{reason}, line {line}"
    return (
        f"{here} cannot compile {unit.place}, which was written for Python {there}: {reason}; "
        f"run it on a worker with Python {there}, or write it so that both can read it"
    )


def _implementation() -> str:
    return {"cpython": "Python", "pypy": "PyPy"}.get(
        sys.implementation.name, sys.implementation.name
    )


def build(unit: Unit, below: str = "") -> types.CodeType:
    """Compile a unit.

    Args:
        unit: What to compile.
        below: Statements that are compiled together with it, after it, as part of the module.

    Raises:
        SyntaxError: It cannot be compiled; its lines are those of the user's file.
        ValueError: It cannot even be read.
        MemoryError: It is too deeply nested; so RecursionError and OverflowError.
    """
    first: Optional[SyntaxError] = None
    for shape in _shapes(unit):
        try:
            return _build(unit, shape, below)
        except SyntaxError as error:
            first = first or error
    assert first is not None
    raise first


class _Shape(NamedTuple):
    """Which headers there are."""

    owner: str  # the name of the class, or ""
    scope: str  # "def", "async def" or ""
    params: tuple[str, ...]


class _Renaming(NamedTuple):
    """What code objects are to have in place of what they got below headers."""

    old: str  # the qualified name of the function
    new: str
    filename: str
    shift: int  # of line numbers

    def qualname(self, name: str) -> str:
        """The qualified name of the function, or of something in it that is not global."""
        if name == self.old or name.startswith(f"{self.old}."):
            return f"{self.new}{name[len(self.old) :]}"
        return name


def _shapes(unit: Unit) -> Iterator[_Shape]:
    """The headers that a unit needs; then others, should it not compile."""
    owner = unit.owner
    if not ("__" in unit.text or "__class__" in unit.freevars):
        owner = ""
    params = tuple(name for name in unit.freevars if not (owner and name == "__class__"))
    yield _Shape(owner, "def" if params else "", params)
    # The default of an argument may yield or await, which is up to the function around.
    if re.search(r"\b(yield|await|async)\b", unit.text):
        if not params:
            yield _Shape(owner, "def", params)
        yield _Shape(owner, "async def", params)


def _build(unit: Unit, shape: _Shape, below: str) -> types.CodeType:
    flags = _future_flags(unit)
    if unit.name == LAMBDA:
        above = _above_lambda(shape)
        text = f"{' ' * max(unit.column, 0)}{span(unit)}\n)\n"
    else:
        above = _above_def(unit, shape)
        text = f"{unit.text}\n\n"  # two, for a text whose last line is continued by an empty one
    shift = unit.line - 1 - len(above)
    padding = 0
    if sys.version_info >= (3, 13) and unit.name != LAMBDA and "class" in unit.text:
        # The bodies of classes have their line in a constant: it must be right from the start.
        padding, shift = shift, 0
    source: Any
    _quieten()
    try:
        if padding < 0 or not _fits(unit, shape):
            shape = shape._replace(scope=shape.scope or "def")
            source, shift = _tree(unit, shape, below, flags), 0
        else:
            source = "".join(["\n" * padding, *(f"{line}\n" for line in above), text, below])
        code: types.CodeType = compile(source, _FILENAME, "exec", flags, True, unit.optimize)
    except SyntaxError as error:
        if error.lineno is not None:
            error.lineno += shift
        raise
    for name in (shape.owner, shape.scope and _SCOPE, unit.name):
        if name:
            code = _take(code, name)
    kept = code.co_flags & ~_KEPT_FLAGS | unit.flags & _KEPT_FLAGS
    code = code.replace(co_flags=kept)
    qualname = _qualname(code, unit, shape)
    return _settle(code, qualname, _Renaming(qualname, unit.qualname, unit.filename, shift))


def span(unit: Unit) -> str:
    """The text of a lambda, without what else is on its lines."""
    if unit.column < 0:
        return unit.text
    data = unit.text.encode()
    last = data.rfind(b"\n") + 1
    return data[unit.column : last + unit.end].decode()


def _above_lambda(shape: _Shape) -> list[str]:
    lines = [f"class {shape.owner}:"] if shape.owner else []
    if shape.scope:
        lines.append(f" {_scope_line(shape)}" if lines else _scope_line(shape))
        lines.append("  return(")
    else:
        lines.append(" _=(" if lines else "(")
    return lines


def _above_def(unit: Unit, shape: _Shape) -> list[str]:
    indent = _indent(unit)
    lines = [f"class {shape.owner}:"] if shape.owner else []
    if shape.scope:
        lines.append(f"{indent[:1] if lines else ''}{_scope_line(shape)}")
        if _is_global(unit):
            lines.append(f"{indent}global {unit.name}")
    return lines or (["if 1:"] if indent else [])


def _scope_line(shape: _Shape) -> str:
    return f"{shape.scope} {_SCOPE}({', '.join(shape.params)}):"


def _is_global(unit: Unit) -> bool:
    """Whether the text names the function itself, and means a global."""
    is_free = _private_name(unit.name, unit.owner) in unit.freevars
    return not is_free and unit.text.count(unit.name) != 1  # 0: it is written in another way


def _private_name(name: str, owner: str) -> str:
    """A name as it is looked up in a class: ``__x`` is private to it."""
    owner = owner.lstrip("_")
    if not owner or not name.startswith("__") or name.endswith("__"):
        return name
    return f"_{owner}{name}"


def _indent(unit: Unit) -> str:
    """The white space before a ``def`` that counts: what precedes a form feed does not."""
    return unit.text[: unit.column].rpartition("\f")[2]


def _fits(unit: Unit, shape: _Shape) -> bool:
    """Whether the headers can be indented by less than the function is."""
    levels = bool(shape.owner) + bool(shape.scope)
    return unit.name == LAMBDA or len(_indent(unit)) >= levels


def _tree(unit: Unit, shape: _Shape, below: str, flags: int) -> ast.AST:
    """The syntax tree of a ``def`` below its headers, where text cannot hold both."""
    flags |= ast.PyCF_ONLY_AST
    indented = bool(_indent(unit))
    shift = unit.line - 1 - indented
    try:
        text = f"if 1:\n{unit.text}\n\n" if indented else f"{unit.text}\n\n"
        tree: Any = compile(text, _FILENAME, "exec", flags, True)
    except SyntaxError as error:
        if error.lineno is not None:
            error.lineno += shift
        raise
    function = tree.body[0].body[0] if indented else tree.body[0]
    ast.increment_lineno(function, shift)
    lines = [f"class {shape.owner}:"] if shape.owner else []
    lines.append(f"{' ' * len(lines)}{_scope_line(shape)}")
    lines.append(f"  global {unit.name}" if _is_global(unit) else "  pass")
    tree = compile("\n".join([*lines, below]), _FILENAME, "exec", flags, True)
    scope = tree.body[0].body[0] if shape.owner else tree.body[0]
    scope.body.append(function)
    return tree  # type: ignore[no-any-return]


def _take(code: types.CodeType, name: str) -> types.CodeType:
    """The code object of a name that a header, or the text, makes inside of another one."""
    found = [inner for inner in inner_codes(code) if inner.co_name == name]
    if not found:  # the hidden scope of `def f[T]()`
        found = [
            inner
            for hidden in inner_codes(code)
            if hidden.co_name == f"<generic parameters of {name}>"
            for inner in inner_codes(hidden)
            if inner.co_name == name
        ]
    if not found:
        raise SyntaxError(f"there is no {name} in it")
    if len(found) == 1:
        return found[0]
    # Lambdas that are defaults of a lambda: what is made last is the one outside. It need not be
    # the last constant, since up to 3.10 equal ones are one.
    made = [operand for _, operand in operands(code) if operand in found]
    return made[-1]  # type: ignore[no-any-return]


def _qualname(code: types.CodeType, unit: Unit, shape: _Shape) -> str:
    """The qualified name that a function got below its headers."""
    known: Optional[str] = getattr(code, "co_qualname", None)  # from 3.11 on
    if known is not None:
        return known
    around = f"{shape.owner}." if shape.owner else ""
    if shape.scope:
        if unit.name != LAMBDA and _is_global(unit):
            return unit.name
        around += f"{_SCOPE}.<locals>."
    return f"{around}{unit.name}"


def _settle(code: types.CodeType, qualname: str, renaming: _Renaming) -> types.CodeType:
    """Give a code object, and all inside of it, its real file, lines and qualified names.

    Args:
        code: What was compiled below headers.
        qualname: The qualified name that it got there.
        renaming: What is to become of that, and of the rest.
    """
    known = hasattr(code, "co_qualname")
    # Classes have theirs in a constant; up to 3.10, what is around a function has its.
    renamed = {} if code.co_flags & CO_OPTIMIZED else {qualname: renaming.qualname(qualname)}
    constants = []
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            if known:
                inner = getattr(constant, "co_qualname")  # noqa: B009 - mypy sees 3.9
            else:
                inner = _inner_qualname(qualname, constant, code)
                renamed[inner] = renaming.qualname(inner)
            constant = _settle(constant, inner, renaming)
        constants.append(constant)
    if renaming.old != renaming.new:
        constants = [
            renamed.get(constant, constant) if type(constant) is str else constant
            for constant in constants
        ]
    changes: dict[str, Any] = {"co_qualname": renaming.qualname(qualname)} if known else {}
    return code.replace(
        co_consts=tuple(constants),
        co_filename=renaming.filename,
        co_firstlineno=code.co_firstlineno + renaming.shift,
        **changes,
    )


def _inner_qualname(qualname: str, inner: types.CodeType, code: types.CodeType) -> str:
    """The qualified name of a function or class in code of another one, from their constants."""
    constants = code.co_consts if inner.co_flags & CO_OPTIMIZED else inner.co_consts
    for join in (".<locals>.", "."):  # implementations differ as to comprehensions
        if f"{qualname}{join}{inner.co_name}" in constants:
            return f"{qualname}{join}{inner.co_name}"
    return inner.co_name  # declared global


def _future_flags(unit: Unit) -> int:
    flags = 0
    for name in unit.futures:
        feature = getattr(__future__, name, None)
        if feature is None:
            raise SyntaxError(f"future feature {name} is not defined")
        flags |= feature.compiler_flag
    return flags


def parse(source: str) -> ast.Module:
    """The syntax tree of a text, without the warnings that the compiler may have of it."""
    _quieten()
    flags = ast.PyCF_ONLY_AST
    tree: ast.Module = compile(source, _FILENAME, "exec", flags, dont_inherit=True)
    return tree


def _quieten() -> None:
    """Have the compiler not warn of the user's code again.

    ``catch_warnings`` would not do: when another thread uses it at the same time, the filters
    can end up as neither of them wants.
    """
    get_filters = getattr(warnings, "_get_filters", None)  # 3.14 may have filters of a context
    filters = get_filters() if get_filters else warnings.filters
    if not filters or filters[0] is not _filter:
        _put_filter()


_filter: Any = None


def _put_filter() -> None:
    global _filter
    warnings.filterwarnings("ignore", module=re.escape(_FILENAME))
    get_filters = getattr(warnings, "_get_filters", None)
    filters = get_filters() if get_filters else warnings.filters
    _filter = filters[0]
