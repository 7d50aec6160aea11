"""The proxy that harms connections: what it is told to do to them, it does, and nothing else."""

import contextlib
import hashlib
import socket
import threading
import time

import pytest

BOUND = 10.0

DATA = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(256)) * 8


class Echo:
    """Sends back what it gets, as often as it is connected to."""

    def __init__(self, family, place):
        self._listener = socket.socket(family)
        self._listener.bind(place)
        self._listener.listen()
        name = self._listener.getsockname()
        self.address = f"unix://{name}" if family == socket.AF_UNIX else f"127.0.0.1:{name[1]}"
        self.ends = []  # how each connection ended
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock:
            try:
                while True:
                    data = sock.recv(65536)
                    if not data:
                        break
                    sock.sendall(data)
                self.ends.append("end")
            except OSError as error:
                self.ends.append(type(error).__name__)

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def echo():
    """A server that sends everything back."""
    server = Echo(socket.AF_INET, ("127.0.0.1", 0))
    yield server
    server.close()


@pytest.fixture
def dial():
    """Connects to addresses, and closes what it opened."""
    opened = []

    def dial_(address):
        if address.startswith("unix://"):
            sock = socket.socket(socket.AF_UNIX)
            place = address[len("unix://") :]
        else:
            sock = socket.socket()
            host, _, port = address.rpartition(":")
            place = host, int(port)
        opened.append(sock)
        sock.settimeout(BOUND)
        sock.connect(place)
        return sock

    yield dial_
    for sock in opened:
        sock.close()


def everything(sock, size=1 << 30):
    """What comes until the end or an error, but no more than asked for."""
    parts, total = [], 0
    with contextlib.suppress(ConnectionError):
        while total < size:
            part = sock.recv(min(65536, size - total))
            if not part:
                break
            parts.append(part)
            total += len(part)
    return b"".join(parts)


def exchange(sock, data=DATA):
    """Send data, and what comes back of it."""
    sender = threading.Thread(target=send, args=(sock, data))
    sender.start()
    got = everything(sock, len(data))
    sender.join(BOUND)
    return got


def send(sock, data):
    with contextlib.suppress(OSError):
        sock.sendall(data)


@pytest.mark.parametrize(
    "fault",
    [{}, {"delay": 0.02, "jitter": 0.02}, {"piece": 7}, {"rate": 400_000.0}],
    ids=["faithful", "late", "trickling", "slow"],
)
def test_what_loses_nothing(faulty, echo, dial, fault):
    """All bytes arrive, in order; it counts them."""
    proxy = faulty(echo.address)
    proxy.both(**fault)
    data = DATA[: 4096 if "piece" in fault else None]
    sock = dial(proxy.address)
    assert exchange(sock, data) == data
    assert proxy.passed() == (len(data), len(data))
    sock.shutdown(socket.SHUT_WR)
    assert everything(sock) == b""
    assert echo.ends == ["end"]


def test_delay_and_rate_take_their_time(faulty, echo, dial):
    """No byte is earlier than told."""
    proxy = faulty(echo.address)
    proxy.up(delay=0.1)
    proxy.down(rate=2000.0)
    start = time.monotonic()
    assert exchange(dial(proxy.address), DATA[:400]) == DATA[:400]
    assert time.monotonic() - start >= 0.1 + 380 / 2000


@pytest.mark.parametrize("server", [False, True])
@pytest.mark.parametrize("client", [False, True])
def test_unix_sockets(faulty, folder, dial, client, server):
    """Each side may be one."""
    if server:
        echo = Echo(socket.AF_UNIX, f"{folder}/echo")
    else:
        echo = Echo(socket.AF_INET, ("127.0.0.1", 0))
    proxy = faulty(echo.address, path=f"{folder}/proxy" if client else None)
    sock = dial(proxy.address)
    assert exchange(sock) == DATA
    proxy.reset()
    assert everything(sock) == b""
    proxy.refuse()
    proxy.accept()
    assert exchange(dial(proxy.address)) == DATA
    echo.close()


def test_cut_and_reset(faulty, echo, dial, until):
    """Both ends see it, and may connect again."""
    proxy = faulty(echo.address)
    for act, error in ((proxy.cut, None), (proxy.reset, ConnectionResetError)):
        echo.ends.clear()
        sock = dial(proxy.address)
        assert exchange(sock) == DATA
        assert proxy.open == 1
        assert act() == 1
        if error is None:
            assert sock.recv(1) == b""
        else:
            with pytest.raises(error):
                sock.recv(1)
        until(lambda: echo.ends)
        assert proxy.open == 0
    assert proxy.connections == 2


@pytest.mark.parametrize("then", ["cut", "reset", "vanish"])
@pytest.mark.parametrize("after", [0, 1, 100, 70_000])
def test_after_some_bytes(faulty, echo, dial, after, then):
    """Exactly so many bytes were passed on."""
    proxy = faulty(echo.address)
    proxy.down(after=after, then=then)
    sock = dial(proxy.address)
    data = DATA * 2
    sender = threading.Thread(target=send, args=(sock, data))
    sender.start()
    if then == "vanish":
        got = everything(sock, after)
        sock.settimeout(0.05)
        with pytest.raises(socket.timeout):
            sock.recv(1)
    else:
        got = everything(sock)
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sender.join(BOUND)
    assert data[:after].startswith(got)
    if then == "vanish":  # the others may overtake what is under way
        assert len(got) == after
    assert proxy.passed()[1] == after


def test_a_connection_that_vanished(faulty, echo, dial):
    """Neither end hears anything of the other, nor of its end; new connections work."""
    proxy = faulty(echo.address)
    sock = dial(proxy.address)
    assert exchange(sock) == DATA
    assert proxy.vanish() == 1
    assert proxy.vanish() == 0
    sock.sendall(b"lost")
    sock.settimeout(0.05)
    with pytest.raises(socket.timeout):
        sock.recv(1)
    sock.close()
    assert exchange(dial(proxy.address)) == DATA
    assert echo.ends == []


def test_a_pause(faulty, echo, dial):
    """Nothing passes meanwhile, and nothing is lost."""
    proxy = faulty(echo.address)
    sock = dial(proxy.address)
    proxy.pause()
    sock.sendall(DATA[:1000])
    sock.settimeout(0.05)
    with pytest.raises(socket.timeout):
        sock.recv(1)
    proxy.go()
    sock.settimeout(BOUND)
    assert everything(sock, 1000) == DATA[:1000]


def spoilt(got):
    return [n for n, (one, other) in enumerate(zip(got, DATA)) if one != other]


def test_flipped_bits(faulty, echo, dial):
    """The same bytes each time, one bit each, about as often as told; others with another seed."""
    runs = []
    for seed, piece in ((1, None), (1, 100), (2, None)):
        proxy = faulty(echo.address, seed=seed)
        proxy.up(flip=0.001, piece=piece)
        got = exchange(dial(proxy.address))
        runs.append(spoilt(got))
        assert all(bin(got[n] ^ DATA[n]).count("1") == 1 for n in runs[-1])
    assert runs[0] == runs[1] != runs[2]
    assert 30 < len(runs[0]) < 130
    proxy = faulty(echo.address)
    proxy.down(flip_at=12_345)
    for _ in range(2):
        assert spoilt(exchange(dial(proxy.address))) == [12_345]


def test_new_connections_that_are_refused(faulty, echo, dial):
    """Refused, accepted in silence, or reset; and taken again at the same address."""
    proxy = faulty(echo.address)
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        dial(proxy.address)
    proxy.ignore()
    sock = dial(proxy.address)
    sock.sendall(b"hello?")
    sock.settimeout(0.05)
    with pytest.raises(socket.timeout):
        sock.recv(1)
    proxy.slam()
    with pytest.raises(ConnectionError):
        dial(proxy.address).recv(1)
    proxy.heal()
    assert exchange(dial(proxy.address)) == DATA


def test_a_server_that_is_not_there(faulty, echo, dial):
    """Connections end."""
    proxy = faulty(echo.address)
    echo.close()
    assert everything(dial(proxy.address)) == b""


def test_it_holds_no_more_than_it_must(faulty, echo, dial):
    """Where one end does not read, the other cannot send without end."""
    proxy = faulty(echo.address)
    proxy.down(after=0, then="vanish")
    proxy.up(delay=60.0)
    sock = dial(proxy.address)
    sock.settimeout(0.2)
    with pytest.raises(socket.timeout):
        sock.sendall(bytes(1 << 30))
    assert proxy.passed() == (0, 0)


def test_the_end(faulty, echo, dial):
    """It leaves no thread and no connection; twice is no error."""
    before = threading.active_count()
    proxy = faulty(echo.address)
    sock = dial(proxy.address)
    assert exchange(sock) == DATA
    proxy.close()
    proxy.close()
    assert sock.recv(1) == b""
    assert not [t for t in threading.enumerate() if t.name == "fault-proxy"]
    assert threading.active_count() <= before + 1  # the echo's
