"""`farm_common.logs`: a library that is silent until it is asked."""

import logging

import pytest

from farm_common.logs import environment_level, set_up_logging


@pytest.fixture
def tree(monkeypatch):
    """The tree as it is before anybody configures it."""
    tree = logging.getLogger("farm")
    before = tree.level, tree.handlers[:], tree.propagate
    tree.setLevel(logging.NOTSET)
    tree.handlers.clear()
    tree.propagate = True
    monkeypatch.delenv("FARM_LOG", raising=False)
    yield tree
    tree.setLevel(before[0])
    tree.handlers[:] = before[1]
    tree.propagate = before[2]


def test_silent_below_error(tree):
    """Nothing but errors is shown unless somebody asks."""
    set_up_logging()
    assert tree.level == logging.ERROR
    assert not tree.handlers


def test_the_environment_turns_it_on(tree, monkeypatch):
    """FARM_LOG names the level, in any case."""
    monkeypatch.setenv("FARM_LOG", "Info")
    set_up_logging()
    assert tree.level == logging.INFO
    assert len(tree.handlers) == 1


def test_the_program_has_its_way(tree):
    """A level that the program set stays."""
    tree.setLevel(logging.DEBUG)
    set_up_logging()
    assert tree.level == logging.DEBUG


def test_an_unknown_level_is_none(monkeypatch, caplog):
    """A FARM_LOG that names no level changes nothing, and one is told what there is."""
    monkeypatch.setenv("FARM_LOG", "Loud")
    assert environment_level() is None
    assert caplog.messages == [
        "FARM_LOG=Loud is ignored: give debug, info, warning, error, critical"
    ]
