"""Finds the source of a function, so that another Python can compile it.

The text is found by the name and line of the function's code (`texts`, `index`), and verified:
each candidate is compiled as the other side will do it (`unit`), and has to give the code that
the function has. That tells the lambdas of one line apart, and a file that was edited after it
was imported from one that was not. So a wrong function never travels; at worst none does, and
the error says why.
"""

from __future__ import annotations
import __future__

import sys
import types
from collections.abc import Iterator
from typing import Optional

from ..errors import SerializationError
from .codes import CodeTable, is_rewritten, same_code, walk_codes
from .grammar import minimum_version
from .index import Entry, Text
from .texts import find_texts, generating_texts, remember
from .unit import LAMBDA, Unit, build, made_from

__all__ = ["find_unit", "minimum_version", "remember"]

_found: CodeTable[Unit] = CodeTable()

#: The ``from __future__`` imports that not every supported Python does of itself.
_FUTURES = {
    name: feature.compiler_flag
    for name, feature in (
        (name, getattr(__future__, name)) for name in __future__.all_feature_names
    )
    if feature.getMandatoryRelease() is None or feature.getMandatoryRelease()[:2] > (3, 9)
}


def find_unit(function: types.FunctionType, home: str = "") -> Unit:
    """The source of a function; costs next to nothing for a code object that is known.

    Args:
        function: A function that was written in Python.
        home: The module that may have generated it, where that is sent by value.

    Raises:
        SerializationError: Its source is not known, or not that of the code that it runs; says
            which function it is, where it is from, and what helps.
    """
    code = getattr(function, "__code__", None)
    if not isinstance(code, types.CodeType) or not hasattr(code, "co_filename"):
        # PyPy's builtin functions are functions like others, but for this.
        raise SerializationError(
            f"{getattr(function, '__qualname__', function)!s} is not written in Python, so it has "
            f"no source to send"
        )
    unit = _found.get(code)
    if unit is None:
        unit = _find(function, code, home)
        _found.put(code, unit)
    return unit


def _find(function: types.FunctionType, code: types.CodeType, home: str) -> Unit:
    made = made_from(code)
    if made is not None:
        unit, is_outermost = made
        if is_outermost:
            return unit
        # Its text is what it was compiled from, so there is nothing to verify.
        found = _find_in(Text(unit.text, unit), code, unit, trusted=True)
        if found is not None:
            return found
    texts = []
    for text in find_texts(code, function.__globals__):
        texts.append(text)
        found = _find_in(text, code, None, trusted=is_rewritten(code))
        if found is not None:
            return found
    for text in generating_texts(function, home):
        texts.append(text)
        found = _find_in(text, code, None, trusted=False)
        if found is not None:
            return found
    for text in texts:
        for entry in text.moved(code):
            for unit in _make_units(entry, code, text, None):
                if _verify(unit, code, text):
                    return unit
    raise SerializationError(_explain(function, code, texts))


def _find_in(
    text: Text, code: types.CodeType, around: Optional[Unit], trusted: bool
) -> Optional[Unit]:
    """The unit of a code object, if the text has it where it should be."""
    likely = None
    for entry in text.candidates(code):
        for unit in _make_units(entry, code, text, around):
            if _verify(unit, code, text):
                return unit
            if trusted and likely is None and entry.name == code.co_name:
                likely = unit
    return likely


def _make_units(
    entry: Entry, code: types.CodeType, text: Text, around: Optional[Unit]
) -> Iterator[Unit]:
    """The units that an entry may be: up to 3.10, its qualified name is not sure."""
    unit = _make_unit(entry, code, text, around)
    known = getattr(code, "co_qualname", None)
    if known is not None:
        yield unit._replace(qualname=known)
    else:
        yield unit
        if "<locals>" in entry.qualname:  # unless it was declared global there
            yield unit._replace(qualname=entry.name)


def _make_unit(entry: Entry, code: types.CodeType, text: Text, around: Optional[Unit]) -> Unit:
    lines, column, end = text.cut(entry)
    return Unit(
        text=lines,
        name=entry.name,
        qualname=entry.qualname,
        filename=code.co_filename,
        # Where it was when it was compiled, which is where it says it is.
        line=code.co_firstlineno + entry.line - entry.first if around is None else entry.line,
        column=column,
        end=end,
        freevars=code.co_freevars,
        owner=entry.owner,
        flags=code.co_flags & 0x110,
        futures=tuple(name for name, flag in _FUTURES.items() if code.co_flags & flag),
        optimize=around.optimize if around is not None else sys.flags.optimize,
        version=around.version if around is not None else (sys.version_info[:2]),
    )


def _verify(unit: Unit, code: types.CodeType, text: Text) -> bool:
    """Whether a unit compiles to the code of the function."""
    for below in _surroundings(text, code):
        try:
            if same_code(build(unit, below), code):
                return True
        except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
            return False
    return False


def _surroundings(text: Text, code: types.CodeType) -> Iterator[str]:
    """What the module may have had besides, as far as that makes a difference to the compiler.

    From 3.11 on, ``mod.f()`` compiles in its own way if what was compiled with it imports ``mod``
    outside of functions; from 3.12 on ``super()`` does, if that is named there. A file is compiled
    as a whole, but the statements of a cell one by one. All these mean the same.
    """
    used = {name for part in walk_codes(code) for name in _names(part)}
    names = sorted(text.imports.intersection(used)) if sys.version_info >= (3, 11) else ()
    imports = f"import {','.join(names)}\n" if names else ""
    yield imports
    if imports:
        yield ""
    if "super" in used and sys.version_info >= (3, 12):
        yield f"{imports}super\n"
        if imports:
            yield "super\n"


def _names(code: types.CodeType) -> tuple[str, ...]:
    return (*code.co_names, *code.co_varnames, *code.co_freevars, *code.co_cellvars)


def _explain(function: types.FunctionType, code: types.CodeType, texts: list[Text]) -> str:
    filename, line = code.co_filename, code.co_firstlineno
    name = "the lambda" if code.co_name == LAMBDA else f"function {function.__qualname__}"
    what = f"{name} ({filename}, line {line})"
    is_file = not (filename.startswith("<") and filename.endswith(">"))
    if is_file and texts:
        error = texts[-1].error
        if error is not None:
            reason = f"{filename} cannot be parsed any more ({error})"
        else:
            reason = (
                f"{filename} differs from the code that runs: edited after it was imported, or "
                f"changed by a tool?"
            )
        cure = (
            "import it again, or decorate functions with @deftask, which keeps their source as "
            "it is when they are defined"
        )
    elif is_file:
        reason = f"there is no file {filename}, only what was compiled from it"
        cure = "install its source as well"
    else:
        reason = {
            "<stdin>": "what came in by a pipe, or was typed, is not kept",
            "<string>": "code that exec() or eval() made has none",
        }.get(filename, f"nothing keeps the text of {filename}")
        cure = "define it in a file, or in a module"
    python = "{} {}.{}".format(sys.implementation.name, *sys.version_info)
    return (
        f"{what} has no source that another Python could compile: {reason}; {cure}, or use "
        f"{python} on both sides"
    )
