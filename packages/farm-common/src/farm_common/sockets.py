"""Sockets to and from other machines: how they are opened, set up, and found to be dead."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from typing import Any, Optional

from .address import Address
from .deadline import Deadline

__all__ = ["connect", "is_silent", "tune", "unreachable"]

_SOCKET_BUFFER = 1 << 20
_KEEP_ALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))

#: After how many seconds without an acknowledgement a peer is gone. Not by TCP_USER_TIMEOUT: Linux
#: also applies that to a peer that acknowledges and has no room, because it is stopped or busy.
_SILENCE = 20.0
_TCP_INFO = 11 if sys.platform.startswith("linux") else None  # PyPy does not name it
_INFO_SIZE = 60  # of the part that all kernels have


def connect(address: Address, deadline: Deadline) -> socket.socket:
    """Open a socket to a TCP or Unix address, with farm's socket options.

    Raises:
        OSError: Nobody listens there, or no such host; TimeoutError: no answer in time.
    """
    if address.kind == "unix":
        return _connect(socket.AF_UNIX, address.path, address, deadline)
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except UnicodeError:  # an empty or overlong part between two dots
        raise socket.gaierror(socket.EAI_NONAME, f"no host {address.host!r}") from None
    failure: Optional[OSError] = None
    for index, (family, _, _, _, place) in enumerate(found):
        remaining = deadline.remaining()
        if remaining is not None:  # one silent address must leave time for the others
            remaining /= len(found) - index
        try:
            return _connect(family, place, address, Deadline(remaining))
        except OSError as error:
            # The first is the one that the system prefers, and says most.
            failure = failure or error
    raise failure or socket.gaierror(socket.EAI_NONAME, f"no host {address.host!r}")


def _connect(family: int, place: Any, address: Address, deadline: Deadline) -> socket.socket:
    remaining = deadline.remaining()
    if remaining == 0:
        raise TimeoutError(f"no answer from {address.endpoint} in time")
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(remaining)
        sock.connect(place)
        if address.kind == "tcp" and sock.getsockname() == sock.getpeername():
            # Trying a loopback port that nobody listens on may pick that port for this end.
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        tune(sock)
    except BaseException as error:
        sock.close()
        if isinstance(error, socket.timeout):  # not a TimeoutError before 3.10
            raise TimeoutError(f"no answer from {address.endpoint} in time") from None
        raise
    return sock


def tune(sock: socket.socket) -> None:
    """Set the options that every connection of farm has.

    Where nothing is on its way to it, a machine that is gone is noticed within half a minute. For
    the other case see `is_silent`.

    Raises:
        OSError: Some systems say so when the peer is gone already.
    """
    if sock.family == getattr(socket, "AF_UNIX", None):
        # TCP sizes its buffers itself, and a size that is set would turn that off.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE:
        option = getattr(socket, name, None)  # not all systems have all of them
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def is_silent(sock: socket.socket) -> bool:
    """Whether the machine at the other end of a TCP connection is gone, as far as one can tell.

    It is, if it was sent something again and again and has not acknowledged anything for a while.
    A process that is stopped, or too busy to read, is not: its system acknowledges. To be asked
    every few seconds; always False for other sockets, and where the system does not tell.
    """
    if _TCP_INFO is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _INFO_SIZE)
    except OSError:
        return False  # it is closed, which reading will tell
    if len(info) < _INFO_SIZE:
        return False
    retransmits, probes = info[2], info[3]
    (unacknowledged,) = struct.unpack_from("=I", info, 24)
    (age,) = struct.unpack_from("=I", info, 56)  # of the last acknowledgement, in ms
    # One probe may be on its way to a peer that has no room.
    return age >= _SILENCE * 1000 and ((unacknowledged > 0 and retransmits > 0) or probes > 1)


def unreachable(address: Address, error: BaseException) -> str:
    """Say why a server cannot be talked to, and what to do next.

    Args:
        address: A TCP or Unix address.
        error: An `OSError` or `EOFError` while connecting, or of the connection later.

    Returns:
        One line that names the address and has the system's own reason in it.
    """
    where = address.endpoint
    reason = str(getattr(error, "strerror", None) or error)
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return f"unknown host {address.host!r} in {where} ({reason}); check how it is spelt"
    if isinstance(error, ConnectionRefusedError) and not error.errno:
        return f"{where}: {reason}"  # in the server's own words
    if isinstance(error, (ConnectionRefusedError, FileNotFoundError)):
        return f"no server listens on {where} ({reason}); start one there: farm-server {where}"
    if isinstance(error, PermissionError):
        return f"{where} belongs to another user ({reason}); have that user start one for you"
    if isinstance(error, (TimeoutError, socket.timeout)):
        why = f" ({reason})" if reason else ""
        return f"{where} is silent{why}; is it a farm server, and does a firewall let you through?"
    if isinstance(error, EOFError):
        return f"{where} closed the connection; is it a farm server?"
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return f"{where} closed the connection ({reason}); is it a farm server?"
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        whose = "this process" if error.errno == errno.EMFILE else "this machine"
        return f"cannot reach {where}: {whose} has too many open files; raise its limit (ulimit -n)"
    return f"cannot reach {where}: {reason or type(error).__name__}"
