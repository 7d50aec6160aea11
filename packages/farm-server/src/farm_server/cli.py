"""The command ``farm-server``."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import pickle
import sys
from collections.abc import Sequence
from typing import BinaryIO, NoReturn, Optional

from farm_common.errors import FarmError
from farm_common.handshake import PROTOCOL_VERSIONS
from farm_common.logs import LEVELS, environment_level, log_to_stderr
from farm_common.security import Authenticator
from farm_common.security.options import add_server_options, server_auths

from .__about__ import __version__
from .limits import parse_size
from .server import serve
from .settings import GRACE, MAX_CONNECTIONS, make_settings

__all__ = ["main"]

DEFAULT_ADDRESS = "127.0.0.1:11111"

DESCRIPTION = """\
Listen for clients of farm and execute their tasks, in one worker process for each connection.

Whoever may connect can run any code as you. So the server listens on this machine only, and
serves your own user (and root) only, unless it is told otherwise."""

EPILOG = f"""\
addresses:
  127.0.0.1:11111  [::1]:11111  host:port     TCP; with port 0 the system chooses one
  unix:///run/user/1000/farm.sock             a socket file that only you can use; its
                                              folder is made, with mode 0700, if it is missing
  {DEFAULT_ADDRESS} if none is given

examples:
  farm-server                                 serve this machine's user on {DEFAULT_ADDRESS}
  farm-server 127.0.0.1:0 --workers 2         any free port, which the ready line tells
  farm-server unix:///tmp/farm.sock [::1]:0   two addresses, one server
  farm-server 0.0.0.0:11111 --tls node1       clients with a certificate (farm-admin certs)
  farm-server 0.0.0.0:11111 --gss --allow alice@EXAMPLE.COM
                                              whom Kerberos shows to be alice
  farm-server 0.0.0.0:11111 --insecure        a whole network that you trust

When it can be connected to, it prints one line to standard output, and nothing after that:
  farm-server ready ADDRESS [ADDRESS...]

signals:
  SIGTERM, Ctrl-C   drain: take no new connections, exit when the last one ends
  a second one      end the connections in progress too

exit status:
  0 after a drain; 1 when something failed or connections were cut; 2 for wrong usage"""


def main(arguments: Optional[Sequence[str]] = None) -> NoReturn:
    """Run the command and exit.

    Args:
        arguments: What follows the command's name; from `sys.argv` if not given.
    """
    sys.exit(_run(_parser().parse_args(arguments)))


def _run(options: argparse.Namespace) -> int:
    _occupy_standard_descriptors()
    log_to_stderr(options.log_level)
    stdin = os.fdopen(os.dup(0), "rb") if options.auth_from_stdin else None
    try:
        auths = server_auths(options) if stdin is None else _received(stdin)
        settings = make_settings(
            options.addresses or [DEFAULT_ADDRESS],
            name=options.name,
            workers=options.workers,
            auth=auths,
            insecure=options.insecure,
            tags=options.tags,
            max_connections=options.max_connections,
            memory_limit=options.memory_limit,
            grace=options.grace,
            allow_local_users=options.allow_local_users,
        )

        def ready(addresses: Sequence[str]) -> None:
            if options.then_stderr is not None:
                os.dup2(options.then_stderr, 2)
                os.close(options.then_stderr)
            if options.port_file is not None:
                _write_whole(options.port_file, "".join(f"{address}\n" for address in addresses))
            try:
                _say(" ".join(("farm-server ready", *addresses)))
            except OSError:
                logging.getLogger("farm.server").warning("nobody reads standard output")
                _drop_output()

        drained = serve(
            settings, ready=ready, until_closed=0 if options.until_stdin_closes else None
        )
    except OSError as error:
        _complain(error.strerror or str(error))
        return 1
    except (FarmError, ValueError) as error:
        _complain(str(error))
        return 2
    except KeyboardInterrupt:  # before there were handlers
        return 130
    return 0 if drained else 1


def _complain(text: str) -> None:
    print(f"farm-server: {text}", file=sys.stderr)


def _say(line: str) -> None:
    """Write a line to standard output, whatever it is that is there.

    It holds paths, which are bytes: their encoding is the file system's, and not that of standard
    output, which may have no such letters.
    """
    out = sys.stdout
    if out is None:  # it is closed
        return
    if hasattr(out, "buffer"):
        out.flush()
        out.buffer.write(os.fsencode(line) + b"\n")
    else:  # an object of a program's own
        out.write(line + "\n")
    out.flush()


def _drop_output() -> None:
    """Forget what could not be written: a worker would write it, and Python in the end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    sys.stdout.flush()


def _occupy_standard_descriptors() -> None:
    """Open what the starter closed, or a socket would become standard output."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            return


def _received(stdin: BinaryIO) -> Sequence[Authenticator]:
    """The authentication objects that our starter pickled."""
    before = list(sys.path)
    try:
        path, body, buffers = pickle.load(stdin)
        # Its modules may be beside the starter's script. Tasks find theirs as at any server.
        sys.path += [folder for folder in path if folder not in before]
        auths: Sequence[Authenticator] = pickle.loads(body, buffers=buffers)
    except Exception as error:  # noqa: BLE001  unpickling runs the class's own code
        raise FarmError(
            f"auth= cannot be loaded here: {error}\n"
            "  the module of its class must be one that a new process can import, too"
        ) from None
    finally:
        sys.path[:] = before
    return auths


def _write_whole(path: str, text: str) -> None:
    """Write a file so that whoever reads it sees all of it or nothing.

    A device or a pipe is written to: a file in its place would be no device any more.
    """
    special = os.path.exists(path) and not os.path.isfile(path)
    partial = path if special else f"{path}.{os.getpid()}.part"
    try:
        with open(partial, "wb", opener=_open_at_once if special else None) as file:
            file.write(os.fsencode(text))
        if not special:
            os.replace(partial, path)
    except OSError as error:
        if not special:
            with contextlib.suppress(OSError):
                os.unlink(partial)
        raise OSError(error.errno, f"cannot write {path}: {error.strerror}") from None


def _open_at_once(path: str, flags: int) -> int:
    """Open something that is there, a named pipe that nobody reads being an error."""
    return os.open(path, flags & ~(os.O_CREAT | os.O_TRUNC) | os.O_NONBLOCK)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="farm-server",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("addresses", nargs="*", metavar="ADDRESS", help="where to listen; see below")
    add(
        "--workers",
        type=_positive,
        metavar="N",
        help="how many connections to ask a kernel for (default: the CPUs it may use; at most "
        "--max-connections)",
    )
    add(
        "--max-connections",
        type=_positive,
        default=MAX_CONNECTIONS,
        metavar="N",
        help="serve at most N connections at once (default: %(default)s)",
    )
    add(
        "--memory-limit",
        type=_size,
        metavar="SIZE",
        help="what each worker may allocate, e.g. 512M or 2G; beyond it tasks get MemoryError",
    )
    add(
        "--grace",
        type=float,
        default=GRACE,
        metavar="SECONDS",
        help="how long a worker whose client's connection is lost goes on, and keeps its results "
        "for it; 0: it ends at once (default: %(default)g)",
    )
    add("--name", help="what the server calls itself (default: the host's name)")
    add(
        "--tag",
        action="append",
        default=[],
        dest="tags",
        metavar="T",
        help="a label that tasks can ask for; repeatable",
    )
    add_server_options(parser)
    add(
        "--allow-local-users",
        action="store_true",
        help="let every user of this machine connect, and run code as you",
    )
    add(
        "--insecure",
        action="store_true",
        help="listen even where others can connect without authentication",
    )
    add(
        "--port-file",
        metavar="FILE",
        help="write the addresses there once ready, one a line, all at once",
    )
    add(
        "--log-level",
        type=str.lower,
        choices=LEVELS,
        default=environment_level() or "warning",
        metavar="L",
        help=f"{', '.join(LEVELS)}; on stderr (default: $FARM_LOG or warning)",
    )
    add("--version", action="version", version=_version())
    # For programs that start servers; see farm_server.background.
    add("--until-stdin-closes", action="store_true", help=argparse.SUPPRESS)
    add("--then-stderr", type=int, help=argparse.SUPPRESS)
    add("--auth-from-stdin", action="store_true", help=argparse.SUPPRESS)
    return parser


def _version() -> str:
    low, high = PROTOCOL_VERSIONS
    protocol = str(low) if low == high else f"{low} to {high}"
    python = ".".join(map(str, sys.version_info[:3]))
    return f"farm-server {__version__}, protocol {protocol}, {sys.implementation.name} {python}"


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
