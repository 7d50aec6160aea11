"""A running ssh: what is written to it and what comes back, whatever and however much that is.

One thread at a time attends to it: whoever starts the server, until it answers, then a thread
that only reads, so that nobody at the other end ever waits for somebody to read what he writes.
Of all that comes, the last few kilobytes are kept.
"""

from __future__ import annotations

import logging
import os
import re
import selectors
import subprocess
import threading
from collections.abc import Sequence
from typing import Optional

from ..deadline import Deadline

__all__ = ["Process"]

log = logging.getLogger("farm.ssh")

#: How much to keep of standard output while something is looked for in it, in bytes: more than a
#: line that is looked for can have.
_OUTPUT = 64 * 1024

#: How much to keep of standard error, in bytes, and how much of one line to log.
_ERRORS = 8 * 1024
_LOGGED = 1000

_CHUNK = 64 * 1024

#: How long to wait for the exit status of a process that has closed its output, in seconds.
_STATUS_SECONDS = 2.0

#: Has a program go on when the terminal sends Ctrl-C or Ctrl-\\, which are for the client. Where
#: ssh asks for a password itself, it can be interrupted all the same.
_UNDISTURBED = ("sh", "-c", 'trap "" INT QUIT; exec "$@"', "sh")


class Process:
    """An ssh process.

    Args:
        command: The program and its arguments.
        label: What to call it in the log.
        terminal: Whether it may use this process's terminal.

    Raises:
        OSError: It cannot be run.
    """

    def __init__(self, command: Sequence[str], label: str, *, terminal: bool) -> None:
        self._popen = subprocess.Popen(
            [*_UNDISTURBED, *command] if terminal else list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=not terminal,
        )
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        self._label = label
        self._input = self._popen.stdin
        self._streams = {
            self._popen.stdout.fileno(): bytearray(),
            self._popen.stderr.fileno(): bytearray(),
        }
        self._output, self._errors = self._streams.values()
        self._output_number, self._errors_number = self._streams
        self._unsent = b""
        self._open = set(self._streams)
        self._thread: Optional[threading.Thread] = None
        self._quiet = True
        for number in (self._input.fileno(), *self._streams):
            os.set_blocking(number, False)

    @property
    def running(self) -> bool:
        """Whether the command at the other end may still run."""
        return self._output_number in self._open and self._popen.poll() is None

    @property
    def status(self) -> Optional[int]:
        """The exit status once it has ended; negative for a signal."""
        return self._popen.poll()

    @property
    def errors(self) -> str:
        """The end of what it wrote to standard error."""
        return bytes(self._errors).decode("utf-8", "replace")

    @property
    def output(self) -> str:
        """The end of what it wrote to standard output and nobody expected."""
        return bytes(self._output).decode("utf-8", "replace")

    def send(self, data: bytes) -> None:
        """Write to it, as soon as it takes it; that happens while something is expected."""
        self._unsent += data

    def expect(self, starts: Sequence[str], deadline: Deadline) -> Optional[tuple[str, str]]:
        """Wait for a line of its output that begins in one of some ways.

        Args:
            starts: How the line may begin: with something that nothing else has in it. None at
                all to read until the deadline.
            deadline: When to give up.

        Returns:
            How it begins, and its rest; None when the time is over, or the output.
        """
        choices = b"|".join(re.escape(start.encode()) for start in starts) or rb"(?!)"
        pattern = re.compile(rb"(%b)([^\n]*)\n" % choices)
        selector = selectors.DefaultSelector()
        try:
            for number in self._open:
                selector.register(number, selectors.EVENT_READ)
            writing = False
            while True:
                found = pattern.search(self._output)
                if found is not None:
                    start, rest = (group.decode("utf-8", "replace") for group in found.groups())
                    del self._output[: found.end()]
                    return start, rest
                if self._output_number not in self._open:
                    self._linger(selector)
                    return None
                if deadline.expired():
                    return None
                if bool(self._unsent) is not writing:
                    writing = not writing
                    if writing:
                        selector.register(self._input, selectors.EVENT_WRITE)
                    else:
                        selector.unregister(self._input)
                for key, _ in selector.select(deadline.remaining()):
                    if key.fileobj is self._input:
                        self._write()
                    elif not self._read(key.fd):
                        selector.unregister(key.fd)
        finally:
            selector.close()

    def attend(self) -> None:
        """Leave it to a thread to read what comes, from now on."""
        self._output.clear()
        self._quiet = False
        self._thread = threading.Thread(target=self._drain, name="farm-ssh", daemon=True)
        self._thread.start()

    def kill(self) -> None:
        """End it at once; whoever expects something of it learns that there is nothing more."""
        self._popen.kill()

    def finish(self, seconds: float) -> None:
        """Close its input, wait for its end for some seconds, and kill it then.

        Nothing is left of it on return: no process, no thread, no descriptor.
        """
        self._input.close()
        if self._thread is None:
            self.kill()
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        if self._thread is not None:
            # It ends with the last process that has these pipes, or soon after this one.
            self._thread.join()
        for pipe in (self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                pipe.close()

    def _drain(self) -> None:
        selector = selectors.DefaultSelector()
        with selector:
            for number in self._open:
                selector.register(number, selectors.EVENT_READ)
            while self._open and self._popen.poll() is None:
                # A child of ssh may outlive it and have its pipes.
                for key, _ in selector.select(1.0):
                    if not self._read(key.fd):
                        selector.unregister(key.fd)
            self._linger(selector, 0)

    def _linger(self, selector: selectors.BaseSelector, seconds: float = _STATUS_SECONDS) -> None:
        """Read what is left of standard error, and wait for the exit status."""
        deadline = Deadline(seconds)
        while self._errors_number in self._open:
            ready = selector.select(deadline.remaining())
            if not ready:
                break
            for key, _ in ready:
                if key.fileobj is not self._input and not self._read(key.fd):
                    selector.unregister(key.fd)
            if deadline.expired():
                break
        try:
            self._popen.wait(deadline.remaining() or 0.0)
        except subprocess.TimeoutExpired:
            pass

    def _read(self, number: int) -> bool:
        """Read what there is; return False at the end."""
        try:
            data = os.read(number, _CHUNK)
        except BlockingIOError:
            return True
        if not data:
            self._open.discard(number)
            return False
        kept = self._streams[number]
        kept += data
        errors = number == self._errors_number
        del kept[: -_ERRORS if errors else -_OUTPUT]
        if errors and not self._quiet and log.isEnabledFor(logging.INFO):
            text = data[:_LOGGED].decode("utf-8", "replace").rstrip()
            log.info("%s: %s", self._label, text)
        return True

    def _write(self) -> None:
        try:
            sent = os.write(self._input.fileno(), self._unsent[:_CHUNK])
        except BlockingIOError:
            return
        except OSError:  # it has ended, and its output says why
            sent = len(self._unsent)
        self._unsent = self._unsent[sent:]
