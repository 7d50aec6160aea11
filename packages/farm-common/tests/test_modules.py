"""`farm_common.shipping.modules`: the bodies of the frames that ask for modules and give them."""

import json
import types

import pytest

from farm_common.errors import ProtocolError
from farm_common.shipping.modules import (
    NAME_LIMIT,
    GivenModule,
    contents,
    is_module_name,
    pack_changes,
    pack_module,
    python_name,
    unpack_changes,
    unpack_module,
)


@pytest.mark.parametrize(
    "module",
    [
        GivenModule("module", "/a.py", "x = 'é'\n"),
        GivenModule("module", "/a.py", "x = '\udc80'\n"),
        GivenModule("package", "/a/__init__.py"),
        GivenModule("none", reason="does not give it: it is in site-packages"),
    ],
)
def test_there_and_back(module):
    """All that was said arrives, whatever text a loader returned."""
    assert unpack_module(pack_module(module)) == module
    assert unpack_module(memoryview(bytearray(pack_module(module)))) == module


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\0",
        b"\0\0\0\x02{}",
        b"\0\0\0\x02[]",
        b"\0\0\0\xff{}",
        b'\0\0\0\x10{"kind":"other"}',
        b'\0\0\0\x11{"kind":"module"}\xff',
        b'\0\0\0\x20{"kind":"module"}',
    ],
)
def test_bodies_that_are_no_module(body):
    """They are refused by name, before anything is done with them."""
    with pytest.raises(ProtocolError, match=r"MODULE|a module"):
        unpack_module(body)


def test_changes():
    """Names and files, both ways; what is neither is refused."""
    changes = {"helper": "/home/u/helper.py", "pack.part": ""}
    assert unpack_changes(pack_changes(changes)) == changes
    for body in (b"", b"{}", b"[]", b'{"modules":["helper"]}'):
        with pytest.raises(ProtocolError, match="FORGET"):
            unpack_changes(body)


@pytest.mark.parametrize("name", ["a", "a.b", "é", "_x1", "my-tests.01_load", "a" * NAME_LIMIT])
def test_names(name):
    """What an import statement, or a call, could name is a name."""
    assert is_module_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a/b",
            "../a",
            "a\\b",
            "c:a",
            "a b",
            "a\n",
            "a\0",
            "a\udc80",
        ),
        *("a" * (NAME_LIMIT + 1), 3, None),
    ],
)
def test_what_is_no_name(name):
    """Everything else is not, whatever its type."""
    assert not is_module_name(name)


def test_interpreters():
    """The two that are known by their own names, another by its word."""
    assert python_name("cpython", (3, 9)) == "CPython 3.9"
    assert python_name("pypy", (3, 9, 16)) == "PyPy 3.9.16"
    assert python_name("other", (4,)) == "other 4"


def test_contents():
    """A module's names, also of one that is not to be touched; nothing of what is no module."""

    class Lazy(types.ModuleType):
        def __getattribute__(self, name):
            raise AssertionError("it was woken")

    lazy = Lazy("lazy")
    assert contents(lazy)["__name__"] == "lazy"
    assert contents(json)["dumps"] is json.dumps
    assert dict(contents(None)) == dict(contents(3)) == {}
