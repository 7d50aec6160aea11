"""A server over ssh, with a program in the place of ssh that forwards within this machine."""

import os
import sys
import textwrap
import threading

import pytest

from farm_common import AuthError, Deadline, KernelCreationError, NoAuth, parse_address
from farm_common.greeting import connect_stream
from farm_common.handshake import ClientHello
from farm_common.interpreter import hello_fields
from farm_common.ssh import SshServer, archive, server

BOUND = 60.0

# It understands what farm says to ssh, and does what FAKE_SSH says.
FAKE = """\
#!{python}
import os, socket, subprocess, sys, threading

arguments = sys.argv[1:]
with open({log!r}, "a") as file:
    print(*arguments, sep="\\t", file=file)
mode = os.environ.get("FAKE_SSH", "")
if mode == "denied":
    print("me@h: Permission denied (publickey).", file=sys.stderr)
    sys.exit(255)
if mode == "hang":
    sys.stdin.buffer.read()
    sys.exit(1)
if "cancel" in arguments:
    sys.exit(0)
here, there = arguments[arguments.index("-L") + 1].split(":")
listener = socket.socket(socket.AF_UNIX)
listener.bind(here)
listener.listen(99)


def shovel(source, target):
    while True:
        try:
            data = source.recv(1 << 16)
            target.sendall(data)
        except OSError:
            data = b""
        if not data:
            try:
                target.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            return


def serve():
    while True:
        sock, _ = listener.accept()
        if mode == "prohibit":
            print("channel 2: open failed: administratively prohibited", file=sys.stderr)
            sock.close()
            continue
        other = socket.socket(socket.AF_UNIX)
        try:
            other.connect(there)
        except OSError:
            sock.close()
            continue
        for pair in (sock, other), (other, sock):
            threading.Thread(target=shovel, args=pair, daemon=True).start()


threading.Thread(target=serve, daemon=True).start()
if mode == "noisy":
    os.write(1, b"welcome\\n" * 100000 + b"no newline")
    os.write(2, b"banner\\n" * 100000)
status = subprocess.call(["sh", "-c", arguments[-1]])
os.unlink(here)
os._exit(status)
"""


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    """Puts the program on the PATH; returns what it was called with."""
    folder = tmp_path / "bin"
    folder.mkdir()
    log = tmp_path / "log"
    log.write_text("")
    program = folder / "ssh"
    program.write_text(FAKE.format(python=sys.executable, log=str(log)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # Whoever runs the tests may have a terminal; nobody is to be asked there.
    monkeypatch.setattr(server, "_prompts", lambda: (False, False))

    def calls():
        return [line.split("\t") for line in log.read_text().splitlines() if line.startswith("-")]

    return calls


@pytest.fixture
def make(ssh):
    """Makes servers, and ends them; they leave nothing behind."""
    made = []

    def make_(text=f"ssh://h?workers=3&python={sys.executable}", options=()):
        made.append(SshServer(parse_address(text), options))
        return made[-1]

    yield make_
    for one in made:
        one.end()
        assert one._process is None
        assert one._folder is None


def workers_at(address):
    """How many a server advertises."""
    hello = ClientHello(**hello_fields(1 << 20), role="control", name="test")
    greeting = connect_stream(address, NoAuth(), hello, Deadline(BOUND))
    greeting.stream.close()
    return greeting.hello.workers


def test_a_server(make, ssh):
    """It answers at the address, and is started once."""
    one = make()
    address = one.start(Deadline(BOUND))
    assert address.kind == "unix"
    assert workers_at(address) == 3
    assert one.start(Deadline(BOUND)) == address
    assert len(ssh()) == 1
    one.end()
    one.end()
    assert not os.path.exists(os.path.dirname(address.path))
    assert not os.path.exists(os.path.dirname(one._there))


def test_what_ssh_is_told(make, ssh):
    """The options of the program are there."""
    make(options=["ProxyJump=gw"]).start(Deadline(BOUND))
    assert "ProxyJump=gw" in ssh()[0]
    assert "BatchMode=yes" in ssh()[0]


def test_nothing_is_there(make, ssh, tmp_path, monkeypatch):
    """What is missing is sent, and kept."""
    monkeypatch.setattr(server, "series", lambda package: "0.0")
    assert workers_at(make().start(Deadline(BOUND))) == 3
    (kept,) = (tmp_path / "cache" / "farm").iterdir()
    assert kept.name == archive.find_archive().digest
    assert workers_at(make().start(Deadline(BOUND))) == 3
    assert [path.name for path in (tmp_path / "cache" / "farm").iterdir()] == [kept.name]


def test_nothing_is_here_either(make, monkeypatch):
    """The error says what is missing, on both sides."""

    def find_nothing():
        raise KernelCreationError("farm_server is not installed here")

    monkeypatch.setattr(server, "series", lambda package: "0.0")
    monkeypatch.setattr(server, "find_archive", find_nothing)
    with pytest.raises(KernelCreationError) as caught:
        make().start(Deadline(BOUND))
    assert "is of version" in str(caught.value)
    assert "not installed here" in str(caught.value)


def test_a_cache_that_cannot_be(make, tmp_path, monkeypatch):
    """The error is the other side's."""
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setattr(server, "series", lambda package: "0.0")
    with pytest.raises(KernelCreationError, match=r"ssh://h: cannot keep farm-server in .*cache"):
        make().start(Deadline(BOUND))


def test_noise(make, monkeypatch):
    """It is read, and means nothing."""
    monkeypatch.setenv("FAKE_SSH", "noisy")
    assert workers_at(make().start(Deadline(BOUND))) == 3


def test_not_let_in(make, monkeypatch):
    """That is an error of authentication."""
    monkeypatch.setenv("FAKE_SSH", "denied")
    with pytest.raises(AuthError, match=r"ssh://h: cannot log in: .*Permission denied"):
        make().start(Deadline(BOUND))


def test_nothing_is_heard(make, monkeypatch):
    """It is not waited for longer than one wants to."""
    monkeypatch.setenv("FAKE_SSH", "hang")
    with pytest.raises(KernelCreationError, match="nothing was heard"):
        make().start(Deadline(0.2))


def test_no_forwarding(make, monkeypatch):
    """The error says what to allow, and quotes ssh."""
    monkeypatch.setenv("FAKE_SSH", "prohibit")
    with pytest.raises(KernelCreationError) as caught:
        make().start(Deadline(BOUND))
    assert "AllowStreamLocalForwarding yes" in str(caught.value)
    assert "administratively prohibited" in str(caught.value)


def test_a_server_that_does_not_start(make, tmp_path, monkeypatch):
    """The error quotes it, and names its Python."""
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent(
            """
            import runpy
            def run_module(name, run_name):
                raise SystemExit("out of luck")
            runpy.run_module = run_module
            """
        )
    )
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    with pytest.raises(KernelCreationError) as caught:
        make(f"ssh://h?python={sys.executable}").start(Deadline(BOUND))
    assert "did not start (exit status 1), with " in str(caught.value)
    assert "\n  out of luck" in str(caught.value)


@pytest.mark.parametrize(
    ("python", "text"),
    [
        ("/nonexistent", "/nonexistent cannot be run; farm needs"),
        ("false", "false is too old, or does not work"),
    ],
)
def test_no_python(make, python, text):
    """The error names the one that was asked for."""
    with pytest.raises(KernelCreationError) as caught:
        make(f"ssh://h?python={python}").start(Deadline(BOUND))
    assert text in str(caught.value)


def test_no_ssh(monkeypatch, tmp_path):
    """The error says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KernelCreationError, match="no program ssh on this machine"):
        SshServer(parse_address("ssh://h")).start(Deadline(BOUND))


def test_a_lost_connection(make, ssh):
    """The next start makes another."""
    one = make()
    before = one.start(Deadline(BOUND))
    one._process.kill()
    one._process._popen.wait(BOUND)
    after = one.start(Deadline(BOUND))
    assert after != before
    assert workers_at(after) == 3
    assert len(ssh()) == 2


def test_several_want_it(make, ssh, monkeypatch):
    """One of them starts it; where that fails, they all learn why, and nobody tries again."""
    monkeypatch.setenv("FAKE_SSH", "hang")
    one = make()
    errors = []

    def start():
        try:
            one.start(Deadline(2.0))
        except KernelCreationError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    assert len(errors) == 4
    assert len(set(errors)) == 1
    assert len(ssh()) == 1


def test_its_end_while_it_starts(make, monkeypatch):
    """Whoever starts it learns that it has ended, and soon."""
    monkeypatch.setenv("FAKE_SSH", "hang")
    one = make()
    errors = []

    def start():
        try:
            one.start(Deadline(None))
        except KernelCreationError as error:
            errors.append(str(error))

    started = threading.Event()
    real = server.Process

    def observed(*arguments, **keywords):
        process = real(*arguments, **keywords)
        started.set()
        return process

    monkeypatch.setattr(server, "Process", observed)
    thread = threading.Thread(target=start)
    thread.start()
    assert started.wait(BOUND)
    one.end()
    thread.join(BOUND)
    assert errors == ["ssh://h: the kernel has ended"]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # that it has threads
def test_a_forked_child_ends_nothing(make):
    """The server is not its own."""
    one = make()
    address = one.start(Deadline(BOUND))
    pid = os.fork()
    if pid == 0:
        one.end()
        os._exit(0)
    os.waitpid(pid, 0)
    assert workers_at(address) == 3
