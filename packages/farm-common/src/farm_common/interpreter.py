"""What this interpreter is: the part of a hello that is the same for both sides."""

from __future__ import annotations

import pickle
import sys
from importlib.util import MAGIC_NUMBER
from typing import Any

from .__about__ import __version__
from .handshake import Hello

__all__ = ["FEATURES", "bytecode_of", "hello_fields", "own_bytecode"]

#: The optional parts of the protocol that this release knows.
FEATURES: tuple[str, ...] = ()


def hello_fields(frame_limit: int) -> dict[str, Any]:
    """The fields of `Hello` that describe this side.

    Args:
        frame_limit: The largest frame that this side will receive, in bytes.

    Returns:
        Keyword arguments for `ClientHello` and `ServerHello`, which have more of their own.
    """
    return {
        "farm": __version__,
        "implementation": sys.implementation.name,
        "python": tuple(sys.version_info[:3]),
        "magic": MAGIC_NUMBER.hex(),
        "pickle": pickle.HIGHEST_PROTOCOL,
        "frame_limit": frame_limit,
        "features": FEATURES,
    }


def own_bytecode() -> tuple[str, str]:
    """What an interpreter must have in common with this one to load its bytecode."""
    return sys.implementation.name, MAGIC_NUMBER.hex()


def bytecode_of(hello: Hello) -> tuple[str, str]:
    """The same of a peer: code objects travel only between equals."""
    return hello.implementation, hello.magic
