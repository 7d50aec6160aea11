"""A server on another machine, for an address ``ssh://``."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from typing import Any, Optional

from ..address import Address
from ..deadline import Deadline
from ..errors import KernelCreationError
from ..folder import private_folder
from ..handshake import Preamble
from ..sockets import connect
from .archive import Archive, find_archive, series
from .causes import said, ssh_failed
from .command import PYTHONS, bootstrap, remote_command, ssh_command
from .process import Process
from .there import SIZE_LENGTH

__all__ = ["SshServer"]

log = logging.getLogger("farm.ssh")

#: How long it may take, in seconds, until the other end says something: alone, and where ssh may
#: ask the user for a password.
_LOGIN_SECONDS = 14.0
_PROMPT_SECONDS = 120.0

#: How long the other end may then take to receive what it lacks and to start the server.
_START_SECONDS = 30.0

#: How long a connection through ssh may take to be answered by the server.
_PROBE_SECONDS = 5.0

#: How long ssh may take to say why it does not forward a connection.
_LAST_WORDS_SECONDS = 0.5

#: How long the other end may take to end when it is told to.
_END_SECONDS = 5.0


class SshServer:
    """Starts farm-server on another machine, and ends it.

    It ends too when this process or the connection does. After a connection is lost, `start` makes
    another, with a new server.

    Args:
        address: ``ssh://``, with its options.
        options: Options for ssh, each ``"Name=value"``; those in the address come first.

    Attributes:
        launches: How many servers it has begun to start.
    """

    def __init__(self, address: Address, options: Sequence[str] = ()) -> None:
        self.launches = 0
        self._address = address
        self._options = tuple(options)
        self._folder: Optional[str] = None
        self._there = ""
        self._process: Optional[Process] = None
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._failures = 0
        self._failure: Optional[KernelCreationError] = None  # the last one
        self._started = False
        self._ended = False

    @property
    def running(self) -> bool:
        """Whether what `start` started is there, as far as is known here."""
        process = self._process
        return process is not None and process.running

    def start(self, deadline: Deadline) -> Address:
        """Start the server unless it runs, and return the address that leads to it.

        Several threads may want it; one starts it, and the others get the same.

        Args:
            deadline: When to give up; without one, or with a late one, limits of its own hold.

        Raises:
            AuthError: The other side does not let us in, or is another than it should be.
            KernelCreationError: There will be no server; says why.
        """
        failures = self._failures
        with self._lock:
            if self._process is None or not self._process.running:
                failure = self._failure
                if failure is not None and self._failures != failures:  # since we began to wait
                    raise type(failure)(*failure.args) from failure
                self._discard()
                try:
                    self._launch(deadline)
                except KernelCreationError as error:
                    self._failure = error
                    self._failures += 1
                    self._discard()
                    raise
                except BaseException:
                    self._discard()
                    raise
            return self._local()

    def end(self) -> None:
        """End the server; twice is no error, and in a forked child it is not ours to end."""
        if os.getpid() != self._owner:
            return
        self._ended = True
        if self._lock.acquire(blocking=False):
            self._lock.release()
        else:  # somebody starts it, which ends with the process
            process = self._process
            if process is not None:
                process.kill()
        with self._lock:
            self._discard()

    def _local(self) -> Address:
        return Address("unix", path=os.path.join(self._folder or "", "socket"))

    def _forward(self) -> str:
        return f"{self._local().path}:{self._there}"

    def _launch(self, deadline: Deadline) -> None:
        self.launches += 1
        where = self._address.endpoint
        ended = self._ended_error()
        if ended is not None:
            raise ended
        program = shutil.which("ssh")
        if program is None:
            raise KernelCreationError(
                f"{where}: there is no program ssh on this machine: install an OpenSSH client"
            )
        self._folder = private_folder()
        # Nobody can guess it, and so be there first; /tmp is short and everywhere.
        self._there = f"/tmp/farm-{os.urandom(8).hex()}/socket"  # noqa: S108
        token = f"farm-{os.urandom(8).hex()}"
        archive, refusal = _archive()
        wanted = {name: series(name) or "" for name in ("farm_server", "farm_common")}
        arguments = ["--log-level=error"]
        if self._address.workers is not None:
            arguments.append(f"--workers={self._address.workers}")
        digest = "" if archive is None else archive.digest
        program_there = bootstrap(token, self._there, digest, wanted, arguments)
        python = self._address.options.get("python", "")
        # Nobody is asked for a password in the middle of something, because a connection broke.
        terminal, prompts = (False, False) if self._started else _prompts()
        command = ssh_command(self._address, self._options, self._forward(), prompts=prompts)
        command[0] = program
        command.append(remote_command(token, len(program_there), python))
        limit = _PROMPT_SECONDS if prompts else _LOGIN_SECONDS
        step = Deadline(deadline.cap(limit))
        try:
            self._process = process = Process(command, where, terminal=terminal)
        except OSError as error:
            raise KernelCreationError(f"{where}: cannot run {program}: {error}") from error
        if self._ended_error() is not None:  # `end` may have come before there was a process
            process.kill()
        process.send(program_there)
        answer = self._answer(process, token, step)
        if answer is None:
            raise self._ended_error() or ssh_failed(
                where, process.status, process.errors, process.output, step.seconds or 0
            )
        step = Deadline(deadline.cap(_START_SECONDS))
        if answer["need"]:
            if archive is None:
                raise KernelCreationError(f"{where}: {answer['missing']} there, and {refusal}")
            log.info("%s: %s there: sending farm-server", where, answer["missing"])
            data = archive.pack()
            process.send(f"{len(data):0{SIZE_LENGTH - 1}}\n".encode() + data)
        self._await_server(process, token, answer["python"], step)
        self._probe(process, deadline)
        process.attend()
        self._started = True

    def _answer(self, process: Process, token: str, deadline: Deadline) -> Optional[dict[str, Any]]:
        """What the program at the other end says first; None if it does not come to that."""
        line = process.expect([f"{token} "], deadline)
        if line is None:
            return None
        if line[1].startswith("none"):
            raise KernelCreationError(self._no_python(line[1].split()[1:]))
        return self._message(line[1])

    def _message(self, text: str) -> dict[str, Any]:
        where = self._address.endpoint
        try:
            message: dict[str, Any] = json.loads(text)
        except ValueError:
            raise KernelCreationError(
                f"{where}: something writes into the output of farm's command there: {said(text)}"
            ) from None
        if "error" in message:
            raise KernelCreationError(f"{where}: {message['error']}")
        return message

    def _no_python(self, found: Sequence[str]) -> str:
        where = self._address.endpoint
        versions = ", ".join(item.replace("=", " ", 1) for item in found)
        given = self._address.options.get("python")
        if given is not None:
            fault = f"is too old, or does not work: {versions}" if found else "cannot be run"
            return f"{where}: {given} {fault}; farm needs a Python of 3.9 or later"
        there = f"only {versions}" if found else f"none of {', '.join(PYTHONS)}"
        return (
            f"{where}: no Python of 3.9 or later is on the PATH there, {there}; "
            f"install one, or say where it is: ?python=/path/to/python3"
        )

    def _await_server(self, process: Process, token: str, python: str, deadline: Deadline) -> None:
        where = self._address.endpoint
        # Either the server's line, or one that says why there is none.
        ready = f"farm-server ready unix://{self._there}"
        line = process.expect([ready, f"{token} "], deadline)
        if line is not None:
            if line[0] != ready:
                self._message(line[1])
            return
        ended = self._ended_error()
        if ended is not None:
            raise ended
        if process.status is None:
            reason = f"did not start in the {deadline.seconds or 0:.2g} s that were left for it"
        else:
            reason = f"did not start (exit status {process.status})"
        quoted = said(process.errors).replace("\n", "\n  ")
        raise KernelCreationError(
            f"{where}: the server {reason}, with {python}" + (f"\n  {quoted}" if quoted else "")
        )

    def _probe(self, process: Process, deadline: Deadline) -> None:
        """Find out whether ssh forwards the socket: it tells nobody before somebody connects."""
        step = Deadline(deadline.cap(_PROBE_SECONDS))
        reason = "it is closed at once"
        try:
            with connect(self._local(), step) as sock:
                sock.settimeout(step.remaining() or 0.001)
                sock.sendall(Preamble().encode())
                if sock.recv(1):
                    return
        except OSError as error:
            reason = str(error.strerror or error)
        # What ssh has to say about it is on its way.
        process.expect([], Deadline(_LAST_WORDS_SECONDS))
        raise self._ended_error() or KernelCreationError(
            f"{self._address.endpoint}: the server runs there, but ssh does not lead to its socket "
            f"({reason}); sshd there needs `AllowStreamLocalForwarding yes`, and the key must be "
            "allowed to forward\n  " + said(process.errors).replace("\n", "\n  ")
        )

    def _ended_error(self) -> Optional[KernelCreationError]:
        if self._ended:
            return KernelCreationError(f"{self._address.endpoint}: the kernel has ended")
        return None

    def _discard(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.finish(_END_SECONDS)
            self._stop_forwarding()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _stop_forwarding(self) -> None:
        """Have a connection that others use too, and that goes on, forward no more."""
        try:
            connect(self._local(), Deadline(1.0)).close()
        except OSError:
            return
        command = ssh_command(self._address, self._options, self._forward(), prompts=False)
        command[-2:-2] = ["-O", "cancel"]
        try:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_END_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            log.info("%s: cannot stop forwarding: %s", self._address.endpoint, error)


def _archive() -> tuple[Optional[Archive], str]:
    """What can be sent, or why nothing can."""
    try:
        return find_archive(), ""
    except KernelCreationError as error:
        return None, str(error)


def _prompts() -> tuple[bool, bool]:
    """Whether ssh may use the terminal, and whether there is any way to ask the user."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        environment = os.environ
        asks = "SSH_ASKPASS" in environment and bool(
            environment.get("DISPLAY")
            or environment.get("WAYLAND_DISPLAY")
            or environment.get("SSH_ASKPASS_REQUIRE") in ("force", "prefer")
        )
        return False, asks
    try:
        # A program in the background would be stopped when it reads from there.
        foreground = os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        foreground = False
    finally:
        os.close(terminal)
    return foreground, foreground
