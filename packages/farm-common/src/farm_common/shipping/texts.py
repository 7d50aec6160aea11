"""Finds the text that a code object may have been compiled from.

Nothing here is certain: a file may have been edited since, and several texts may share the name
``<string>``. So there may be several texts, newest first, and `source` takes the one that compiles
to the code at hand. What was once read is kept: it may be what later edits destroy.
"""

from __future__ import annotations

import ast
import functools
import io
import linecache
import os
import re
import stat
import sys
import textwrap
import tokenize
import types
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, Optional

from .codes import inner_codes
from .generated import generated_texts
from .index import Text
from .unit import LAMBDA

__all__ = ["find_texts", "generating_texts", "remember"]

#: How many texts are kept of one file, in a session that edits and reloads it.
_KEPT_LIMIT = 100

#: How many times the history of a REPL is cut, to see whether it can be parsed.
_INPUT_LIMIT = 500

#: How many cells of a notebook are considered.
_CELL_LIMIT = 200

_kept: dict[str, list[Text]] = {}
_files: dict[str, tuple[tuple[int, int, int], Text]] = {}
_equal: weakref.WeakValueDictionary[str, Text] = weakref.WeakValueDictionary()


def _current_folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return os.curdir


#: Where a relative file name was meant.
_folder = _current_folder()


def remember(filename: str, namespace: Optional[dict[str, Any]] = None) -> None:
    """Keep the text of a file, or of a notebook's cell, as it is now.

    Later edits then do not matter. Costs little when the file has not changed since the last
    time; equal texts are kept once.

    Args:
        filename: What the code objects name (``co_filename``).
        namespace: The globals of a function in it, which tell what loaded its module; needed
            only for what is no file.
    """
    for text in _current_texts(filename, namespace or {}):
        _keep(filename, text)
        return


def find_texts(code: types.CodeType, namespace: dict[str, Any]) -> Iterator[Text]:
    """The texts that a function may have been compiled from, likely ones first.

    Args:
        code: The code of the function.
        namespace: Its globals, which tell what loaded its module.
    """
    filename = code.co_filename
    seen: list[Text] = []
    for text in reversed(_kept.get(filename, ())):
        seen.append(text)
        yield text
    for text in _current_texts(filename, namespace):
        if not any(text is other for other in seen):
            seen.append(text)
            _keep(filename, text)
            yield text
    if filename.startswith("<"):
        yield from _typed_texts(code)
        yield from _literal_texts(code, namespace)


def generating_texts(function: types.FunctionType, home: str) -> Iterator[Text]:
    """The texts that a tool may have generated a function from, where its code names none.

    Many leave the text among the function's attributes. What a module that is sent by value
    compiles in the course of its import can be seen by another import.

    Args:
        function: The function.
        home: The module that may have generated it, if that is sent by value; else "".
    """
    mentions = _mention(function.__code__)
    for value in list(function.__dict__.values()):
        if isinstance(value, str) and mentions.search(value):
            yield _text(value)
    if home and function.__code__.co_filename.startswith("<"):
        for content in generated_texts(home):
            if mentions.search(content):
                yield _text(content)


def _mention(code: types.CodeType) -> re.Pattern[str]:
    """What a text has in it that defines a function."""
    if code.co_name == LAMBDA:
        return re.compile(r"\blambda\b")
    return re.compile(rf"\bdef\s+{re.escape(code.co_name)}\b")


def _literal_texts(code: types.CodeType, namespace: dict[str, Any]) -> Iterator[Text]:
    """What `exec` and `eval` may have been given: the strings in the module that called them."""
    own = namespace.get("__file__")
    text = _read_file(own) if isinstance(own, str) else None
    content = text.content if text is not None else _ask_loader(namespace)
    mentions = _mention(code)
    # In the file a name may follow the letter of an escape sequence.
    if not content or (code.co_name not in content and code.co_name != LAMBDA):
        return
    for literal in _literals(content):
        if mentions.search(literal):
            yield _text(literal)
            if literal[:1].isspace():
                yield _text(textwrap.dedent(literal))


@functools.lru_cache(16)
def _literals(content: str) -> tuple[str, ...]:
    """The strings of a text that look like code."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    return tuple(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and ("def " in node.value or "lambda" in node.value)
    )


def _keep(filename: str, text: Text) -> None:
    kept = _kept.get(filename, [])
    if not kept or kept[-1] is not text:
        others = [other for other in kept if other is not text]
        _kept[filename] = [*others, text][-_KEPT_LIMIT:]


def _text(content: str) -> Text:
    if not content.endswith("\n"):
        content += "\n"  # as linecache does
    found = _equal.get(content)
    if found is None:
        found = _equal[content] = Text(content)
    return found


def _current_texts(filename: str, namespace: dict[str, Any]) -> Iterator[Text]:
    for path in _paths(filename, namespace):
        text = _read_file(path)
        if text is not None:
            yield text
            break
    lines = _ask_linecache(filename, namespace)
    if lines:
        yield _text("".join(lines))
    content = _ask_loader(namespace)
    if content:
        yield _text(content)
    if filename == "<string>":
        for content in _command_texts():
            yield _text(content)
    elif filename == "<stdin>":
        content = _stdin_text()
        if content:
            yield _text(content)


def _paths(filename: str, namespace: dict[str, Any]) -> Iterable[str]:
    """Where a file may be."""
    own = namespace.get("__file__")
    if filename.startswith("<frozen ") and isinstance(own, str):
        return [own]
    if filename.startswith("<") and filename.endswith(">"):
        return []
    if os.path.isabs(filename):
        return [filename]
    paths = [os.path.join(folder, filename) for folder in (_folder, _current_folder())]
    if isinstance(own, str) and os.path.basename(own) == os.path.basename(filename):
        paths.append(own)
    return paths


def _read_file(path: str) -> Optional[Text]:
    """The text of a file, read again only when it has changed."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return None
        signature = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = _files.get(path)
        if known is not None and known[0] == signature:
            return known[1]
        with open(path, "rb") as file:
            text = _text(_decode(file.read()))
    except (OSError, SyntaxError, ValueError):
        return None
    _files[path] = signature, text
    return text


def _decode(data: bytes) -> str:
    """The text of a source file; raises SyntaxError or ValueError."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return data.decode(encoding)


def _ask_linecache(filename: str, namespace: dict[str, Any]) -> list[str]:
    """What tracebacks show: an older state of a file, a notebook's cells, what attrs generates."""
    if os.path.exists(filename) and not os.path.isfile(filename):
        return []  # a device, which may go on for ever
    try:
        # Not imported from it: doctest replaces the function while it runs examples.
        return linecache.getlines(filename, namespace)
    except Exception:  # a loader's
        return []


def _ask_loader(namespace: dict[str, Any]) -> Optional[str]:
    """The text of a module that a loader has, from a zip file for example."""
    spec = namespace.get("__spec__")
    loader = getattr(spec, "loader", None) or namespace.get("__loader__")
    name = getattr(spec, "name", None) or namespace.get("__name__")
    get_source = getattr(loader, "get_source", None)
    if get_source is None or not isinstance(name, str):
        return None
    try:
        content = get_source(name)
    except Exception:  # a loader's
        return None
    return content if isinstance(content, str) else None


def _command_texts() -> Iterator[str]:
    """What ``python -c`` was given."""
    arguments = getattr(sys, "orig_argv", None)  # from 3.10 on
    if arguments is None:
        try:
            with open("/proc/self/cmdline", "rb") as file:
                arguments = [os.fsdecode(part) for part in file.read().split(b"\0")]
        except OSError:
            return
    rest = iter(arguments[1:])
    for argument in rest:
        if not argument.startswith("-") or argument.startswith("--"):
            return
        # As in -Ic; what follows W, X and m is theirs, or else the next argument is.
        match = re.match(r"-[^cmWX]*([cmWX]?)(.*)", argument, re.DOTALL)
        assert match is not None
        letter, value = match.groups()
        if letter and not value:
            value = next(rest, "")
        if letter == "c":
            yield value
            yield textwrap.dedent(value)  # as Python does from 3.14 on
        if letter in ("c", "m"):
            return


def _stdin_text() -> Optional[str]:
    """The script that is read from standard input, where that is a file."""
    try:
        status = os.fstat(0)
        if not stat.S_ISREG(status.st_mode) or not hasattr(os, "pread"):
            return None
        return _decode(os.pread(0, status.st_size, 0))  # does not move where Python reads on
    except (OSError, SyntaxError, ValueError):
        return None


def _typed_texts(code: types.CodeType) -> Iterator[Text]:
    """What may have been typed into a REPL."""
    get_lines = getattr(linecache, "_getlines_from_code", None)  # 3.13's and later ones keep it
    lines = get_lines(code) if get_lines is not None else None
    if lines:
        yield _text("".join(lines))
    yield from map(_text, _magic_texts())
    if "readline" in sys.modules:
        yield from _history_texts(code, _history(sys.modules["readline"]))


def _magic_texts() -> Iterator[str]:
    """The cells of a notebook that begin with ``%%time`` and the like, which keeps no source."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    try:
        shell: Any = get_shell() if get_shell is not None else None
        cells = shell.history_manager.input_hist_raw[-_CELL_LIMIT:] if shell is not None else []
        for cell in reversed(cells):
            if cell.startswith("%%"):
                yield shell.transform_cell(cell.partition("\n")[2])
    except Exception:  # another IPython than those that we know
        return


def _history_texts(code: types.CodeType, lines: list[str]) -> Iterator[Text]:
    """The statements in a history that a function may have been defined by.

    The history has lines, not statements: each line that may be the first one of the function
    is tried, together with as many as make a statement.
    """
    above = code.co_firstlineno - 1
    height = _last_line(code) - above
    begin = rf"^\s*(async\s+)?def\s+{re.escape(code.co_name)}\b"
    starts = re.compile("lambda" if code.co_name == LAMBDA else begin)
    tries = 0
    for number in range(len(lines) - 1, -1, -1):
        if not starts.search(lines[number]):
            continue
        if code.co_name != LAMBDA:
            while number and lines[number - 1].lstrip().startswith("@"):
                number -= 1
        if number < above:
            continue
        for end in range(number + height, len(lines) + 1):
            text = Text("\n".join(lines[number - above : end]) + "\n")
            tries += 1
            if text.error is None:
                yield text
                break
            if tries == _INPUT_LIMIT:
                return


def _history(readline: Any) -> list[str]:
    try:
        count = readline.get_current_history_length()
        items = [readline.get_history_item(number + 1) for number in range(count)]
    except Exception:  # PyPy's raises where there is no terminal
        return []
    # PyPy keeps what has several lines as one.
    return [line for item in items if item for line in item.split("\n")]


def _last_line(code: types.CodeType) -> int:
    import dis  # most programs never need it

    starts: Iterable[tuple[int, Optional[int]]] = dis.findlinestarts(code)
    lines = [line for _, line in starts if line is not None]
    return max([*lines, *map(_last_line, inner_codes(code)), code.co_firstlineno])
