"""Addresses: where a server listens, as a value without I/O.

One form everywhere: a string or a ``(host, port)`` pair. Parsing checks the form only; whether a
host exists is found out by whoever connects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Union
from urllib.parse import parse_qsl, quote, unquote, urlencode

from .errors import AddressError

__all__ = ["UNIX_PATH_LIMIT", "Address", "AddressLike", "parse_address"]

FORMS = """accepted forms:
  ("10.0.0.7", 11111)  "10.0.0.7:11111"  "tcp://host:port"  "[::1]:11111"
  "unix:///run/user/1000/farm.sock"
  "ssh://user@host:port"  "ssh://host?python=/opt/bin/python3&config=FILE&option=ProxyJump=gw"
  "local"  "local?workers=4"
and ?workers=N after any of them"""

#: What a socket path may be at most, in bytes: ``sun_path`` is 108 on Linux and 104 on BSD and
#: macOS, with its final NUL.
UNIX_PATH_LIMIT = 103

_OPTIONS = {
    "tcp": {"workers", "user"},
    "unix": {"workers", "user"},
    "local": {"workers", "python"},
    "ssh": {"workers", "python", "config", "option"},
}

_HOST = re.compile(r"[^\[\]/@?\s\x00-\x1f\x7f]+")
_HOST_PORT = re.compile(r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<host>[^\[\]:]*)):(?P<port>[^:]*)")
_DESTINATION = re.compile(
    r"(?:(?P<user>.*)@)?(?:\[(?P<v6>[^\[\]]*)\]|(?P<host>[^\[\]:@]*))(?::(?P<port>[^:]*))?",
    re.DOTALL,
)
_USER = re.compile(r"[^-:/\s\x00-\x1f\x7f][^:/\s\x00-\x1f\x7f]*")
_SSH_OPTION = re.compile(r"[A-Za-z][A-Za-z0-9]*=[^\x00-\x1f\x7f]*")
_NUMBER = re.compile("[0-9]{1,9}")  # longer ones are no port, and slow to convert


@dataclass(frozen=True)
class Address:
    """One place to connect to or to listen on.

    Attributes:
        kind: ``"tcp"``, ``"unix"``, ``"ssh"`` or ``"local"``.
        host: The host name or IP address of a TCP address, without brackets; of an ssh address
            also a name that ssh's configuration explains.
        port: The port of a TCP address; 0 lets the system choose when listening. Of an ssh
            address sshd's port; 0 leaves it to ssh.
        path: The socket path of a Unix address.
        options: What followed the ``?``, as strings: ``workers``; for TCP and Unix addresses
            ``user``, the user of this machine to whom the server there may belong; for ``local``
            also ``python``; for ssh also ``python`` and ``config``.
        user: Who logs in at an ssh address; empty leaves it to ssh.
        ssh_options: Each ``option=`` of an ssh address, as ``ssh -o`` takes it: ``"Name=value"``.
    """

    kind: str
    host: str = ""
    port: int = 0
    path: str = ""
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    user: str = ""
    ssh_options: Sequence[str] = ()

    @property
    def workers(self) -> Optional[int]:
        """How many workers to use there at most, or None when the address does not say."""
        number = self.options.get("workers")
        return None if number is None else int(number)

    @property
    def endpoint(self) -> str:
        """The address without its options: what identifies the server."""
        if self.kind == "tcp":
            host = f"[{self.host}]" if ":" in self.host else self.host
            return f"{host}:{self.port}"
        if self.kind == "unix":
            path = self.path.replace("%", "%25").replace("?", "%3F")
            return f"unix://{path}"
        if self.kind == "ssh":
            user = f"{quote(self.user, safe='@')}@" if self.user else ""
            host = f"[{self.host}]" if ":" in self.host else self.host
            port = f":{self.port}" if self.port else ""
            return f"ssh://{user}{host}{port}"
        return self.kind

    def __str__(self) -> str:
        pairs = [*self.options.items(), *(("option", option) for option in self.ssh_options)]
        if not pairs:
            return self.endpoint
        options = urlencode(pairs, safe="/=,:@~", errors="surrogateescape")
        return f"{self.endpoint}?{options}"


#: What is accepted wherever an address is asked for.
AddressLike = Union[str, tuple[str, int], Address]


def parse_address(address: AddressLike) -> Address:
    """Turn any accepted form of address into an `Address`.

    Args:
        address: A string, a ``(host, port)`` pair, or an `Address`, which is returned as it is.

    Raises:
        AddressError: The address has none of the accepted forms; the text quotes it.
    """
    if isinstance(address, Address):
        return address
    if isinstance(address, tuple):
        return _parse_pair(address)
    if not isinstance(address, str):
        raise _error(address, f"a {type(address).__name__} is not an address")
    return _parse_text(address)


def _parse_pair(pair: tuple[Any, ...]) -> Address:
    if len(pair) != 2 or not isinstance(pair[0], str) or not _is_port(pair[1]):
        raise _error(pair, "a tuple must be (host, port), port a number from 0 to 65535")
    host, port = pair
    if not _HOST.fullmatch(host):
        raise _error(pair, f"{host!r} is not a host")
    return Address("tcp", host=host, port=port)


def _parse_text(text: str) -> Address:
    body, question, query = text.partition("?")
    scheme, separator, rest = body.partition("://")
    if not separator:
        scheme, rest = ("local", "") if body == "local" else ("tcp", body)
    if scheme not in _OPTIONS:
        raise _error(text, f"{scheme}:// is not a scheme that farm knows")
    options, extra = _parse_options(text, scheme, query) if question else ({}, ())
    if scheme == "ssh":
        return _parse_destination(text, rest, options, extra)
    if scheme == "unix":
        return Address("unix", path=_parse_path(text, rest), options=options)
    if scheme == "local":
        if rest:
            raise _error(text, "local takes no host")
        return Address("local", options=options)
    match = _HOST_PORT.fullmatch(rest)
    if match is None:
        raise _error(text, "expected host:port, with an IPv6 address in brackets")
    number = match["port"]
    if not (_NUMBER.fullmatch(number) and _is_port(int(number))):
        raise _error(text, f"{number!r} is not a port from 0 to 65535")
    host = match["v6"] if match["v6"] is not None else match["host"]
    if not host:
        raise _error(text, "the host is empty")
    if not _HOST.fullmatch(host):
        raise _error(text, f"{host!r} is not a host")
    return Address("tcp", host=host, port=int(number), options=options)


def _parse_destination(
    text: str, rest: str, options: dict[str, str], extra: tuple[str, ...]
) -> Address:
    match = _DESTINATION.fullmatch(rest)
    if match is None:
        raise _error(text, "expected ssh://user@host:port, with an IPv6 address in brackets")
    host = match["v6"] if match["v6"] is not None else match["host"]
    if not host:
        raise _error(text, "the host is empty")
    # A name that begins with a hyphen would be an option of the program ssh.
    if not _HOST.fullmatch(host) or host.startswith("-"):
        raise _error(text, f"{host!r} is not a host")
    user = unquote(match["user"] or "", errors="surrogateescape")
    if ":" in user:
        raise _error(text, "a password has no place in an address: use a key, or an ssh agent")
    if match["user"] is not None and not _USER.fullmatch(user):
        raise _error(text, f"{user!r} is not a user")
    number = match["port"]
    if number is not None and not (_NUMBER.fullmatch(number) and 0 < int(number) <= 65535):
        raise _error(text, f"{number!r} is not a port from 1 to 65535")
    port = int(number or "0")
    return Address("ssh", host=host, port=port, options=options, user=user, ssh_options=extra)


def _parse_path(text: str, rest: str) -> str:
    path = unquote(rest, errors="surrogateescape")
    if not path.startswith("/"):
        raise _error(text, "a socket's path must be absolute: unix:///path")
    if "\0" in path:
        raise _error(text, "a socket's path cannot hold a NUL")
    try:
        size = len(path.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        raise _error(text, "a socket's path must be text that a file system can hold") from None
    if size > UNIX_PATH_LIMIT:
        raise _error(text, f"a socket's path is at most {UNIX_PATH_LIMIT} bytes long")
    return path


def _parse_options(text: str, scheme: str, query: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """The options, and those of ssh, of which there may be several."""
    # ssh adds to a list by a plus sign (KexAlgorithms=+...), which is a space elsewhere in the web.
    plain = query.replace("+", "%2B") if scheme == "ssh" else query
    try:
        # Some releases of Python take an empty list for one, others do not.
        pairs = parse_qsl(
            plain or "=", keep_blank_values=True, strict_parsing=True, errors="surrogateescape"
        )
    except ValueError:
        raise _error(text, f"{query!r} is not a list of name=value pairs") from None
    options = dict(pairs)
    known = _OPTIONS[scheme]
    names = [name for name, _ in pairs if name != "option"]  # of these there may be several
    if len(names) > len(set(names)):
        raise _error(text, f"{query!r} has an option twice")
    for name in options:
        if name not in known:
            accepted = ", ".join(sorted(known))
            raise _error(text, f"{scheme} takes no option {name!r} (only {accepted})")
    workers = options.get("workers", "1")
    if not (_NUMBER.fullmatch(workers) and int(workers) > 0):
        raise _error(text, f"workers={workers} is not a number above 0")
    for name in ("python", "config"):
        if scheme == "ssh" and not _is_line(options.get(name, name)):
            raise _error(text, f"{name}={options[name]!r} is not a file")
    options.pop("option", None)
    extra = tuple(value for name, value in pairs if name == "option")
    for option in extra:
        if not _SSH_OPTION.fullmatch(option):
            raise _error(text, f"option={option!r} is not an option of ssh: Name=value")
    return options, extra


def _is_line(text: str) -> bool:
    """Whether a text can be the name of a file, and stand in a command."""
    return bool(text) and all(character >= " " and character != "\x7f" for character in text)


def _is_port(value: object) -> bool:
    return type(value) is int and 0 <= value <= 65535


def _error(address: object, why: str) -> AddressError:
    return AddressError(f"bad address {address!r}: {why}\n{FORMS}")
