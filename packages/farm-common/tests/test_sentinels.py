"""Sentinels are one object on each side, and come back as themselves."""

import copy
import dataclasses
import sys
import types

import pytest

from farm_common.shipping import pack, rebuild_sentinels, unpack
from farm_common.shipping.aliases import resolve
from farm_common.shipping.rebuild_sentinels import KIND, Sentinel, sentinel


def made(name="UNSET", module=__name__):
    """A sentinel of this interpreter's kind."""
    mark = Sentinel(name, f"<{name}>") if KIND is Sentinel else KIND(name, repr=f"<{name}>")
    mark.__module__ = module
    return mark


@pytest.fixture
def elsewhere(monkeypatch):
    """Has this process know none of the sentinels that it sent, as another would."""

    def forget():
        monkeypatch.setattr(rebuild_sentinels, "_by_ident", {})
        monkeypatch.setattr(rebuild_sentinels, "_idents", {})

    return forget


def packed(value):
    """The pickle of a value."""
    return pack(value, 5, "it", False).body


def test_it_comes_back():
    """As itself."""
    mark = made()
    assert unpack(packed([mark, mark])) == [mark, mark]
    assert unpack(packed(mark)) is mark


def test_two_of_one_name():
    """Stay two."""
    one, other = made(), made()
    assert unpack(packed([one, other])) == [one, other]
    assert one is not other


def test_on_the_other_side(elsewhere):
    """There is one, however often it is sent, which shows itself alike and comes back as it."""
    mark = made()
    first, second = packed(mark), packed([mark])
    elsewhere()
    come = unpack(first)
    assert come is not mark
    assert unpack(second) == [come]
    assert (come.__name__, come.__module__, repr(come)) == ("UNSET", __name__, "<UNSET>")
    again = packed(come)
    assert unpack(again) is come


def test_of_a_module(monkeypatch):
    """It goes by its name."""
    module = types.ModuleType("module_of_sentinels")
    module.UNSET = made(module="module_of_sentinels")
    monkeypatch.setitem(sys.modules, "module_of_sentinels", module)
    body = packed(module.UNSET)
    assert unpack(body) is module.UNSET
    assert b"rebuild_sentinels" not in body


@pytest.mark.parametrize("name", ["MISSING", "KW_ONLY"])
def test_of_dataclasses(name):
    """They are the library's own, whatever they are made of."""
    mark = resolve("dataclasses", name)
    assert unpack(packed(mark)) is mark
    assert mark is getattr(dataclasses, name, mark)


def test_stand_in():
    """Before Python 3.15 it stands for one; copies are itself, as they are of the real one."""
    mark = Sentinel("UNSET", "<UNSET>")
    assert copy.copy(mark) is mark
    assert copy.deepcopy([mark])[0] is mark
    assert sentinel("an id", "m", "A", "<A>") is sentinel("an id", "m", "A", "<A>")
