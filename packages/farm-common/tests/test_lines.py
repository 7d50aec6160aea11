"""Tracebacks show lines of files that are not here."""

import linecache
import os
import sys
import threading
import types

import pytest

from farm_common.shipping import lines
from farm_common.shipping.lines import show


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    """What a test shows is gone after it."""
    monkeypatch.setattr(linecache, "cache", {})
    monkeypatch.setattr(lines, "_shown", {})
    monkeypatch.setattr(lines, "_local", set())


def shown(filename):
    """All lines that anybody sees of a file, after a look whether it has changed."""
    linecache.checkcache(filename)
    return linecache.getlines(filename)


def test_merges():
    """Lines of one file that arrive one after the other are all shown; the last count."""
    show("/far/away.py", 3, "three\nfour")
    show("/far/away.py", 1, "one\n")
    show("/far/away.py", 4, "FOUR")
    assert shown("/far/away.py") == ["one\n", "\n", "three\n", "FOUR\n"]


def test_pseudo_files():
    """Cells and input of a REPL are files like others."""
    show("<stdin>", 2, "two")
    assert shown("<stdin>") == ["\n", "two\n"]


def test_only_newlines_end_lines():
    """As in a file; str.splitlines would split at form feeds, too."""
    show("/far/away.py", 1, "one\x0c\x1c\u2028\n\ntwo\n\n")
    assert shown("/far/away.py") == ["one\x0c\x1c\u2028\n", "\n", "two\n", "\n"]


def test_again_after_clearing():
    """Somebody may empty linecache; the next to show a line brings all of them back."""
    show("/far/away.py", 1, "one")
    linecache.clearcache()
    show("/far/away.py", 2, "two")
    linecache.clearcache()
    show("/far/away.py", 2, "two")
    assert shown("/far/away.py") == ["one\n", "two\n"]


def test_file_of_the_same_name(tmp_path):
    """What is in a local file does not count, unless it is what was sent: then all of it."""
    path = tmp_path / "same.py"
    path.write_text("local one\nlocal two\n")
    show(str(path), 2, "sent two")
    assert shown(str(path)) == ["\n", "sent two\n"]
    copy = tmp_path / "copy.py"
    copy.write_text("one\ntwo\nthree\n")
    show(str(copy), 2, "two")
    copy.write_text("edited\n")
    assert shown(str(copy)) == ["one\n", "two\n", "three\n"]


def test_own_module(tmp_path, monkeypatch):
    """A file that this process imported stays as it is, edits included."""
    path = tmp_path / "own.py"
    path.write_text("one\n")
    module = types.ModuleType("own_for_lines")
    module.__file__ = str(path)
    monkeypatch.setitem(sys.modules, "strange_for_lines", 3)
    monkeypatch.setitem(sys.modules, "own_for_lines", module)
    show(str(path), 1, "sent")
    show(str(path), 1, "sent again")
    assert shown(str(path)) == ["one\n"]


def test_own_cell():
    """A cell of this process's notebook is left to the notebook; another's is not."""
    entry = (8, None, ["one\n", "two\n"], "<cell>")
    linecache.cache["<cell>"] = entry
    show("<cell>", 2, "two")
    assert linecache.cache["<cell>"] is entry
    linecache.cache["<other>"] = (4, None, ["one\n"], "<other>")
    show("<other>", 1, "sent")
    assert shown("<other>") == ["sent\n"]


def test_lazy_entry():
    """An entry that a loader would fill is no answer."""
    linecache.cache["/far/lazy.py"] = (lambda: "from the loader\n",)
    show("/far/lazy.py", 1, "sent")
    assert shown("/far/lazy.py") == ["sent\n"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_pipe_of_the_same_name(tmp_path):
    """A script may have come by /dev/stdin; nothing is read from what is called so here."""
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    show(path, 1, "sent")
    assert shown(path) == ["sent\n"]


@pytest.mark.parametrize("line", [0, -5, 10**9])
def test_senseless_line(line):
    """A line that no file has is not shown, nor does it take memory."""
    show("/far/away.py", line, "one")
    assert shown("/far/away.py") == []


def test_threads():
    """Lines that many threads show at the same time are all there."""
    start = threading.Barrier(8)

    def run(first):
        start.wait()
        for line in range(first, 400, 8):
            show("/far/away.py", line, str(line))

    threads = [threading.Thread(target=run, args=(first,)) for first in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shown("/far/away.py") == [f"{line}\n" for line in range(1, 400)]
