"""What a hello says of this side."""

import importlib.util
import pickle
import sys
from dataclasses import fields

from farm_common import __version__
from farm_common.handshake import ClientHello, Hello
from farm_common.interpreter import hello_fields


def test_all_common_fields_are_there():
    """Exactly the fields of `Hello`: what is new there must be filled here."""
    assert set(hello_fields(1)) == {field.name for field in fields(Hello)}


def test_the_values_are_this_interpreters():
    """They come from the interpreter itself, so that code objects travel only between equals."""
    assert hello_fields(12345) == {
        "farm": __version__,
        "implementation": sys.implementation.name,
        "python": tuple(sys.version_info[:3]),
        "magic": importlib.util.MAGIC_NUMBER.hex(),
        "pickle": pickle.HIGHEST_PROTOCOL,
        "frame_limit": 12345,
        "features": ("modules", "kill", "kill-by-pid", "leave"),
    }


def test_a_hello_made_of_them_survives_the_wire():
    """Every value has the type that the receiver checks for."""
    hello = ClientHello(**hello_fields(1 << 40), role="work", name="k", index=3)
    assert ClientHello.decode(hello.encode()) == hello
