"""What strangers can do before anybody knows who they are: little, at either end.

The same is done in memory, a million times, by ``nox -s fuzz``.
"""

import builtins
import contextlib
import os
import pickle
import socket
import struct
import sys
import threading
import time
from zlib import crc32

import pytest

import farm_client as farm
from farm_common.frames import Kind, encode_frame
from farm_common.handshake import Offer, Preamble, Select
from farm_common.testing import client_hello

BOUND = 30.0

#: How long a good client may have to wait while strangers crowd the server.
SOON = 2.0

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

PREAMBLE = Preamble().encode()
SELECT = b"".join(encode_frame(Kind.SELECT, Select("none").encode()))
OFFER = b"".join(encode_frame(Kind.OFFER, Offer(("none",)).encode()))
CLIENT_HELLO = b"".join(encode_frame(Kind.HELLO, client_hello().encode()))


def resident(pid):
    """Memory that a process has for itself or shares, in bytes."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def header(kind, length, buffers=0):
    """A frame's header with a good checksum, whatever it claims."""
    head = struct.pack("!BBHIIQQ", kind, 0, buffers, 0, 0, 0, length)
    return head + struct.pack("!I", crc32(head))


class Marker:
    """Its pickle leaves a mark in the process that loads it."""

    def __reduce__(self):
        return exec, ("import builtins; builtins.farm_marked = True",)


MARKED = pickle.dumps(Marker())


def test_the_marker_marks(monkeypatch):
    """Loading it would be noticed."""
    monkeypatch.setattr(builtins, "farm_marked", False, raising=False)
    pickle.loads(MARKED)
    assert builtins.farm_marked


class TestServer:
    @pytest.mark.parametrize(
        "said",
        [b"", PREAMBLE[:5], PREAMBLE, PREAMBLE + SELECT, PREAMBLE + SELECT + CLIENT_HELLO[:40]],
        ids=["silent", "half a preamble", "preamble", "selected", "half a hello"],
    )
    def test_five_hundred_slow_connections(self, launch, said):
        """Wherever 500 clients stop, others are served within two seconds, one after the other."""
        server = launch("127.0.0.1:0", "--workers", "1")
        host, port = server.address.rsplit(":", 1)
        waits = []
        with contextlib.ExitStack() as stack:
            for _ in range(500):
                sock = stack.enter_context(socket.create_connection((host, int(port)), BOUND))
                sock.sendall(said)
            for number in range(3):
                began = time.monotonic()
                with farm.make_kernel(server.address, timeout=BOUND) as kernel:
                    assert kernel.broadcast_task(abs, -number) == [number]
                waits.append(time.monotonic() - began)
        # The best of three, for the machine may be busy with something else; none much later.
        assert min(waits) < SOON
        assert max(waits) < 5 * SOON

    @linux
    def test_costs_of_waiting_connections(self, launch):
        """500 of them cost the parent no more than 64 MB."""
        server = launch("127.0.0.1:0", "--workers", "1")
        host, port = server.address.rsplit(":", 1)
        before = resident(server.pid)
        with contextlib.ExitStack() as stack:
            for _ in range(500):
                sock = stack.enter_context(socket.create_connection((host, int(port)), BOUND))
                sock.sendall(PREAMBLE[:-1])
            farm.make_kernel(server.address, timeout=BOUND).end()
            assert resident(server.pid) - before < 64 << 20

    @pytest.mark.parametrize(
        "said",
        [
            header(Kind.SELECT, 1 << 40),
            header(Kind.SELECT, 10, 65535),
            header(Kind.TASK, len(MARKED)) + MARKED,
            header(Kind.SELECT, len(MARKED)) + MARKED,
            SELECT + header(Kind.HELLO, len(MARKED)) + MARKED,
            SELECT + header(Kind.FUNCTION, len(MARKED)) + MARKED,
            SELECT + header(Kind.HELLO, 1 << 62),
        ],
    )
    def test_bad_frames(self, launch, said):
        """They end the connection, at once, and the server says nothing about it by default."""
        server = launch("127.0.0.1:0", "--workers", "1")
        host, port = server.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), BOUND) as sock:
            sock.sendall(PREAMBLE + said)
            with contextlib.suppress(ConnectionError):
                while sock.recv(1 << 16):
                    pass
        with farm.make_kernel(server.address, timeout=BOUND) as kernel:
            assert kernel.broadcast_task(abs, -1) == [1]
        assert server.end() == ""


@pytest.fixture
def impostor():
    """Starts servers that are none: a function gets each connection, in a thread."""
    opened = []

    def start(behave):
        listener = socket.create_server(("127.0.0.1", 0))
        opened.append(listener)

        def serve(sock):
            with contextlib.suppress(OSError):
                behave(sock)

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    opened.append(sock)
                    threading.Thread(target=serve, args=(sock,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for sock in opened:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()


class TestClient:
    @pytest.mark.parametrize(
        "said",
        [
            header(Kind.OFFER, 1 << 40),
            header(Kind.OFFER, 10, 65535),
            header(Kind.OFFER, len(MARKED)) + MARKED,
            header(Kind.RESULT, len(MARKED)) + MARKED,
            header(Kind.HELLO, len(MARKED)) + MARKED,
            OFFER + header(Kind.HELLO, len(MARKED)) + MARKED,
            OFFER + header(Kind.RESULT, len(MARKED)) + MARKED,
            OFFER + header(Kind.HELLO, 1 << 62),
            OFFER + header(Kind.REFUSE, 60000) + b"[" * 60000,
        ],
    )
    def test_bad_frames(self, impostor, fails_with, monkeypatch, said):
        """A ProtocolError, at once; nothing is loaded."""
        monkeypatch.setattr(builtins, "farm_marked", False, raising=False)
        address = impostor(lambda sock: sock.sendall(PREAMBLE + said))
        with fails_with(farm.ProtocolError, address, within=5):
            farm.make_kernel(address, timeout=BOUND)
        assert not builtins.farm_marked

    @linux
    @pytest.mark.parametrize("start", [b"", PREAMBLE, PREAMBLE + OFFER])
    def test_endless_data(self, impostor, fails_with, start):
        """The client stops listening, however much there is to hear."""

        def behave(sock):
            sock.sendall(start)
            while True:
                sock.sendall(bytes(1 << 16))

        before = resident(os.getpid())
        address = impostor(behave)
        with fails_with(farm.ProtocolError, address, within=5) as caught:
            farm.make_kernel(address, timeout=BOUND)
        assert len(str(caught.value)) < 500
        assert resident(os.getpid()) - before < 64 << 20

    def test_a_word_at_a_time(self, impostor, fails_with):
        """Whoever speaks slowly has no more time than who is silent."""

        def behave(sock):
            for byte in PREAMBLE + OFFER:
                sock.sendall(bytes([byte]))
                if sock.fileno() < 0 or gone.wait(0.2):
                    return

        gone = threading.Event()
        with fails_with(farm.KernelCreationError, " is silent", within=10):
            farm.make_kernel(impostor(behave), timeout=1)
        gone.set()
