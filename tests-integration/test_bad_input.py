"""What is wrong from the start: one clear error at the right place, soon; nobody else is harmed."""

import contextlib
import itertools
import socket
import threading
import time

import pytest

import farm_client as farm
from farm_common.handshake import Preamble

BOUND = 30.0


@pytest.mark.parametrize(
    "bad",
    [
        "nonsense",
        "host:port",
        "host:99999",
        "http://host:80",
        "unix://relative",
        "local?wrokers=2",
        "127.0.0.1:1?workers=0",
        ("host", "port"),
        ("host",),
        3,
        None,
        ["127.0.0.1:1", "bad"],
        b"127.0.0.1:1",
    ],
)
def test_malformed_addresses(bad, fails_with):
    """Quoted, with the accepted forms; before anything is connected to."""
    with fails_with(farm.AddressError, "accepted forms", within=2):
        farm.make_kernel(bad)


@pytest.mark.parametrize(
    ("keywords", "kind", "text"),
    [
        ({"output": "loud"}, ValueError, "'forward', 'server', 'discard', not 'loud'"),
        ({"auth": "secret"}, TypeError, "auth is an Authenticator, not 'secret'"),
        ({"addresses": []}, ValueError, "at least one address"),
        ({"timeout": -1}, ValueError, "seconds from 0 on, or None to wait for ever, not -1"),
    ],
)
def test_bad_keywords(keywords, kind, text, fails_with):
    """Each says what it may be."""
    with fails_with(kind, text, within=2):
        farm.make_kernel(**{"addresses": "127.0.0.1:1", **keywords})


@pytest.mark.parametrize(
    ("address", "texts"),
    [
        (
            "127.0.0.1:1",
            ["no server listens on 127.0.0.1:1 (", "refused); start one there: farm-server 127."],
        ),
        (
            "unix:///nonexistent/farm",
            ["no server listens on unix:///non", "(No such file", "farm-server unix:///nonexi"],
        ),
        ("host.invalid:1", ["unknown host 'host.invalid' in host.invalid:1 ("]),
    ],
)
def test_nobody_there(address, texts, fails_with):
    """At the time-out, named, with the system's reason and the next step."""
    with fails_with(farm.KernelCreationError, *texts, within=10) as caught:
        farm.make_kernel(address, timeout=0.5)
    assert type(caught.value) is farm.KernelCreationError


def test_each_address_that_did_not_answer_is_named(address, fails_with):
    """One that answers does not help."""
    with fails_with(farm.KernelCreationError, "127.0.0.1:1 ", "127.0.0.1:2 ", within=10) as caught:
        farm.make_kernel([address, "127.0.0.1:1", "127.0.0.1:2"], timeout=0.5)
    assert address not in str(caught.value)


def test_a_server_that_comes_later(launch, make, folder):
    """A kernel waits for it."""
    path = f"unix://{folder}/late"
    made = []
    thread = threading.Thread(target=lambda: made.append(make(path)))
    thread.start()
    launch(path, "--workers", "1")
    thread.join(BOUND)
    assert made[0].broadcast_task(abs, -1) == [1]


@pytest.fixture
def impostor():
    """Starts servers that are something else: a function gets each connection."""
    opened = []

    def start(behave):
        listener = socket.create_server(("127.0.0.1", 0))
        opened.append(listener)

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    opened.append(sock)
                    with contextlib.suppress(OSError):
                        behave(sock)

        threading.Thread(target=serve, daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for sock in opened:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()


@pytest.mark.parametrize(
    ("said", "kind", "text"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", farm.ProtocolError, "HTTP/1.1 400"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", farm.ProtocolError, "SSH-2.0"),
        (b"\x15\x03\x01\x00\x02\x02\x46", farm.ProtocolError, "not farm"),
        (bytes(100), farm.ProtocolError, "not farm"),
        (Preamble((7, 9)).encode(), farm.IncompatibleVersionError, "protocol 1"),
        (Preamble((0, 0)).encode(), farm.ProtocolError, "version range"),
        (Preamble().encode() + b"\xff" * 200, farm.ProtocolError, ""),
        # An OFFER of 2**63 bytes.
        (
            Preamble().encode() + b"\x01" + bytes(19) + b"\x7f" + 99 * b"\xff",
            farm.ProtocolError,
            "",
        ),
    ],
)
def test_servers_that_are_something_else(impostor, fails_with, said, kind, text):
    """A ProtocolError, at once, that quotes the stranger and names the address."""
    address = impostor(lambda sock: sock.sendall(said))
    with fails_with(kind, text, address, within=5):
        farm.make_kernel(address, timeout=BOUND)


@pytest.mark.parametrize(
    ("behave", "text"),
    [
        (lambda sock: None, " is silent (the peer was silent during the handshake); "),
        (lambda sock: sock.close(), " closed the connection"),
    ],
)
def test_servers_that_say_nothing(impostor, fails_with, behave, text):
    """A KernelCreationError at the time-out."""
    address = impostor(behave)
    with fails_with(
        farm.KernelCreationError, f"{address}{text}", "is it a farm server", within=10
    ) as caught:
        farm.make_kernel(address, timeout=1)
    assert type(caught.value) is farm.KernelCreationError


def test_a_server_that_stops_in_the_middle(impostor, fails_with):
    """A truncated frame, and then nothing or the end, is no reason to wait for ever."""
    for end in (lambda sock: None, lambda sock: sock.close()):

        def behave(sock, end=end):
            sock.sendall(Preamble().encode() + b"\x01\x00")
            end(sock)

        with fails_with(farm.KernelCreationError, within=10):
            farm.make_kernel(impostor(behave), timeout=1)


def test_a_wrong_address_among_good_ones_leaves_no_workers(launch, fails_with, until):
    """The server has no session left of a kernel that was not made."""
    import farm_admin

    server = launch("127.0.0.1:0", "--workers", "2")
    with fails_with(farm.KernelCreationError):
        farm.make_kernel([server.address, "127.0.0.1:1"], timeout=0.3)
    until(lambda: not [s for s in farm_admin.status(server.address).sessions if s.index >= 0])


def test_a_client_that_talks_nonsense_harms_nobody(launch, make):
    """A flood of strangers; the kernel does not notice."""
    server = launch("127.0.0.1:0", "--workers", "2")
    kernel = make(server.address)
    host, port = server.address.split(":")
    socks = []
    for said in itertools.islice(
        itertools.cycle(
            [b"GET / HTTP/1.0\r\n\r\n", b"", b"\x93fa", Preamble().encode(), bytes(64)]
        ),
        40,
    ):
        socks.append(socket.create_connection((host, int(port)), BOUND))
        socks[-1].sendall(said)
    assert kernel.broadcast_task(abs, -1) == [1, 1]
    for sock in socks:
        sock.close()
    assert kernel.broadcast_task(abs, -1) == [1, 1]


def test_a_server_that_is_full(launch, make, fails_with):
    """Says so at the time-out; those who are there are unharmed."""
    server = launch("127.0.0.1:0", "--workers", "2", "--max-connections", "2")
    kernel = make(server.address)
    with fails_with(farm.KernelCreationError, server.address, within=10):
        farm.make_kernel(server.address, timeout=1)
    assert kernel.broadcast_task(abs, -1) == [1, 1]


def test_a_server_with_fewer_connections_than_workers(launch, make):
    """It asks for no more than it serves."""
    server = launch("127.0.0.1:0", "--workers", "3", "--max-connections", "2")
    assert make(server.address, timeout=5).worker_count == 2


def test_a_local_server_that_cannot_start(fails_with):
    """The error quotes the interpreter and says what to do."""
    with fails_with(farm.KernelCreationError, "/nonexistent/python", within=10):
        farm.make_kernel("local?python=/nonexistent/python", timeout=5)
    with fails_with(farm.KernelCreationError, "did not start", "pip install", within=10):
        farm.make_kernel("local?python=/bin/false", timeout=5)


def test_options_of_tasks(kernel):
    """Bad values are refused where they are given."""
    with pytest.raises(TypeError, match="a task category is"), farm.task_category(None):
        pass
    with pytest.raises(ValueError, match="not 'high'"), farm.task_priority("high"):
        pass
    for capacity in (0, -1, True, 1.5):
        with pytest.raises(ValueError, match="capacity"):
            kernel.make_channel(capacity=capacity)


def test_ten_thousand_bad_submits_cost_nothing(kernel):
    """The kernel is as good as new afterwards."""
    channel = kernel.make_channel()
    lock = threading.Lock()
    start = time.monotonic()
    for _ in range(300):
        with pytest.raises(farm.InvalidTaskError):
            channel.submit(None)
        with pytest.raises(farm.SerializationError):
            channel.submit(abs, lock)
    assert time.monotonic() - start < BOUND
    assert len(channel) == 0
    assert kernel.broadcast_task(abs, -1) == [1, 1]
    kernel.end(wait=True)
