"""A security mechanism of one's own: both sides prove that they know a password.

The proof is a keyed hash of two random numbers, one from each side, so neither the password nor
anything that could be used again crosses the wire. What follows is not encrypted: this is for
networks where others can connect, but not listen.
"""

import hashlib
import hmac
import secrets

from farm_common import Authenticator, AuthError, Layer


class PasswordLayer(Layer):
    """One connection: each side sends 32 random bytes, and answers the other's by a proof."""

    transparent = True  # once established, bytes pass as they are

    def __init__(self, password, ours, theirs):
        self._key, self._ours, self._theirs = password.encode(), ours, theirs
        self._nonce = secrets.token_bytes(32)
        self._received = b""

    def _proof(self, who, first, second):
        # With the side's name in it, what we sent cannot be sent back to us as an answer.
        return hmac.new(self._key, who + first + second, hashlib.sha256).digest()

    def start(self):
        return self._nonce

    def feed(self, data):
        if self.established:
            return data, b""
        had, self._received = len(self._received), self._received + data
        nonce, proof, rest = self._received[:32], self._received[32:64], self._received[64:]
        answer = b""
        if had < 32 <= len(self._received):
            answer = self._proof(self._ours, self._nonce, nonce)
        if len(proof) == 32:
            if not hmac.compare_digest(proof, self._proof(self._theirs, nonce, self._nonce)):
                raise AuthError("the peer does not know the password")
            self.established = True
        return rest, answer

    def wrap(self, data):
        return bytes(data)

    def eof(self):
        if not self.established:
            raise AuthError("the peer closed: it does not accept our password")


class PasswordAuth(Authenticator):
    """What both sides are given as ``auth=``."""

    name = "password"

    def __init__(self, password):
        self._password = password

    def client_layer(self, address):
        return PasswordLayer(self._password, b"client", b"server")

    def server_layer(self):
        return PasswordLayer(self._password, b"server", b"client")
