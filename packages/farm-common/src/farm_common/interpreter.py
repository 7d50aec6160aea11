"""What this interpreter is: the part of a hello that is the same for both sides."""

from __future__ import annotations

import os
import pickle
import sys
from importlib.util import MAGIC_NUMBER
from typing import Any

from .__about__ import __version__
from .handshake import Hello
from .kills import KILL_BY_PID

__all__ = ["FEATURES", "hello_fields", "shares_bytecode"]

#: The optional parts of the protocol that this release knows.
FEATURES: tuple[str, ...] = ("modules", "kill", KILL_BY_PID)


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
        "magic": _magic(),
        "pickle": pickle.HIGHEST_PROTOCOL,
        "frame_limit": frame_limit,
        "features": FEATURES,
    }


def shares_bytecode(hello: Hello) -> bool:
    """Whether this interpreter and a peer can load each other's code objects."""
    return hello.implementation == sys.implementation.name and hello.magic == _magic() != ""


def _magic() -> str:
    """The magic number of this interpreter's bytecode.

    With ``FARM_SHIPPING=source`` in the environment it is nothing that any peer has, so that
    functions go as source between equal interpreters, too: for tests, and to look into troubles.
    """
    return "" if os.environ.get("FARM_SHIPPING") == "source" else MAGIC_NUMBER.hex()
