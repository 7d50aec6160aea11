"""TLS with real servers, clients and certificates, and what others see and may do."""

import contextlib
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import time

import pytest

import farm_admin
import farm_client as farm
from farm_common import NoAuth, TLSAuth
from farm_common.deadline import Deadline
from farm_common.frames import Kind
from farm_common.kills import pack_leave, spans_of
from farm_server import start_server

pytest.importorskip("cryptography", reason="farm-admin[certs] is not installed")

BOUND = 30.0


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    """Directories with certificates, made by the command line."""
    place = tmp_path_factory.mktemp("certs")

    def make(*arguments):
        command = [sys.executable, "-m", "farm_admin", "certs", *arguments]
        subprocess.run(command, cwd=place, check=True, capture_output=True, timeout=BOUND)

    make("init")
    make("init", "other-ca")
    make("server", "localhost", "127.0.0.1", "--out", "server")
    make("client", "alice")
    make("client", "bob")
    make("client", "mallory", "--ca", "other-ca")
    return place


@pytest.fixture
def auth(certs):
    """The mechanism with the certificate of somebody."""
    return lambda name, **keywords: TLSAuth.from_directory(certs / name, **keywords)


@pytest.fixture
def secure(launch, certs):
    """Starts servers that ask for certificates."""

    def start(*arguments, **keywords):
        options = ("--tls", str(certs / "server"), "--workers", "2", *arguments)
        return launch("127.0.0.1:0", *options, **keywords)

    return start


def test_tasks(secure, make, auth):
    """They run, large values cross, and output comes back."""
    kernel = make(secure().address, auth=auth("alice"))
    assert kernel.broadcast_task(abs, -1) == [1, 1]
    assert farm.pmap(lambda n: n * n, range(1000)) == [n * n for n in range(1000)]
    big = os.urandom(20_000_000)
    assert farm.force(farm.future(lambda data: data[::-1], big)) == big[::-1]


def test_every_interpreter(launch, peer, certs, make, auth):
    """Those at the other end speak TLS, too."""
    server = launch(*("127.0.0.1:0", "--tls", str(certs / "server"), "--workers", "1"), python=peer)
    kernel = make(server.address, auth=auth("alice"))
    big = bytes(3_000_000)
    assert kernel.broadcast_task(len, big) == [len(big)]


def test_unix_socket(launch, certs, folder, make, auth):
    """A server there is to be called localhost."""
    server = launch(f"unix://{folder}/s", "--tls", str(certs / "server"), "--workers", "1")
    assert make(server.address, auth=auth("alice")).broadcast_task(abs, -1) == [1]


def test_from_a_program(make, auth):
    """`start_server` sends the names of the files to the process that serves, and no key."""
    with start_server("127.0.0.1:0", background=True, workers=1, auth=auth("server")) as server:
        kernel = make(server.address, auth=auth("alice"))
        assert kernel.broadcast_task(abs, -1) == [1]
        kernel.end()


def test_open_address(certs, launch):
    """With certificates a server may listen where others are; the remedy without names them."""
    server = launch("0.0.0.0:0", "--tls", str(certs / "server"))
    assert server.address.startswith("0.0.0.0:")
    refused = subprocess.run(
        [sys.executable, "-m", "farm_server", "0.0.0.0:0"],
        capture_output=True,
        text=True,
        timeout=BOUND,
    )
    assert refused.returncode == 2
    first, *remedy = refused.stderr.splitlines()
    assert "refused to listen" in first
    assert len(remedy) == 2
    assert "--tls DIR" in remedy[0]


@pytest.mark.parametrize(
    ("who", "text"),
    [
        (None, "asks for authentication ('tls'): pass auth= to match"),
        ("none", "asks for authentication ('tls')"),
        ("mallory", "the server's certificate was not signed by our CA"),
        ("server", "the server refused our certificate: it was not made for this role"),
    ],
)
def test_refusals(secure, auth, fails_with, who, text):
    """An AuthError at once, that says why."""
    server = secure()
    mechanism = {None: None, "none": NoAuth()}[who] if who in (None, "none") else auth(who)
    with fails_with(farm.AuthError, text, server.address, within=5):
        farm.make_kernel(server.address, auth=mechanism, timeout=BOUND)


def test_a_server_of_another_authority(launch, certs, auth, fails_with):
    """Who pretends to be the server is found out."""
    server = launch("127.0.0.1:0", "--tls", str(certs / "mallory"))
    with fails_with(farm.AuthError, "the server's certificate was not signed by our CA", within=5):
        farm.make_kernel(server.address, auth=auth("alice"), timeout=BOUND)


def test_a_server_without(address, auth, fails_with):
    """A client with certificates does not talk to one."""
    with fails_with(farm.AuthError, "does not offer 'tls', only 'none'", within=5):
        farm.make_kernel(address, auth=auth("alice"), timeout=BOUND)


def test_another_name(secure, auth, fails_with):
    """A certificate of the same authority for another host is not enough."""
    server = secure()
    with fails_with(farm.AuthError, "not for 'node7'", within=5):
        farm.make_kernel(server.address, auth=auth("alice", server_name="node7"), timeout=BOUND)


def test_allowed_names(secure, auth, make, fails_with):
    """Of those with good certificates only the named ones come in; the others are told."""
    server = secure("--allow", "bob")
    assert make(server.address, auth=auth("bob")).broadcast_task(abs, -1) == [1, 1]
    with fails_with(farm.AuthError, "'alice' is not among", "--allow alice", within=5):
        farm.make_kernel(server.address, auth=auth("alice"), timeout=BOUND)


def test_another_tls_client(secure):
    """One that speaks TLS from its first byte is no farm client, and learns nothing."""
    host, port = secure().address.rsplit(":", 1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    sock = socket.create_connection((host, int(port)), BOUND)
    with sock, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(sock)


def test_administration(secure, certs, auth, make):
    """farm-admin shows a certificate, too; without one it is told."""
    server = secure()
    make(server.address, auth=auth("alice")).broadcast_task(abs, -1)

    def admin(*arguments):
        command = [sys.executable, "-m", "farm_admin", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=BOUND)

    tls = ("--tls", str(certs / "alice"))
    assert admin("ping", server.address, *tls).returncode == 0
    status = admin("status", server.address, *tls)
    assert status.returncode == 0
    assert "alice (tls)" in status.stdout
    refused = admin("ping", server.address)
    assert refused.returncode == 1
    assert "asks for authentication" in refused.stderr
    assert not farm_admin.ping(server.address)
    assert farm_admin.ping(server.address, auth=auth("bob"))
    assert admin("end", server.address, *tls).returncode == 0


class TestPrivacy:
    def test_another_client_cannot_kill(self, secure, auth, make, until):
        """Not even one that somehow knows the session's id; the client itself can."""
        server = secure()
        alice, bob = (make(server.address, auth=auth(name)) for name in ("alice", "bob"))
        with farm.task_category("long"):
            alice.make_channel().submit(time.sleep, 60)
        until(lambda: "long" in alice.task_categories_running())
        (link,) = [link for site in alice._sites for link in site.links.values() if link.inflight]
        tasks = {link.hello.session: spans_of(list(link.inflight))}
        (theirs,) = bob._sites
        assert theirs.kill(tasks, False) == {}
        (ours,) = alice._sites
        assert ours.kill(tasks, True) != {}
        assert alice.kill_tasks("long") == 1

    def test_another_client_cannot_take_leave(self, secure, auth, make, until):
        """A session ends for its own client only; that one may, whoever holds the interpreter."""
        server = secure()
        alice, bob = (make(server.address, auth=auth(name)) for name in ("alice", "bob"))
        with farm.task_category("long"):
            alice.make_channel().submit("re:match", "(a+)+b", "a" * 60)
        until(lambda: "long" in alice.task_categories_running())
        sessions = [link.hello.session for site in alice._sites for link in site.links.values()]
        (theirs,) = bob._sites
        with contextlib.closing(theirs.greet(-1, "control", Deadline(BOUND)).stream) as stream:
            stream.send(stream.connection.send(Kind.LEAVE, pack_leave(sessions)))
            stream.send(stream.connection.send(Kind.PING))
            assert [frame.kind for frame in stream.receive()] == [Kind.PONG]  # it was read

        def clients():
            status = farm_admin.status(server.address, auth=auth("bob"))
            return sorted(session.peer.split()[1] for session in status.sessions)

        assert clients() == ["alice", "alice", "bob", "bob"]
        assert alice.kill_tasks("long", dry_run=True) == 1
        alice.end()
        until(lambda: clients() == ["bob", "bob"])

    def test_ids_are_not_told(self, secure, auth, make):
        """What administrators are told of sessions has no ids in it."""
        server = secure()
        kernel = make(server.address, auth=auth("alice"))
        ids = [link.hello.session for site in kernel._sites for link in site.links.values()]
        said = str(farm_admin.status(server.address, auth=auth("bob")))
        assert len(ids) == 2
        assert not any(session in said for session in ids)


def test_wire(secure, auth, make, wire):
    """Neither arguments nor results nor code nor names of kernels are on the wire in plain."""
    between = wire(secure().address)
    kernel = make(between.address, auth=auth("alice"), name="kernel-of-alice")
    word = "open sesame"
    assert farm.force(farm.future(lambda text: text.upper(), word)) == word.upper()
    kernel.end(wait=True)
    seen = b"".join(between.sent + between.got)
    assert len(seen) > 1000
    for plain in (word.encode(), word.upper().encode(), b"lambda", b"kernel-of-alice", b"upper"):
        assert plain not in seen


def test_tampering(secure, auth, make, wire):
    """A bit changed on the way is a lost connection, and the task runs on another."""
    between = wire(secure().address)
    kernel = make(between.address, auth=auth("alice"))
    assert kernel.broadcast_task(abs, -1) == [1, 1]
    changed = []

    def flip(data):
        if changed or len(data) <= 10_000:
            return data
        changed.append(data)
        return data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]

    between.change = flip
    future = farm.future(len, bytes(100_000))
    assert farm.force(future, timeout=BOUND) == 100_000
    assert len(changed) == 1


def relay(client, server):
    """Pass bytes between a client and a server until either leaves, in a process of its own."""
    if os.fork():
        client.close()
        return
    with contextlib.suppress(BaseException):
        peer = socket.socket()
        peer.connect(server)
        ends = {client: peer, peer: client}
        while True:
            for end in select.select(list(ends), [], [])[0]:
                data = end.recv(1 << 16)
                if not data:
                    os._exit(0)
                ends[end].sendall(data)
    os._exit(1)


@pytest.mark.skipif(
    os.geteuid() != 0 or not sys.platform.startswith("linux"), reason="only root can be others"
)
class TestLocalUsers:
    """Other users of this machine, at either end."""

    UID = 12345

    @contextlib.contextmanager
    def other(self):
        """Be somebody else for a while."""
        os.seteuid(self.UID)
        try:
            yield
        finally:
            os.seteuid(0)

    @contextlib.contextmanager
    def squatter(self, place, server):
        """A process of that user that listens, and passes what it hears to a server.

        Forked, as that user cannot read this Python's files.
        """
        family = socket.AF_UNIX if isinstance(place, str) else socket.AF_INET
        ready, say = os.pipe()
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                os.setuid(self.UID)
                listener = socket.socket(family)
                listener.bind(place)
                listener.listen()
                name = listener.getsockname()
                os.write(
                    say, (name if family == socket.AF_UNIX else f"{name[0]}:{name[1]}").encode()
                )
                while True:
                    relay(listener.accept()[0], server)
            os._exit(1)
        try:
            os.close(say)
            said = os.read(ready, 1000).decode()
            os.close(ready)
            yield f"unix://{place}" if family == socket.AF_UNIX else said
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    @pytest.mark.parametrize("kind", ["tcp", "unix"])
    def test_a_server_of_another_user(self, launch, fails_with, folder, kind):
        """A client does not trust it, on TCP and on Unix sockets, unless it is told to."""
        os.chmod(folder, 0o1777)
        server = launch("127.0.0.1:0", "--allow-local-users", "--workers", "1")
        host, port = server.address.rsplit(":", 1)
        place = f"{folder}/s" if kind == "unix" else ("127.0.0.1", 0)
        with self.squatter(place, (host, int(port))) as address:
            text = f"belongs to another user of this machine, {self.UID}"
            with fails_with(farm.AuthError, text, f"{address}?user={self.UID}", within=5):
                farm.make_kernel(address, timeout=BOUND)
            assert not farm_admin.ping(address)
            with fails_with(farm.AuthError, text, within=5):
                farm.make_kernel(f"{address}?user=4711", timeout=BOUND)
            with farm.make_kernel(f"{address}?user={self.UID}", timeout=BOUND) as kernel:
                assert kernel.broadcast_task(abs, -1) == [1]

    def test_a_server_for_all_users(self, launch, folder, fails_with):
        """--allow-local-users lets others in, on TCP and on Unix sockets; by default nobody."""
        os.chmod(folder, 0o755)
        closed = launch("127.0.0.1:0")
        opened = launch(
            "127.0.0.1:0", f"unix://{folder}/s", "--allow-local-users", "--workers", "1"
        )
        with self.other():
            with fails_with(farm.AuthError, f"and you are user {self.UID}", within=5):
                farm.make_kernel(closed.address, timeout=BOUND)
            for address in opened.addresses:
                with farm.make_kernel(address, timeout=BOUND) as kernel:
                    assert kernel.broadcast_task(abs, -1) == [1]

    def test_certificates_are_enough(self, secure, auth, fails_with):
        """Where clients show who they are, it does not matter what user they are here."""
        server, mechanism = secure(), auth("alice")
        with (
            self.other(),
            farm.make_kernel(server.address, auth=mechanism, timeout=BOUND) as kernel,
        ):
            assert kernel.broadcast_task(abs, -1) == [1, 1]
