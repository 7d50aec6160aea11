"""The mechanism with certificates: both sides prove who they are, and all is encrypted."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Optional, Union

from ..address import Address
from ..errors import AuthError
from .layer import Authenticator, Layer

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = ["TLSAuth"]

_Path = Union[str, "os.PathLike[str]"]


class TLSAuth(Authenticator):
    """Mutual TLS, version 1.2 or later: each side has a certificate of an authority both trust.

    One object serves either side. A client checks that the server's certificate has the name in it
    that it connects to (the host of the address; ``localhost`` for a Unix socket). A server checks
    that the client's was made for clients, and then who it is, if `allowed_names` says who may
    come in. The files are read when the object is made, and again where it was pickled to, so
    that no key travels.

    Args:
        cert: The file with this side's certificate, and those between it and the authority's.
        key: The file with its private key, not encrypted; nobody else may be able to read it.
        ca: The file with the certificates of the authorities that the peer's may come from.
        server_name: For clients: the name that the server's certificate must have, whatever the
            address is.
        allowed_names: For servers: who may come in, by the common name or any alternative name in
            their certificates. None is everybody with a certificate; empty is nobody.

    Raises:
        AuthError: A file is missing, or not what it should be; says which.
    """

    name = "tls"

    #: The names of the files in a directory, see `from_directory`.
    FILES = ("cert.pem", "key.pem", "ca.pem")

    def __init__(
        self,
        cert: _Path,
        key: _Path,
        ca: _Path,
        *,
        server_name: Optional[str] = None,
        allowed_names: Optional[Iterable[str]] = None,
    ) -> None:
        if isinstance(allowed_names, str):
            allowed_names = (allowed_names,)
        self.cert, self.key, self.ca = (os.path.abspath(os.fspath(f)) for f in (cert, key, ca))
        self.server_name = server_name
        self.allowed_names = None if allowed_names is None else frozenset(allowed_names)
        self._load()

    @classmethod
    def from_directory(
        cls,
        directory: _Path,
        *,
        server_name: Optional[str] = None,
        allowed_names: Optional[Iterable[str]] = None,
    ) -> TLSAuth:
        """The same from ``cert.pem``, ``key.pem`` and ``ca.pem`` in one directory.

        ``farm-admin certs server`` and ``farm-admin certs client`` make such directories.
        """
        cert, key, ca = (os.path.join(os.fspath(directory), name) for name in cls.FILES)
        return cls(cert, key, ca, server_name=server_name, allowed_names=allowed_names)

    def client_layer(self, address: Address) -> Layer:
        """A layer that insists on the server's name."""
        from .tls_layer import TLSLayer

        expected = self.server_name or address.host.partition("%")[0] or "localhost"
        return TLSLayer(self._client, server_side=False, server_name=expected, ca=self.ca)

    def server_layer(self) -> Layer:
        """A layer that insists on a client's certificate."""
        from .tls_layer import TLSLayer

        return TLSLayer(
            self._server, server_side=True, allowed_names=self.allowed_names, ca=self.ca
        )

    def _load(self) -> None:
        """Read the files."""
        import ssl

        check_private(self.key)
        self._client = self._context(ssl.PROTOCOL_TLS_CLIENT)
        self._client.check_hostname = True
        self._server = self._context(ssl.PROTOCOL_TLS_SERVER)
        # A session that is resumed by a ticket skips the certificates, and nobody here asks for it.
        self._server.options |= ssl.OP_NO_TICKET
        self._server.num_tickets = 0

    def _context(self, protocol: int) -> SSLContext:
        import ssl

        from .tls_layer import ALPN

        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION
        context.options |= getattr(ssl, "OP_NO_RENEGOTIATION", 0x40000000)  # PyPy does not name it
        context.set_alpn_protocols([ALPN])
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(self.ca)
        except (ssl.SSLError, OSError) as error:
            raise AuthError(_unusable("the authority's certificate", self.ca, error)) from None
        try:
            context.load_cert_chain(self.cert, self.key, password=_no_password)
        except (ssl.SSLError, OSError, _EncryptedError) as error:
            if isinstance(error, FileNotFoundError):
                missing = self.cert if os.path.exists(self.key) else self.key
                raise AuthError(_unusable("the certificate or its key", missing, error)) from None
            what = f"the certificate {self.cert} with its key"
            raise AuthError(_unusable(what, self.key, error)) from None
        return context

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name[0] != "_"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._load()

    def __repr__(self) -> str:
        return f"<farm_common.TLSAuth with {self.cert}>"


class _EncryptedError(Exception):
    """The key has a password."""


def _no_password() -> str:
    """Called by OpenSSL, which would ask at the terminal otherwise, and wait there."""
    raise _EncryptedError(
        "it is encrypted; farm takes keys without a password, in files of mode 0600"
    )


def check_private(path: str) -> None:
    """Refuse a key of our own that others may read, as ssh does.

    A key of another user's (root's, given to a group) is as that user wants it.

    Raises:
        AuthError: It is one, or there is none.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise AuthError(_unusable("the private key", path, error)) from None
    if found.st_uid == os.geteuid() and found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise AuthError(
            f"the private key {path} can be used by others (mode "
            f"{stat.S_IMODE(found.st_mode):04o}): chmod 600 {path}"
        )


def _unusable(what: str, path: str, error: Exception) -> str:
    """One line that says which file will not do, and why."""
    if isinstance(error, FileNotFoundError):
        return f"{what} is missing: {path}; farm-admin certs makes all that is needed"
    why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    words = str(why).lower().replace("_", " ") if str(why).isupper() else str(why)
    return f"{what} in {path} cannot be used: {words}"
