"""`ssh://` addresses, by a real sshd that is this test's own.

It has its own host key, listens on a high port of loopback, and lets in whoever has the key made
here. Root can also make users, for their login shells, and a disk that is full.
"""

import contextlib
import importlib
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import pytest
from sshd import ROOT, SSHD, Sshd, bare, free_port, make_key, make_place
from users import make_user, remove_user

import farm_client as farm

BOUND = 60.0

SYSTEM_PYTHON = "/usr/bin/python3"

pytestmark = [
    pytest.mark.skipif(
        SSHD is None or shutil.which("ssh") is None,
        reason="needs the Debian packages openssh-server and openssh-client",
    ),
    pytest.mark.timeout(240),
]

needs_root = pytest.mark.skipif(not ROOT, reason="needs root, to make users and mount file systems")


@pytest.fixture(scope="module")
def place():
    """A folder with keys, for sshd and those who log in."""
    folder = make_place()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def sshd(place):
    """An sshd that most tests use."""
    running = Sshd(place)
    yield running
    running.end()


@pytest.fixture
def start_sshd(place):
    """Starts further ones, with lines of configuration that come first."""
    running = []

    def start(*lines, wrapper=()):
        running.append(Sshd(place, lines, wrapper))
        return running[-1]

    yield start
    for one in running:
        one.end()


@pytest.fixture
def cache(sshd, request):
    """A folder for what is kept at the other end, empty at first."""
    name = f"cache-{abs(hash(request.node.name))}"
    yield name
    shutil.rmtree(sshd.folder / name, ignore_errors=True)


@pytest.fixture
def user(place):
    """Makes users with a login shell and a start file of their own; root only."""
    made = []

    def make_(shell, start_file="", text=""):
        name = f"farmtest{os.getpid() % 10000}{len(made)}"
        home = place / name
        make_user(name, home, shell)
        made.append(name)
        if start_file:
            path = home / start_file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return name

    yield make_
    assert [remove_user(name) for name in made] == [[]] * len(made), "a session was left behind"


def processes(text):
    """The processes with a text in their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if text in Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace"):
                found.append(int(pid))
    return found


def tcp_listeners(pids):
    """The TCP sockets that processes listen on."""
    listening = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                listening.add(f"socket:[{fields[9]}]")
    held = set()
    for pid in pids:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                held.add(os.readlink(entry.path))
    return held & listening


# a kernel


PYTHONS = json.loads(os.environ.get("FARM_PYTHONS", "{}")) or {"this": sys.executable}


@pytest.mark.parametrize("python", PYTHONS.values(), ids=PYTHONS.keys())
def test_nothing_is_installed_there(sshd, cache, make, python):
    """A Python is enough: farm-server is sent, kept for the next time, and not sent again."""
    there = bare(python)
    address = sshd.address(python=there, cache=cache, workers=2)
    with make(address, timeout=BOUND) as kernel:
        assert kernel.worker_count == 2
        version = farm.future(lambda: __import__("sys").version).result(BOUND)
    expected = subprocess.check_output([there, "-c", "import sys; print(sys.version)"], text=True)
    assert version.strip() == expected.strip()
    kept = list((sshd.folder / cache / "farm").iterdir())
    assert len(kept) == 1
    assert (sshd.folder / cache / "farm").stat().st_mode & 0o777 == 0o700
    before = kept[0].stat().st_ino
    with make(address, timeout=BOUND):
        assert farm.pmap(abs, [-1, -2]) == [1, 2]
    assert [path.stat().st_ino for path in (sshd.folder / cache / "farm").iterdir()] == [before]


def test_what_is_installed_there_is_used(sshd, cache, make):
    """Nothing is sent to a Python that has farm-server."""
    with make(sshd.address(python=sys.executable, cache=cache), timeout=BOUND):
        assert farm.future(abs, -1).result(BOUND) == 1
    assert not (sshd.folder / cache).exists()


def test_sockets(sshd, make, monkeypatch, until):
    """No TCP port listens on either side, all sockets are in folders of mode 0700, however long
    the name of the temporary folder is, and nothing of it is left in the end."""
    long = Path(tempfile.mkdtemp(prefix="farm-" + "x" * 90))
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with make(sshd.address(), timeout=BOUND):
        server, worker = farm.future(lambda: (os.getppid(), os.getpid())).result(BOUND)
        (ssh,) = [pid for pid in processes(f"config-{sshd.port}") if is_named(pid, "ssh")]
        assert tcp_listeners([ssh, server, worker]) == set()
        arguments = Path(f"/proc/{ssh}/cmdline").read_bytes().decode().split("\0")
        local, there = arguments[arguments.index("-L") + 1].split(":")
        for path in (local, there):
            assert os.stat(path).st_mode & 0o777 == 0o600
            assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
    assert not os.path.exists(os.path.dirname(local))
    until(lambda: not os.path.exists(os.path.dirname(there)), 5)
    until(lambda: not os.path.exists(f"/proc/{server}"), 5)
    assert not os.path.exists(f"/proc/{ssh}")
    assert threads_of_farm() == []
    assert list(long.iterdir()) == []
    long.rmdir()


def is_named(pid, name):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() == name
    return False


def threads_of_farm():
    return [thread.name for thread in threading.enumerate() if thread.name == "farm-ssh"]


def test_several_hosts(sshd, make):
    """Each has an ssh of its own; farm.ssh.options hold for all."""
    config = sshd.folder / "unknown"
    config.write_text(sshd.config.read_text().replace(str(sshd.known), "/nonexistent"))
    address = sshd.address(config=config)
    option = f"UserKnownHostsFile={sshd.known}"
    farm.ssh.options.append(option)
    try:
        addresses = [address, address.replace("127.0.0.1", "localhost"), "local?workers=1"]
        with make(addresses, timeout=BOUND) as kernel:
            hosts = [worker.address for worker in kernel.workers()]
            pids = farm.broadcast_task(os.getppid)
    finally:
        farm.ssh.options.remove(option)
    assert hosts == ["ssh://127.0.0.1", "ssh://localhost", "local"]
    assert len(set(pids)) == 3


def test_two_clients_at_once(sshd, cache, make):
    """Both send what is missing, one of them keeps it, both work."""
    address = sshd.address(python=bare(sys.executable), cache=cache)
    kernels = {}

    def connect(name):
        kernels[name] = make(address, timeout=BOUND)

    threads = [threading.Thread(target=connect, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    assert sorted(kernels) == ["a", "b"]
    for kernel in kernels.values():
        with kernel:
            assert farm.future(abs, -1).result(BOUND) == 1
    assert len(list((sshd.folder / cache / "farm").iterdir())) == 1


def test_what_is_kept_is_checked(sshd, cache, make):
    """A damaged archive is replaced."""
    address = sshd.address(python=bare(sys.executable), cache=cache)
    make(address, timeout=BOUND).end()
    (kept,) = (sshd.folder / cache / "farm").iterdir()
    module = kept / "farm_server" / "cli.py"
    text = module.read_text()
    module.write_text("raise SystemExit('damaged')\n")
    with make(address, timeout=BOUND):
        assert farm.future(abs, -1).result(BOUND) == 1
    assert module.read_text() == text
    assert [path.name for path in (sshd.folder / cache / "farm").iterdir()] == [kept.name]


def test_auth_is_for_others(sshd, make, launch):
    """A server that ssh started needs no other authentication, whatever the rest of them do."""
    with make(sshd.address(), auth=farm_common_password(), timeout=BOUND):
        assert farm.future(abs, -1).result(BOUND) == 1


def farm_common_password():
    folder = Path(__file__).parent.parent / "docs" / "examples"
    sys.path.insert(0, str(folder))
    try:
        from password import PasswordAuth
    finally:
        sys.path.remove(str(folder))
    return PasswordAuth("secret")


# what goes wrong


FAILURES = {
    "port": ({}, [], "Connection refused", farm.KernelCreationError),
    "user": ({"user": "nosuchuser"}, [], "Permission denied", farm.AuthError),
    "key": ({}, ["IdentityFile=/dev/null"], "Permission denied", farm.AuthError),
    "host key": ({}, ["UserKnownHostsFile=/dev/null"], "Host key verification", farm.AuthError),
    "option": ({}, ["Nonsense=1"], "Bad configuration option", farm.KernelCreationError),
    "config": ({"config": "/nonexistent"}, [], "/nonexistent", farm.KernelCreationError),
    "python": ({"python": "/nonexistent"}, [], "/nonexistent cannot be run", farm.FarmError),
}


@pytest.mark.parametrize("name", FAILURES)
def test_why_there_is_no_kernel(sshd, make, fails_with, name):
    """The real cause, and soon, however long the kernel would wait; nothing is left."""
    more, options, text, kind = FAILURES[name]
    address = sshd.address(*options, **more)
    if name == "port":
        address = address.replace("127.0.0.1?", f"127.0.0.1:{free_port()}?")
    if name == "key":
        address = address.replace(f"config={sshd.config}", "config=/dev/null")
        address += f"&option=UserKnownHostsFile={sshd.known}&option=Port={sshd.port}"
    where = address.partition("?")[0]
    with fails_with(kind, where, text, within=15):
        make(address, timeout=None)
    assert threads_of_farm() == []
    assert processes(f"config-{sshd.port}") == []


def test_unknown_host(make, fails_with):
    """A name that nobody knows is told by the name."""
    with fails_with(farm.KernelCreationError, "ssh://nowhere.invalid", "resolve", within=15):
        make("ssh://nowhere.invalid", timeout=None)


def test_a_python_that_is_too_old(sshd, make, fails_with, place):
    """The error says what was found."""
    old = place / "python-3.6"
    old.write_text("#!/bin/sh\necho 3.6.15\n")
    old.chmod(0o755)
    with fails_with(farm.KernelCreationError, str(old), "3.6.15", "3.9 or later", within=15):
        make(sshd.address(python=old), timeout=None)


def test_no_forwarding(start_sshd, make, fails_with):
    """An sshd that does not forward sockets: the error says which setting is in the way."""
    strict = start_sshd("AllowStreamLocalForwarding no")
    with fails_with(
        farm.KernelCreationError,
        "AllowStreamLocalForwarding yes",
        "open failed",
        within=15,
    ):
        make(strict.address(), timeout=None)


def test_another_command(start_sshd, make, fails_with):
    """A key that may run one command only, which is not farm's: the error quotes it."""
    forced = start_sshd("ForceCommand echo only backups here; exit 3")
    with fails_with(farm.KernelCreationError, "status 3", "only backups here", within=15):
        make(forced.address(), timeout=None)


def test_a_login_that_hangs(start_sshd, make, fails_with):
    """Nothing is heard from a shell that is busy with itself."""
    stuck = start_sshd("ForceCommand exec sleep 60")
    with fails_with(farm.KernelCreationError, "nothing was heard", within=15):
        make(stuck.address(), timeout=None)


def test_a_timeout_of_the_users(start_sshd, make, fails_with):
    """It holds if it is the shorter one."""
    stuck = start_sshd("ForceCommand exec sleep 60")
    with fails_with(farm.KernelCreationError, "nothing was heard", within=5):
        make(stuck.address(), timeout=1)


def test_several_failures(sshd, make, fails_with):
    """One error names each address."""
    nowhere = "ssh://nowhere.invalid"
    closed = sshd.address().replace("127.0.0.1?", f"127.0.0.1:{free_port()}?")
    with fails_with(farm.KernelCreationError, nowhere, closed.partition("?")[0], within=15):
        make([sshd.address(), nowhere, closed], timeout=None)
    assert processes(f"config-{sshd.port}") == []


# noise


NOISE = "echo 'out: welcome!'; printf 'no newline'; echo 'err: welcome!' >&2\n"

SHELLS = {
    "bash": ("/bin/bash", ".bashrc", NOISE + "alias python3=false; stty erase ^H\n"),
    "sh": ("/bin/sh", "", ""),
    "tcsh": ("/usr/bin/tcsh", ".tcshrc", "echo welcome; set noclobber; alias sh false\n"),
    "fish": ("/usr/bin/fish", ".config/fish/config.fish", "echo welcome; echo bad >&2\n"),
    "zsh": ("/usr/bin/zsh", ".zshenv", NOISE + "setopt nomatch extended_glob\n"),
}


@needs_root
@pytest.mark.parametrize("name", SHELLS)
def test_login_shells(start_sshd, user, make, place, name):
    """Whatever the login shell is and says, and with a banner before it."""
    shell, start_file, text = SHELLS[name]
    if not os.path.exists(shell):
        pytest.skip(f"there is no {shell}")
    banner = place / "banner"
    banner.write_text("*** Authorised use only! ***\n" * 50)
    noisy = start_sshd(f"Banner {banner}")
    login = user(shell, start_file, text)
    address = noisy.address(user=login, python=SYSTEM_PYTHON, cache="")
    with make(address, timeout=BOUND):
        assert farm.future(lambda: __import__("getpass").getuser()).result(BOUND) == login
    with make(address.replace(f"&python={SYSTEM_PYTHON}", ""), timeout=BOUND):
        assert farm.future(abs, -1).result(BOUND) == 1


@needs_root
def test_no_shell(sshd, user, make, fails_with):
    """A user who may not log in: the error has what the program says that is there instead."""
    login = user("/usr/sbin/nologin")
    with fails_with(farm.KernelCreationError, "not available", "status 1", within=15):
        make(sshd.address(user=login, cache=""), timeout=None)


@needs_root
def test_no_python(sshd, user, make, fails_with, place):
    """The error lists what was tried, and what was found."""
    tools = place / "tools"
    tools.mkdir()
    (tools / "sh").symlink_to("/bin/sh")
    python = tools / "python3"
    python.write_text("#!/bin/sh\necho 3.7.3\n")
    python.chmod(0o755)
    login = user("/bin/bash", ".bashrc", f"export PATH={tools}\n")
    with fails_with(farm.KernelCreationError, "only python3 3.7.3", "?python=", within=15):
        make(sshd.address(user=login, cache=""), timeout=None)
    python.unlink()
    with fails_with(farm.KernelCreationError, "none of python3, python3.", within=15):
        make(sshd.address(user=login, cache=""), timeout=None)


@needs_root
def test_a_flood(sshd, user, make):
    """What a shell writes is read and dropped, however much it is; so is what the server's user
    writes there later."""
    flood = "head -c 200000000 /dev/zero >&2; head -c 100000000 /dev/zero\n"
    login = user("/bin/bash", ".bashrc", flood)
    address = sshd.address(user=login, python=SYSTEM_PYTHON, cache="")
    with make(address, timeout=BOUND, output="server"):
        assert farm.future(os.write, 2, bytes(30_000_000)).result(BOUND) == 30_000_000
        assert farm.future(abs, -1).result(BOUND) == 1


@needs_root
def test_a_full_disk(start_sshd, make, fails_with, place):
    """The error says what is full, and where."""
    small = place / "small"
    small.mkdir()
    script = f'mount -t tmpfs -o size=64k tmpfs {small} && exec "$@"'
    full = start_sshd(wrapper=["unshare", "-m", "sh", "-c", script, "sh"])
    address = full.address(python=bare(sys.executable), cache=small)
    with fails_with(farm.KernelCreationError, "No space left", str(small), within=15):
        make(address, timeout=None)


# its end


def test_a_killed_client(sshd, run, until, tmp_path):
    """The other end ends within five seconds, tasks that run there included."""
    program = """
        import os, signal, sys, time
        import farm_client as farm

        def long(path):
            with open(path + ".part", "w") as file:
                file.write(f"{os.getpid()} {os.getppid()}")
            os.rename(path + ".part", path)
            time.sleep(300)

        kernel = farm.make_kernel(sys.argv[1], timeout=60)
        farm.future(long, sys.argv[2])
        deadline = time.monotonic() + 60
        while not os.path.exists(sys.argv[2]):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    report = tmp_path / "pids"
    ended = run(program, sshd.address(), str(report))
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    pids = report.read_text().split()
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 5)
    until(lambda: processes(f"config-{sshd.port}") == [], 5)


def test_a_connection_that_breaks(sshd, make):
    """There is another one soon, and no task is lost."""
    with make(sshd.address(workers=2), timeout=BOUND):
        before = farm.future(os.getppid).result(BOUND)
        future = farm.future(time.sleep, 1)
        (ssh,) = [pid for pid in processes(f"config-{sshd.port}") if is_named(pid, "ssh")]
        os.kill(ssh, signal.SIGKILL)
        assert future.result(BOUND) is None
        assert farm.future(os.getppid).result(BOUND) != before
        after = [pid for pid in processes(f"config-{sshd.port}") if is_named(pid, "ssh")]
        assert len(after) == 1


def test_the_end_of_a_kernel_that_connects(start_sshd, make):
    """It need not wait for ssh."""
    stuck = start_sshd("ForceCommand exec sleep 60")
    closed = stuck.address().replace("127.0.0.1?", f"127.0.0.1:{free_port()}?")
    began = time.monotonic()
    # The one has failed for good: the other is given up.
    with pytest.raises(farm.AuthError):
        make([stuck.address(), stuck.address("UserKnownHostsFile=/dev/null"), closed], timeout=None)
    assert time.monotonic() - began < 10
    assert processes(f"config-{stuck.port}") == []


# through others


def test_a_connection_that_is_shared(sshd, make, tmp_path, until):
    """A ControlMaster of the user's is used; it goes on, and forwards nothing, in the end."""
    path = tempfile.mkdtemp(prefix="farm-") + "/master"
    control = ["ssh", "-F", str(sshd.config), "-S", path]
    master = subprocess.Popen([*control, "-M", "-N", "127.0.0.1"], stderr=subprocess.PIPE)
    try:
        until(lambda: os.path.exists(path))
        with make(sshd.address(f"ControlPath={path}"), timeout=BOUND):
            assert farm.future(abs, -1).result(BOUND) == 1
            sockets = unix_listeners(master.pid)
            assert len(sockets) > 1
        assert master.poll() is None
        assert subprocess.run([*control, "127.0.0.1", "true"], check=False).returncode == 0
        assert len(unix_listeners(master.pid)) == 1
    finally:
        # Not by a signal: on a busy machine ssh was once seen not to heed one for a minute.
        subprocess.run([*control, "-O", "exit", "127.0.0.1"], check=False, timeout=BOUND)
        master.communicate(timeout=BOUND)
        shutil.rmtree(os.path.dirname(path))


def unix_listeners(pid):
    """The Unix sockets that a process listens on."""
    listening = set()
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[3], 16) & 0x10000:
            listening.add(f"socket:[{fields[6]}]")
    held = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            held.add(os.readlink(entry.path))
    return held & listening


def test_a_jump(sshd, make):
    """ProxyJump, from the address and from the configuration."""
    with make(sshd.address(f"ProxyJump=localhost:{sshd.port}"), timeout=BOUND):
        assert farm.future(abs, -1).result(BOUND) == 1
    config = sshd.folder / "jump"
    text = "Host inner\n  HostName 127.0.0.1\n  ProxyJump localhost\n"
    config.write_text(text + sshd.config.read_text())
    address = sshd.address(config=config).replace("127.0.0.1", "inner", 1)
    with make(address, timeout=BOUND):
        assert farm.future(abs, -1).result(BOUND) == 1


def test_a_tunnel_by_hand(sshd, make, folder, until):
    """ssh -L from a socket to a server that somebody started there."""
    server = subprocess.Popen(
        [sys.executable, "-m", "farm_server", f"unix://{folder}/there", "--workers", "1"],
        stdout=subprocess.PIPE,
    )
    forward = f"{folder}/here:{folder}/there"
    tunnel = None
    try:
        assert server.stdout.readline().startswith(b"farm-server ready")
        command = ["ssh", "-F", str(sshd.config), "-N", "-L", forward, "127.0.0.1"]
        tunnel = subprocess.Popen(command)
        until(lambda: os.path.exists(f"{folder}/here"))
        with make(f"unix://{folder}/here", timeout=BOUND):
            assert farm.future(abs, -1).result(BOUND) == 1
    finally:
        for process in filter(None, (tunnel, server)):
            process.kill()
            process.communicate(timeout=BOUND)


# farm-admin


@pytest.fixture
def farm_admin():
    """Not imported by the module: tasks of it run where only what ssh sends is installed."""
    return importlib.import_module("farm_admin")


def test_admin(sshd, farm_admin, until):
    """It starts a server there for as long as it asks."""
    address = sshd.address(python=sys.executable)
    assert farm_admin.ping(address, timeout=BOUND)
    found = farm_admin.status(address, timeout=BOUND)
    assert found.workers == 1
    assert found.pid != os.getpid()
    assert processes(f"config-{sshd.port}") == []
    until(lambda: not os.path.exists(f"/proc/{found.pid}"), 5)
    with pytest.raises(farm.AddressError, match="no server to end"):
        farm_admin.end_server(address)


def test_admin_that_fails(sshd, farm_admin):
    """It says why."""
    command = [sys.executable, "-m", "farm_admin", "ping", "--timeout", "60"]
    address = sshd.address("UserKnownHostsFile=/dev/null")
    ended = subprocess.run([*command, address], capture_output=True, text=True, timeout=BOUND)
    assert ended.returncode == 1
    assert "Host key verification failed" in ended.stderr
    assert not farm_admin.ping(address, timeout=BOUND)


# people


class Terminal:
    """A program with a terminal of its own."""

    def __init__(self, script, *arguments):
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            try:
                os.execv(sys.executable, [sys.executable, str(script), *arguments])
            finally:
                os._exit(127)
        self.text = ""

    def expect(self, text):
        """Wait until the program has written something since the last time."""
        deadline = time.monotonic() + BOUND
        while text not in self.text:
            ready, _, _ = select.select([self._master], [], [], deadline - time.monotonic())
            assert ready, self.text
            try:
                self.text += os.read(self._master, 4096).decode("utf-8", "replace")
            except OSError:
                raise AssertionError(self.text) from None
        self.text = self.text.partition(text)[2]

    def type(self, text):
        os.write(self._master, text.encode())

    def end(self):
        os.close(self._master)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.fixture
def terminal(tmp_path):
    """Runs a program that uses a kernel in a terminal."""
    script = tmp_path / "program.py"
    started = []

    def run_(program, *arguments):
        script.write_text(textwrap.dedent(program))
        started.append(Terminal(script, *arguments))
        return started[-1]

    yield run_
    for one in started:
        one.end()


@pytest.fixture
def locked(sshd):
    """An address for which a key with a passphrase is needed."""
    key = sshd.folder / "locked"
    if not key.exists():
        make_key(key, "open sesame")
        with open(sshd.folder / "authorized", "a") as file:
            file.write((sshd.folder / "locked.pub").read_text())
    config = sshd.folder / "config-locked"
    config.write_text(sshd.config.read_text().replace("/user", "/locked"))
    return sshd.address(config=config)


def test_a_passphrase_is_asked_for(terminal, locked):
    """By ssh itself, in the terminal; Ctrl-C afterwards is for the program, not for ssh."""
    one = terminal(
        """
        import sys, time
        import farm_client as farm
        with farm.make_kernel(sys.argv[1], timeout=60):
            try:
                print("made", farm.future(abs, -7).result())
                time.sleep(60)
            except KeyboardInterrupt:
                print("interrupted", farm.future(abs, -8).result())
        print("the end")
        """,
        locked,
    )
    one.expect("passphrase")
    one.type("open sesame\n")
    one.expect("made 7")
    one.type("\x03")
    one.expect("interrupted 8")
    one.expect("the end")


def test_ctrl_c_instead_of_a_passphrase(terminal, locked):
    """It ends the attempt."""
    one = terminal(
        """
        import sys
        import farm_client as farm
        try:
            farm.make_kernel(sys.argv[1], timeout=60)
        except BaseException as error:
            print("ended:", type(error).__name__)
        """,
        locked,
    )
    one.expect("passphrase")
    one.type("\x03")
    one.expect("ended: ")


def test_nobody_to_ask(sshd, locked, fails_with, make, monkeypatch):
    """Without a terminal it fails at once."""
    program = f"""
        import farm_client as farm
        try:
            farm.make_kernel({locked!r})
        except farm.AuthError as error:
            print("refused:", error)
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=15,
        start_new_session=True,
    )
    assert "refused: ssh://127.0.0.1" in ended.stdout, ended.stderr
    assert "Permission denied" in ended.stdout
