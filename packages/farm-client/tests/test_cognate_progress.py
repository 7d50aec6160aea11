"""Progress bars: on terminals and in notebooks, and nothing elsewhere."""

import io
import operator
import sys
import threading
import types

import pytest

import farm_client as farm
from farm_client.cognate import progress


class Terminal(io.StringIO):
    """Is one."""

    def isatty(self):
        return True


@pytest.fixture
def show(monkeypatch):
    """Puts something in the place of standard error; not in sys, where pytest has its own."""

    def show_(stream):
        fake = types.SimpleNamespace(stderr=stream, modules=sys.modules)
        monkeypatch.setattr(progress, "sys", fake)
        return stream

    return show_


@pytest.fixture
def terminal(show):
    """What is written to standard error, which is a terminal."""
    pytest.importorskip("tqdm")
    return show(Terminal())


def picky(x):
    """Fail at 57."""
    if x == 57:
        raise ValueError("fifty-seven")
    return x == 40


CALLS = [
    (farm.pmap, (abs, range(100))),
    (farm.pmap, (abs, iter(range(100)))),
    (farm.pmapcar, (abs, range(100))),
    (farm.pmapc, (abs, range(100))),
    (farm.pmapcan, (lambda x: [x], range(100))),
    (farm.pmaplist, (len, range(100))),
    (farm.pmapl, (len, range(100))),
    (farm.pmapcon, (list, range(100))),
    (farm.pmap_into, ([0] * 100, abs, range(100))),
    (farm.pmaplist_into, ([0] * 100, len, range(100))),
    (farm.pdotimes, (100, abs)),
    (farm.preduce, (operator.add, range(100))),
    (farm.preduce_partial, (operator.add, range(100))),
    (farm.pmap_reduce, (abs, operator.add, range(100))),
    (farm.pfind, (40, range(100))),
    (farm.pfind_if, (picky, range(100))),
    (farm.pevery, (picky, range(100))),
    (farm.psome, (picky, range(100))),
    (farm.pcount_if, (abs, range(100))),
    (farm.premove, (3, range(100))),
    (farm.psort, (range(100),)),
]


@pytest.mark.parametrize(("function", "args"), CALLS, ids=lambda x: getattr(x, "__name__", ""))
def test_it_ends_at_100_percent(kernel, terminal, function, args):
    """In every family, also where a search ends early; and leaves no thread behind."""
    before = threading.active_count()
    function(*args, progress=True)
    last = terminal.getvalue().rstrip().rpartition("\r")[2]
    assert last.startswith("100%|"), last
    assert threading.active_count() <= before + 1  # the pump may just have started
    assert terminal.getvalue().endswith("\n")


def test_a_stream(kernel, terminal):
    """Has one, too."""
    assert len(list(farm.pmap_iter(abs, iter(range(100)), progress=True))) == 100
    assert "100%|" in terminal.getvalue().rpartition("\r")[2]


def test_nothing(kernel, terminal):
    """Where there is nothing to do there is no bar."""
    assert farm.pmap(abs, [], progress=True) == []
    assert terminal.getvalue() == ""


def test_an_error(kernel, terminal):
    """Leaves the bar where it is."""
    with pytest.raises(farm.TaskExecutionError):
        farm.pmap(picky, range(100), progress=True, parts=2)
    assert "%|" in terminal.getvalue()
    assert "100%" not in terminal.getvalue()


def test_while_a_worker_is_away(kernel, terminal):
    """The bar says what is going on; at its end nobody is told any more."""
    bar = progress.make_bar(10)
    bar.tell(2)
    assert "reconnecting to 2 workers" in terminal.getvalue()
    bar.tell(1)
    assert terminal.getvalue().rstrip().endswith("reconnecting to 1 worker]")
    bar.tell(0)
    assert "reconnecting" not in terminal.getvalue().rpartition("\r")[2]
    bar.close()
    assert farm.pmap(abs, range(100), progress=True) == list(range(100))
    assert not kernel._engine.watchers


@pytest.mark.parametrize("stream", [io.StringIO, lambda: None, object])
def test_not_on_a_pipe(kernel, monkeypatch, show, stream):
    """Nothing is written where no terminal is, nor is tqdm imported."""
    stream = show(stream())
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert farm.pmap(abs, range(100), progress=True) == list(range(100))
    assert getattr(stream, "getvalue", str)() == ""


def test_a_closed_stream(kernel, show):
    """Is no terminal."""
    show(io.StringIO()).close()
    assert farm.pmap(abs, [1], progress=True) == [1]


def test_without_tqdm(kernel, monkeypatch, show):
    """A warning says what is missing."""
    show(Terminal())
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.warns(UserWarning, match=r"pip install 'farm-client\[progress\]'"):
        assert farm.pmap(abs, [1], progress=True) == [1]


def test_in_a_notebook(monkeypatch):
    """The bar is tqdm's for notebooks."""
    pytest.importorskip("tqdm")
    shell = type("ZMQInteractiveShell", (), {})()
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: shell
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    made = []

    class Fake:
        def __init__(self, **keywords):
            made.append(keywords)

    auto = types.ModuleType("tqdm.auto")
    auto.tqdm = Fake
    monkeypatch.setitem(sys.modules, "tqdm.auto", auto)
    assert progress.make_bar(5) is not None
    assert made[0]["total"] == 5
