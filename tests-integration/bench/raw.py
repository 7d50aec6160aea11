"""The raw bound: a blocking socket with a forked child at the other end, and nothing else.

It has the socket options of farm's own connections. No frame says where a message ends: a small
one arrives whole, and the size of a large one is known beforehand.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
from types import TracebackType
from typing import Any, Callable, Optional

from farm_common.sockets import tune

_FUNCTIONS: dict[str, Callable[..., Any]] = {"abs": abs}
_PROTOCOL = 5
_MESSAGE = 1 << 16


class Raw:
    """A socket whose other end a forked child serves.

    As a context manager it ends the child on exit.

    Args:
        transport: "unix" or "tcp".
        serve: What the child does with its end; it returns when the socket is closed.

    Attributes:
        sock: This end.
        pid: The child.
    """

    def __init__(self, transport: str, serve: Callable[[socket.socket], None]) -> None:
        self.sock, theirs = _connected(transport)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.sock.close()
                serve(theirs)
            finally:
                os._exit(0)
        theirs.close()

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.sock.close()
        # Children forked later hold this end too, so closing it may not be noticed.
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _connected(transport: str) -> tuple[socket.socket, socket.socket]:
    if transport == "unix":
        pair = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname())
            pair = ours, listener.accept()[0]
    for sock in pair:
        tune(sock)
    return pair


class Caller(Raw):
    """Calls functions in the child: a pickle of (name, arguments) there, of the result back.

    Args:
        transport: "unix" or "tcp".
    """

    def __init__(self, transport: str) -> None:
        super().__init__(transport, _answer)

    def call(self, name: str, *args: Any) -> Any:
        """Call a function there; it is looked up by name."""
        self.sock.sendall(pickle.dumps((name, args), _PROTOCOL))
        return pickle.loads(self.sock.recv(_MESSAGE))


def _answer(sock: socket.socket) -> None:
    while True:
        request = sock.recv(_MESSAGE)
        if not request:
            return
        name, args = pickle.loads(request)
        sock.sendall(pickle.dumps(_FUNCTIONS[name](*args), _PROTOCOL))


class Mirror(Raw):
    """Sends bytes there and back; both ends receive into memory that is used again.

    The child has all the bytes before it returns the first, as a task has its argument.

    Args:
        transport: "unix" or "tcp".
        size: How many bytes, each time.
    """

    def __init__(self, transport: str, size: int) -> None:
        super().__init__(transport, lambda sock: _reflect(sock, size))
        self._back = memoryview(bytearray(size))

    def echo(self, value: Any) -> memoryview:
        """Send a value's bytes there, and return what came back."""
        self.sock.sendall(memoryview(value).cast("B"))
        _receive(self.sock, self._back)
        return self._back


def _reflect(sock: socket.socket, size: int) -> None:
    memory = memoryview(bytearray(size))
    while _receive(sock, memory):
        sock.sendall(memory)


def _receive(sock: socket.socket, memory: memoryview) -> bool:
    """Fill the memory; return False if the peer is gone."""
    filled = 0
    while filled < len(memory):
        count = sock.recv_into(memory[filled:])
        if not count:
            return False
        filled += count
    return True
