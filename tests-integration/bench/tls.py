"""What TLS costs.

Large values: a task returns its argument, a NumPy array of 64 MB, over TLS; beside it is a pair of
blocking sockets of the `ssl` module with the same certificates, which send the same bytes there and
back and do nothing else. Round trips: one null task at a time over TLS and without it.
Connections: a kernel of one worker, which is two handshakes, each way.

The certificates are those of the tests.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Callable, Optional

import tasks
from effort import Effort
from farms import Farm
from latency import trips
from raw import Mirror, Raw, _receive, _reflect
from table import Table, at_least, at_most

import farm_client as farm
from farm_common import TLSAuth

try:
    import numpy as np
except ImportError:
    np = None

CERTS = Path(__file__).parents[2] / "packages" / "farm-common" / "tests" / "certs"

SIZE = 64 << 20

Auths = tuple[TLSAuth, TLSAuth]


def measure(table: Table, effort: Effort) -> None:
    """Over TCP, where TLS is for."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        auths = _mechanisms(Path(folder))
        # The raw child first: it must not inherit what a farm has open.
        raw = stack.enter_context(SecureMirror(auths))
        plain = stack.enter_context(Farm())
        secure = stack.enter_context(Farm(auth=auths))
        _volume(table, effort, raw, secure)
        _latency(table, effort, plain, secure)
        _connections(table, effort, plain.address("tcp", 1), secure.address("tcp", 1), auths[1])


def _mechanisms(folder: Path) -> Auths:
    """The server's and the client's, from files that nobody else can read."""
    for name in ("server", "alice"):
        shutil.copytree(CERTS / name, folder / name)
        (folder / name / "key.pem").chmod(0o600)
    server, client = (TLSAuth.from_directory(folder / name) for name in ("server", "alice"))
    return server, client


class SecureMirror(Mirror):
    """A `raw.Mirror` of the ssl module's sockets."""

    def __init__(self, auths: Auths) -> None:
        server, client = auths

        def serve(sock: socket.socket) -> None:
            context = _context(ssl.PROTOCOL_TLS_SERVER, server)
            _reflect(context.wrap_socket(sock, server_side=True), SIZE)

        Raw.__init__(self, "tcp", serve)
        context = _context(ssl.PROTOCOL_TLS_CLIENT, client)
        self.sock: Any = context.wrap_socket(self.sock, server_hostname="localhost")
        self._back = memoryview(bytearray(SIZE))

    def echo(self, value: Any) -> memoryview:
        """Send a value's bytes there, and return what came back."""
        self.sock.sendall(memoryview(value).cast("B"))
        _receive(self.sock, self._back)
        return self._back


def _context(protocol: int, auth: TLSAuth) -> ssl.SSLContext:
    """Certificates on both sides, as farm has them."""
    context = ssl.SSLContext(protocol)
    context.load_verify_locations(auth.ca)
    context.load_cert_chain(auth.cert, auth.key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _volume(table: Table, effort: Effort, raw: SecureMirror, secure: Farm) -> None:
    if np is None:
        table.skip("echo of NumPy arrays", "NumPy is not installed for this interpreter")
        return
    value = np.arange(SIZE // 8)
    channel = secure.kernel("tcp").make_channel()

    def echo() -> Any:
        farm.submit_task(channel, tasks.echo, value)
        return farm.receive_result(channel)

    for back in (echo(), np.frombuffer(raw.echo(value), value.dtype)):
        if not np.array_equal(back, value):
            raise AssertionError("wrong results")

    def speed(work: Callable[[], Any]) -> float:
        started = perf_counter()
        back = work()
        elapsed = perf_counter() - started
        assert len(memoryview(back).cast("B")) == SIZE
        return 2 * SIZE / elapsed / 1e9

    samples = effort.interleave(
        {"raw": lambda: speed(lambda: raw.echo(value)), "farm": lambda: speed(echo)},
        rounds=effort.of(15, 5),
        warmups=2,
    )
    table.add("tcp, 64 MB echo", "GB/s", samples["farm"], raw_ssl=samples["raw"])
    table.compare("tcp, 64 MB echo over raw ssl", samples["farm"], samples["raw"], at_least(0.6))


def _latency(table: Table, effort: Effort, plain: Farm, secure: Farm) -> None:
    count = effort.of(2000, 300)

    def contestant(place: Farm) -> Callable[[], float]:
        channel = place.kernel("tcp").make_channel()

        def call() -> Any:
            farm.submit_task(channel, abs, -5)
            return farm.receive_result(channel)

        return lambda: trips(call, count).p50

    samples = effort.interleave(
        {"plain": contestant(plain), "tls": contestant(secure)},
        rounds=effort.of(9, 3),
        warmups=2,
    )
    table.add("tcp, submit_task: p50", "us", samples["tls"], plain=samples["plain"])
    table.compare("tcp, p50 over plain", samples["tls"], samples["plain"], at_most(2.5))


def _connections(
    table: Table, effort: Effort, plain: str, secure: str, auth: Optional[TLSAuth]
) -> None:
    def connect(address: str, mechanism: Optional[TLSAuth]) -> float:
        times = []
        for _ in range(effort.of(20, 5)):
            started = perf_counter()
            kernel = farm.make_kernel(address, timeout=60, auth=mechanism)
            times.append(perf_counter() - started)
            kernel.end()
        return median(times)

    samples = effort.interleave(
        {"plain": lambda: connect(plain, None), "tls": lambda: connect(secure, auth)},
        rounds=effort.of(5, 2),
    )
    table.add("tcp, make_kernel of one worker", "s", samples["tls"], plain=samples["plain"])
