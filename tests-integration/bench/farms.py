"""Servers and kernels to measure."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from types import TracebackType
from typing import Optional

import farm_client as farm
from farm_common import Authenticator
from farm_server import start_server

#: How a client may reach a worker on the same machine.
TRANSPORTS = ("unix", "tcp")


class Farm:
    """A server in a process of its own, on a Unix socket and on TCP loopback, and its kernels.

    As a context manager it ends all of them on exit.

    Args:
        workers: How many it has at most.
        auth: The mechanisms of the server and of its clients.
    """

    def __init__(
        self,
        workers: int = 2,
        auth: tuple[Optional[Authenticator], Optional[Authenticator]] = (None, None),
    ) -> None:
        self._stack = ExitStack()
        folder = tempfile.mkdtemp(prefix="farm-bench-", dir="/tmp")  # a socket's path is short
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        places = [f"unix://{folder}/socket", "127.0.0.1:0"]
        server_auth, self._auth = auth
        server = start_server(places, background=True, workers=workers, auth=server_auth)
        self._stack.callback(server.end)
        self._addresses = dict(zip(TRANSPORTS, server.addresses))

    def address(self, transport: str = "unix", workers: int = 2) -> str:
        """Where to connect to so many workers."""
        return f"{self._addresses[transport]}?workers={workers}"

    def kernel(self, transport: str = "unix", workers: int = 2) -> farm.Kernel:
        """A kernel of so many workers, which have executed a task each."""
        kernel = farm.make_kernel(self.address(transport, workers), timeout=60, auth=self._auth)
        self._stack.callback(kernel.end)
        kernel.broadcast_task(abs, -1)
        return kernel

    def __enter__(self) -> Farm:  # noqa: PYI034 (typing.Self is of 3.11)
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._stack.close()
