"""How the messages of the mechanism are told apart: a kind, a length, and that many bytes."""

from __future__ import annotations

import struct
from typing import Optional

from farm_common.errors import AuthError

__all__ = ["CONFIRM", "DATA", "REFUSE", "TOKEN", "Records", "record"]

#: A token of GSSAPI's own handshake.
TOKEN = 1
#: Sealed: whether the sender accepts the peer.
CONFIRM = 2
#: In the clear: why the sender could not even find out.
REFUSE = 3
#: Sealed: bytes of the connection.
DATA = 4

_NAMES = {TOKEN: "a token", CONFIRM: "a confirmation", REFUSE: "a refusal", DATA: "data"}

#: The longest body before both sides trust each other: tickets of Active Directory, which list
#: the groups of their user, may have 64,000 bytes.
_EARLY_LIMIT = 1 << 16
#: The longest body after that.
_LIMIT = 1 << 20

_HEADER = struct.Struct("!BI")


def record(kind: int, body: bytes) -> bytes:
    """The bytes of one message."""
    return _HEADER.pack(kind, len(body)) + body


class Records:
    """Puts messages together from bytes that come in any pieces.

    Attributes:
        limit: The longest body that is accepted; `trust` raises it.
    """

    def __init__(self) -> None:
        self.limit = _EARLY_LIMIT
        self._buffer = bytearray()
        self._taken = 0  # what of it has been returned

    def trust(self) -> None:
        """Accept longer messages from now on."""
        self.limit = _LIMIT

    def feed(self, data: bytes) -> None:
        """Take in bytes from the wire."""
        if self._taken:
            del self._buffer[: self._taken]
            self._taken = 0
        self._buffer += data

    def take(self, *expected: int) -> Optional[tuple[int, bytes]]:
        """The kind and body of the next message, if all of it is there.

        Args:
            expected: The kinds that may come now.

        Raises:
            AuthError: It is of another kind, or too long.
        """
        start = self._taken + _HEADER.size
        if len(self._buffer) < start:
            return None
        kind, length = _HEADER.unpack_from(self._buffer, self._taken)
        if kind not in expected:
            came = _NAMES.get(kind, f"a message of kind {kind}")
            wanted = " or ".join(_NAMES[one] for one in expected)
            raise AuthError(f"the peer broke the protocol of Kerberos: {came} instead of {wanted}")
        if length > self.limit:
            raise AuthError(
                f"the peer broke the protocol of Kerberos: {_NAMES[kind]} of {length} bytes"
            )
        end = start + length
        if len(self._buffer) < end:
            return None
        self._taken = end
        with memoryview(self._buffer) as view:
            return kind, bytes(view[start:end])

    def rest(self) -> bytes:
        """What follows the last message taken; it is given up."""
        rest = bytes(self._buffer[self._taken :])
        self._buffer.clear()
        self._taken = 0
        return rest
