"""A server in a process of its own, started by a program and ended with it.

The process is the command line's, with private options: it ends when its standard input is
closed, which the system does for a starter that dies, however that happens. What the command line
cannot say, the authentication object, is pickled and goes first through that same pipe.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import pickle
import selectors
import signal
import subprocess
import sys
from typing import Optional

from farm_common.deadline import Deadline
from farm_common.errors import SerializationError, UnsupportedError
from farm_common.security import NoAuth

from .settings import Settings

__all__ = ["READY", "Background"]

#: What the ready line starts with.
READY = "farm-server ready "

#: Modules that another process cannot import: their classes are sent whole.
_SCRIPTS = ("__main__", "__mp_main__")

#: The first descriptor that is none of the standard ones.
_LOWEST = 3

#: Has Python go on at a prompt when a program has ended; programs set it for themselves.
_INSPECT = "PYTHONINSPECT"

_START_SECONDS = 10.0

#: How long a server that was told to end may take; it gives its workers 1 s itself.
_END_SECONDS = 5.0


class Background:
    """The process of a server.

    Args:
        settings: The server's.
        log_level: From which level on it logs to stderr.

    Raises:
        UnsupportedError: It refused to start, or does not, and quotes why.
        OSError: It could not listen.
        SerializationError: The authentication object cannot be pickled.
    """

    def __init__(self, settings: Settings, log_level: Optional[str]) -> None:
        self._owner = os.getpid()
        trusting = all(type(auth) is NoAuth for auth in settings.auths)
        gift = b"" if trusting else _pickled(settings)
        # Until it is ready its stderr comes here, to be quoted; then it gets this process's own.
        later = _own_stderr()
        try:
            self._process = subprocess.Popen(
                _command(settings, log_level, later, bool(gift)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[later],
                # It is for this program: there it would end the server at a prompt.
                env={name: value for name, value in os.environ.items() if name != _INSPECT},
            )
        finally:
            os.close(later)
        self.pid = self._process.pid
        try:
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it says why on stderr
                self._process.stdin.write(gift)
                self._process.stdin.flush()
            self.addresses = self._wait(settings)
        except BaseException:
            self._stop()
            raise
        atexit.register(self._at_exit)

    def end(self, seconds: float) -> None:
        """Drain for at most so many seconds, then end; twice is no error."""
        if self._owner != os.getpid():
            return  # a fork of the starter: the server is not its own
        atexit.unregister(self._at_exit)
        if seconds > 0 and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        self._stop()

    def _at_exit(self) -> None:
        self.end(0.0)

    def _stop(self) -> None:
        """End it now; closing its input says so."""
        process = self._process
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _wait(self, settings: Settings) -> tuple[str, ...]:
        """Read until the ready line; the addresses in it."""
        process = self._process
        assert process.stdout is not None
        assert process.stderr is not None
        deadline = Deadline(_START_SECONDS)
        said = {process.stdout.fileno(): b"", process.stderr.fileno(): b""}
        with selectors.DefaultSelector() as selector:
            for descriptor in said:
                selector.register(descriptor, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select(deadline.remaining()):
                    data = os.read(key.fd, 1 << 16)
                    said[key.fd] += data
                    if not data:
                        selector.unregister(key.fd)
                out = os.fsdecode(said[process.stdout.fileno()])
                if out.startswith(READY) and out.endswith("\n"):
                    self._hand_over(said[process.stderr.fileno()])
                    return _addresses(out[len(READY) : -1], settings)
                if deadline.expired():
                    break
        words = said[process.stderr.fileno()].decode("utf-8", "replace").strip()
        if not deadline.expired():
            status = process.wait(_END_SECONDS)
            _raise_failure(status, words)
        raise UnsupportedError(
            f"the server did not get ready within {_START_SECONDS:.0f} s; it said:\n{words}"
        )

    def _hand_over(self, early: bytes) -> None:
        """Show what it logged while it started; from here on it writes to our stderr itself."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._process.stdout.close()
        # It changed its stderr before it said ready, so what is in the pipe is all there is.
        with self._process.stderr as pipe:
            early += pipe.read()
        if early and sys.stderr is not None:
            sys.stderr.write(early.decode("utf-8", "replace"))


def _own_stderr() -> int:
    """This process's standard error under another number, or nothing where it is closed.

    Not under the number of a standard descriptor that is closed: there the server gets a pipe.
    """
    try:
        return fcntl.fcntl(2, fcntl.F_DUPFD, _LOWEST)
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            return fcntl.fcntl(null, fcntl.F_DUPFD, _LOWEST)
        finally:
            os.close(null)


def _addresses(said: str, settings: Settings) -> tuple[str, ...]:
    """What the ready line tells: an address for each of the settings', with its real port."""
    found = []
    for address in settings.addresses:
        text = str(address)
        # The path of a socket may have blanks in it. No host has any.
        if address.kind != "unix" or not said.startswith(text):
            text = said.partition(" ")[0]
        found += [text] if text else []
        said = said[len(text) + 1 :]
    return tuple(found)


def _raise_failure(status: int, words: str) -> None:
    """Raise what the process could only say in words."""
    prefix = "farm-server: "
    text = words[words.rfind(prefix) + len(prefix) :] if prefix in words else words
    if status == 1 and prefix in words:
        raise OSError(text)
    if status == 2 and prefix in words:
        raise UnsupportedError(text)
    raise UnsupportedError(
        f"the server did not start (exit status {status}); it said:\n{words or '(nothing)'}"
    )


def _pickled(settings: Settings) -> bytes:
    """The authentication objects, with where their modules are to be found."""
    try:
        if any(type(auth).__module__ in _SCRIPTS for auth in settings.auths):
            from farm_common.shipping import pack  # takes its time, and is seldom needed

            parcel = pack(settings.auths, pickle.HIGHEST_PROTOCOL, "it")
            body, buffers = bytes(parcel.body), [bytes(buffer) for buffer in parcel.buffers]
        else:
            body, buffers = pickle.dumps(settings.auths), []
        return pickle.dumps((sys.path, body, buffers))
    except Exception as error:
        raise SerializationError(
            f"the server is a process of its own, and auth= cannot be sent to it: {error}"
        ) from error


def _command(settings: Settings, log_level: Optional[str], later: int, auth: bool) -> list[str]:
    if not sys.executable:
        raise UnsupportedError("this program does not know its Python interpreter: run farm-server")
    command = [
        *(sys.executable, "-m", "farm_server"),
        *map(str, settings.addresses),
        f"--name={settings.name}",
        f"--workers={settings.workers}",
        f"--max-connections={settings.max_connections}",
        f"--grace={settings.grace}",
        *("--until-stdin-closes", f"--then-stderr={later}"),
    ]
    if auth:
        command.append("--auth-from-stdin")
    if settings.insecure:
        command.append("--insecure")
    if settings.local_users:
        command.append("--allow-local-users")
    if settings.memory_limit is not None:
        command.append(f"--memory-limit={settings.memory_limit}")
    if log_level is not None:
        command.append(f"--log-level={log_level}")
    command += [f"--tag={tag}" for tag in settings.tags]  # a tag may begin with a dash
    return command
