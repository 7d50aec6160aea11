"""What to say to ssh, and through it to the login shell at the other end.

The command must mean the same to every shell that somebody may log in with: sh and its kin, csh,
fish. They agree about one argument in single quotes without an exclamation mark, a backslash
before one of those, a single quote or a newline; so that is what it is, for ``sh`` to interpret.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Sequence

from ..address import Address
from . import there

__all__ = ["bootstrap", "remote_command", "ssh_command"]

#: The Pythons that are tried, in this order, unless the address says which.
PYTHONS = (
    "python3",
    *(f"python3.{minor}" for minor in range(15, 8, -1)),
    *("pypy3", "python"),
)

#: The server's machine is gone when it does not answer for three times as long, in seconds.
_ALIVE_SECONDS = 7

#: How long ssh tries to connect, in seconds: less than what farm waits for, so that it can say why.
CONNECT_SECONDS = 10

_SAFE = re.compile(r"[A-Za-z0-9_./+@%:,=-]+")

# True for a Python that will do, else its version; even if it is a Python 2.
_CHECK = "import sys;print(sys.version_info>=(3,9)or sys.version.split()[0])"


def ssh_command(
    address: Address, options: Sequence[str], forward: str, *, prompts: bool
) -> list[str]:
    """The program ssh and its arguments, up to the command at the other end.

    ssh takes the first of several values. So those in the address win, then those of the program,
    then what farm needs, and the user's configuration says the rest.

    Args:
        address: Where to log in.
        options: Further options, each ``Name=value``.
        forward: What ``-L`` takes.
        prompts: Whether ssh may ask for a password.
    """
    command = ["ssh"]
    if "config" in address.options:
        command += ["-F", os.path.expanduser(address.options["config"])]
    for option in (*address.ssh_options, *options, *_defaults(prompts)):
        command += ["-o", option]
    command += ["-T", "-x", "-L", forward]
    if address.user:
        command += ["-l", address.user]
    if address.port:
        command += ["-p", str(address.port)]
    return [*command, "--", address.host]


def _defaults(prompts: bool) -> list[str]:
    defaults = [
        f"ConnectTimeout={CONNECT_SECONDS}",
        f"ServerAliveInterval={_ALIVE_SECONDS}",
        "ServerAliveCountMax=3",
        # A connection that is there already is used. This one is not lent to others: they would
        # be cut when the kernel ends.
        "ControlMaster=no",
        # What the configuration has for people who log in.
        "RemoteCommand=none",
        "ExitOnForwardFailure=no",
        "StreamLocalBindUnlink=yes",
    ]
    return defaults if prompts else ["BatchMode=yes", *defaults]


def bootstrap(
    token: str, socket: str, digest: str, series: dict[str, str], arguments: Sequence[str]
) -> bytes:
    """The program that the Python at the other end reads from its standard input.

    Args:
        token: What its lines begin with.
        socket: Where the server is to listen there.
        digest: Of the archive that it may ask for.
        series: The versions that it may take instead.
        arguments: Further arguments of farm-server.
    """
    call = f"main({token!r}, {socket!r}, {digest!r}, {series!r}, {list(arguments)!r})\n"
    return f"{inspect.getsource(there)}\n{call}".encode()


def remote_command(token: str, size: int, python: str = "") -> str:
    """The command for the login shell: find a Python, and have it execute what it reads.

    Args:
        token: What the line begins with that says that there is none.
        size: How many bytes to read.
        python: The only Python to try, a name or a path; ``~/`` is the home directory there.
    """
    candidates = _word(python) if python else " ".join(PYTHONS)
    execute = f"import sys;exec(sys.stdin.buffer.read({size}),dict(__name__=str()))"
    script = (
        f"f=;for p in {candidates};do "
        'command -v "$p" >/dev/null 2>&1||continue;'
        f'v=$("$p" -c "{_CHECK}" </dev/null 2>/dev/null);'
        f'case "$v" in *True)exec "$p" -c "{execute}";;esac;'
        'f="$f $p=$v";done;'
        f'echo;echo "{token} none$f"'
    )
    return f"exec sh -c '{script}'"  # exec: an alias is no program


def _word(text: str) -> str:
    """A text as one word of sh, inside single quotes of whatever shell is around it."""
    home, rest = ('"$HOME"/', text[2:]) if text.startswith("~/") else ("", text)
    if _SAFE.fullmatch(rest):
        return home + rest
    octal = "".join(f"\\{byte:03o}" for byte in os.fsencode(rest))
    return f'{home}"$(printf "{octal}")"'
