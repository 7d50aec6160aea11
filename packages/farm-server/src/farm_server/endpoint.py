"""The sockets that a server listens on, and who could reach them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import socket
import stat
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Optional

from farm_common.address import Address
from farm_common.deadline import Deadline
from farm_common.errors import UnsupportedError
from farm_common.peer import is_loopback

__all__ = ["Endpoint", "open_endpoints"]

log = logging.getLogger("farm.server")

#: Connections that the kernel completes before they are accepted; it may hold fewer.
_BACKLOG = 1024

#: How long a connection to an old Unix socket may take to show that somebody listens.
_PROBE_SECONDS = 1.0

#: How long to wait for another server that begins to listen in the same folder, and how often to
#: look; longer than that takes it, with a probe.
_TURN_SECONDS = 2.0
_TURN_PAUSE = 0.01


class Endpoint(NamedTuple):
    """One listening socket.

    Attributes:
        sock: The socket; it does not block.
        address: Where it listens, with the port that it got.
        identity: Device and inode of a Unix socket's file.
    """

    sock: socket.socket
    address: Address
    identity: Optional[tuple[int, int]] = None

    def close(self) -> None:
        """Stop listening, and remove the file of a Unix socket if it is still this one's."""
        self.sock.close()
        if self.identity is None:
            return
        try:
            found = os.lstat(self.address.path)
            if (found.st_dev, found.st_ino) == self.identity:
                os.unlink(self.address.path)
        except OSError:
            pass  # somebody removed it, or its directory


def open_endpoints(
    addresses: Iterable[Address],
    *,
    authenticates: bool,
    insecure: bool,
    local_users: bool = False,
) -> list[Endpoint]:
    """Listen on all of the addresses, or on none.

    Args:
        addresses: TCP and Unix addresses.
        authenticates: Whether clients must prove who they are.
        insecure: Whether to listen even where others can connect without that.
        local_users: Whether other users of this machine may connect to Unix sockets.

    Raises:
        UnsupportedError: That would let others execute code here; says what to do instead.
        OSError: An address is in use, unknown, or not ours to use; says which.
    """
    endpoints: list[Endpoint] = []
    try:
        for address in addresses:
            if address.kind == "unix":
                endpoints.append(_listen_unix(address, insecure, local_users))
            else:
                endpoints += _listen_tcp(address, authenticates, insecure)
    except BaseException:
        for endpoint in endpoints:
            endpoint.close()
        raise
    return endpoints


# TCP


def _listen_tcp(address: Address, authenticates: bool, insecure: bool) -> list[Endpoint]:
    places = _resolve(address)
    exposed = [place for _, place in places if not is_loopback(str(place[0]))]
    if exposed and not authenticates:
        if not insecure:
            raise UnsupportedError(_too_open(address))
        log.warning(
            "listening on %s without authentication: whoever can reach it can run any code "
            "as this user",
            address.endpoint,
        )
    endpoints: list[Endpoint] = []
    problem: Optional[OSError] = None
    for family, place in places:
        try:
            endpoints.append(_bind_tcp(address, family, place))
        except OSError as error:
            # A name may have addresses of a family that this machine does not use.
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                for endpoint in endpoints:
                    endpoint.close()
                raise _explained(error, address) from None
            problem = error
            continue
        if not address.port:
            break  # the other addresses of the name would get another port
    if not endpoints:
        assert problem is not None
        raise _explained(problem, address) from None
    return endpoints


def _resolve(address: Address) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        why = error.strerror if isinstance(error, socket.gaierror) else "not a host name"
        raise OSError(
            errno.EADDRNOTAVAIL, f"cannot listen on {address.endpoint}: unknown host: {why}"
        ) from None
    return list(dict.fromkeys((family, place) for family, _, _, _, place in found))


def _bind_tcp(
    address: Address, family: socket.AddressFamily, place: tuple[object, ...]
) -> Endpoint:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A server may start again while connections of the last one are in TIME_WAIT.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Each family by itself: what listens where is what was asked for.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(place)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    port = sock.getsockname()[1]
    return Endpoint(sock, Address("tcp", host=address.host, port=port, options=address.options))


def _too_open(address: Address) -> str:
    return (
        f"refused to listen on {address.endpoint}: without authentication, whoever can reach it "
        "can run any code as this user.\n"
        "  Have clients show certificates: --tls DIR (auth=TLSAuth...; farm-admin certs makes "
        "them), or listen on 127.0.0.1 and let ssh forward it;\n"
        "  on a network where you trust everybody, give --insecure (insecure=True)."
    )


# Unix sockets


def _listen_unix(address: Address, insecure: bool, local_users: bool) -> Endpoint:
    path = address.path
    folder = os.path.dirname(path)
    try:
        _prepare_directory(folder, insecure, local_users)
        with _turn(folder):
            _remove_stale(path)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                # The mode is right from the first moment; a chmod afterwards would leave a gap.
                before = os.umask(0o111 if local_users else 0o177)
                try:
                    sock.bind(path)
                finally:
                    os.umask(before)
                found = os.lstat(path)
                sock.listen(_BACKLOG)
                sock.setblocking(False)
            except BaseException:
                sock.close()
                raise
    except OSError as error:
        raise _explained(error, address) from None
    return Endpoint(sock, address, (found.st_dev, found.st_ino))


@contextlib.contextmanager
def _turn(folder: str) -> Iterator[None]:
    """Have one server at a time look what is in a folder, and begin to listen there.

    Else another one takes a socket for a stale one that is bound and does not listen yet, or
    removes a new one because it has just found the old one stale. Where the folder cannot be
    locked, or somebody keeps it locked, it is done without.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        yield  # what is wrong with it, if anything, will be told by what comes
        return
    try:
        deadline = Deadline(_TURN_SECONDS)
        while not _lock(descriptor) and not deadline.expired():
            time.sleep(_TURN_PAUSE)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock a folder; return False if somebody else has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # this file system has no locks
    return True


def _prepare_directory(folder: str, insecure: bool, local_users: bool) -> None:
    if not os.path.isdir(folder):
        try:
            os.mkdir(folder, 0o755 if local_users else 0o700)
            return
        except FileExistsError:
            if not os.path.isdir(folder):  # else another server made it just now
                raise NotADirectoryError(errno.ENOTDIR, f"{folder} is no directory") from None
    mode = os.stat(folder).st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX and not insecure:
        raise UnsupportedError(
            f"refused to listen in {folder}: anybody may replace the files in it.\n"
            "  Choose a directory of your own, for example under $XDG_RUNTIME_DIR;\n"
            "  where you trust everybody, give --insecure (insecure=True)."
        )


def _remove_stale(path: str) -> None:
    """Remove the socket that a server left behind when it was killed."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "the file exists and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError:
            pass  # somebody has it, be they slow or not ours
    raise OSError(errno.EADDRINUSE, "the address is in use")


_WORDS = {
    errno.EADDRINUSE: "the address is in use",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOENT: "its directory does not exist",
}


def _explained(error: OSError, address: Address) -> OSError:
    """The same error, saying which address it is about."""
    number = error.errno or errno.EIO
    words = _WORDS.get(number) or error.strerror or str(error)
    return OSError(number, f"cannot listen on {address.endpoint}: {words}")
