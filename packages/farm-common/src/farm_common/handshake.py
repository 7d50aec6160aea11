"""What is said before work begins: preambles, offers and hellos, as values.

Nothing here is a pickle: the preamble has a fixed layout, everything else is a JSON object of
scalars and lists of scalars. Unknown keys are skipped, so that later releases may add some.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Optional

from .errors import IncompatibleVersionError, ProtocolError
from .frames import PREAUTH_LIMIT, Buffer

__all__ = [
    "MAGIC",
    "NEW_SESSION",
    "PREAMBLE_SIZE",
    "PROTOCOL_VERSIONS",
    "SESSION_SIZE",
    "ClientHello",
    "Hello",
    "Offer",
    "Preamble",
    "Refusal",
    "Select",
    "ServerHello",
    "check_magic",
    "common_version",
    "decode_json",
    "encode_json",
]

#: The lowest and the highest protocol version that this release speaks.
PROTOCOL_VERSIONS = (1, 1)

#: Eight bytes that no text protocol starts with; CR LF and the NUL show a link that edits text.
MAGIC = b"\x93farm\r\n\x00"

SESSION_SIZE = 16
NEW_SESSION = bytes(SESSION_SIZE)

#: The pickle protocol that every peer can read: the first with out-of-band buffers.
_PICKLE_MIN = 5

_SESSION = re.compile("[0-9a-f]{32}")
_SURROGATE = re.compile("[\ud800-\udfff]")

_PREAMBLE = struct.Struct(f"!8sHHI{SESSION_SIZE}s")
PREAMBLE_SIZE = _PREAMBLE.size

#: A bit of the preamble's flags.
_RESUME = 1


@dataclass(frozen=True)
class Preamble:
    """The first bytes of each side.

    Attributes:
        versions: The lowest and highest protocol version that the sender speaks.
        session: From a client, the session that it had before and lost, or `NEW_SESSION`; from a
            server, the session that goes on, or `NEW_SESSION`.
        resume: From a client, whether that session should go on if it can; otherwise it is to
            end, and the client wants to know how.
    """

    versions: tuple[int, int] = PROTOCOL_VERSIONS
    session: bytes = NEW_SESSION
    resume: bool = False

    def encode(self) -> bytes:
        """The preamble as `PREAMBLE_SIZE` bytes."""
        low, high = self.versions
        return _PREAMBLE.pack(MAGIC, low, high, _RESUME if self.resume else 0, self.session)

    @classmethod
    def decode(cls, data: bytes) -> Preamble:
        """Read a preamble from exactly `PREAMBLE_SIZE` bytes.

        Raises:
            ProtocolError: These are not the first bytes of a farm peer.
        """
        check_magic(data)
        if len(data) != PREAMBLE_SIZE:
            raise ProtocolError(f"a preamble of {len(data)} bytes, not {PREAMBLE_SIZE}")
        _, low, high, flags, session = _PREAMBLE.unpack(data)
        if not 0 < low <= high:
            raise ProtocolError(f"a preamble with the version range {low} to {high}")
        return cls((low, high), session, bool(flags & _RESUME))


def check_magic(data: bytes) -> None:
    """Refuse a peer as early as its first byte shows that it is something else.

    Args:
        data: The first bytes of the peer, however few.

    Raises:
        ProtocolError: They do not begin as a preamble does; quotes them.
    """
    start = data[: len(MAGIC)]
    if not MAGIC.startswith(start):
        raise ProtocolError(f"the peer is not farm: it began with {data[:32]!r}")


def common_version(theirs: tuple[int, int], ours: tuple[int, int] = PROTOCOL_VERSIONS) -> int:
    """The highest protocol version that both ranges hold.

    Raises:
        IncompatibleVersionError: There is none.
    """
    version = min(ours[1], theirs[1])
    if version < max(ours[0], theirs[0]):
        raise IncompatibleVersionError(ours, theirs)
    return version


def encode_json(value: Mapping[str, Any]) -> bytes:
    """A JSON object as compact UTF-8; lone surrogates become question marks.

    Names from a command line and texts of errors may hold some, and they are no UTF-8.
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        # On PyPy, encode's own way takes a time that grows with the square of their number.
        return _SURROGATE.sub("?", text).encode()


def decode_json(body: Buffer, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ProtocolError: `body` is no JSON object; names `what` it should have been.
    """
    try:
        # From bytes, json.loads would also take UTF-16 and UTF-32.
        value = json.loads(str(body, "utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"{what} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ProtocolError(f"{what} is not a JSON object")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not in the grammar")


class _Message:
    """A dataclass that travels as a JSON object."""

    def encode(self) -> bytes:
        """The message as the body of a frame."""
        body = encode_json(asdict(self))  # type: ignore[call-overload]
        if len(body) > PREAUTH_LIMIT:
            raise ProtocolError(f"{type(self).__name__} has {len(body)} bytes, over the limit")
        return body

    @classmethod
    def decode(cls, body: Buffer) -> Any:
        """Read the message from the body of a frame.

        Raises:
            ProtocolError: Not JSON, a key is missing, or a value is not one that it may be.
        """
        name = cls.__name__
        given = decode_json(body, name)
        values: dict[str, Any] = {}
        for field in fields(cls):  # type: ignore[arg-type]
            if field.name not in given:
                continue  # a default, or a TypeError below
            values[field.name] = _checked(
                given[field.name], str(field.type), f"{name}.{field.name}"
            )
        try:
            message = cls(**values)
        except TypeError:
            missing = [field.name for field in fields(cls) if field.name not in values]  # type: ignore[arg-type]
            raise ProtocolError(f"{name} lacks one of {', '.join(missing)}") from None
        message._check()
        return message

    def _check(self) -> None:
        """Raise `ProtocolError` for values of the right type that make no sense."""


_TYPES: dict[str, Any] = {"str": str, "int": int, "bool": bool}


def _checked(value: Any, annotation: str, what: str) -> Any:
    """`value`, if it is what `annotation` (one of a few forms) says."""
    if annotation.startswith("Optional["):
        return None if value is None else _checked(value, annotation[9:-1], what)
    if annotation.startswith("tuple["):
        element = annotation[6:].partition(",")[0]
        if isinstance(value, list):
            return tuple(_checked(item, element, what) for item in value)
    elif annotation.startswith("dict["):
        if isinstance(value, dict):
            return value
    elif type(value) is _TYPES[annotation]:
        return value
    raise ProtocolError(f"{what} is not of type {annotation}")


@dataclass(frozen=True)
class Offer(_Message):
    """Server to client: the names of the security mechanisms that it accepts, best first."""

    mechanisms: tuple[str, ...]


@dataclass(frozen=True)
class Select(_Message):
    """Client to server: the mechanism to use; the layer's bytes follow at once."""

    mechanism: str


@dataclass(frozen=True)
class Refusal(_Message):
    """Server to client: why there will be no session.

    Attributes:
        reason: A word for programs: ``"busy"``, ``"draining"``, ``"auth"`` or ``"role"``.
        message: A sentence for people.
    """

    reason: str
    message: str


@dataclass(frozen=True)
class Hello(_Message):
    """What both sides say of themselves once they trust each other.

    Attributes:
        farm: The release of farm-common, for people.
        implementation: ``sys.implementation.name``.
        python: Major, minor and micro version of the language.
        magic: The bytecode's magic number in hexadecimal; code objects travel only between equals.
        pickle: The highest pickle protocol that can be read.
        frame_limit: The largest frame (body and buffers) that can be received, in bytes.
        features: Optional parts of the protocol that the sender knows.
    """

    farm: str
    implementation: str
    python: tuple[int, ...]
    magic: str
    pickle: int
    frame_limit: int
    features: tuple[str, ...]

    def _check(self) -> None:
        name = type(self).__name__
        if len(self.python) < 2:
            raise ProtocolError(f"{name}.python has no major and minor version")
        if self.pickle < _PICKLE_MIN:
            raise ProtocolError(f"{name}.pickle is {self.pickle}, not {_PICKLE_MIN} or more")
        if self.frame_limit < PREAUTH_LIMIT:
            raise ProtocolError(f"{name}.frame_limit is {self.frame_limit}, below {PREAUTH_LIMIT}")


@dataclass(frozen=True)
class ClientHello(Hello):
    """The client's half.

    Attributes:
        role: ``"work"``, or ``"control"`` for status and drain.
        name: The kernel's name, for people.
        index: The worker's index in its kernel; -1 for control.
        output: Where the output of tasks goes: ``"forward"``, ``"server"`` or ``"discard"``.
        received: How many bytes of the session it has, if that is to go on; see `resumption`.
    """

    role: str
    name: str = ""
    index: int = -1
    output: str = "server"
    received: int = 0


@dataclass(frozen=True)
class ServerHello(Hello):
    """The server's half.

    Attributes:
        server: An id that is new each time a server starts.
        name: The server's name.
        host: The host's name.
        pid: The process that executes the tasks.
        workers: How many connections the server wants at most from one kernel.
        tags: What the server was labelled with.
        session: The id of this session in hexadecimal; 16 bytes nobody can guess.
        lost: How the session named in the client's preamble ended, where the server knows; see
            `farm_server.exits` for its keys.
        grace: For how many milliseconds the session goes on without a connection; 0 where it
            cannot.
        received: How many bytes of the session the server has, if that goes on.
    """

    server: str
    name: str
    host: str
    pid: int
    workers: int
    tags: tuple[str, ...]
    session: str
    lost: Optional[dict[str, Any]] = None
    grace: int = 0
    received: int = 0

    def _check(self) -> None:
        super()._check()
        if not _SESSION.fullmatch(self.session):
            raise ProtocolError("ServerHello.session is not 32 hexadecimal digits")
        if self.grace < 0:
            raise ProtocolError(f"ServerHello.grace is {self.grace}, below 0")
