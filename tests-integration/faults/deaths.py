"""Clients that die, and connections that come and go: what they leave at a server."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Callable

from census import Sample, sample

from farm_common.address import parse_address
from farm_common.deadline import Deadline
from farm_common.frames import Kind
from farm_common.greeting import connect_stream
from farm_common.handshake import ClientHello, Preamble
from farm_common.interpreter import hello_fields
from farm_common.security import NoAuth
from farm_server.settings import Settings

__all__ = ["come_and_go", "grace", "kill_clients", "settle"]

BOUND = 60.0

# A program that makes clients by forking, for starting an interpreter a thousand times would be
# most of the time that this takes. Each line that it reads has a client made and killed.
_NURSERY = """
import os, signal, sys, time
import farm_client as farm

address = sys.argv[1]

def live(number, ready):
    kernel = farm.make_kernel(address + "?workers=1", timeout=50, output="discard")
    channel = kernel.make_channel()
    what = number % 5
    if what == 0:
        channel.submit("time:sleep", 1e6)
    elif what == 1:
        for _ in range(500): channel.submit("builtins:abs", -1)
    elif what == 2:
        for _ in range(50): channel.submit("builtins:bytes", 1 << 20)
    elif what == 3:
        channel.submit("builtins:exec", "while True: print('flood')", {})
    os.write(ready, b"!")
    while True:
        channel.submit("builtins:abs", -1)
        farm.try_receive_result(channel, 0.01)

for line in sys.stdin:
    number, delay = line.split()
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        signal.alarm(60)
        try:
            os.close(reader)
            live(int(number), writer)
        finally:
            os._exit(1)
    os.close(writer)
    if float(delay) >= 0:
        assert os.read(reader, 1), "a client did not come so far"
    time.sleep(abs(float(delay)))
    os.close(reader)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    print(number, flush=True)
"""


def grace(seconds: float) -> list[str]:
    """The option for a server that keeps sessions so long for clients that are gone."""
    return ["--grace", str(seconds)] if "grace" in Settings._fields else []


def kill_clients(address: str, server: int, count: int, seed: int, every: int) -> list[Sample]:
    """Have clients with work of all kinds killed at moments of all kinds.

    Args:
        address: Of the server.
        server: Its process.
        count: How many clients.
        seed: What chance depends on.
        every: After how many to look at the server.

    Returns:
        What the server had before, and at these moments.
    """
    chance = random.Random(seed)
    command = [sys.executable, "-c", _NURSERY, address]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    began = time.monotonic()
    samples = [sample(server, 0.0)]
    try:
        for number in range(count):
            # Below zero: not even its handshake is over, perhaps.
            delay = chance.choice((0.0, 0.002, 0.02, -0.001, -0.01))
            process.stdin.write(f"{number} {delay}\n")
            process.stdin.flush()
            assert process.stdout.readline().strip() == str(number), "the nursery broke down"
            if (number + 1) % every == 0:
                samples.append(sample(server, time.monotonic() - began))
    finally:
        process.stdin.close()
        process.wait(BOUND)
        process.stdout.close()
    return samples


def come_and_go(address: str, server: int, count: int, seed: int, every: int) -> list[Sample]:
    """Open connections one after the other, and leave in every way.

    Args:
        address: Of the server, by TCP.
        server: Its process.
        count: How many connections.
        seed: What chance depends on.
        every: After how many to look at the server.

    Returns:
        What the server had before, and at these moments.
    """
    chance = random.Random(seed)
    began = time.monotonic()
    samples = [sample(server, 0.0)]
    ways = [*_ways(address, chance)]
    for number in range(count):
        chance.choice(ways)()
        if (number + 1) % every == 0:
            samples.append(sample(server, time.monotonic() - began))
    return samples


def _ways(address: str, chance: random.Random) -> Iterator[Callable[[], None]]:
    place = parse_address(address)

    def greet(role: str, reset: bool) -> None:
        hello = ClientHello(**hello_fields(1 << 24), role=role, name="visitor", index=0)
        stream = connect_stream(place, NoAuth(), hello, Deadline(BOUND)).stream
        if chance.random() < 0.5:
            stream.send(stream.connection.send(Kind.PING, ident=1))
            stream.sock.settimeout(BOUND)
            stream.receive()
        if chance.random() < 0.5:
            stream.send(stream.connection.send(Kind.GOODBYE))
        leave(stream.sock, reset)

    def leave(sock: socket.socket, reset: bool) -> None:
        with contextlib.suppress(OSError):
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def say(data: bytes, wait: bool) -> None:
        sock = socket.create_connection((place.host, place.port), BOUND)
        with contextlib.suppress(OSError):
            sock.sendall(data)
            if wait:
                sock.recv(1 << 16)
        leave(sock, chance.random() < 0.5)

    preamble = Preamble().encode()
    yield lambda: greet("work", reset=False)
    yield lambda: greet("work", reset=True)
    yield lambda: greet("control", reset=False)
    yield lambda: greet("control", reset=True)
    yield lambda: say(b"", wait=False)
    yield lambda: say(preamble[: chance.randrange(len(preamble))], wait=False)
    yield lambda: say(preamble, wait=False)
    yield lambda: say(preamble, wait=True)
    yield lambda: say(preamble + chance.getrandbits(2048).to_bytes(256, "big"), wait=True)
    yield lambda: say(chance.getrandbits(800).to_bytes(100, "big"), wait=True)


def settle(server: int, before: Sample, seconds: float = BOUND) -> Sample:
    """Wait until a server has as many descriptors and children as before; return what it has."""
    deadline = time.monotonic() + seconds
    while True:
        now = sample(server, before.at)
        if now[2:] == before[2:]:
            return now
        assert time.monotonic() < deadline, f"the server has {now}, and had {before}"
        time.sleep(0.02)
