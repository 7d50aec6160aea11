"""One end of a GSSAPI security context of Kerberos, and what is demanded of it.

Every failure is an `AuthError` that says what to do. Contexts go on protecting messages when the
ticket that they came from has expired, and accept what was not encrypted: neither is left to
them here.
"""

from __future__ import annotations

import functools
import threading
import time
from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any, Callable, Optional

from farm_common.deadline import Deadline
from farm_common.errors import AuthError

from .reasons import NO_GSSAPI, explain

__all__ = ["Acceptor", "Context", "Initiator", "load_gssapi"]

#: How long the KDC may take: less than a server waits for the client's side of the handshake.
KDC_SECONDS = 8.0


def load_gssapi() -> Any:
    """The package ``gssapi``, which needs Kerberos's libraries.

    Raises:
        AuthError: It, or one of them, is not installed.
    """
    # Not a module-level import: whoever only imports farm_gss must not need a compiler and
    # Kerberos's libraries. An installed gssapi whose libraries are gone raises ImportError too.
    try:
        gssapi = import_module("gssapi")
        import_module("gssapi.raw")
    except ImportError as error:
        raise AuthError(
            f"Kerberos authentication needs the Python package gssapi ({error}). {NO_GSSAPI}"
        ) from error
    return gssapi


class Context(ABC):
    """What both ends have in common.

    Args:
        bindings: What the context is bound to, if anything; both ends must give the same.

    Attributes:
        peer: The principal at the other end, once complete.
    """

    #: Whether this is the server's end.
    server = False

    #: What both sides must have got; a context may be complete without.
    demanded = (
        "mutual_authentication",
        "confidentiality",
        "integrity",
        "replay_detection",
        "out_of_sequence_detection",
    )

    def __init__(self, bindings: Optional[bytes]) -> None:
        self._gssapi = load_gssapi()
        self._bindings = bindings
        self._expires: Optional[float] = None
        self._context: Any = None
        self.peer: Optional[str] = None

    @property
    def complete(self) -> bool:
        """Whether both ends have proved who they are, and `check` may be called."""
        return self._context is not None and bool(self._context.complete)

    @property
    def peer_name(self) -> Any:
        """The ``gssapi.Name`` at the other end."""
        return self._context.initiator_name if self.server else self._context.target_name

    def step(self, token: Optional[bytes]) -> bytes:
        """Take in a token of the peer's; the token to send, if any.

        Raises:
            AuthError: One side does not accept the other.
        """
        answer: Optional[bytes] = self._guarded(self._step, token)
        return answer or b""

    def check(self) -> None:
        """Demand of a complete context what farm needs.

        Raises:
            AuthError: It is not mutual, does not protect, is of another mechanism, or anonymous.
        """
        flags = self._gssapi.RequirementFlag
        got = self._guarded(lambda: self._context.actual_flags)
        lacking = [name for name in self.demanded if getattr(flags, name) not in got]
        if lacking:
            listed = ", ".join(lacking).replace("_", " ")
            raise AuthError(f"Kerberos did not give what farm demands of it: {listed}")
        if self._bindings is not None and self.server and not self._bound(got):
            raise AuthError(
                "the client did not bind its ticket to this TLS connection (no channel bindings), "
                "or the server's Kerberos cannot tell (it has to be MIT 1.19 or later)"
            )
        if flags.anonymity in got:
            raise AuthError("the client is anonymous: it must have a ticket of its own, by kinit")
        if self._guarded(lambda: self._context.mech) != self._gssapi.MechType.kerberos:
            raise AuthError("the peer used a mechanism of GSSAPI that is not Kerberos")
        self.peer = self._guarded(lambda: str(self.peer_name))
        lifetime = self._guarded(lambda: self._context.lifetime)
        # The wall clock's time, which is what tickets are about; None is for ever.
        self._expires = None if lifetime is None else time.time() + lifetime
        self.check_lifetime()

    def check_lifetime(self) -> None:
        """Refuse to go on with a ticket that has expired.

        Raises:
            AuthError: It has.
        """
        if self._expires is not None and time.time() >= self._expires:
            whose = f"of {self.peer} " if self.server else ""
            raise AuthError(
                f"the Kerberos ticket {whose}has expired: get a new one with kinit; "
                "a connection ends with the ticket that it was opened with"
            )

    def seal(self, data: bytes) -> bytes:
        """Encrypt and sign.

        Raises:
            AuthError: It cannot be encrypted, or the ticket has expired.
        """
        self.check_lifetime()
        sealed = self._guarded(self._context.wrap, data, True)
        if not sealed.encrypted:
            raise AuthError("Kerberos did not encrypt what was to be sent")
        message: bytes = sealed.message
        return message

    def unseal(self, data: bytes) -> bytes:
        """Check and decrypt what the peer sealed next.

        Raises:
            AuthError: It was changed, repeated, reordered or not encrypted, or the ticket has
                expired.
        """
        self.check_lifetime()
        try:
            opened = self._context.unwrap(data)
        except self._gssapi.exceptions.GSSError as error:
            raise AuthError(
                "what came over the connection is not what the peer sent: it was changed, "
                f"repeated, left out or reordered on the way ({explain(error, server=True)})"
            ) from error
        if not opened.encrypted:
            raise AuthError("the peer sent something that is not encrypted")
        message: bytes = opened.message
        return message

    @abstractmethod
    def _step(self, token: Optional[bytes]) -> Optional[bytes]:
        """Do the library's step."""

    def _bound(self, flags: Any) -> bool:
        # Where the package does not know the flag, what both sides seal at the end names the
        # bindings all the same.
        flag = getattr(self._gssapi.RequirementFlag, "channel_bound", None)
        return flag is None or flag in flags

    def _guarded(self, action: Callable[..., Any], *args: Any) -> Any:
        """Do something with the context, and have failures say what to do."""
        try:
            return action(*args)
        except self._gssapi.exceptions.GSSError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: Any) -> AuthError:
        return AuthError(f"Kerberos: {explain(error, server=self.server)}")

    def _make(self, **arguments: Any) -> Any:
        kind = self._gssapi.SecurityContext
        if self._bindings is not None:
            binding = import_module("gssapi.raw").ChannelBindings(application_data=self._bindings)
            arguments["channel_bindings"] = binding
        context = kind(**arguments)
        # Else a step that fails returns a token for the peer, as if all were well, and the error
        # comes out of whatever is asked of the context next.
        context.__DEFER_STEP_ERRORS__ = False
        return context


class Initiator(Context):
    """The client's end.

    Args:
        service: The service part of the server's principal.
        host: The host part.
        bindings: What the context is bound to, if anything.
        deadline: Until when the KDC must have answered.
    """

    def __init__(
        self,
        service: str,
        host: str,
        bindings: Optional[bytes] = None,
        deadline: Optional[Deadline] = None,
    ) -> None:
        super().__init__(bindings)
        self._service = f"{service}@{host}"
        self._deadline = deadline or Deadline(None)

    def step(self, token: Optional[bytes]) -> bytes:
        """Take in a token of the peer's, or None to begin; see `Context.step`."""
        # Failures are put into words in the thread where they happen: the library forgets them
        # in others.
        answer: bytes = self._bounded(functools.partial(super().step, token))
        return answer

    def _step(self, token: Optional[bytes]) -> Optional[bytes]:
        if token is None:
            return self._begin()
        answer: Optional[bytes] = self._context.step(token)
        return answer

    def _begin(self) -> Optional[bytes]:
        gssapi = self._gssapi
        kerberos = gssapi.MechType.kerberos
        try:
            # The library makes a context from an expired ticket without a word.
            tickets = gssapi.Credentials(usage="initiate", mechs=[kerberos])
            if tickets.lifetime == 0:
                raise AuthError(
                    f"the Kerberos ticket of {tickets.name} has expired: get a new one with kinit"
                )
        except gssapi.exceptions.MissingCredentialsError:
            pass  # the step below says better what is missing
        flags = gssapi.RequirementFlag
        wanted = 0
        for name in self.demanded:
            wanted |= getattr(flags, name)
        context = self._make(
            name=gssapi.Name(self._service, gssapi.NameType.hostbased_service),
            mech=kerberos,
            flags=wanted,
            usage="initiate",
        )
        token: Optional[bytes] = context.step()
        self._context = context
        return token

    def _bounded(self, action: Callable[[], Any]) -> Any:
        """Do what may have to ask the KDC, which the library waits for as long as it likes.

        A thread that waits too long is left to the library, which gives up after a while.
        """
        outcome: list[Any] = []

        def run() -> None:
            try:
                outcome.append((action(), None))
            except BaseException as error:  # noqa: BLE001 (raised again in the caller's thread)
                outcome.append((None, error))

        thread = threading.Thread(target=run, name="farm-kerberos", daemon=True)
        thread.start()
        seconds = self._deadline.cap(KDC_SECONDS)
        thread.join(seconds)
        if not outcome:
            raise AuthError(
                f"Kerberos: no answer about {self._service} within {seconds:.1f} s: "
                "is the realm in krb5.conf right, and can its KDC be reached from here?"
            )
        value, error = outcome[0]
        if error is not None:
            raise error
        return value

    def _refusal(self, error: Any) -> AuthError:
        return AuthError(f"Kerberos, for {self._service}: {explain(error, server=False)}")


class Acceptor(Context):
    """The server's end.

    Args:
        service: The service part of its principal; with whichever host the keytab has.
        bindings: What the context is bound to, if anything.
    """

    server = True

    def __init__(self, service: str, bindings: Optional[bytes] = None) -> None:
        super().__init__(bindings)
        self._service = service

    def keys(self) -> Any:
        """What the keytab has for the service, as GSSAPI's credentials.

        Raises:
            AuthError: It has nothing, or cannot be read.
        """
        gssapi = self._gssapi
        return self._guarded(
            lambda: gssapi.Credentials(
                name=gssapi.Name(self._service, gssapi.NameType.hostbased_service),
                mechs=[gssapi.MechType.kerberos],
                usage="accept",
            )
        )

    def _step(self, token: Optional[bytes]) -> Optional[bytes]:
        if self._context is None:
            # The keys are read anew for each client: keytabs change while servers run.
            self._context = self._make(creds=self.keys(), usage="accept")
        answer: Optional[bytes] = self._context.step(token)
        return answer

    def _refusal(self, error: Any) -> AuthError:
        return AuthError(f"Kerberos, for {self._service}/*: {explain(error, server=True)}")
