"""farm-server as real processes."""

import contextlib
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

import pytest

import farm_admin
from farm_common.address import parse_address
from farm_common.deadline import Deadline
from farm_common.errors import AuthError, ProtocolError, UnsupportedError
from farm_common.frames import FrameReader, Kind
from farm_common.greeting import connect_stream
from farm_common.handshake import NEW_SESSION, PREAMBLE_SIZE, ClientHello, Preamble, Refusal
from farm_common.interpreter import hello_fields
from farm_common.security import NoAuth
from farm_server import start_server

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

COMMAND = [sys.executable, "-m", "farm_server"]

BOUND = 10.0


class Running:
    """A server's process, and the addresses of its ready line."""

    def __init__(self, *arguments, **keywords):
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **keywords,
        )
        line = self.process.stdout.readline()
        assert line.startswith("farm-server ready "), self.process.stderr.read()
        self.addresses = line.split()[2:]
        self.address = self.addresses[0]
        self.pid = self.process.pid

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self):
        """The exit status and what was written to stderr."""
        _, error = self.process.communicate(timeout=BOUND)
        return self.process.returncode, error


@pytest.fixture
def server():
    """Starts servers; none is left behind."""
    started = []

    def start(*arguments, **keywords):
        started.append(Running(*(arguments or ["127.0.0.1:0"]), **keywords))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
        running.process.communicate(timeout=BOUND)


@pytest.fixture
def folder():
    """A directory whose name is short enough for sockets."""
    path = tempfile.mkdtemp(prefix="farm-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def connect():
    """Connects clients, and closes them."""
    opened = []

    def connect_(address, role="work", session=NEW_SESSION, auth=None):
        hello = ClientHello(**hello_fields(1 << 24), role=role, name="test", index=0)
        greeting = connect_stream(
            parse_address(address), auth or NoAuth(), hello, Deadline(BOUND), session
        )
        greeting.stream.sock.settimeout(BOUND)
        opened.append(greeting.stream)
        return greeting

    yield connect_
    for stream in opened:
        stream.close()


def raw(address):
    """A plain socket to a server."""
    parsed = parse_address(address)
    if parsed.kind == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(BOUND)
        sock.connect(parsed.path)
        return sock
    return socket.create_connection((parsed.host, parsed.port), BOUND)


def ping(stream):
    """Send one ping and wait for the answer."""
    stream.send(stream.connection.send(Kind.PING, ident=5))
    frames = []
    while not frames:
        frames = stream.receive()
    assert (frames[0].kind, frames[0].ident) == (Kind.PONG, 5)


def everything(sock):
    """All bytes up to the end of the connection, however it ends."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while True:
            part = sock.recv(65536)
            if not part:
                break
            data += part
    return data


def eventually(condition):
    """Wait for something that other processes do."""
    deadline = Deadline(BOUND)
    while not condition():
        assert not deadline.expired(), "it did not happen"
        time.sleep(0.01)


def alive(pid):
    """Whether a process runs; zombies do not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def memory(pid):
    """Resident memory in MB."""
    with open(f"/proc/{pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["VmRSS"].split()[0]) / 1024


# starting


def test_the_ready_line_has_the_real_port(server, connect):
    """And the server answers there."""
    running = server("127.0.0.1:0", "--name", "n", "--workers", "3", "--tag", "gpu")
    greeting = connect(running.address)
    ping(greeting.stream)
    assert (greeting.hello.name, greeting.hello.workers) == ("n", 3)
    assert greeting.hello.tags == ("gpu",)
    assert greeting.hello.pid != running.pid


def test_several_addresses(server, connect, folder):
    """One server, reachable on all of them."""
    addresses = ["127.0.0.1:0", f"unix://{folder}/s"]
    if socket.has_ipv6:
        addresses.append("[::1]:0")
    file = f"{folder}/ports"
    running = server(*addresses, "--port-file", file)
    assert len(running.addresses) == len(addresses)
    assert len({connect(address).hello.server for address in running.addresses}) == 1
    with open(file) as lines:
        assert lines.read().split() == running.addresses


def test_the_workers_of_an_address(server, connect):
    """They override the server's."""
    running = server("127.0.0.1:0?workers=7", "127.0.0.1:0", "--workers", "2")
    assert [connect(address).hello.workers for address in running.addresses] == [7, 2]


def test_a_unix_socket_is_private(server, folder):
    """And its file goes with the server."""
    running = server(f"unix://{folder}/new/s")
    assert stat.S_IMODE(os.stat(f"{folder}/new/s").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(f"{folder}/new").st_mode) == 0o700
    running.signal()
    assert running.wait()[0] == 0
    assert os.listdir(f"{folder}/new") == []


def test_a_stale_unix_socket(server, connect, folder):
    """A server that was killed does not keep the next from starting."""
    address = f"unix://{folder}/s"
    first = server(address)
    first.signal(signal.SIGKILL)
    first.wait()
    assert os.path.exists(f"{folder}/s")
    connect(server(address).address)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["nonsense"], 2, "farm-server: bad address 'nonsense'"),
        (["127.0.0.1:99999"], 2, "'99999' is not a port"),
        (["0.0.0.0:0"], 2, "farm-server: refused to listen on 0.0.0.0:0"),
        (["[::]:0"], 2, "farm-server: refused to listen on [::]:0"),
        (["192.0.2.1:0", "--insecure"], 1, "this machine has no such address"),
        (["unix:///nonexistent/a/s"], 1, "its directory does not exist"),
        (["127.0.0.1:{taken}"], 1, "farm-server: cannot listen on 127.0.0.1:{taken}: the address"),
        (["no.such.host.invalid:0", "--insecure"], 1, "unknown host"),
    ],
)
def test_what_cannot_be_listened_on(arguments, code, text):
    """A clear line, a status, and no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*COMMAND, *(argument.replace("{taken}", port) for argument in arguments)],
            capture_output=True,
            text=True,
            timeout=BOUND,
        )
    assert done.returncode == code
    assert text.replace("{taken}", port) in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_closed_standard_descriptors(connect, folder):
    """The listener does not become standard output."""
    file = f"{folder}/ports"
    process = subprocess.Popen(
        ["sh", "-c", f'exec "$@" --port-file {file} <&- >&- 2>&-', "sh", *COMMAND, "127.0.0.1:0"]
    )
    try:
        eventually(lambda: os.path.exists(file))
        with open(file) as lines:
            stream = connect(lines.read().strip()).stream
        ping(stream)
        stream.close()
        process.terminate()
        assert process.wait(BOUND) == 0
    finally:
        process.kill()
        process.wait(BOUND)


# clients that are none


def test_other_protocols_are_closed_at_once(server, connect):
    """And the server is unharmed."""
    running = server()
    for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(4096), b"\x16\x03\x01\x02\x00"):
        with raw(running.address) as sock:
            sock.sendall(b"?" + data)
            assert everything(sock) == b""
    with raw(running.address) as sock:
        sock.sendall(Preamble().encode() + b"rubbish instead of a frame, longer than a header is")
        everything(sock)
    ping(connect(running.address).stream)


def test_another_version_is_told_ours(server):
    """So that the client can say which side to upgrade."""
    with raw(server().address) as sock:
        sock.sendall(Preamble((8, 9)).encode() + b"and more")
        assert everything(sock) == Preamble().encode()


@linux
def test_half_open_connections_cost_descriptors_only(server, connect):
    """Two hundred of them keep nobody out."""
    running = server()
    before = memory(running.pid)
    silent = [raw(running.address) for _ in range(200)]
    try:
        for sock in silent[::2]:
            sock.sendall(Preamble().encode()[:20])
        ping(connect(running.address).stream)
        with open(f"/proc/{running.pid}/task/{running.pid}/children") as file:
            assert len(file.read().split()) == 1
        # An interpreter with a compiler starts near the bound that holds for the others.
        assert memory(running.pid) < (64 if sys.implementation.name == "cpython" else before + 16)
    finally:
        for sock in silent:
            sock.close()


def test_too_many_connections(server, connect):
    """The next is refused until one ends; an administrator is not."""
    running = server("127.0.0.1:0", "--max-connections", "2")
    first = connect(running.address)
    connect(running.address)
    with pytest.raises(ConnectionRefusedError, match="--max-connections"):
        connect(running.address)
    connect(running.address, role="control")
    first.stream.close()
    eventually(lambda: can(connect, running.address))


def can(connect, address):
    try:
        connect(address)
    except ConnectionRefusedError:
        return False
    return True


def test_an_unknown_role(server, connect):
    """It is refused, and the client told which there are."""
    with pytest.raises(ProtocolError, match="knows the roles work and control, not 'spectator'"):
        connect(server().address, role="spectator")


@pytest.mark.skipif(
    os.geteuid() != 0 or not sys.platform.startswith("linux"), reason="only root can be others"
)
def test_other_users_of_this_machine(server, connect):
    """They are refused on loopback as they are on Unix sockets."""
    running = server()
    os.seteuid(12345)
    try:
        with pytest.raises(AuthError, match="and you are user 12345"):
            connect(running.address)
    finally:
        os.seteuid(0)


# sessions


def test_a_killed_worker_is_described(server, connect):
    """The client sees the end at once, and learns how it came about."""
    running = server()
    first = connect(running.address)
    os.kill(first.hello.pid, signal.SIGKILL)
    assert everything(first.stream.sock) == b""
    second = connect(running.address, session=bytes.fromhex(first.hello.session))
    assert second.hello.lost == {
        "reason": "signal",
        "signal": "SIGKILL",
        "status": -9,
        "task": None,
        "done": 0,
        "memory": None,
    }
    assert second.hello.session != first.hello.session


def test_a_session_that_runs_is_replaced(server, connect):
    """By the client that names it: it is gone before the new one begins."""
    running = server()
    first = connect(running.address)
    ping(first.stream)
    second = connect(running.address, session=bytes.fromhex(first.hello.session))
    assert second.hello.lost is not None
    assert everything(first.stream.sock) == b""
    ping(second.stream)


def test_a_stopped_worker_is_replaced_too(server, connect):
    """It cannot end by itself, so it is killed."""
    running = server()
    first = connect(running.address)
    os.kill(first.hello.pid, signal.SIGSTOP)
    second = connect(running.address, session=bytes.fromhex(first.hello.session))
    assert second.hello.lost["signal"] == "SIGKILL"


@linux
def test_a_stuck_worker_goes_with_its_client(server, connect):
    """The parent ends what cannot notice."""
    running = server()
    greeting = connect(running.address)
    os.kill(greeting.hello.pid, signal.SIGSTOP)
    greeting.stream.close()
    eventually(lambda: not alive(greeting.hello.pid))


@linux
def test_no_descriptor_leaks(server, connect):
    """Neither in the parent nor from one session into another."""
    running = server()

    def descriptors(pid):
        return len(os.listdir(f"/proc/{pid}/fd"))

    connect(running.address).stream.close()
    eventually(lambda: len(children(running.pid)) == 0)
    before = descriptors(running.pid)
    greetings = [connect(running.address) for _ in range(5)]
    for greeting in greetings:
        ping(greeting.stream)  # by then the worker has opened what it needs
    counts = {descriptors(greeting.hello.pid) for greeting in greetings}
    assert len(counts) == 1
    for greeting in greetings:
        greeting.stream.close()
    eventually(lambda: descriptors(running.pid) == before)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()


@linux
def test_sessions_get_the_original_limit_of_descriptors(server, connect):
    """The parent raises its own only."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = min(soft, hard, 512)

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))

    running = server("127.0.0.1:0", preexec_fn=limit)
    assert resource.prlimit(running.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    worker = connect(running.address).hello.pid
    assert resource.prlimit(worker, resource.RLIMIT_NOFILE) == (low, hard)
    # Where tasks do not close them by accident.
    assert max(map(int, os.listdir(f"/proc/{worker}/fd"))) > low - 100


@linux
def test_the_memory_limit_is_the_workers(server, connect):
    """And tells the client how large a frame may be."""
    running = server("127.0.0.1:0", "--memory-limit", "300M")
    hello = connect(running.address).hello
    assert hello.frame_limit == 300 << 20
    assert resource.prlimit(hello.pid, resource.RLIMIT_DATA) == (300 << 20, 300 << 20)
    assert resource.prlimit(running.pid, resource.RLIMIT_DATA)[0] != 300 << 20


@linux
def test_an_idle_worker_is_small(server, connect):
    """An upper bound with room for unlucky systems; the figure itself is in the benchmarks."""
    if sys.implementation.name != "cpython":
        pytest.skip("PyPy starts larger")
    running = server()
    greeting = connect(running.address)
    ping(greeting.stream)
    assert memory(greeting.hello.pid) < 32


# the end


def test_drain(server, connect):
    """New connections are refused, the old one goes on, its end is the server's."""
    running = server()
    greeting = connect(running.address)
    running.signal()
    eventually(lambda: refused(running.address))
    ping(greeting.stream)
    assert running.process.poll() is None
    greeting.stream.close()
    assert running.wait()[0] == 0


def refused(address):
    try:
        raw(address).close()
    except ConnectionError:  # a reset when it is closing right now
        return True
    return False


def test_ctrl_c_drains(server, connect):
    """As SIGTERM does; the workers do not get it."""
    running = server("127.0.0.1:0", start_new_session=True)
    greeting = connect(running.address)
    os.killpg(running.pid, signal.SIGINT)
    eventually(lambda: refused(running.address))
    ping(greeting.stream)
    greeting.stream.close()
    assert running.wait() == (0, "")


def test_an_idle_server_ends_at_once(server):
    """There is nothing to wait for."""
    running = server()
    running.signal()
    assert running.wait() == (0, "")


@linux
def test_a_second_signal_ends(server, connect):
    """The connections are cut, stopped workers included, and the status says so."""
    running = server()
    greeting, stopped = connect(running.address), connect(running.address)
    os.kill(stopped.hello.pid, signal.SIGSTOP)
    running.signal()
    eventually(lambda: refused(running.address))
    running.signal()
    assert running.wait()[0] == 1
    assert everything(greeting.stream.sock) == b""
    eventually(lambda: not alive(greeting.hello.pid) and not alive(stopped.hello.pid))


@linux
@pytest.mark.parametrize("role", ["work", "control"])
def test_a_killed_server_takes_its_workers_along(server, connect, role):
    """No process is left behind, and clients see the end."""
    running = server()
    greeting = connect(running.address, role=role)
    (pid,) = children(running.pid)
    running.signal(signal.SIGKILL)
    running.wait()
    eventually(lambda: not alive(pid))
    assert everything(greeting.stream.sock) == b""


def test_what_is_refused_while_draining(server, connect):
    """Who was accepted before hears why."""
    running = server()
    connect(running.address)
    with raw(running.address) as early:
        # A round trip shows that the connection was accepted before the signal.
        connect(running.address, role="control")
        running.signal()
        eventually(lambda: refused(running.address))
        early.sendall(Preamble().encode())
        answer = everything(early)
    (frame,) = FrameReader(9999).feed(answer[PREAMBLE_SIZE:])
    assert Refusal.decode(frame.body).reason == "draining"


# start_server


def test_a_background_server(connect):
    """It answers when the call returns, and is gone after the block."""
    with start_server("127.0.0.1:0", background=True, name="n", tags=["a b"], workers=2) as started:
        hello = connect(started.address).hello
        assert (hello.name, hello.tags, hello.workers) == ("n", ("a b",), 2)
        assert started.addresses == (started.address,)
        started.end(wait=False)
    assert refused(started.address)
    started.end()


def test_a_background_server_waits_for_connections(connect):
    """Bounded by the time-out."""
    started = start_server("127.0.0.1:0", background=True)
    greeting = connect(started.address)
    began = time.monotonic()
    started.end(timeout=0.3)
    assert 0.3 <= time.monotonic() - began < BOUND
    assert everything(greeting.stream.sock) == b""


@pytest.mark.parametrize(
    ("address", "error", "text"),
    [
        ("192.0.2.1:0", UnsupportedError, "refused to listen on 192.0.2.1:0"),
        ("unix:///nonexistent/a/s", OSError, "cannot listen on unix:///nonexistent/a/s"),
    ],
)
def test_a_background_server_that_cannot_start(address, error, text):
    """What it said is the error here."""
    with pytest.raises(error, match=text):
        start_server(address, background=True)


@linux
def test_a_background_server_dies_with_its_starter(connect):
    """However its starter dies."""
    program = (
        "import farm_server, os, signal\n"
        "s = farm_server.start_server('127.0.0.1:0', background=True)\n"
        "print(s.pid, s.address, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=BOUND
    )
    pid, address = done.stdout.split()
    eventually(lambda: not alive(int(pid)))
    assert refused(address)


def test_a_program_that_forgets_to_end_it():
    """It exits all the same, and the server is gone."""
    program = (
        "import farm_server\n"
        "print(farm_server.start_server('127.0.0.1:0', background=True).address)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=BOUND
    )
    assert done.returncode == 0
    assert done.stderr == ""
    assert refused(done.stdout.strip())


def test_a_foreground_server_returns_when_it_has_drained(folder):
    """With its addresses."""
    address = f"unix://{folder}/s"
    program = f"import farm_server\nprint(farm_server.start_server({address!r}).address)\n"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        try:
            assert farm_admin.ping(address, timeout=BOUND)
            process.terminate()
            assert process.communicate(timeout=BOUND)[0].decode() == f"{address}\n"
            assert process.returncode == 0
        finally:
            process.kill()


def test_authentication_travels_to_a_background_server(connect, folder):
    """A client with the same mechanism is served, one without is not."""
    with open(f"{folder}/mechanism.py", "w") as file:
        file.write(
            "from farm_common.security import Authenticator, PlainLayer\n"
            "class Named(Authenticator):\n"
            "    name = 'named'\n"
            "    def client_layer(self, address): return PlainLayer()\n"
            "    def server_layer(self): return PlainLayer()\n"
        )
    sys.path.insert(0, folder)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, before]))
    try:
        from mechanism import Named

        with start_server("127.0.0.1:0", background=True, auth=Named()) as started:
            connect(started.address, auth=Named()).stream.close()
            with pytest.raises(AuthError, match="named"):
                connect(started.address)
    finally:
        sys.path.remove(folder)
        sys.modules.pop("mechanism", None)
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
