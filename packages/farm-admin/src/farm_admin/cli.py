"""The command ``farm-admin``."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NoReturn, Optional

from farm_common.address import parse_address
from farm_common.errors import FarmError
from farm_common.handshake import PROTOCOL_VERSIONS
from farm_common.security import Authenticator
from farm_common.security.options import add_client_options, client_auth

from .__about__ import __version__
from .certs import AUTHORITY_DAYS, DAYS, make_authority, make_client, make_server
from .control import check_address
from .end import check_lasting, end_server
from .kill import kill_tasks
from .ping import reach
from .status import ServerStatus, status
from .table import cleaned, render
from .top import show_top

__all__ = ["main"]

#: How many servers are asked at the same time.
_TOGETHER = 32

EPILOG = """\
addresses:
  127.0.0.1:11111  [::1]:11111  host:port  unix:///run/user/1000/farm.sock
  (?workers=N after one is accepted and means nothing here)
  ssh://user@host  for ping and status: starts a server there, as a kernel would, and ends it

examples:
  farm-admin ping 127.0.0.1:11111 --timeout 30    wait for a server to start
  farm-admin status host1:11111 host2:11111
  farm-admin status host1:11111 --json | jq '.[0].sessions | length'
  farm-admin ping ssh://me@node1 --timeout 20     can a kernel use that machine?
  farm-admin end unix:///run/user/1000/farm.sock
  farm-admin top host1:11111 host2:11111          what they do, every two seconds; Ctrl-C ends it
  farm-admin kill host1:11111 --category sim      end the tasks of that category that run there
  farm-admin ping host1:11111 --tls alice         with the certificate in the directory alice
  farm-admin ping host1.example.com:11111 --gss   with a ticket of Kerberos

exit status:
  0 all servers did; 1 at least one did not, standard error says which and why;
  2 wrong usage

`farm-admin COMMAND --help` says more."""

CERTS = """\
A private authority, and certificates that it signs for servers and clients. `init` makes the
authority once, in a directory that belongs on no server: whoever has it can let anybody in.
`server` and `client` make a directory for each of them, to be copied there (with its modes):
farm-server --tls DIR, farm-admin --tls DIR, auth=TLSAuth.from_directory(DIR)."""

CERTS_EPILOG = """\
examples:
  farm-admin certs init
  farm-admin certs server node1 node1.example.com 10.0.0.7    makes the directory node1
  farm-admin certs client alice                               makes the directory alice

Nothing is overwritten. It needs the package cryptography: pip install 'farm-admin[certs]'."""

_HELP = {
    "ping": "find out whether servers answer, and wait for them to",
    "end": "have servers take no new connections, and exit when the last one ends",
    "status": "show what servers do",
    "top": "show what servers do again and again, the busiest workers first",
    "kill": "end tasks that run; their programs are told so",
}

#: What is done with a server that was there before, by the command that needs one.
_LASTING = {"end": "end", "top": "watch", "kill": "end tasks of"}

#: How long to wait for an answer, in seconds, where it is not as long as for most.
_TIMEOUT = {"ping": 3.0}


def main(arguments: Optional[Sequence[str]] = None) -> NoReturn:
    """Run the command and exit.

    Args:
        arguments: What follows the command's name; from `sys.argv` if not given.
    """
    for stream in (sys.stdout, sys.stderr):
        # Names may have letters that it does not know; a table without them is better than none.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    try:
        options = _parser().parse_args(arguments)
        code = _certify(options) if options.command == "certs" else _run(options)
        if sys.stdout is not None:  # as it is where the starter closed it
            sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough
        sys.stderr.close()
        code = 1
    except OSError as error:  # what goes wrong with servers and files is told where it does
        why = error.strerror or error
        print(f"farm-admin: cannot write to standard output: {why}", file=sys.stderr)
        _drop_output()
        code = 1
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _drop_output() -> None:
    """Forget what could not be written: Python would complain of it again in the end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    sys.stdout.flush()


def _run(options: argparse.Namespace) -> int:
    try:
        for address in map(parse_address, options.addresses):
            check_address(address)
            if options.command in _LASTING:
                check_lasting(address, _LASTING[options.command])
        if options.command == "kill":
            _check_choice(options)
        auth = client_auth(options)
    except (FarmError, ValueError) as error:
        print(f"farm-admin: {error}", file=sys.stderr)
        return 2
    if options.command == "top":
        return _top(options, auth)
    act = partial(_kill, options) if options.command == "kill" else _ACTIONS[options.command]
    with ThreadPoolExecutor(min(_TOGETHER, len(options.addresses))) as executor:
        outcomes = list(
            executor.map(
                lambda address: _attempt(act, address, options.timeout, auth), options.addresses
            )
        )
    if options.json:
        print(json.dumps([outcome for outcome, _ in outcomes], indent=2))
    separator = ""
    for outcome, text in outcomes:
        if not outcome["ok"]:
            print(f"farm-admin: {outcome['error']}", file=sys.stderr)
        elif not options.json:
            print(f"{separator}{text}")
            separator = "\n" if options.command in ("status", "kill") else ""
    return 0 if all(outcome["ok"] for outcome, _ in outcomes) else 1


def _check_choice(options: argparse.Namespace) -> None:
    """Refuse to end everything by a slip."""
    chosen = (options.category, options.kernel, options.pid) != (None, None, None)
    if chosen is options.all:
        raise ValueError(
            "kill ends the tasks that --category, --kernel and --pid say, or with --all every one"
        )


_Outcome = tuple[dict[str, Any], str]
_Action = Callable[[str, Optional[float], Optional[Authenticator]], _Outcome]


def _attempt(
    act: _Action, address: str, timeout: Optional[float], auth: Optional[Authenticator]
) -> _Outcome:
    """What happened at one address, for programs and for people."""
    try:
        found, text = act(address, timeout, auth)
    except (FarmError, OSError) as error:
        return {"address": address, "ok": False, "error": str(error)}, ""
    return {"address": address, "ok": True, **found}, text


def _ping(address: str, timeout: Optional[float], auth: Optional[Authenticator]) -> _Outcome:
    seconds = reach(address, timeout, auth)
    return {"seconds": seconds}, f"{address} answers ({1000 * seconds:.1f} ms)"


def _end(address: str, timeout: Optional[float], auth: Optional[Authenticator]) -> _Outcome:
    end_server(address, auth, timeout)
    return {}, f"{address} takes no new connections"


def _status(address: str, timeout: Optional[float], auth: Optional[Authenticator]) -> _Outcome:
    found: ServerStatus = status(address, auth=auth, timeout=timeout)
    return found.to_json(), render(address, found)


def _kill(
    options: argparse.Namespace,
    address: str,
    timeout: Optional[float],
    auth: Optional[Authenticator],
) -> _Outcome:
    killed = kill_tasks(
        address,
        options.category,
        kernel=options.kernel,
        pid=options.pid,
        dry_run=options.dry_run,
        auth=auth,
        timeout=timeout,
    )
    verb = "would end" if options.dry_run else "ended"
    lines = [
        f"{address}  {verb} task {session.task} of {cleaned(session.kernel) or 'a kernel'}, "
        f"category {cleaned(session.category or '-')}, in process {session.pid}"
        for session in killed
    ]
    return (
        {"killed": [{"pid": session.pid, "task": session.task} for session in killed]},
        "\n".join(lines) or f"{address}  no such task of yours runs",
    )


def _top(options: argparse.Namespace, auth: Optional[Authenticator]) -> int:
    try:
        well = show_top(options.addresses, auth, options.timeout, options.interval, options.count)
    except FarmError as error:
        print(f"farm-admin: {error}", file=sys.stderr)
        return 1
    return 0 if well else 1


_ACTIONS: dict[str, _Action] = {"ping": _ping, "end": _end, "status": _status}


def _certify(options: argparse.Namespace) -> int:
    """Make an authority or a certificate, and say what to do with it."""
    try:
        if options.what == "init":
            make_authority(options.directory, options.name, options.days)
            print(f"made an authority in {options.directory}: keep it to yourself")
            return 0
        names = options.names if options.what == "server" else [options.name]
        directory = names[0].strip("[]") if options.out is None else options.out
        if options.what == "server":
            make_server(names, directory, options.ca, options.days)
            print(f"made {directory}: copy it to that host, for farm-server --tls {directory}")
        else:
            make_client(options.name, directory, options.ca, options.days)
            print(f"made {directory}: for auth=TLSAuth.from_directory({directory!r})")
    except OSError as error:
        why = error.strerror or str(error)
        where = f": {error.filename}" if error.filename else ""
        print(f"farm-admin: {why}{where}", file=sys.stderr)
        return 1
    except (FarmError, ValueError) as error:
        print(f"farm-admin: {error}", file=sys.stderr)
        return 2
    return 0


def _add_certs(commands: Any) -> None:
    certs = commands.add_parser(
        "certs",
        help="make certificates for TLS",
        description=CERTS,
        epilog=CERTS_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    whats = certs.add_subparsers(dest="what", required=True, metavar="WHAT")

    def add(name: str, text: str, days: int) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = whats.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False
        )
        parser.add_argument(
            "--days",
            type=_seconds,
            default=days,
            metavar="N",
            help="how long it is valid (default: %(default)s)",
        )
        return parser

    init = add("init", "make an authority", AUTHORITY_DAYS)
    init.add_argument("directory", nargs="?", default="farm-ca", metavar="DIR", help="farm-ca")
    init.add_argument("--name", default="farm", help="what it calls itself (default: %(default)s)")
    server = add("server", "make a server's certificate", DAYS)
    server.add_argument(
        "names", nargs="+", metavar="NAME", help="host names and IP addresses that it is reached by"
    )
    client = add("client", "make a client's certificate", DAYS)
    client.add_argument("name", metavar="NAME", help="who it is: what servers allow, log and show")
    for parser in (server, client):
        parser.add_argument(
            "--ca", default="farm-ca", metavar="DIR", help="the authority (default: %(default)s)"
        )
        parser.add_argument(
            "--out", metavar="DIR", help="where to write to (default: a directory called NAME)"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="farm-admin",
        description="Look after the servers of farm.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in _HELP.items():
        command = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=EPILOG.rpartition("\n\n")[0],
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_argument("addresses", nargs="+", metavar="ADDRESS", help="see below")
        command.add_argument(
            "--timeout",
            type=_seconds,
            default=_TIMEOUT.get(name, 10.0),
            metavar="S",
            help='how many seconds to wait, or "none" (default: %(default)g)',
        )
        if name == "top":
            _add_top(command)
        else:
            command.add_argument(
                "--json",
                action="store_true",
                help="print a list with an object for each address, in order",
            )
        if name == "kill":
            _add_kill(command)
        add_client_options(command)
    _add_certs(commands)
    return parser


def _add_top(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--interval",
        type=_interval,
        default=2.0,
        metavar="S",
        help="how many seconds between two looks (default: %(default)g)",
    )
    command.add_argument(
        "--count", type=_count, metavar="N", help="how often to look (default: until Ctrl-C)"
    )


def _add_kill(command: argparse.ArgumentParser) -> None:
    which = command.add_argument_group("which tasks (all that are given must hold)")
    which.add_argument("--category", metavar="C", help="those of this category")
    which.add_argument("--kernel", metavar="NAME", help="those of kernels with this name")
    which.add_argument("--pid", type=_count, metavar="N", help="the one of this worker, see status")
    which.add_argument("--all", action="store_true", help="every one, if none of these is given")
    command.add_argument("--dry-run", action="store_true", help="only say which would be ended")


def _interval(text: str) -> float:
    found = _seconds(text)
    if found is None:
        raise argparse.ArgumentTypeError("an interval has an end")
    return found


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 1 << 31):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _seconds(text: str) -> Optional[float]:
    if text.lower() == "none":
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0, nor none")
    return number


def _version() -> str:
    low, high = PROTOCOL_VERSIONS
    protocol = str(low) if low == high else f"{low} to {high}"
    python = ".".join(map(str, sys.version_info[:3]))
    return f"farm-admin {__version__}, protocol {protocol}, {sys.implementation.name} {python}"
