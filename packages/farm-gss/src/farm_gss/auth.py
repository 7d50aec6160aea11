"""Authentication by Kerberos, found by farm through the entry point ``farm.auth: gss``."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Optional

from farm_common.address import Address
from farm_common.deadline import Deadline
from farm_common.errors import AuthError
from farm_common.security import Authenticator, Layer

from .context import Acceptor, Context, Initiator, load_gssapi
from .wrapping import WrappingLayer

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = ["GSSAuth"]


class GSSAuth(Authenticator):
    """Proof by Kerberos of who the client and the server are.

    One object serves either side. A client uses the tickets of its user's credentials cache (what
    ``kinit`` gets and ``klist`` shows; ``KRB5CCNAME`` names another one) and demands a server that
    has the key of ``service_name/host``. A server has that key in its keytab, which ``KRB5_KTNAME``
    names, and lets in those whom `name_accepted` accepts.

    What goes over the connection is encrypted and protected against change, repetition and
    omission: by Kerberos itself, or by TLS, which is many times faster for large data. Both sides
    must be given the same. With TLS no certificates need be made or handed out: the server makes
    one when it starts, and Kerberos is bound to it.

    A connection ends when the ticket that it was opened with expires; with a new ticket there is
    a new connection.

    Args:
        service_name: The service part of the server's principal.
        allowed_users: For servers: the full principals that may come in, such as
            ``"alice@EXAMPLE.COM"``. None at all is nobody.
        host: For clients: the host part of the server's principal, where that is not the host of
            the address. If not given, this machine's name stands for loopback addresses and Unix
            sockets.
        tls: Whether TLS encrypts, and Kerberos only shows who is there. A server makes its
            certificate with the command ``openssl``.

    Attributes:
        name: ``"gss"``, or ``"gss-tls"`` with TLS.

    Raises:
        AuthError: The ``gssapi`` package cannot be imported.
        ValueError: An allowed user is no full principal, or `service_name` is no service's.
    """

    def __init__(
        self,
        service_name: str = "farm",
        *,
        allowed_users: Iterable[str] = (),
        host: Optional[str] = None,
        tls: bool = False,
    ) -> None:
        if not service_name or not service_name.isprintable() or set(service_name) & set("@/ "):
            raise ValueError(
                f"service_name={service_name!r} is no service's name: give the part before the "
                "slash of the server's principal, for example 'farm'"
            )
        users = (allowed_users,) if isinstance(allowed_users, str) else tuple(allowed_users)
        for user in users:
            primary, at, realm = user.rpartition("@")
            if not (primary and at and realm):
                raise ValueError(
                    f"allowed_users: {user!r} is no full principal: give the realm, too, for "
                    f"example '{user or 'alice'}@EXAMPLE.COM'"
                )
        load_gssapi()
        self.service_name = service_name
        self.allowed_users = frozenset(users)
        self.host = host
        self.tls = tls
        self.name = "gss-tls" if tls else "gss"
        self._client_tls: Optional[SSLContext] = None
        self._server_tls: Optional[tuple[SSLContext, bytes]] = None

    def name_accepted(self, name: Any) -> bool:
        """Decide whether a client may come in; override it for other rules than a list of users.

        Called on the server when the client has proved its name. Whoever it accepts can run any
        code as the server's user.

        Args:
            name: The client's principal, a ``gssapi.Name``; its text is the full principal.

        Returns:
            True to let it in. Anything else keeps it out, and so does an error.
        """
        return str(name) in self.allowed_users

    def client_layer(self, address: Address) -> Layer:
        """A layer that insists on the server's principal."""
        host = self.host or _host_of(address)

        def make(bindings: Optional[bytes], deadline: Optional[Deadline]) -> Context:
            return Initiator(self.service_name, host, bindings, deadline)

        if not self.tls:
            return WrappingLayer(make)
        from . import over_tls  # takes the standard library's ssl, which is slow to import

        if self._client_tls is None:
            self._client_tls = over_tls.client_context()
        return over_tls.BoundLayer(self._client_tls, None, make)

    def server_layer(self) -> Layer:
        """A layer that insists on a client that `name_accepted` accepts."""

        def make(bindings: Optional[bytes], _: Optional[Deadline]) -> Context:
            return Acceptor(self.service_name, bindings)

        if not self.tls:
            return WrappingLayer(make, self._object)
        from . import over_tls  # as above

        if self._server_tls is None:
            self._server_tls = over_tls.server_context()
        context, certificate = self._server_tls
        return over_tls.BoundLayer(context, certificate, make, self._object)

    def prepare_server(self) -> None:
        """Find out before a server starts whether it could serve anybody; see `Authenticator`.

        Raises:
            AuthError: There is no key in its keytab, or no way to make a certificate.
        """
        Acceptor(self.service_name).keys()
        self.server_layer()

    def _object(self, context: Context) -> None:
        """Raise `AuthError` unless the client of a context may come in."""
        who = context.peer
        try:
            accepted = self.name_accepted(context.peer_name)
        except Exception as error:  # the user's own rules
            raise AuthError(
                f"{who} is not let in: name_accepted failed with {type(error).__name__}: {error}"
            ) from error
        # Nothing else will do: a coroutine, or the result of a forgotten call, is true as well.
        if accepted is not True:
            raise AuthError(
                f"{who} is not among those who may use this server: "
                f"whoever runs it can allow that (farm-server --allow {who})"
            )

    def __getstate__(self) -> dict[str, Any]:
        # The server's process makes a certificate of its own; configurations cannot travel.
        return {**vars(self), "_client_tls": None, "_server_tls": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        load_gssapi()
        vars(self).update(state)

    def __repr__(self) -> str:
        return f"<farm_gss.GSSAuth for {self.service_name}, mechanism {self.name}>"


def _host_of(address: Address) -> str:
    """The host part of a principal that the server at an address should have."""
    host = address.host.partition("%")[0]
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host in ("", "localhost")
    return socket.gethostname() if local else host
