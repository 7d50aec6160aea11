"""The handshake: two ends prove by Kerberos who they are, and that they mean this connection.

::

    client                                          server
      TOKEN (its ticket)            ->
                                    <-   TOKEN, CONFIRM
      CONFIRM, and what comes then  ->

A CONFIRM is sealed by the context that the tokens made, so whoever sends one has its key: nobody
comes further with a token that was recorded. It names its sender, so that it cannot be sent
back, and what the context is bound to. Who gives up sends a REFUSE. It is not sealed, because there
may be no context: whoever stands between can write one, as he can close the connection.

Without I/O, but for the KDC that the client's library asks for a ticket.
"""

from __future__ import annotations

from typing import Optional

from farm_common.errors import AuthError

from .context import Context
from .records import CONFIRM, REFUSE, TOKEN, Records, record

__all__ = ["Exchange"]

#: The longest sentence of a refusal that is sent, or shown.
_WORDS = 1000


class Exchange:
    """One end of the handshake.

    Args:
        context: This end of the context.
        records: Where the bytes from the wire are.
        bindings: What the context is bound to, if anything.

    Attributes:
        context: The context; complete and checked once `done`.
        done: Whether both sides trust each other.
    """

    def __init__(self, context: Context, records: Records, bindings: Optional[bytes]) -> None:
        self.context = context
        self.done = False
        self._records = records
        self._bindings = bindings or b""
        self._checked = False
        self._refusal = b""

    def start(self) -> bytes:
        """The first bytes to send: a client's token.

        Raises:
            AuthError: There is no ticket, or none to be had for the service.
        """
        if self.context.server:
            return b""
        return record(TOKEN, self.context.step(None))

    def advance(self) -> bytes:
        """Do what the bytes that arrived lead to; the bytes to answer.

        Raises:
            AuthError: One side does not accept the other.
        """
        answer = b""
        while not self.done:
            expected = CONFIRM if self._checked else TOKEN
            message = self._records.take(expected, REFUSE)
            if message is None:
                break
            kind, body = message
            if kind == REFUSE:
                raise AuthError(f"the {self._them} refused: {_readable(body)}")
            try:
                answer += self._confirmed(body) if self._checked else self._step(body)
            except AuthError as error:
                self._refusal = record(REFUSE, str(error).encode("utf-8", "replace")[:_WORDS])
                raise
        return answer

    def farewell(self) -> bytes:
        """Why this side gave up, for the other; nothing if it did not."""
        refusal, self._refusal = self._refusal, b""
        return refusal

    def _step(self, body: bytes) -> bytes:
        context = self.context
        token = context.step(body)
        answer = record(TOKEN, token) if token else b""
        if context.complete:
            context.check()
            self._checked = True
            if context.server:
                answer += self._confirmation()
        return answer

    def _confirmed(self, body: bytes) -> bytes:
        if self.context.unseal(body) != self._words(self._them):
            raise AuthError("the peer's confirmation is about another connection than this one")
        self.done = True
        return b"" if self.context.server else self._confirmation()

    def _confirmation(self) -> bytes:
        us = "server" if self.context.server else "client"
        return record(CONFIRM, self.context.seal(self._words(us)))

    @property
    def _them(self) -> str:
        return "client" if self.context.server else "server"

    def _words(self, who: str) -> bytes:
        return b"farm-gss " + who.encode() + b"\0" + self._bindings


def _readable(text: bytes) -> str:
    """What a peer says, so that it can be shown on a terminal."""
    words = text[:_WORDS].decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in words) or "it says no more"
