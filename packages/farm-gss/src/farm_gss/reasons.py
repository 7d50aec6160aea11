"""Says what a failure of GSSAPI means, and what to do about it.

Kerberos libraries tell one failure from another mostly by their words, so these are what is
looked for; where none is known, the library's own text stands alone.
"""

from __future__ import annotations

from typing import Any

__all__ = ["NO_GSSAPI", "explain", "words"]

#: What to do where the package ``gssapi`` cannot be imported.
NO_GSSAPI = "On Debian: apt install gcc python3-dev libkrb5-dev && pip install gssapi"

_KINIT = "get a ticket with kinit, and look at it with klist"
_EXPIRED = "the ticket has expired: get a new one with kinit"
_STRANGER = (
    "the KDC knows no such service: is the server addressed by the host name in its principal "
    "(else give host=), is service_name right, and did the administrator add the principal?"
)
_KDC = "is the realm in krb5.conf right, and can its KDC be reached from here?"
_CLOCKS = "the clocks of the machines differ: set them, by NTP for example"
_KEYTAB = (
    "the server's keytab (KRB5_KTNAME, or /etc/krb5.keytab) must be readable by it and hold the "
    "current key of its principal; klist -k shows what it holds"
)
_OLD_KEY = f"{_KEYTAB}; after a change of keys clients need a new ticket, too: kinit"
_BETWEEN = (
    "is somebody between client and server? what the client sent is bound to another TLS "
    "connection (channel bindings)"
)

#: What the words of a library mean to a client: any of the first, in lower case; what to do.
_CLIENT = (
    (("no kerberos credentials", "no credentials cache", "credentials cache file"), _KINIT),
    (("expired",), _EXPIRED),
    (("not found in kerberos database", "server not found", "unknown server"), _STRANGER),
    (("any kdc", "find kdc", "resolve network address for kdc"), _KDC),
    (("clock skew",), _CLOCKS),
    (("default realm", "configuration file"), "this machine has no usable krb5.conf"),
    (("missingcredentials",), _KINIT),
)

#: The same for a server.
_SERVER = (
    (("request is a replay", "duplicatetoken"), "what the client sent was used before"),
    (("clock skew",), _CLOCKS),
    (("expired",), "the client needs a new ticket: kinit there"),
    (("channel binding", "e-text"), _BETWEEN),
    (("key version", "kvno", "wrong principal", "cannot decrypt"), _OLD_KEY),
    (("decrypt integrity", "keytab", "key table", "missingcredentials"), _KEYTAB),
    (("invalidtoken", "defective"), "the client did not send what Kerberos sends"),
)

_NOTHING = ("", "Success", "Unknown error", "Unknown code 0")


def words(error: Any) -> str:
    """The library's own words for a ``GSSError``: of the mechanism, or else of GSSAPI."""
    texts: list[str] = []
    for code, major in ((error.min_code, False), (error.maj_code, True)):
        try:
            texts += error.get_all_statuses(code, major)
        except Exception:  # noqa: BLE001, S112  a code that it cannot put into words
            continue
        texts = [text for text in texts if text not in _NOTHING]
        if texts:
            break
    return "; ".join(texts) or f"{type(error).__name__} {error.maj_code}/{error.min_code}"


def explain(error: Any, *, server: bool) -> str:
    """The library's words for a ``GSSError``, and what to do next where that is known.

    Args:
        error: What ``gssapi`` raised.
        server: Whether it was raised on the server's side.
    """
    said = words(error)
    known = f"{type(error).__name__} {said}".lower()
    for phrases, remedy in _SERVER if server else _CLIENT:
        if any(phrase in known for phrase in phrases):
            return f"{said}; {remedy}"
    return said
