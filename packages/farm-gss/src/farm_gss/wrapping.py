"""A connection that Kerberos itself encrypts, message by message."""

from __future__ import annotations

from typing import Callable, Optional

from farm_common.deadline import Deadline
from farm_common.frames import Buffer
from farm_common.security import Layer

from .context import Context
from .exchange import Exchange
from .records import DATA, Records, record

__all__ = ["GSSLayer", "MakeContext", "Objection", "WrappingLayer"]

#: How much is sealed at a time; larger pieces are not faster.
_PIECE = 1 << 18

#: Makes this end of a context from what it is bound to, and until when the KDC may answer.
MakeContext = Callable[[Optional[bytes], Optional[Deadline]], Context]

#: Raises `AuthError` if the peer of a context may not come in.
Objection = Callable[[Context], None]


class GSSLayer(Layer):
    """What both modes have in common: a context, and who it shows the peer to be.

    Args:
        make: Makes this end of the context.
        objection: For a server: decides who may come in.
    """

    def __init__(self, make: MakeContext, objection: Optional[Objection] = None) -> None:
        self._make = make
        self._objection = objection
        self._records = Records()
        self._exchange: Optional[Exchange] = None

    def admit(self) -> None:
        """Let in whom the `GSSAuth` accepts; see `Layer.admit`."""
        if self._objection is not None:
            self._objection(self._context)

    @property
    def _context(self) -> Context:
        assert self._exchange is not None
        return self._exchange.context

    def _begin(self, bindings: Optional[bytes]) -> bytes:
        """Start the exchange; its first bytes."""
        self._exchange = Exchange(self._make(bindings, self.deadline), self._records, bindings)
        return self._exchange.start()

    def _advance(self, data: bytes) -> bytes:
        """Have the exchange go on; the bytes to answer."""
        assert self._exchange is not None
        self._records.feed(data)
        answer = self._exchange.advance()
        if self._exchange.done:
            self.peer = self._context.peer
            self._records.trust()
            self.established = True
        return answer


class WrappingLayer(GSSLayer):
    """Seals whatever goes through once the handshake is over."""

    def start(self) -> bytes:
        """A client's token; see `Layer.start`."""
        return self._begin(None)

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Open what is complete; see `Layer.feed`."""
        answer = b""
        if self.established:
            self._records.feed(data)
        else:
            answer = self._advance(data)
            if not self.established:
                return b"", answer
        pieces = []
        unseal = self._context.unseal
        while True:
            message = self._records.take(DATA)
            if message is None:
                break
            pieces.append(unseal(message[1]))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), answer

    def wrap(self, data: Buffer) -> bytes:
        """Seal; see `Layer.wrap`."""
        seal = self._context.seal
        if len(data) <= _PIECE:
            return record(DATA, seal(bytes(data)))
        pieces = (data[start : start + _PIECE] for start in range(0, len(data), _PIECE))
        return b"".join(record(DATA, seal(bytes(piece))) for piece in pieces)

    def farewell(self) -> bytes:
        """Why this side gave up; see `Layer.farewell`."""
        return b"" if self._exchange is None else self._exchange.farewell()
