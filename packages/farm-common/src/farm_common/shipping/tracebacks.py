"""Turns tracebacks into frames that travel, and such frames into tracebacks.

A traceback made here is a real one, so that `traceback`, `logging`, `pdb` and what others built
on them show it as any other. Each of its frames is that of a generator whose code was compiled for
the file, line and columns of the frame. A generator's frame refers to no caller, so nothing of this
process can be reached from it or is kept alive by it. It holds no variables.
"""

from __future__ import annotations

import ast
import dis
import functools
import linecache
import sys
import threading
import traceback
import types
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, Optional

__all__ = ["Frame", "Stack", "frames_of", "traceback_of"]

#: How many different frames of a traceback travel: the first half of them and the last.
_MOST_FRAMES = 200

#: How many entries a traceback that is made here may have.
_MOST_ENTRIES = 10_000

#: How many lines of the source of one frame travel, and how long they may be.
_SOURCE_LINES = 10
_LINE_LENGTH = 1_000

#: `linecache` keeps this many lines for frames whose files are not here, and lines up to this one.
_MOST_LINES = 200_000
_LAST_LINE = 100_000

#: As often Python itself shows a frame that is repeated.
_SHOWN_REPEATS = 3


class Frame(NamedTuple):
    """One entry of a traceback, or several equal ones in a row.

    Attributes:
        file: The name of the file.
        line: The number of the line.
        name: The name of the function.
        source: The line, or the lines up to `end_line`, as they are in the file; "" if unknown.
        first: The number of the first line of the function.
        end_line: Where the expression ends; None if unknown.
        column: Where it begins, in bytes of UTF-8.
        end_column: Where it ends.
        times: How many equal entries there are in a row.
    """

    file: str
    line: int
    name: str
    source: str = ""
    first: int = 0
    end_line: Optional[int] = None
    column: Optional[int] = None
    end_column: Optional[int] = None
    times: int = 1


# Taking apart


def frames_of(
    tb: Optional[types.TracebackType], skip: int = 0, most: int = _MOST_FRAMES
) -> list[Frame]:
    """The frames of a traceback, outermost first, and not more than are worth reading.

    Args:
        tb: A traceback.
        skip: How many entries at its start to leave out.
        most: How many different frames to keep; one more says how many are left out.
    """
    runs: list[list[Any]] = []
    last: Optional[types.CodeType] = None
    offset = 0
    for entry in islice(_entries(tb), skip, None):
        code = entry.tb_frame.f_code
        if code is last and entry.tb_lasti == offset:
            runs[-1][3] += 1  # a recursion
        else:
            last, offset = code, entry.tb_lasti
            runs.append([entry, code, entry.tb_lineno or code.co_firstlineno, 1])
    for file in {code.co_filename for _, code, _, _ in runs}:
        linecache.checkcache(file)  # it may have been edited since a line of it was last shown
    if len(runs) <= most:
        return [_frame(*run) for run in runs]
    half = most // 2
    omitted = sum(run[3] for run in runs[half : len(runs) - half])
    gap = Frame(f"<{omitted} more frames>", 1, "...")
    return [*(_frame(*run) for run in runs[:half]), gap, *(_frame(*run) for run in runs[-half:])]


def _entries(tb: Optional[types.TracebackType]) -> Iterator[types.TracebackType]:
    while tb is not None:
        yield tb
        tb = tb.tb_next


def _frame(entry: types.TracebackType, code: types.CodeType, line: int, times: int) -> Frame:
    file = code.co_filename
    if file not in linecache.cache:
        # The source of a module in an archive is to be had from its loader only.
        try:
            linecache.lazycache(file, entry.tb_frame.f_globals)
        except Exception:
            pass  # from 3.15 on it warns of a module without a spec, and warnings may be errors
    first, end_line, column, end_column = _positions(code, entry.tb_lasti)
    if first != line or end_line is None or column is None or end_column is None:
        end_line = column = end_column = None
    end = min(end_line or line, line + _SOURCE_LINES - 1)
    source = "\n".join(_cut(linecache.getline(file, number)) for number in range(line, end + 1))
    name, first_line = code.co_name, code.co_firstlineno
    return Frame(file, line, name, source, first_line, end_line, column, end_column, times)


def _cut(line: str) -> str:
    """A line of source as it travels."""
    return line[:_LINE_LENGTH].rstrip()


_Positions = tuple[Optional[int], Optional[int], Optional[int], Optional[int]]
_UNKNOWN: _Positions = (None, None, None, None)


def _positions(code: Any, offset: int) -> _Positions:
    """The first and last line, and the first and last column, of an instruction."""
    positions = getattr(code, "co_positions", None)
    if offset < 0 or positions is None:
        return _UNKNOWN
    # The instructions have two bytes each.
    return next(islice(positions(), offset // 2, None), _UNKNOWN)


class Stack(traceback.StackSummary):
    """Frames as the ``stack`` of a `traceback.TracebackException`, which thus shows them.

    Args:
        frames: What `frames_of` returned.
    """

    def __init__(self, frames: Sequence[Frame]) -> None:
        super().__init__(map(_summary, frames))
        self._frames = frames

    def format(self, **_: Any) -> list[str]:
        """The lines that Python would print."""
        found: list[str] = []
        place: Optional[tuple[str, int, str]] = None
        count = 0
        for frame in self._frames:
            if frame[:3] != place:
                found += _repetition(count)
                place, count = frame[:3], 0
            shown = min(frame.times, max(0, _SHOWN_REPEATS - count))
            if shown:
                found += [_format(frame if frame.times == 1 else frame._replace(times=1))] * shown
            count += frame.times
        return found + _repetition(count)


def _repetition(count: int) -> list[str]:
    more = count - _SHOWN_REPEATS
    times = "time" if more == 1 else "times"
    return [f"  [Previous line repeated {more} more {times}]\n"] if more > 0 else []


@functools.lru_cache(maxsize=256)
def _format(frame: Frame) -> str:
    """What is printed for a frame.

    Finding out what to underline takes Python longer than all else that is done about an error,
    and the next error will likely be of the same place.
    """
    return "".join(traceback.StackSummary.from_list([_summary(frame)]).format())


def _summary(frame: Frame) -> traceback.FrameSummary:
    columns: dict[str, Any] = {}
    if sys.version_info >= (3, 11) and frame.column is not None:
        columns = {
            "end_lineno": frame.end_line,
            "colno": frame.column,
            "end_colno": frame.end_column,
        }
    return traceback.FrameSummary(frame.file, frame.line, frame.name, lookup_line=False, **columns)


# Making


def traceback_of(frames: Sequence[Frame]) -> Optional[types.TracebackType]:
    """A traceback that shows these frames; None if there are none.

    Each call makes a new one, so who adds to it by raising an exception shares it with nobody.
    """
    tb: Optional[types.TracebackType] = None
    namespace: dict[str, Any] = {"__name__": "<remote>"}
    # None is to stop in one of these frames, nor are they to count as covered.
    unwatched = _MAY_START and sys.gettrace() is None and sys.getprofile() is None
    room = _MOST_ENTRIES
    frames = frames[-room:]
    names = _show(frames)
    for frame in reversed(frames):
        line = min(max(frame.line, 1), _MOST_LINE)
        file, whole = names.get(frame.file, (frame.file, True))
        # Some show a function from its first line on, of which there may be no more than this one.
        first = frame.first if whole and 0 < frame.first <= line else line
        place = (frame.end_line or 0, frame.column or 0, frame.end_column or 0)
        if frame.column is None or not _is_span(line, *place):
            place = (line, -1, -1)
        code, offset = _code(file, frame.name, first, line, *place)
        generator = types.FunctionType(code, namespace)()
        made = generator.gi_frame
        if unwatched and made.f_lineno != line:
            next(generator)  # debuggers list what is around the line where a frame is
        times = max(1, min(frame.times, room))
        room -= times
        for _ in range(times):
            tb = types.TracebackType(tb, made, offset, line)
    return tb


#: Whether the frame of a generator that was started refers to no caller either.
_MAY_START = sys.version_info[:2] != (3, 12)

#: The highest number of a line or column that every interpreter takes.
_MOST_LINE = (1 << 31) - 2


def _is_span(line: int, end_line: int, column: int, end_column: int) -> bool:
    """Whether something can begin at the first and end at the second of two places."""
    if not (0 <= column <= _MOST_LINE and 0 <= end_column <= _MOST_LINE):
        return False
    return line < end_line <= _MOST_LINE or (line == end_line and column <= end_column)


@functools.lru_cache(maxsize=512)
def _code(
    file: str, name: str, first: int, line: int, end_line: int, column: int, end_column: int
) -> tuple[types.CodeType, int]:
    """The code of a generator, and the offset in it of an instruction that stands at a place.

    Args:
        file: The name of its file.
        name: Its name.
        first: The line where the function begins.
        line: The line of the place.
        end_line: Where it ends.
        column: Its first column; −1: unknown.
        end_column: Its last column; −1: unknown.
    """
    place: dict[str, Any] = {
        "lineno": line,
        "end_lineno": end_line,
        "col_offset": column,
        "end_col_offset": end_column,
    }
    start: dict[str, Any] = {
        "lineno": first,
        "end_lineno": first,
        "col_offset": -1,
        "end_col_offset": -1,
    }
    more: dict[str, Any] = {"type_params": []} if sys.version_info >= (3, 12) else {}
    function = ast.FunctionDef(
        name="f",
        args=ast.arguments(
            posonlyargs=[],
            args=[],
            vararg=None,
            kwonlyargs=[],
            kw_defaults=[],
            kwarg=None,
            defaults=[],
        ),
        body=[ast.Expr(ast.Yield(None, **place), **place)],
        decorator_list=[],
        returns=None,
        type_comment=None,
        **more,
        **start,
    )
    module = compile(ast.Module([function], []), "<remote>", "exec", dont_inherit=True)
    code: Any = next(one for one in module.co_consts if isinstance(one, types.CodeType))
    offset = next(offset for offset, number in dis.findlinestarts(code) if number == line)
    if column >= 0 and hasattr(code, "co_positions"):
        wanted = (line, end_line, column, end_column)
        places = list(code.co_positions())
        if wanted in places:
            offset = 2 * places.index(wanted)
    # Set only now: the names may be anything, and not all of that compiles.
    named: dict[str, Any] = {"co_filename": file.replace("\0", "?"), "co_name": name}
    if sys.version_info >= (3, 11):
        named["co_qualname"] = name
    return code.replace(**named), offset


# Source

_lock = threading.Lock()

#: The lines that were put into `linecache`, by the name that they have there.
_shown: OrderedDict[str, list[str]] = OrderedDict()
_count = 0


def _show(frames: Sequence[Frame]) -> dict[str, tuple[str, bool]]:
    """See to it that `linecache` has the source of frames.

    Returns:
        By the name of each file, under which name it is, and whether all of it is there. The name
        is the same, unless there is another file here that has it.
    """
    places: dict[str, dict[int, list[str]]] = {}
    for frame in frames:
        if frame.source and 0 < frame.line <= _LAST_LINE:
            places.setdefault(frame.file, {})[frame.line] = frame.source.split("\n")
    names = {}
    for file, parts in places.items():
        linecache.checkcache(file)
        present = linecache.getlines(file)
        shown = _is_shown(file)
        if all(
            [*map(_cut, present[line - 1 : line - 1 + len(lines)])] == lines
            for line, lines in parts.items()
        ):
            names[file] = file, not shown
            continue
        # What is here keeps its name: others rely on `linecache` for it, `inspect` and farm among
        # them. So does what has no file: any REPL has a <stdin>. Debuggers take a name between
        # such brackets as it is.
        taken = bool(present) or file.startswith("<")
        name = f"<remote {file}>" if taken and not shown else file
        names[file] = name, False
        with _lock:
            _put(name, parts)
    return names


def _is_shown(file: str) -> bool:
    entry = linecache.cache.get(file)
    return entry is not None and len(entry) > 1 and entry[2] is _shown.get(file)


def _put(file: str, parts: dict[int, list[str]]) -> None:
    global _count
    if not _is_shown(file):
        _count -= len(_shown.pop(file, ()))
        _shown[file] = []
        # Without a time of modification it is taken for the work of a loader, and never checked.
        linecache.cache[file] = (0, None, _shown[file], file)
    kept = _shown[file]
    _shown.move_to_end(file)
    before = len(kept)
    for line, lines in parts.items():
        kept += ["\n"] * (line - 1 + len(lines) - len(kept))
        kept[line - 1 : line - 1 + len(lines)] = [f"{text}\n" for text in lines]
    _count += len(kept) - before
    while _count > _MOST_LINES and len(_shown) > 1:
        oldest, gone = _shown.popitem(last=False)
        _count -= len(gone)
        entry = linecache.cache.get(oldest)
        if entry is not None and len(entry) > 1 and entry[2] is gone:
            del linecache.cache[oldest]
