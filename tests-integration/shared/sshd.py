"""An sshd that is a test's own: its keys, its port, and addresses that lead through it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["ROOT", "SSHD", "SYSTEM_PATH", "Sshd", "bare", "free_port", "make_key", "make_place"]

BOUND = 60.0

ROOT = os.geteuid() == 0
SYSTEM_PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
SSHD = shutil.which("sshd", path=SYSTEM_PATH)


def bare(python: str) -> str:
    """The interpreter that an environment was made from: nothing is installed there.

    One that a session made as a program of its own has its like beside it.
    """
    beside = os.path.join(os.path.dirname(python), "bare")
    return beside if os.path.exists(beside) else os.path.realpath(python)


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        return port


def make_key(path: Path, passphrase: str = "") -> None:
    """Make a pair of keys."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def make_place(parent: Path = Path("/var/lib" if ROOT else "~")) -> Path:
    """A folder with keys. Not under /tmp: sshd trusts none where anybody may write."""
    folder = Path(tempfile.mkdtemp(prefix="farm-ssh-", dir=parent.expanduser()))
    folder.chmod(0o755)
    for name in ("host", "user"):
        make_key(folder / name)
    shutil.copy(folder / "user.pub", folder / "authorized")
    if ROOT:
        os.makedirs("/run/sshd", exist_ok=True)
    return folder


class Sshd:
    """A running sshd.

    Args:
        folder: One that `make_place` made.
        lines: Lines of its configuration that come first.
        wrapper: A command that runs it, as of another namespace.
        host: The address that it listens on.
        port: The port; a free one without it.

    Attributes:
        folder: Its files, and the caches of those who log in; root's users can go there.
        port: Where it listens.
        config: A configuration for ssh.
    """

    def __init__(
        self,
        folder: Path,
        lines: Sequence[str] = (),
        wrapper: Sequence[str] = (),
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        assert SSHD is not None
        self.folder = folder
        self.host = host
        self.port = port or free_port()
        self.config = folder / f"config-{self.port}"
        self.known = folder / f"known-{self.port}"
        host_key = (folder / "host.pub").read_text()
        names = [f"[{name}]:{self.port}" for name in (host, "localhost")]
        self.known.write_text("".join(f"{name} {host_key}" for name in names))
        self.config.write_text(
            f"Host *\n  UserKnownHostsFile {self.known}\n  GlobalKnownHostsFile /dev/null\n"
            f"  IdentityFile {folder}/user\n  IdentitiesOnly yes\n  Port {self.port}\n"
        )
        settings = folder / f"sshd-{self.port}"
        lines = [
            *lines,
            f"Port {self.port}",
            f"ListenAddress {host}",
            f"HostKey {folder}/host",
            f"AuthorizedKeysFile {folder}/authorized",
            "PidFile none",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "AcceptEnv XDG_CACHE_HOME",
            "MaxStartups 100",
            "LogLevel ERROR",
        ]
        settings.write_text("".join(f"{line}\n" for line in lines))
        self.process = subprocess.Popen(
            [*wrapper, SSHD, "-D", "-e", "-f", str(settings)], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + BOUND
        while True:
            try:
                socket.create_connection((host, self.port), 5).close()
                break
            except ConnectionRefusedError:
                assert self.process.poll() is None, "sshd does not start"
                assert time.monotonic() < deadline
                time.sleep(0.01)

    def address(
        self,
        *options: str,
        user: str = "",
        workers: int = 1,
        cache: object = "cache",
        **more: object,
    ) -> str:
        """An address of this machine through this sshd; with a cache of its own there."""
        more.setdefault("config", self.config)
        pairs = [f"workers={workers}", *(f"{name}={value}" for name, value in more.items())]
        if cache:
            options = (*options, f"SetEnv=XDG_CACHE_HOME={self.folder / str(cache)}")
        pairs += [f"option={option}" for option in options]
        return f"ssh://{user and user + '@'}{self.host}?{'&'.join(pairs)}"

    def end(self) -> None:
        """End it; who has logged in stays until his connection ends."""
        self.process.kill()
        self.process.wait(BOUND)
