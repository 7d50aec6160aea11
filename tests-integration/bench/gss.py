"""Kerberos: what its encryption costs, and TLS that it is bound to.

A realm of its own is made for it. *Bare* is GSSAPI alone: 256 KiB at a time are wrapped and
unwrapped again by the two ends of a context in one process, one after the other, and the speed is
the bytes by the time of both. An echo through farm does that once each way, so its speed counts
the bytes twice. *TLS* is an echo on a kernel with `TLSAuth`. The round trip is a null task's.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Callable, Optional

import tasks
from effort import Effort
from table import Table, at_least, at_most

import farm_client as farm
from farm_common import Address, Authenticator, FarmError, TLSAuth
from farm_server import start_server

sys.path.append(str(Path(__file__).parents[1] / "kerberos"))

from realm import HOST, NAME, Realm, missing

_PIECE = 1 << 18


def measure(table: Table, effort: Effort) -> None:
    """Both modes, beside what each is made of."""
    lacking = missing() + [name for name in ("gssapi",) if find_spec(name) is None]
    if lacking:
        table.skip("Kerberos", f"{', '.join(lacking)} is not installed")
        return
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="farm-realm-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        realm = Realm(folder)
        stack.callback(realm.stop)
        _enter(realm, stack)
        _measure(table, effort, stack, folder)


def _enter(realm: Realm, stack: ExitStack) -> None:
    """Have this process take part in the realm, as alice and as the server."""
    realm.user("alice")
    keytab = realm.keytab("farm.keytab", realm.service(f"farm/{HOST}"))
    tickets = realm.ticket("alice")
    environment = {**realm.environment, "KRB5_KTNAME": keytab, "KRB5CCNAME": tickets}
    before = {name: os.environ.get(name) for name in environment}

    def leave() -> None:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    stack.callback(leave)
    os.environ.update(environment)


def _measure(table: Table, effort: Effort, stack: ExitStack, folder: Path) -> None:
    from farm_gss import GSSAuth

    users = [f"alice@{NAME}"]
    auths: dict[str, Optional[Authenticator]] = {
        "plain": None,
        "gss": GSSAuth(host=HOST, allowed_users=users),
        "gss-tls": GSSAuth(host=HOST, allowed_users=users, tls=True),
    }
    pairs: dict[str, tuple[Any, Any]] = {name: (auth, auth) for name, auth in auths.items()}
    try:
        pairs["tls"] = _certificates(folder)
    except FarmError as error:
        table.skip("TLS", str(error))
    kernels = {name: _kernel(stack, *pair) for name, pair in pairs.items()}

    size = effort.of(16 << 20, 2 << 20)
    value = os.urandom(size)
    bare = _bare(GSSAuth(host=HOST, allowed_users=users))
    speeds = effort.interleave(
        {
            "bare": lambda: bare(value),
            **{name: _echo(kernel, value) for name, kernel in kernels.items() if name != "plain"},
        },
        rounds=effort.of(9, 2),
    )
    name = f"{size >> 20} MB echo"
    table.add(f"{name}, gss", "MB/s", speeds["gss"], bare=speeds["bare"])
    table.compare(f"{name}, gss over bare", speeds["gss"], speeds["bare"], at_least(0.8))
    table.add(f"{name}, gss-tls", "MB/s", speeds["gss-tls"])
    if "tls" in speeds:
        table.compare(f"{name}, gss-tls over tls", speeds["gss-tls"], speeds["tls"], at_least(0.9))

    times = effort.interleave(
        {name: _round_trip(kernel, effort) for name, kernel in kernels.items()},
        rounds=effort.of(9, 2),
    )
    for name in ("gss", "gss-tls"):
        table.add(f"round trip, {name}", "us", times[name], plain=times["plain"])
    if "tls" in times:
        table.compare("round trip, gss-tls over tls", times["gss-tls"], times["tls"], at_most(1.1))
    for name, pair in pairs.items():
        address = kernels[name].addresses[0]
        samples = [_connect(address, pair[0]) for _ in range(effort.of(15, 3))]
        table.add(f"connect, {name}", "us", samples)


def _certificates(folder: Path) -> tuple[TLSAuth, TLSAuth]:
    from farm_admin.certs import make_authority, make_client, make_server

    ca, server, client = (str(folder / name) for name in ("ca", "server", "client"))
    make_authority(ca, "bench", 1)
    make_server(["127.0.0.1"], server, ca, 1)
    make_client("alice", client, ca, 1)
    return TLSAuth.from_directory(client), TLSAuth.from_directory(server)


def _kernel(stack: ExitStack, client: Any, server: Any) -> farm.Kernel:
    """A kernel of one worker, which has executed a task."""
    started = start_server("127.0.0.1:0", background=True, workers=1, auth=server)
    stack.callback(started.end)
    kernel = farm.make_kernel(started.address, auth=client, timeout=60)
    stack.callback(kernel.end)
    kernel.broadcast_task(abs, -1)
    return kernel


def _bare(auth: Any) -> Callable[[bytes], float]:
    """Wraps and unwraps by a context made as farm makes it; returns the speed."""
    client, server = auth.client_layer(Address("tcp", HOST, 1)), auth.server_layer()
    to_server, to_client = client.start(), server.start()
    while to_server or to_client:
        to_client = server.feed(to_server)[1] if to_server else to_client
        to_server = client.feed(to_client)[1] if to_client else b""
        to_client = b""
    wrap, unwrap = client._context._context.wrap, server._context._context.unwrap

    def run(value: bytes) -> float:
        pieces = [value[at : at + _PIECE] for at in range(0, len(value), _PIECE)]
        started = perf_counter()
        for piece in pieces:
            if unwrap(wrap(piece, True).message).message != piece:
                raise AssertionError("wrong results")
        return len(value) / (perf_counter() - started) / 1e6

    return run


def _echo(kernel: farm.Kernel, value: bytes) -> Callable[[], float]:
    channel = kernel.make_channel()

    def run() -> float:
        started = perf_counter()
        farm.submit_task(channel, tasks.echo, value)
        back = farm.receive_result(channel)
        elapsed = perf_counter() - started
        if back != value:
            raise AssertionError("wrong results")
        return 2 * len(value) / elapsed / 1e6

    return run


def _round_trip(kernel: farm.Kernel, effort: Effort) -> Callable[[], float]:
    """The median time of a null task, in microseconds."""
    channel = kernel.make_channel()
    count = effort.of(500, 20)

    def run() -> float:
        times = []
        for _ in range(count):
            started = perf_counter()
            farm.submit_task(channel, abs, -5)
            farm.receive_result(channel)
            times.append(perf_counter() - started)
        return median(times) * 1e6

    return run


def _connect(address: str, auth: Any) -> float:
    """How long a question to the server takes on a connection of its own, in microseconds."""
    from farm_admin import ping

    started = perf_counter()
    if not ping(address, 30, auth):
        raise AssertionError("no answer")
    return (perf_counter() - started) * 1e6
