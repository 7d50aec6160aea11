"""From nothing to the first result, over ssh to this machine.

Each sample is a fresh interpreter, as in `startup`; the server's Python has nothing installed. The
sshd is this measure's own, on loopback, so what is counted is the logins and not a network.

kept
    What the server needs was sent before.
sent
    It is sent: each time to an empty cache.
login
    What is ssh's share: ``ssh HOST true``.
"""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from effort import Effort
from fresh import run
from table import Table, at_most

_MOST_SECONDS = 30.0


class Sshd:
    """An sshd of one's own, and how to log in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("host", "user"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        self.config = folder / "config"
        self.config.write_text(
            f"Host *\n  Port {port}\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n"
            "  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
        )
        settings = folder / "sshd_config"
        settings.write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {folder}/user.pub\nUsePAM no\nAcceptEnv XDG_CACHE_HOME\n"
        )
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise RuntimeError("there is no sshd here: install openssh-server")
        self.process = subprocess.Popen(
            [program, "-D", "-e", "-f", str(settings)], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _MOST_SECONDS
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 5).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.01)
        raise RuntimeError("sshd does not start")

    def first(self, cache: str) -> float:
        """The seconds to a first result."""
        option = f"SetEnv=XDG_CACHE_HOME={self.folder / cache}"
        python = os.path.realpath(sys.executable)
        return run(
            "first_ssh",
            f"ssh://127.0.0.1?workers=2&config={self.config}&python={python}&option={option}",
        )

    def login(self) -> float:
        """The seconds that ssh takes to log in and out."""
        start = time.perf_counter()
        command = ["ssh", "-F", str(self.config), "127.0.0.1", "true"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=_MOST_SECONDS)
        return time.perf_counter() - start


def measure(table: Table, effort: Effort) -> None:
    """Both take turns; the first of each, which may compile modules, does not count."""
    # Not where temporary files are: sshd trusts no key in a folder that anybody may write to.
    folder = Path(tempfile.mkdtemp(prefix=".farm-bench-", dir=Path.home()))
    sshd = None
    try:
        sshd = Sshd(folder)
        new = (f"cache-{number}" for number in itertools.count())
        samples = effort.interleave(
            {
                "kept": lambda: sshd.first("cache"),
                "sent": lambda: sshd.first(next(new)),
                "login": sshd.login,
            },
            rounds=effort.of(7, 3),
        )
    finally:
        if sshd is not None:
            sshd.process.kill()
            sshd.process.wait(_MOST_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)
    login = samples["login"]
    table.add("nothing to first result, ssh", "s", samples["kept"], at_most(3.0), login=login)
    table.add("the same, server is sent", "s", samples["sent"], at_most(5.0), login=login)
