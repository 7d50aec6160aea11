"""Sessions that go on after their connections were lost: real servers, and a proxy that cuts."""

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import farm_admin
import farm_client as farm
import farm_common
from farm_common.address import parse_address
from farm_common.deadline import Deadline
from farm_common.errors import AuthError
from farm_common.frames import Kind
from farm_common.greeting import connect_stream
from farm_common.handshake import NEW_SESSION, ClientHello
from farm_common.interpreter import FEATURES, hello_fields
from farm_common.resumption import FEATURE
from farm_common.security import NoAuth

BOUND = 30.0

posix_locks = pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="only CPython's ctypes keeps the interpreter"
)


class Cutter:
    """Passes bytes between clients and a server, until told to do worse.

    Attributes:
        address: For clients.
        accepts: Whether new connections get through; otherwise they are cut at once.
        budget: After so many bytes of each new connection that is cut, too; None: never.
    """

    def __init__(self, server):
        host, port = server.rsplit(":", 1)
        self._server = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.accepts = True
        self.budget = None
        self._lock = threading.Lock()
        self._pairs = []
        self._kept = []
        self._threads = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if not self.accepts:
                    client.close()
                    continue
                try:
                    server = socket.create_connection(self._server)
                except OSError:
                    client.close()
                    continue
                with self._lock:
                    self._pairs.append((client, server))
                args = client, server, self.budget
                self._threads.append(threading.Thread(target=self._serve, args=args, daemon=True))
                self._threads[-1].start()

    def _serve(self, client, server, budget):
        up = threading.Thread(target=self._pass, args=(client, server, budget), daemon=True)
        up.start()
        self._pass(server, client, budget)
        up.join()
        client.close()
        server.close()

    def _pass(self, source, target, budget):
        with contextlib.suppress(OSError):
            while budget is None or budget > 0:
                data = source.recv(1 << 16)
                if not data:
                    break
                if budget is not None:
                    data, budget = data[:budget], budget - len(data[:budget])
                target.sendall(data)
        if target not in self._kept:
            shut(target)
        if budget is not None:
            shut(source)

    def cut(self):
        """Break all connections."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            shut(pair[0])
            shut(pair[1])

    def half(self):
        """Break all connections for the clients; the server does not learn of that."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for client, server in pairs:
            self._kept.append(server)
            shut(client)

    def close(self):
        shut(self._listener)
        self._listener.close()
        self.cut()
        for server in self._kept:
            shut(server)
        for thread in self._threads:
            thread.join(BOUND)
            assert not thread.is_alive()


def shut(sock):
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def cutter():
    """Makes a `Cutter` in front of a server."""
    made = []

    def make(server):
        made.append(Cutter(server))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def marks(tmp_path):
    """A folder in which tasks leave a file each time they are executed."""
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def mark(folder, name, seconds=0.0):
    """A task that says that it was executed, and takes its time."""
    import os
    import time

    descriptor, _ = __import__("tempfile").mkstemp(prefix=f"{name}-", dir=folder)
    os.close(descriptor)
    time.sleep(seconds)
    return name


def executions(folder):
    """How often each task was executed."""
    names = [path.name.split("-")[0] for path in folder.iterdir()]
    return {name: names.count(name) for name in sorted(names)}


def states(kernel):
    return {worker.state for worker in kernel.workers()}


def there(server):
    """The states of a server's sessions."""
    return {session.state for session in farm_admin.status(server.address).sessions}


def pids(kernel):
    return sorted(worker.pid for worker in kernel.workers())


class TestCuts:
    def test_in_the_middle_of_tasks(self, launch, make, cutter, marks):
        """However often the connections break, each task is executed once, by the same workers."""
        proxy = cutter(launch("127.0.0.1:0", "--workers", "2").address)
        kernel = make(proxy.address)
        before = pids(kernel)
        channel = kernel.make_channel()
        for number in range(60):
            channel.submit(mark, str(marks), number, 0.02)
        received = []
        for number in range(60):
            received.append(channel.receive())
            if number % 5 == 1:
                proxy.cut()
        assert sorted(received) == list(range(60))
        assert set(executions(marks).values()) == {1}
        assert len(executions(marks)) == 60
        assert pids(kernel) == before

    def test_while_resuming(self, launch, make, cutter, marks):
        """Connections that break within the handshake or right after it change nothing."""
        proxy = cutter(launch("127.0.0.1:0", "--workers", "1").address)
        kernel = make(proxy.address)
        channel = kernel.make_channel()
        for budget in (0, 1, 40, 100, 300, 700, 900, 1200, 1500):
            for number in range(3):
                channel.submit(mark, str(marks), f"{budget}.{number}")
            proxy.budget = budget
            proxy.cut()
            time.sleep(0.1)  # for some attempts to fail
            proxy.budget = None
            proxy.cut()
            assert len({channel.receive() for _ in range(3)}) == 3
        assert set(executions(marks).values()) == {1}
        assert len(executions(marks)) == 27

    def test_results_wait_for_the_client(self, launch, make, cutter, marks, until):
        """What ends while there is no connection is received when there is one again."""
        proxy = cutter(launch("127.0.0.1:0", "--workers", "1").address)
        kernel = make(proxy.address)
        channel = kernel.make_channel()
        channel.submit(mark, str(marks), "first", 0.5)
        until(lambda: executions(marks))
        proxy.accepts = False
        proxy.cut()
        until(lambda: states(kernel) == {"reconnecting"})
        channel.submit(mark, str(marks), "second")
        assert farm.try_receive_result(channel, timeout=1) == (None, False)
        proxy.accepts = True
        assert {channel.receive(), channel.receive()} == {"first", "second"}
        assert executions(marks) == {"first": 1, "second": 1}
        assert states(kernel) == {"idle"}

    def test_other_workers_go_on(self, launch, make, cutter, marks, until):
        """What waits is executed by others meanwhile; what was sent is not."""
        proxy = cutter(launch("127.0.0.1:0", "--workers", "1").address)
        other = launch("127.0.0.1:0", "--workers", "1").address
        kernel = make([proxy.address, other])
        channel = kernel.make_channel()
        for name in ("one", "two"):
            channel.submit(mark, str(marks), name, 1.0)
        until(lambda: len(executions(marks)) == 2)
        proxy.accepts = False
        proxy.cut()
        for number in range(5):
            channel.submit(mark, str(marks), number)
        received = [channel.receive() for _ in range(6)]
        assert set(received) < {"one", "two", *range(5)}
        proxy.accepts = True
        channel.receive()
        assert set(executions(marks).values()) == {1}

    def test_half_open(self, launch, make, cutter, marks, until):
        """Only the client learns that the connection is lost; the newer one wins."""
        proxy = cutter(launch("127.0.0.1:0", "--workers", "1").address)
        kernel = make(proxy.address)
        channel = kernel.make_channel()
        channel.submit(mark, str(marks), "first", 0.5)
        until(lambda: executions(marks))
        proxy.half()
        channel.submit(mark, str(marks), "second")
        assert [channel.receive(), channel.receive()] == ["first", "second"]
        assert executions(marks) == {"first": 1, "second": 1}

    def test_large_values(self, launch, make, cutter):
        """A result or an argument that was interrupted arrives as it was."""
        np = pytest.importorskip("numpy")
        proxy = cutter(launch("127.0.0.1:0", "--workers", "1").address)
        kernel = make(proxy.address)
        channel = kernel.make_channel()
        array = np.arange(2_000_000)
        for _ in range(4):
            timer = threading.Timer(0.02, proxy.cut)
            timer.start()
            channel.submit(double, array)
            assert (channel.receive() == array * 2).all()
            timer.join()

    def test_a_result_that_its_worker_changes_later(self, launch, make, cutter, until):
        """What is sent again is what the task returned, not what another made of it."""
        pytest.importorskip("numpy")
        proxy = cutter(launch("127.0.0.1:0", "--workers", "1").address)
        kernel = make(proxy.address)
        channel = kernel.make_channel()
        kernel.setup(make_array, 300_000)
        for number in range(10):
            channel.submit(fill, number)
        proxy.cut()
        received = [channel.receive() for _ in range(10)]
        firsts = {int(array[0]): {int(array.min()), int(array.max())} for array in received}
        assert firsts == {number: {number} for number in range(10)}

    def test_a_shared_value_and_a_broadcast(self, launch, make, cutter, until):
        """Both reach workers that had no connection when they were sent."""
        proxy = cutter(launch("127.0.0.1:0", "--workers", "2").address)
        kernel = make(proxy.address)
        shared = farm.shared(list(range(1000)))
        proxy.accepts = False
        proxy.cut()
        until(lambda: states(kernel) == {"reconnecting"})
        threading.Timer(0.2, lambda: setattr(proxy, "accepts", True)).start()
        assert kernel.broadcast_task(lambda: len(shared.value)) == [1000, 1000]

    @posix_locks
    def test_a_worker_that_cannot_answer(self, launch, make, cutter, marks, until):
        """A task that keeps the interpreter for longer than the grace is not taken for dead."""
        server = launch("127.0.0.1:0", "--workers", "1", "--grace", "0.5")
        proxy = cutter(server.address)
        kernel = make(proxy.address)
        channel = kernel.make_channel()
        channel.submit(hold, str(marks), 2_500_000)
        until(lambda: executions(marks))
        proxy.cut()
        assert channel.receive() == "held"
        assert executions(marks) == {"hold": 1}

    def test_a_kernel_that_ends_meanwhile(self, launch, make, cutter, until):
        """It ends at once, and leaves nothing behind."""
        proxy = cutter(launch("127.0.0.1:0", "--workers", "1").address)
        kernel = make(proxy.address)
        proxy.accepts = False
        proxy.cut()
        until(lambda: states(kernel) == {"reconnecting"})
        began = time.monotonic()
        kernel.end()
        assert time.monotonic() - began < 5
        until(lambda: not any("farm-" in t.name for t in threading.enumerate()))


def double(array):
    return array * 2


def make_array(size):
    import builtins

    import numpy as np

    builtins.kept = np.zeros(size)


def fill(number):
    import builtins

    builtins.kept[:] = number
    return builtins.kept


def hold(folder, micros):
    import ctypes
    import os

    os.close(os.open(f"{folder}/hold-{os.getpid()}", os.O_CREAT))
    ctypes.PyDLL(None).usleep(micros)
    return "held"


class TestTheEndOfGrace:
    def test_a_client_that_is_away_for_too_long(self, launch, make, cutter, marks, until):
        """Its worker ends; the task is started again when the server is back."""
        server = launch("127.0.0.1:0", "--workers", "1", "--grace", "0.5")
        proxy = cutter(server.address)
        kernel = make(proxy.address)
        before = pids(kernel)
        channel = kernel.make_channel()
        channel.submit(mark, str(marks), "task", 2.0)
        until(lambda: executions(marks))
        proxy.accepts = False
        proxy.cut()
        until(lambda: not there(server))
        proxy.accepts = True
        assert channel.receive() == "task"
        assert executions(marks) == {"task": 2}
        assert pids(kernel) != before

    def test_at_most_once(self, launch, make, cutter, marks, until, fails_with):
        """A task that may be started once fails then, and says that nobody knows."""
        server = launch("127.0.0.1:0", "--workers", "1", "--grace", "0.5")
        proxy = cutter(server.address)
        kernel = make(proxy.address)
        channel = kernel.make_channel()
        with farm.task_options(attempts=1):
            channel.submit(mark, str(marks), "task", 0.1)
        until(lambda: executions(marks))
        proxy.accepts = False
        proxy.cut()
        with fails_with(farm.WorkerLostError, "whether the task was executed is not known"):
            channel.receive()
        proxy.accepts = True
        channel.submit(mark, str(marks), "another")
        assert channel.receive() == "another"
        assert executions(marks) == {"another": 1, "task": 1}

    def test_no_grace(self, launch, make, cutter, marks, until):
        """With 0 the worker ends at once, and its task is executed again."""
        proxy = cutter(launch("127.0.0.1:0", "--workers", "1", "--grace", "0").address)
        kernel = make(proxy.address)
        channel = kernel.make_channel()
        channel.submit(mark, str(marks), "task", 1.0)
        until(lambda: executions(marks))
        proxy.cut()
        assert channel.receive() == "task"
        assert executions(marks) == {"task": 2}

    def test_a_client_that_is_killed(self, launch, until):
        """Its workers and what they run end when the grace is over."""
        server = launch("127.0.0.1:0", "--workers", "2", "--grace", "0.7")
        program = (
            "import sys, time, farm_client as farm\n"
            f"kernel = farm.make_kernel({server.address!r})\n"
            "channel = kernel.make_channel()\n"
            "channel.submit(time.sleep, 1000)\n"
            "print('ready', flush=True)\n"
            "channel.receive()\n"
        )
        client = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        with client:
            try:
                assert client.stdout.readline() == b"ready\n"
                until(lambda: "busy" in there(server))
            finally:
                client.send_signal(signal.SIGKILL)
        until(lambda: there(server) == {"orphaned"})
        until(lambda: not there(server))

    def test_a_client_that_says_goodbye(self, launch, make, until):
        """There is no grace: the running task ends at once."""
        server = launch("127.0.0.1:0", "--workers", "1", "--grace", "1000")
        kernel = make(server.address)
        channel = kernel.make_channel()
        channel.submit(time.sleep, 1000)
        until(lambda: there(server) == {"busy"})
        kernel.end()
        until(lambda: not there(server))

    @posix_locks
    def test_a_goodbye_to_a_worker_that_cannot_read(self, launch, make, marks, until):
        """The parent sees it in the worker's place."""
        server = launch("127.0.0.1:0", "--workers", "1", "--grace", "1000")
        kernel = make(server.address)
        channel = kernel.make_channel()
        channel.submit(hold, str(marks), 1_000_000_000)
        until(lambda: executions(marks))
        kernel.end()
        until(lambda: not there(server))

    def test_the_server_is_started_anew(self, launch, make, marks):
        """The next server does not know the sessions; what was queued is executed there."""
        server = launch("127.0.0.1:0", "--workers", "2")
        kernel = make(server.address)
        channel = kernel.make_channel()
        for number in range(10_000):
            channel.submit(abs, -number)
        server.kill()
        launch(server.address, "--workers", "2")
        assert sorted(channel.receive() for _ in range(10_000)) == list(range(10_000))


class TestWhoMayComeBack:
    @pytest.fixture
    def password(self, monkeypatch):
        """The module of the page on security, in which there is a mechanism."""
        folder = Path(__file__).parents[1] / "docs" / "examples"
        monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        monkeypatch.syspath_prepend(str(folder))
        spec = importlib.util.find_spec("password")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "password", module)
        spec.loader.exec_module(module)
        return module

    def hello(self, **changes):
        fields = {**hello_fields(1 << 30), "features": (*FEATURES, FEATURE), "role": "work"}
        return ClientHello(**{**fields, **changes})

    def come(self, server, auth, session=NEW_SESSION, **hello):
        address = parse_address(server)
        deadline = Deadline(BOUND)
        resume = session != NEW_SESSION
        return connect_stream(address, auth, self.hello(**hello), deadline, session, resume)

    def ping(self, stream):
        stream.send(stream.connection.send(Kind.PING, ident=7))
        (pong,) = stream.receive()
        assert pong.ident == 7

    def test_the_id_is_not_enough(self, password, launch):
        """Who does not know the password is refused; the connection that there is goes on."""
        from farm_server import start_server

        auth = password.PasswordAuth("open sesame")
        with start_server("127.0.0.1:0", background=True, auth=auth) as server:
            first = self.come(server.address, auth)
            session = bytes.fromhex(first.hello.session)
            first.stream.outlive()
            self.ping(first.stream)
            with pytest.raises(AuthError):
                self.come(server.address, password.PasswordAuth("guess"), session)
            self.ping(first.stream)
            first.stream.suspend()
            again = self.come(
                server.address, auth, session, received=first.stream.resumption.received
            )
            assert again.preamble.session == session
            assert again.hello.session == first.hello.session
            first.stream.resume(again.stream, again.hello.received)
            self.ping(first.stream)
            first.stream.send(first.stream.connection.send(Kind.GOODBYE))
            first.stream.close()

    @pytest.fixture
    def certificates(self, tmp_path):
        """Mechanisms with certificates of a server, and of two clients."""
        pytest.importorskip("cryptography", reason="farm-admin[certs] is not installed")
        for arguments in ("init", "server 127.0.0.1 --out server", "client alice", "client bob"):
            command = [sys.executable, "-m", "farm_admin", "certs", *arguments.split()]
            subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=BOUND)
        return {
            name: farm_common.TLSAuth.from_directory(tmp_path / name) for name in ("alice", "bob")
        }

    def test_tls(self, launch, make, cutter, marks, certificates, tmp_path):
        """Cuts under TLS lose nothing either; each connection has keys of its own."""
        options = ("--tls", str(tmp_path / "server"), "--workers", "2")
        proxy = cutter(launch("127.0.0.1:0", *options).address)
        kernel = make(proxy.address, auth=certificates["alice"])
        before = pids(kernel)
        channel = kernel.make_channel()
        data = os.urandom(1_000_000)
        for number in range(40):
            channel.submit(mark, str(marks), number, 0.02)
            if number % 8 == 0:
                channel.submit(bytes.upper, data)
        for number in range(45):
            result = channel.receive()
            assert not isinstance(result, bytes) or result == data.upper()
            if number % 5 == 1:
                proxy.cut()
        assert set(executions(marks).values()) == {1}
        assert len(executions(marks)) == 40
        assert pids(kernel) == before

    def test_another_certificate(self, launch, certificates, tmp_path):
        """One that the server accepts, too, is not enough: the session is somebody else's."""
        options = ("--tls", str(tmp_path / "server"), "--workers", "1")
        server = launch("127.0.0.1:0", *options)
        first = self.come(server.address, certificates["alice"])
        first.stream.outlive()
        session = bytes.fromhex(first.hello.session)
        with pytest.raises(AuthError, match="is not yours"):
            self.come(server.address, certificates["bob"], session)
        self.ping(first.stream)
        first.stream.suspend()
        again = self.come(
            server.address,
            certificates["alice"],
            session,
            received=first.stream.resumption.received,
        )
        first.stream.resume(again.stream, again.hello.received)
        self.ping(first.stream)
        first.stream.close()

    def test_a_client_that_knows_too_much(self, launch):
        """One that says that it has what was never sent is refused."""
        server = launch("127.0.0.1:0", "--workers", "1")
        first = self.come(server.address, NoAuth())
        session = bytes.fromhex(first.hello.session)
        with pytest.raises(farm.ProtocolError, match="cannot have 1000 bytes"):
            self.come(server.address, NoAuth(), session, received=1000)
        with pytest.raises(farm.ProtocolError, match="only a session for work"):
            self.come(server.address, NoAuth(), session, features=())
        first.stream.close()

    def test_an_unknown_session(self, launch):
        """There is a new one."""
        server = launch("127.0.0.1:0", "--workers", "1")
        greeting = self.come(server.address, NoAuth(), b"\7" * 16)
        assert greeting.preamble.session == NEW_SESSION
        self.ping(greeting.stream)
        greeting.stream.close()


#: A server, a client and a network of their own; the network is taken away and given back.
GONE = """
import os, signal, subprocess, sys, threading, time
import farm_common.sockets as sockets
import farm_client.site as site
import farm_client as farm

def hasten():
    sockets._SILENCE = 1.0
    sockets._KEEP_ALIVE = (("TCP_KEEPIDLE", 1), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 2))

def lo(state):
    subprocess.run(["ip", "link", "set", "lo", state], check=True)

def until(state):
    deadline = time.monotonic() + 20
    while kernel.workers()[0].state != state:
        assert time.monotonic() < deadline, kernel.workers()
        time.sleep(0.01)

if sys.argv[1] == "serve":
    import farm_server.children as children
    hasten()
    children._WATCH_SECONDS = 0.3
    from farm_server.cli import main
    main(["127.0.0.1:0", "--workers", "1", "--log-level", "info"])

hasten()
site._WATCH_SECONDS = 0.3
lo("up")
server = subprocess.Popen(
    [sys.executable, __file__, "serve"],
    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
)
try:
    kernel = farm.make_kernel(server.stdout.readline().split()[2], timeout=20)
    pid = kernel.workers()[0].pid
    channel = kernel.make_channel()
    shared = farm.shared(1)
    assert farm.future(lambda: shared.value).result(20) == 1
    # Stopped, with more on its way than there is room for: not gone.
    os.kill(pid, signal.SIGSTOP)
    submit = threading.Thread(target=channel.submit, args=(len, bytearray(64 << 20)))
    submit.start()
    time.sleep(5)
    assert kernel.workers()[0].state == "busy"
    os.kill(pid, signal.SIGCONT)
    assert channel.receive() == 64 << 20
    submit.join()
    # Gone, and nothing is on its way; gone, and something is.
    for say in (lambda: None, shared.release):
        channel.submit(time.sleep, 4)
        until("busy")
        lo("down")
        say()
        until("reconnecting")
        lo("up")
        assert channel.receive() is None
        assert kernel.workers()[0].pid == pid
    kernel.end()
finally:
    server.terminate()
    _, error = server.communicate(timeout=20)
print(error.count("goes on without"), error.count("does not acknowledge"))
"""


def can_unshare():
    """Whether this machine lets a test have a network of its own."""
    command = ["unshare", "-n", "ip", "link", "set", "lo", "up"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not can_unshare(), reason="needs a network namespace: root, unshare and ip")
def test_machines_that_are_gone(tmp_path):
    """Both sides notice one, and no side mistakes one for it that is only stopped."""
    script = tmp_path / "gone.py"
    script.write_text(GONE)
    command = ["unshare", "-n", sys.executable, str(script), "run"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) >= 2
