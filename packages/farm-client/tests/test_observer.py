"""The observer: it hears of imports and reloads, and is gone afterwards."""

import importlib
import sys

import pytest

from farm_client.observer import observe, stop_observing


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module that can be imported."""
    (tmp_path / "zz_observed.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "zz_observed"
    sys.modules.pop("zz_observed", None)


def test_imports_and_reloads(module):
    """Each is told to everybody, before it is executed; what is loaded already is not."""
    before = sys.meta_path[:]
    first, second = [], []
    observe(first.append)
    observe(second.append)
    try:
        loaded = importlib.import_module(module)
        assert first == second == [module]
        importlib.import_module(module)
        assert first == [module]
        importlib.reload(loaded)
        assert first == [module] * 2
        stop_observing(first.append)
        del sys.modules[module]
        importlib.import_module(module)
        assert (len(first), len(second)) == (2, 3)
    finally:
        stop_observing(first.append)
        stop_observing(second.append)
        stop_observing(second.append)
    assert sys.meta_path == before
