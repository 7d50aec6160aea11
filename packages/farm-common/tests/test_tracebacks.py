"""Tracebacks become frames, and frames tracebacks that Python's tools show as any other."""

import importlib.machinery
import io
import linecache
import logging
import pdb  # noqa: T100
import sys
import threading
import traceback
import types

import pytest

from farm_common.shipping import tracebacks
from farm_common.shipping.tracebacks import Frame, Stack, frames_of, traceback_of

COLUMNS = sys.version_info >= (3, 11)


def outer(x):
    y = x
    return inner(y) + 1


def inner(x):
    return 1 / x


def again(n):
    return again(n - 1) if n else 1 / 0


def twice(n):
    return twice(n - 1) if n % 2 else twice(n - 2) if n else 1 / 0


def ping(n):
    return pong(n - 1) if n else 1 / 0


def pong(n):
    return ping(n - 1)


def raised(function, *args):
    """The exception that a call raises, with its traceback from that function on."""
    try:
        function(*args)
    except Exception as error:
        return error.with_traceback(error.__traceback__.tb_next)
    raise AssertionError("it raised nothing")


def printed(tb):
    """What Python prints for a traceback."""
    return "".join(traceback.format_tb(tb))


@pytest.fixture(autouse=True)
def no_lines():
    """Each test begins and ends without lines of files that are not here."""
    forget()
    yield
    forget()


def forget():
    for name in tracebacks._shown:
        linecache.cache.pop(name, None)
    tracebacks._shown.clear()
    tracebacks._count = 0


@pytest.fixture
def elsewhere(tmp_path):
    """Moves frames to files that are not here."""
    return lambda frames: [frame._replace(file=f"{tmp_path}/srv.py") for frame in frames]


# taking apart


def test_frames():
    """File, line, function, the line's text and where the function begins, for each entry."""
    first, second = frames_of(raised(outer, 0).__traceback__)
    assert (first.file, first.name, first.source) == (__file__, "outer", "    return inner(y) + 1")
    assert (second.name, second.source) == ("inner", "    return 1 / x")
    assert first.line == outer.__code__.co_firstlineno + 2
    assert first.first == outer.__code__.co_firstlineno
    assert (first.times, second.times) == (1, 1)


@pytest.mark.skipif(not COLUMNS, reason="columns came with 3.11")
def test_columns():
    """Where the interpreter knows them."""
    first, second = frames_of(raised(outer, 0).__traceback__)
    assert (first.end_line, first.column, first.end_column) == (first.line, 11, 19)
    assert (second.end_line, second.column, second.end_column) == (second.line, 11, 16)


def test_what_is_left_out_at_the_start():
    """As many entries as the caller says; all of them is none."""
    tb = raised(outer, 0).__traceback__
    assert [frame.name for frame in frames_of(tb, skip=1)] == ["inner"]
    assert frames_of(tb, skip=99) == []
    assert frames_of(None) == []


def test_a_recursion_is_one_frame():
    """With a count; what Python prints for it does not change."""
    tb = raised(again, 200).__traceback__
    frames = frames_of(tb)
    assert [frame.times for frame in frames] == [200, 1]
    assert printed(traceback_of(frames)) == printed(tb)
    assert "".join(Stack(frames).format()) == printed(tb)
    assert "[Previous line repeated 198 more times]" in printed(tb)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 11])
@pytest.mark.parametrize("function", [again, twice, ping])
def test_few_repetitions(function, count):
    """As Python prints them, whatever their number, and from wherever in the line."""
    tb = raised(function, 2 * count if function is ping else count).__traceback__
    frames = frames_of(tb)
    assert "".join(Stack(frames).format()) == printed(tb) == printed(traceback_of(frames))


def test_too_many_frames():
    """The first and the last stay, and something says how many are missing."""
    tb = raised(ping, 300).__traceback__
    frames = frames_of(tb, most=20)
    assert len(frames) == 21
    assert frames[10].file == "<281 more frames>"
    assert frames[:10] + frames[11:] == frames_of(tb, most=400)[:10] + frames_of(tb, most=400)[-10:]
    assert "<281 more frames>" in printed(traceback_of(frames))


def test_source_from_a_loader(tmp_path):
    """As that of a module in an archive."""

    class Loader:
        def get_source(self, name):
            return "\nraise KeyError('k')\n"

    name = str(tmp_path / "archive.zip" / "mod.py")
    spec = importlib.machinery.ModuleSpec("mod", Loader())
    namespace = {"__name__": "mod", "__loader__": spec.loader, "__spec__": spec}
    error = raised(exec, compile("\nraise KeyError('k')\n", name, "exec"), namespace)
    (frame,) = frames_of(error.__traceback__)
    assert (frame.file, frame.line, frame.source) == (name, 2, "raise KeyError('k')")
    linecache.cache.pop(name)


def test_lines_of_an_expression(tmp_path):
    """All that an expression has, where the interpreter knows that; and not a thousand."""
    path = tmp_path / "long.py"
    text = "f = lambda x: (1 /\n      x)\n" + "g = lambda x: (1 /" + "\n" * 50 + "x)\n"
    path.write_text(text)
    names = {}
    exec(compile(text, str(path), "exec"), names)
    (short,) = frames_of(raised(names["f"], 0).__traceback__)
    (long,) = frames_of(raised(names["g"], 0).__traceback__)
    if COLUMNS:
        assert short.source == "f = lambda x: (1 /\n      x)"
        assert len(long.source.split("\n")) == 10
    else:
        assert short.source == "f = lambda x: (1 /"
    for frame in (short, long):
        made = traceback_of([frame])
        assert made.tb_lineno == frame.line
        assert short.source.split("\n")[0] in printed(traceback_of([short]))


def test_a_stack_is_what_traceback_prints():
    """With what it underlines."""
    tb = raised(outer, 0).__traceback__
    assert "".join(Stack(frames_of(tb)).format()) == printed(tb)


# making


def test_it_is_a_traceback():
    """Of the real type; it prints as the one it is made of, columns included."""
    tb = raised(outer, 0).__traceback__
    made = traceback_of(frames_of(tb))
    assert type(made) is types.TracebackType
    assert printed(made) == printed(tb)
    assert traceback_of([]) is None


def test_its_frames():
    """Have names and lines; and neither variables nor a way to this process."""
    frames = frames_of(raised(outer, 0).__traceback__)
    made = traceback_of(frames)
    for entry, frame in zip((made, made.tb_next), frames):
        python = entry.tb_frame
        code = python.f_code
        assert (code.co_filename, code.co_name) == (frame.file, frame.name)
        assert entry.tb_lineno == frame.line
        if sys.version_info[:2] != (3, 12):
            assert python.f_lineno == frame.line
        assert code.co_firstlineno == frame.first
        assert python.f_back is None
        assert python.f_locals == {}
        if COLUMNS:
            assert code.co_qualname == frame.name
    assert made.tb_next.tb_next is None


def test_source_of_files_that_are_not_here(elsewhere):
    """Is shown, and remembered by linecache only."""
    frames = elsewhere(frames_of(raised(outer, 0).__traceback__))
    made = traceback_of(frames)
    text = printed(made)
    assert "srv.py" in text
    assert "    return inner(y) + 1\n" in text
    assert "    return 1 / x\n" in text
    linecache.checkcache()
    assert printed(made) == text


@pytest.mark.skipif(not COLUMNS, reason="columns came with 3.11")
def test_columns_of_files_that_are_not_here(elsewhere):
    """Are underlined; without columns nothing is."""
    frames = elsewhere(frames_of(raised(outer, 0).__traceback__))
    assert "^^^^^" in printed(traceback_of(frames)).replace("~", "^")
    bare = [frame._replace(end_line=None, column=None, end_column=None) for frame in frames]
    assert "^" not in printed(traceback_of(bare))


def test_a_file_that_differs_here(tmp_path):
    """Another file of that name stays what it is: the frames get another name."""
    path = tmp_path / "mod.py"
    path.write_text("def f():\n    return 'mine'\n")
    theirs = Frame(str(path), 2, "f", "    return 'theirs'", 1)
    same = Frame(str(path), 1, "<module>", "def f():", 1)
    made = traceback_of([theirs])
    assert f"File \"<remote {path}>\", line 2, in f\n    return 'theirs'\n" in printed(made)
    assert linecache.getline(str(path), 2) == "    return 'mine'\n"
    assert printed(traceback_of([same, theirs])).count(f"<remote {path}>") == 2
    assert f'File "{path}", line 1' in printed(traceback_of([same]))


def test_an_edited_file(tmp_path):
    """Is looked at anew: the line that ran is shown, not what stands there now."""
    path = tmp_path / "mod.py"
    path.write_text("ran()\n")
    frame = Frame(str(path), 1, "<module>", "ran()")
    assert f'File "{path}"' in printed(traceback_of([frame]))
    path.write_text("something_else()\n")
    assert "    ran()\n" in printed(traceback_of([frame]))


def test_names_that_mean_something_else_here():
    """A REPL's input, which has no file, is not taken for this process's."""
    text = printed(traceback_of([Frame("<stdin>", 1, "f", "    boom()")]))
    assert text == '  File "<remote <stdin>>", line 1, in f\n    boom()\n'
    assert linecache.getline("<stdin>", 1) == ""


def test_a_cell_of_a_notebook():
    """Its lines are known here, so its name stays."""
    name = "<ipython-input-1-abc>"
    linecache.cache[name] = (9, None, ["def f():\n", "    boom()\n"], name)
    text = printed(traceback_of([Frame(name, 2, "f", "    boom()", 1)]))
    assert text == f'  File "{name}", line 2, in f\n    boom()\n'
    del linecache.cache[name]


def test_what_linecache_keeps_is_bounded(tmp_path, monkeypatch):
    """The oldest go first; what others put there stays."""
    monkeypatch.setattr(tracebacks, "_MOST_LINES", 1000)
    names = [f"{tmp_path}/{number}.py" for number in range(30)]
    for name in names:
        traceback_of([Frame(name, 100, "f", "    boom()")])
        linecache.cache[names[-2]] = (1, None, ["mine\n"], names[-2])
    kept = [name for name in names if linecache.getline(name, 100)]
    assert kept == [*names[20:28], names[29]]
    assert tracebacks._count <= 1000
    assert linecache.getline(names[-2], 1) == "mine\n"
    traceback_of([Frame(names[0], 10**9, "f", "    boom()")])
    assert not linecache.getlines(names[0])
    del linecache.cache[names[-2]]


@pytest.mark.parametrize(
    "frame",
    [
        Frame("a\0b", 1, "f\0g"),
        Frame("", 0, ""),
        Frame("\udcff", -5, "\udcff", "\udcff"),
        Frame("/x/y.py", 1 << 70, "None", "source"),
        Frame("/x/y.py", 5, "f", "x", 9, 3, 4, 2),
        Frame("/x/y.py", 5, "f", "x", -1, 5, -7, -9),
        Frame("/x/y.py", 5, "f", "x", 1, 5, 9, 2),
        Frame("/x/y.py", 5, "f", "x", 1, 1 << 70, 9, 2),
        Frame("/x/y.py", 5, "f", "x", times=1 << 70),
        Frame("/x/y.py", 5, "f", "x", times=-1),
    ],
)
def test_odd_frames(frame):
    """Whatever a peer sends gives something that can be printed."""
    made = traceback_of([frame])
    assert "File" in printed(made)


def test_no_traceback_is_endless():
    """However many frames there are said to be."""
    for frames in (
        [Frame("/x/y.py", 5, "f", times=1 << 40)],
        [Frame("/x/y.py", 5, "f", times=6000)] * 3,
        [Frame("/x/y.py", 5, "f")] * 50_000,
    ):
        count = 0
        tb = traceback_of(frames)
        while tb is not None:
            tb = tb.tb_next
            count += 1
        assert 9_000 < count < 10_002


def test_each_is_new(elsewhere):
    """Raising with one adds to none of the others, from many threads either."""
    frames = elsewhere(frames_of(raised(outer, 0).__traceback__))
    lengths = []

    def work():
        for _ in range(50):
            try:
                raise ValueError.with_traceback(ValueError("x"), traceback_of(frames))
            except ValueError as error:
                lengths.append(len(traceback.extract_tb(error.__traceback__)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lengths == [3] * 200


# tools


def test_pdb(elsewhere):
    """Shows where, walks up and down, lists what is here, and evaluates."""
    frames = frames_of(raised(outer, 0).__traceback__)
    frames[1:] = elsewhere(frames[1:])
    script = "w\nl\nup\nl\nll\np 20 + 3\np y\ndown\nq\n"
    out = io.StringIO()
    debugger = pdb.Pdb(stdin=io.StringIO(script), stdout=out, nosigint=True)
    debugger.reset()
    debugger.interaction(None, traceback_of(frames))
    text = out.getvalue()
    assert f"{__file__}({frames[0].line})outer()" in text
    assert f"srv.py({frames[1].line})inner()" in text
    assert "-> return 1 / x" in text
    arrow = ">>" if sys.version_info[:2] == (3, 12) else "->"
    assert f"{frames[0].line}  {arrow}\t    return inner(y) + 1" in text
    assert "def outer(x):" in text
    assert "23" in text
    assert "NameError" in text
    assert "*** name" not in text


def test_logging(elsewhere):
    """Shows the lines."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    made = traceback_of(elsewhere(frames_of(raised(outer, 0).__traceback__)))
    info = (ValueError, ValueError("x"), made)
    handler.handle(logging.LogRecord("n", logging.ERROR, "p", 1, "m", (), info))
    assert "    return 1 / x\n" in stream.getvalue()


def test_tracers_see_no_line(elsewhere):
    """No debugger stops at, and no coverage tool counts, what did not run here."""
    frames = elsewhere(frames_of(raised(outer, 0).__traceback__))
    lines = set()

    def trace(frame, event, _):
        if event == "line":
            lines.add(frame.f_code.co_filename)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        made = traceback_of(frames)
    finally:
        sys.settrace(before)
    assert made.tb_lineno == frames[0].line
    assert frames[0].file not in lines
    assert tracebacks.__file__ in lines
