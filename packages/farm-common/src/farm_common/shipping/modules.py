"""Ships modules: what a worker asks for, and what the client gives.

Only text travels, so any interpreter can use it. Which modules are given is decided by
`farm_client.library`, what becomes of them by `farm_server.importer`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import ProtocolError
from ..frames import Buffer
from ..handshake import decode_json, encode_json

__all__ = [
    "KINDS",
    "NAME_LIMIT",
    "GivenModule",
    "contents",
    "is_module_name",
    "pack_changes",
    "pack_module",
    "python_name",
    "unpack_changes",
    "unpack_module",
]

_LENGTH = struct.Struct("!I")

#: The longest name that is asked for, in characters; a path in a file system ends earlier.
NAME_LIMIT = 1000

#: What a module may be.
KINDS = frozenset({"module", "package", "namespace", "extension", "none"})


class GivenModule(NamedTuple):
    """The answer to a worker's question for a module.

    Attributes:
        kind: ``"module"`` and ``"package"`` bring their text; ``"namespace"`` is a package without
            any; ``"extension"`` is a file that the worker finds at `origin`, for it is on the same
            machine; ``"none"`` is not given.
        origin: The file, as the client calls it; empty where there is none.
        text: What is in it.
        reason: Why it is not given: the end of a sentence that begins with "the client".
    """

    kind: str
    origin: str = ""
    text: str = ""
    reason: str = ""


def is_module_name(name: object) -> bool:
    """Whether somebody could import that: words with dots between them, not too long.

    A word need be no identifier: `importlib` and pytest import ``my-tests`` and ``01_load``, too.
    But it becomes a file's name.
    """
    return (
        isinstance(name, str)
        and len(name) <= NAME_LIMIT
        and all(map(_is_word, name.split(".")))
        and _SEPARATORS.isdisjoint(name)
    )


_SEPARATORS = frozenset("/\\: ")


def _is_word(part: str) -> bool:
    return bool(part) and part.isprintable()


def contents(module: object) -> Mapping[str, Any]:
    """What is in a module, without waking one that is loaded when it is first used.

    Args:
        module: A value of ``sys.modules``, where anything can be put; nothing is in most of that.
    """
    try:
        found = object.__getattribute__(module, "__dict__")
    except AttributeError:  # PyPy's, for example, has libraries there that only pass for modules
        return _NOTHING
    return found if isinstance(found, dict) else _NOTHING


_NOTHING: Mapping[str, Any] = {}


def python_name(implementation: str, version: Sequence[int]) -> str:
    """An interpreter as people call it.

    Args:
        implementation: ``sys.implementation.name``.
        version: Major, minor, and perhaps micro.
    """
    name = {"cpython": "CPython", "pypy": "PyPy"}.get(implementation, implementation)
    return f"{name} {'.'.join(map(str, version))}"


def pack_module(module: GivenModule) -> bytes:
    """The body of a MODULE frame."""
    about = {"kind": module.kind, "origin": module.origin, "reason": module.reason}
    head = encode_json({key: value for key, value in about.items() if value})
    # A loader may return any string, lone surrogates included.
    return _LENGTH.pack(len(head)) + head + module.text.encode("utf-8", "surrogatepass")


def unpack_module(body: Buffer) -> GivenModule:
    """Read the body of a MODULE frame.

    Raises:
        ProtocolError: It is malformed.
    """
    view = memoryview(body)
    try:
        (length,) = _LENGTH.unpack_from(view)
        end = _LENGTH.size + length
        about = decode_json(view[_LENGTH.size : end], "a module")
        text = str(view[end:], "utf-8", "surrogatepass")
        fields = {key: str(about.get(key, "")) for key in ("kind", "origin", "reason")}
    except (struct.error, UnicodeError):
        raise ProtocolError("a MODULE frame with a malformed body") from None
    if len(view) < end or fields["kind"] not in KINDS:
        raise ProtocolError("a MODULE frame with a malformed body")
    return GivenModule(text=text, **fields)


def pack_changes(changes: Mapping[str, str]) -> bytes:
    """The body of a FORGET frame.

    Args:
        changes: The file of each module that has changed, by the module's name.
    """
    return encode_json({"modules": dict(changes)})


def unpack_changes(body: Buffer) -> dict[str, str]:
    """Read the body of a FORGET frame.

    Raises:
        ProtocolError: It is malformed.
    """
    modules: Any = decode_json(body, "FORGET").get("modules")
    if not isinstance(modules, dict):
        raise ProtocolError("a FORGET frame without modules")
    return {name: str(origin) for name, origin in modules.items()}
