"""A connection that TLS encrypts, between two ends that Kerberos shows to each other.

The server's certificate is its own and nobody vouches for it: TLS keeps out those who listen, and
Kerberos tells who is at the other end *of this TLS connection*. For that the context is bound to
the certificate that TLS used (RFC 5929, tls-server-end-point). Somebody between the two would
have to show another certificate, and the two ends would disagree.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
import tempfile
from typing import Optional

from farm_common.errors import AuthError
from farm_common.frames import Buffer
from farm_common.security.tls_layer import ALPN, TLSLayer

from .wrapping import GSSLayer, MakeContext, Objection

__all__ = ["BoundLayer", "client_context", "server_context"]

#: How long openssl may take for a key of a kind that takes it milliseconds.
_OPENSSL_SECONDS = 30.0


class BoundLayer(GSSLayer):
    """TLS without authentication, and inside of it the handshake of Kerberos.

    Args:
        context: TLS's configuration; see `client_context` and `server_context`.
        certificate: For a server: its certificate, in DER.
        make: Makes this end of the security context of Kerberos.
        objection: For a server: decides who may come in.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        certificate: Optional[bytes],
        make: MakeContext,
        objection: Optional[Objection] = None,
    ) -> None:
        super().__init__(make, objection)
        self._certificate = certificate
        self._unsent = b""
        self._tls = TLSLayer(context, server_side=certificate is not None)

    def start(self) -> bytes:
        """A client's greeting; see `Layer.start`."""
        return self._tls.start()

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Decrypt what is complete; see `Layer.feed`."""
        if self.established:
            self._context.check_lifetime()
            return self._tls.feed(data)
        plain, answer = self._tls.feed(data)
        if not self._tls.established:
            return b"", answer
        try:
            reply = self._begin(self._bindings()) if self._exchange is None else b""
            reply += self._advance(plain)
        except AuthError:
            self._unsent = answer  # without which the peer cannot read what follows
            raise
        if reply:
            answer += self._tls.wrap(reply)
        assert self._exchange is not None
        return self._records.rest() if self._exchange.done else b"", answer

    def feed_into(self, data: Buffer, target: memoryview) -> tuple[int, bytes, bytes]:
        """Decrypt to where the bytes belong; see `Layer.feed_into`."""
        self._context.check_lifetime()
        return self._tls.feed_into(data, target)

    def wrap(self, data: Buffer) -> bytes:
        """Encrypt; see `Layer.wrap`."""
        self._context.check_lifetime()
        return self._tls.wrap(data)

    def farewell(self) -> bytes:
        """Why this side gave up, and TLS's own end; see `Layer.farewell`."""
        words = b"" if self._exchange is None else self._exchange.farewell()
        if words:
            words = self._tls.wrap(words)
        unsent, self._unsent = self._unsent, b""
        return unsent + words + self._tls.farewell()

    def eof(self) -> None:
        """Have TLS tell an end from a cut; see `Layer.eof`."""
        self._tls.eof()

    def _bindings(self) -> bytes:
        certificate = self._certificate or self._tls.tls.getpeercert(binary_form=True)
        if not certificate:
            raise AuthError("the server has no TLS certificate to bind Kerberos to")
        return b"tls-server-end-point:" + hashlib.sha256(certificate).digest()


def client_context() -> ssl.SSLContext:
    """A configuration that takes any certificate: what it is worth, Kerberos finds out."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def server_context() -> tuple[ssl.SSLContext, bytes]:
    """A configuration with a new key and certificate, which only this process and its forks have.

    Returns:
        The configuration and the certificate, in DER.

    Raises:
        AuthError: There is no ``openssl`` to make them with.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_TICKET  # nobody here asks to resume a session
    context.num_tickets = 0
    # The standard library makes no keys, and takes them from files only.
    with tempfile.TemporaryDirectory(prefix="farm-gss-") as folder:  # with mode 0700
        paths = [os.path.join(folder, name) for name in ("conf", "key", "cert")]
        _make_certificate(*paths)
        _, key, certificate = paths
        context.load_cert_chain(certificate, key)
        with open(certificate, encoding="ascii") as file:
            return context, ssl.PEM_cert_to_DER_cert(file.read())


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION
    context.options |= getattr(ssl, "OP_NO_RENEGOTIATION", 0x40000000)  # PyPy does not name it
    context.set_alpn_protocols([ALPN])
    return context


def _make_certificate(conf: str, key: str, certificate: str) -> None:
    """Write a new private key and a certificate for it; nobody looks at what is said in that."""
    with open(conf, "w", encoding="ascii") as file:  # the system's own may be missing
        file.write("[req]\ndistinguished_name = name\n[name]\n")
    try:
        done = subprocess.run(
            [
                *("openssl", "req", "-x509", "-config", conf, "-subj", "/CN=farm", "-days", "3650"),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha256", "-nodes"),
                *("-keyout", key, "-out", certificate),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_OPENSSL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AuthError(
            f"a server with Kerberos over TLS needs the command openssl ({error}); "
            "on Debian: apt install openssl; or do without TLS"
        ) from error
    if done.returncode:
        said = done.stdout.decode("utf-8", "replace").strip()
        raise AuthError(f"openssl did not make a certificate for this server: {said}")
