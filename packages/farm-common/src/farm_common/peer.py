"""Who is at the other end of a connection, as far as the system knows.

On one machine the kernel knows which user opened a socket, and nobody can lie about it. That is
what protects a server without authentication from the machine's other users, and a client from
another user's program in the place of its server: at a port that was free, or at its own end of a
tunnel.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from typing import Optional, Union

__all__ = ["is_loopback", "is_trusted", "peer_name", "peer_uid", "user_name"]

_LINUX = sys.platform.startswith("linux")

# Linux's numbers; PyPy's socket module lacks the first.
_SO_PEERCRED = getattr(socket, "SO_PEERCRED", 17)
_CREDENTIALS = struct.Struct("=iII")

# Of netlink's sock_diag(7).
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR = 2
_NLM_F_REQUEST = 1
_ANY = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")
_ERROR = struct.Struct("=i")
_UID_OFFSET = _HEADER.size + 64


def is_trusted(uid: Optional[int]) -> bool:
    """Whether a user of this machine is trusted unasked: this process's own, and root."""
    return uid is None or uid in (0, os.geteuid())


def user_name(uid: int) -> str:
    """A user for people: name and number, or the number alone where it has no name."""
    import pwd  # takes a file or a server to answer, so only for messages

    try:
        return f"{pwd.getpwuid(uid).pw_name} ({uid})"
    except KeyError:
        return str(uid)


def peer_uid(sock: socket.socket) -> Optional[int]:
    """The user at the other end of a connected socket.

    For TCP, ask once something was received from there: before it accepts the connection, and
    after it has closed it, a socket belongs to nobody.

    Returns:
        None when it is on another machine, or when this system does not tell.

    Raises:
        ConnectionError: It is gone already, or not there yet.
    """
    if not _LINUX:
        return None
    if sock.family == socket.AF_UNIX:
        data = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERCRED, _CREDENTIALS.size)
        uid: int = _CREDENTIALS.unpack(data)[1]
        return uid
    try:
        own, peer = sock.getsockname(), sock.getpeername()
    except OSError as error:
        raise ConnectionError(f"the peer is gone: {error}") from None
    if not is_loopback(own[0]):
        return None
    return _tcp_uid(sock.family, peer, own)


def peer_name(sock: socket.socket) -> str:
    """The other end in a few characters, for logs and tables."""
    if sock.family == socket.AF_UNIX:
        uid = peer_uid(sock)
        return "unix" if uid is None else f"uid {uid}"
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        return "?"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether a numeric IP address is this machine's own, out of reach for others."""
    host = host.partition("%")[0].lower().removeprefix("::ffff:")
    try:
        return socket.inet_pton(socket.AF_INET, host)[0] == 127
    except OSError:
        return host == "::1"


def _tcp_uid(
    family: int, peer: tuple[Union[str, int], ...], own: tuple[Union[str, int], ...]
) -> Optional[int]:
    """Ask the kernel for the owner of the socket at `peer` that is connected to `own`.

    sock_diag finds one socket in 50 µs; reading /proc/net/tcp takes milliseconds, and more with
    every connection.
    """
    ident = b"".join(
        (
            struct.pack("!HH", peer[1], own[1]),
            _packed(family, str(peer[0])),
            _packed(family, str(own[0])),
            struct.pack("=III", 0, _ANY, _ANY),
        )
    )
    body = struct.pack("=BBBxI", family, socket.IPPROTO_TCP, 0, _ANY) + ident
    header = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
            netlink.settimeout(1.0)
            netlink.send(header + body)
            answer = netlink.recv(8192)
    except OSError:
        return None  # forbidden here, or not built into this kernel
    if _HEADER.unpack_from(answer)[1] == _NLMSG_ERROR:
        if -_ERROR.unpack_from(answer, _HEADER.size)[0] == errno.ENOENT:
            raise ConnectionError("the peer is gone")
        return None
    uid, inode = struct.unpack_from("=II", answer, _UID_OFFSET)
    if not inode:
        # Nobody has this socket open, and then Linux says that it is root's. Whoever sends all
        # that is wanted and leaves would be taken for root.
        raise ConnectionError("the peer is gone")
    return int(uid)


def _packed(family: int, host: str) -> bytes:
    return socket.inet_pton(family, host.partition("%")[0]).ljust(16, b"\0")
