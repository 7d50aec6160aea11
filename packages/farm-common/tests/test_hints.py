"""Annotations are found whatever is in them, and by whoever evaluates them."""

import sys

import pytest

from farm_common.shipping import pack, unpack
from farm_common.shipping.hints import annotations_of
from farm_common.shipping.substitutes import find

LAZY = sys.version_info >= (3, 14)


class Plain:
    """Has some of its own."""

    x: int


class Heir(Plain):
    """Has none of its own."""


class Meta(type):
    """Has some itself, which are not those of its classes."""

    y: str


class Made(metaclass=Meta):
    """As above."""

    z: float


def function(a: int) -> str:
    """Has some."""


def test_own_ones():
    """Neither those of a base nor those of the metaclass."""
    assert annotations_of(Plain) == {"x": int}
    assert not annotations_of(Heir)
    assert annotations_of(Made) == {"z": float}
    assert annotations_of(function) == {"a": int, "return": str}


@pytest.mark.skipif(not LAZY, reason="before Python 3.14 such a class cannot be made")
def test_names_that_are_not_defined():
    """Are forward references, and the others are what they are."""
    namespace = {"__name__": __name__}
    exec(
        "class A:\n  x: Later\n  y: int\ndef f(a: Later, b: int): pass\ndef g(a: 1 / 0): pass",
        namespace,
    )
    found = annotations_of(namespace["A"])
    assert found["y"] is int
    assert found["x"].__forward_arg__ == "Later"
    assert annotations_of(namespace["f"])["b"] is int
    assert annotations_of(namespace["g"]) is None
    (come,) = unpack(pack([namespace["f"]], 5, "it").body)
    assert come.__annotations__["a"].__forward_arg__ == "Later"


def test_a_dictionary_that_does_not_change():
    """What stands for Python 3.15's ``frozendict`` before it is a mapping with a hash."""
    kind = getattr(__import__("builtins"), "frozendict", None) or find("builtins", "frozendict")
    table = kind({"a": 1}, b=2)
    assert table == kind(a=1, b=2) != kind(a=1)
    assert hash(table) == hash(kind(b=2, a=1))
    assert table | {"c": 3} == kind(a=1, b=2, c=3)
    assert {"c": 3} | table == {"a": 1, "b": 2, "c": 3}
    assert (table["a"], list(table), len(table)) == (1, ["a", "b"], 2)
    assert repr(table) == "frozendict({'a': 1, 'b': 2})"
    come = unpack(pack(table, 5, "it", False).body)
    assert come == table
    assert type(come) is kind
    with pytest.raises(TypeError):
        table["a"] = 2
