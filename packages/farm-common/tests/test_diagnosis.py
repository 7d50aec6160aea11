"""Which argument cannot travel, and what it is called."""

import pytest

from farm_common.errors import SerializationError
from farm_common.shipping import diagnosis, pack_arguments, unpack

PROTOCOL = 5


class Unsendable:
    """What no interpreter can pickle."""

    def __getstate__(self):
        raise TypeError("cannot pickle it")


LOCK = Unsendable()


class Odd:
    """Its text of why it cannot travel is empty."""

    def __reduce__(self):
        raise KeyError


@pytest.mark.parametrize(
    ("args", "keywords", "text"),
    [
        ((1, {"a": [LOCK]}), {}, "argument 2 of f -> ['a'] -> [0]: a {name}.Unsendable: cannot"),
        ((LOCK,), {}, "argument 1 of f: a {name}.Unsendable: cannot pickle it"),
        ((1,), {"b": 2, "db": (LOCK,)}, "argument 'db' of f -> [0]: a {name}.Unsendable: cannot"),
        ((1, Odd()), {}, "argument 2 of f: a {name}.Odd: KeyError"),
    ],
)
def test_which_argument_cannot_travel(args, keywords, text):
    """By its place or its name, and the path from there."""
    with pytest.raises(SerializationError) as caught:
        pack_arguments(args, keywords, PROTOCOL, "f")
    assert str(caught.value).startswith(text.format(name=__name__))
    assert caught.value.__cause__ is not None


def test_arguments_travel():
    """As a pair of a tuple and a dict."""
    parcel = pack_arguments((1, "x"), {"a": 2}, PROTOCOL, "f")
    assert unpack(parcel.body, parcel.buffers) == ((1, "x"), {"a": 2})


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (int, "an int"),
        (type("Open", (), {"__module__": "_io"}), "an _io.Open"),
        (type("Iterator", (), {"__module__": "builtins"}), "an Iterator"),
        (type("UUID", (), {"__module__": "uuid"}), "a uuid.UUID"),
        (type(None), "a None"),
        (list, "a list"),
    ],
)
def test_what_a_value_is_called(kind, text):
    """With its article."""
    assert diagnosis.explain(kind(), "it", ValueError("why"), PROTOCOL) == f"it: {text}: why"


def test_an_argument_that_is_nested_too_deeply():
    """Is named; the path to the bottom and a traceback of the recursion would help nobody."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(SerializationError) as caught:
        pack_arguments((1, deep), {}, PROTOCOL, "f")
    text = "argument 2 of f: it is nested too deeply; send it as a flatter structure"
    assert str(caught.value) == text
    assert caught.value.__cause__ is None
    while deep:
        deep = deep[0]


def test_nested_too_deeply_further_down():
    """That a part is nested too deeply may show only when parts are looked at one by one."""

    class Stubborn:
        def __reduce__(self):
            raise ValueError("exception context for RecursionError")

    text = diagnosis.explain([Stubborn()], "it", TypeError("something else"), 5)
    assert text == "it: it is nested too deeply; send it as a flatter structure"
