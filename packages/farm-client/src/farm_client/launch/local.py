"""A private server on this machine, for the address ``"local"``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from typing import Optional

from farm_common.address import Address
from farm_common.deadline import Deadline
from farm_common.errors import KernelCreationError
from farm_common.folder import private_folder

from ..origin import absolute, find_module, is_installed, is_standard

__all__ = ["LocalServer"]

# As ``python -m farm_server``, but that would find modules in the working directory. They are the
# client's to give, as to any server: then it sees when they change. In the end it removes its
# folder, which nobody else does if the client was killed.
_RUN = """\
import os, sys
if sys.path[:1] == [""]:
    del sys.path[0]
from farm_server.cli import main
try:
    main()
finally:
    try:
        os.rmdir(os.path.dirname(sys.argv[1].partition("://")[2]))
    except OSError:
        pass"""

#: How long a server may take to start and to end, in seconds.
_START_SECONDS = 30.0
_END_SECONDS = 5.0


class LocalServer:
    """Starts farm-server on a Unix socket that only this user can reach.

    The server ends when its standard input closes, so also when this process is killed.

    Args:
        address: ``local``, with its options.

    Attributes:
        launches: How many servers it has begun to start.
    """

    def __init__(self, address: Address) -> None:
        self.launches = 0
        self._python = address.options.get("python", sys.executable)
        self._workers = address.workers
        self._directory: Optional[str] = None
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._owner = os.getpid()
        self._lock = threading.Lock()

    @property
    def running(self) -> bool:
        """Whether what `start` started is there."""
        process = self._process
        return process is not None and process.poll() is None

    def start(self, deadline: Deadline) -> Address:
        """Start the server unless it runs, and return its address.

        Raises:
            KernelCreationError: It does not start; quotes what it said.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._discard()
                self._launch(Deadline(deadline.cap(_START_SECONDS)))
            return self._address()

    def end(self) -> None:
        """End the server; twice is no error, and in a forked child it is not ours to end."""
        if os.getpid() == self._owner:
            with self._lock:
                self._discard()

    def _address(self) -> Address:
        return Address("unix", path=os.path.join(self._directory or "", "socket"))

    def _launch(self, deadline: Deadline) -> None:
        self.launches += 1
        self._directory = private_folder()
        command = [self._python, "-c", _RUN, str(self._address())]
        # The kernel closes its links and then ends the server, without waiting in between.
        command += ["--until-stdin-closes", "--log-level", "error"]
        if self._workers is not None:
            command += ["--workers", str(self._workers)]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=_environment(self._python),
                cwd=_place(),
                start_new_session=True,  # Ctrl-C is for the client
            )
        except OSError as error:
            self._discard()
            raise KernelCreationError(f"cannot run {self._python}: {error}") from error
        line = self._read_line(deadline)
        if not line.startswith(b"farm-server ready"):
            status = self._status(deadline)
            self._discard()
            if status is None:
                raise KernelCreationError(
                    f"the local server did not get ready within {deadline.seconds or 0:.3g} s; "
                    "what it said, if anything, is above"
                )
            raise KernelCreationError(
                f"the local server did not start (exit status {status}); what it said is above. "
                f"If it is not installed for {self._python}: pip install farm-server"
            )

    def _read_line(self, deadline: Deadline) -> bytes:
        """The first line of the server's output, or what there is of it in time."""
        assert self._process is not None
        assert self._process.stdout is not None
        line: list[bytes] = []
        reader = threading.Thread(
            target=lambda out: line.append(out.readline()),
            args=(self._process.stdout,),
            daemon=True,
        )
        reader.start()
        reader.join(deadline.remaining())
        return line[0] if line else b""

    def _status(self, deadline: Deadline) -> Optional[int]:
        """How the process ended that has closed its output, a moment before; None if it runs."""
        assert self._process is not None
        try:
            return self._process.wait(deadline.cap(_END_SECONDS))
        except subprocess.TimeoutExpired:
            return None

    def _discard(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None


def _environment(python: str) -> dict[str, str]:
    """This process's environment, with what the server needs to find farm and what is installed.

    The user's own folders are not passed: modules that are there are given to the workers, see
    `farm_client.library`. Those in PYTHONPATH the user passes himself.
    """
    environment = dict(os.environ)
    environment.pop("PYTHONINSPECT", None)  # programs set it for themselves, to end at a prompt
    path = [entry for entry in environment.pop("PYTHONPATH", "").split(os.pathsep) if entry]
    if python == sys.executable:
        # Whatever it was that made this process find them: it need not be there in the other. In
        # this order, as what is installed may have the name of something standard.
        path += [entry for entry in sys.path if is_installed(entry) or is_standard(entry)]
        path += filter(None, map(_home, ("farm_server", "farm_common", "cloudpickle")))
    else:
        path = [entry for entry in path if not is_installed(entry)]  # made for this interpreter
    path = [entry for entry in map(absolute, path) if os.path.isabs(entry)]
    if path:
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path))
    return environment


def _place() -> Optional[str]:
    """The server's working directory: None for this process's, unless that is gone."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return os.sep  # CPython 3.13 would not start in it
    return None


def _home(package: str) -> Optional[str]:
    """The folder that a package is in."""
    spec = find_module(package)
    origin = None if spec is None else spec.origin
    return None if origin is None else os.path.dirname(os.path.dirname(origin))
