"""TLS as a layer: bytes in, bytes out, over OpenSSL's memory buffers.

Imported when a TLS object is made: the standard library's ssl takes milliseconds and megabytes,
which programs without it should not pay.
"""

from __future__ import annotations

import ssl
from typing import Any, NoReturn, Optional

from ..errors import AuthError
from ..frames import Buffer
from .layer import Layer

__all__ = ["ALPN", "TLSLayer"]

#: What the two sides say that they speak inside of TLS, so that a connection that was meant for
#: another service of the same certificates leads nowhere (RFC 7301).
ALPN = "farm/1"

#: What one record holds at most (RFC 8446, 5.1).
_RECORD = 1 << 14

#: Failures of OpenSSL's verification, by code (x509_vfy.h), in our words; the rest in its own.
_VERIFICATION = {
    9: "is not valid yet: compare the two machines' clocks",
    10: "has expired: have a new one made (farm-admin certs)",
    **dict.fromkeys((2, 18, 19, 20, 21), "was not signed by our CA ({ca})"),
    23: "was revoked",
    26: "was not made for its role: servers and clients have certificates of different kinds",
}
_WRONG_NAME = {62, 63, 64}

#: What the peer's alerts (RFC 8446, 6.2) mean, by a part of OpenSSL's name for them.
_ALERTS = {
    "ALERT_UNKNOWN_CA": "it was not signed by the CA that the peer trusts",
    "ALERT_CERTIFICATE_EXPIRED": "it has expired: have a new one made (farm-admin certs)",
    "ALERT_CERTIFICATE_REQUIRED": "there is none",
    "ALERT_CERTIFICATE_REVOKED": "it was revoked",
    "ALERT_UNSUPPORTED_CERTIFICATE": "it was not made for this role: servers and clients have "
    "certificates of different kinds",
    "ALERT_BAD_CERTIFICATE": "it is bad, or has not this name in it",
    "ALERT_CERTIFICATE_UNKNOWN": "it has not the name that the peer expects, or is bad",
    "ALERT_ACCESS_DENIED": "access denied",
}

_NO_TLS = {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST"}
_OLD = {"UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW"}


class TLSLayer(Layer):
    """One connection's TLS.

    Args:
        context: Certificates and what is asked of the peer's.
        server_side: Whether this side accepted the connection.
        server_name: For a client: what must be in the server's certificate, if that is checked.
        allowed_names: For a server: the names that may come in; None is all.
        ca: What to call the authority that the context trusts, in errors.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_name: Optional[str] = None,
        allowed_names: Optional[frozenset[str]] = None,
        ca: str = "the configured one",
    ) -> None:
        self._server_side = server_side
        self._server_name = server_name
        self._allowed = allowed_names
        self._ca = ca
        self._names: frozenset[str] = frozenset()
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            self._tls = context.wrap_bio(self._in, self._out, server_side, server_name)
        except ValueError as error:  # no host name, or one that cannot be encoded
            raise AuthError(f"no certificate can be for {server_name!r}: {error}") from None
        self._read, self._write = self._tls.read, self._tls.write
        self._heard = False  # from within
        self._ended = False  # in order

    @property
    def tls(self) -> ssl.SSLObject:
        """OpenSSL's object: for its version, its certificates and its channel bindings."""
        return self._tls

    def start(self) -> bytes:
        """A client's greeting."""
        if not self._server_side:
            self._shake()
        return self._out.read()

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Decrypt what is complete; see `Layer.feed`."""
        self._in.write(data)
        if not self.established and not self._shake():
            return b"", self._out.read()
        return self._plain(), self._out.read() if self._out.pending else b""

    def feed_into(self, data: Buffer, target: memoryview) -> tuple[int, bytes, bytes]:
        """Decrypt to where the bytes belong; see `Layer.feed_into`."""
        self._in.write(data)
        room = len(target)
        size = 0
        while size < room and (self._in.pending or self._tls.pending()):
            try:
                got: Any = self._read(room - size, target[size:])  # type: ignore[arg-type]
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as error:
                self._fail(error)
            if not got:
                self._ended = True
                break
            size += got
        rest = self._plain() if size == room else b""
        return size, rest, self._out.read() if self._out.pending else b""

    def wrap(self, data: Buffer) -> bytes:
        """Encrypt; see `Layer.wrap`."""
        try:
            sent = self._write(data)
            while sent < len(data):  # OpenSSL takes one record at a time
                sent += self._write(memoryview(data)[sent : sent + _RECORD])
        except ssl.SSLError as error:
            self._fail(error)
        return self._out.read()

    def admit(self) -> None:
        """Let in whose certificate has an allowed name; see `Layer.admit`."""
        if self._allowed is not None and not self._names & self._allowed:
            raise AuthError(
                f"{self.peer!r} is not among those who may use this server: "
                f"whoever runs it can allow that (farm-server --allow {self.peer})"
            )

    def farewell(self) -> bytes:
        """An alert that says what was wrong, or that this is the end; see `Layer.farewell`."""
        if self.established:
            try:
                self._tls.unwrap()
            except (ssl.SSLError, ValueError, OSError):
                pass  # the peer need not answer
        return self._out.read()

    def eof(self) -> None:
        """Tell an end that the peer announced from one that anybody could have made."""
        if self._heard and not self._ended:
            raise AuthError("the connection was cut: its end was not announced as TLS has it")

    def _shake(self) -> bool:
        """Go on with the handshake; return whether it is over."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            self._fail(error)
        if self._tls.selected_alpn_protocol() != ALPN:
            raise AuthError(f"the peer speaks TLS, but not {ALPN} inside of it")
        self._identify(self._tls.getpeercert() or {})
        self.established = True
        return True

    def _identify(self, certificate: Any) -> None:
        """Read the peer's names from its verified certificate: what it is called, and all others.

        A certificate that was not asked for, or not checked, says nothing: `getpeercert` returns
        an empty dictionary.
        """
        common = [
            value
            for part in certificate.get("subject", ())
            for key, value in part
            if key == "commonName"
        ]
        other = [value for _, value in certificate.get("subjectAltName", ())]
        names = [name for name in common + other if isinstance(name, str) and name]
        self._names = frozenset(names)
        self.peer = names[0] if names else None

    def _plain(self) -> bytes:
        pieces = []
        while self._in.pending or self._tls.pending():
            try:
                piece = self._read(_RECORD)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as error:
                self._fail(error)
            if not piece:
                self._ended = True
                break
            pieces.append(piece)
        if not pieces:
            return b""
        self._heard = True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _fail(self, error: ssl.SSLError) -> NoReturn:
        raise AuthError(self._explained(error)) from None

    def _explained(self, error: ssl.SSLError) -> str:
        """What OpenSSL says, for somebody who has to do something about it."""
        peer = "the client" if self._server_side else "the server"
        if isinstance(error, ssl.SSLCertVerificationError):
            if error.verify_code in _WRONG_NAME:
                return (
                    f"{peer}'s certificate is not for {self._server_name!r}: connect to a name "
                    "that is in it, or say which one to expect: TLSAuth(..., server_name=...)"
                )
            words = _VERIFICATION.get(error.verify_code, f"is bad: {error.verify_message}")
            return f"{peer}'s certificate {words.format(ca=self._ca)}"
        reason = error.reason or ""
        for name, words in _ALERTS.items():
            if name in reason:
                return f"{peer} refused our certificate: {words}"
        if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
            return f"{peer} has no certificate"
        if reason in _NO_TLS:
            return f"{peer} does not speak TLS"
        if reason in _OLD or "ALERT_PROTOCOL_VERSION" in reason:
            return f"{peer} does not speak TLS 1.2 or later"
        # The latter is what later versions of OpenSSL say of the former.
        if "BAD_RECORD_MAC" in reason or reason == "RECORD_LAYER_FAILURE":
            return "the connection was tampered with: a TLS record is not what was sent"
        said = reason.lower().replace("_", " ") or str(error)
        return f"TLS with {peer} failed: {said}"
