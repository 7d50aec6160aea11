"""Shows here what tasks print there."""

from __future__ import annotations

import sys
from codecs import getincrementaldecoder
from typing import Any

from farm_common.frames import Frame

__all__ = ["Printer"]


class Printer:
    """Writes the output of tasks to this process's own, a line at a time, with the worker's index.

    Output of one worker stays in order; what was printed before a task ended is written before
    its result is returned.
    """

    def __init__(self) -> None:
        #: Lines without an end so far, by worker and stream.
        self.tails: dict[tuple[int, int], str] = {}
        self._decoders: dict[tuple[int, int], Any] = {}

    def show(self, worker: int, frame: Frame) -> None:
        """Write what an OUTPUT frame brings."""
        body = bytes(frame.body)
        number = body[0] if body else 1
        key = worker, number
        if frame.count:
            self._write(worker, number, f"({frame.count} bytes of output were dropped)\n")
        decoder = self._decoders.get(key)
        if decoder is None:
            decoder = self._decoders[key] = getincrementaldecoder("utf-8")("replace")
        text = self.tails.pop(key, "") + decoder.decode(body[1:])
        *lines, tail = text.splitlines(True) or [""]
        if tail.endswith("\n"):
            lines.append(tail)
        elif tail:
            self.tails[key] = tail
        for line in lines:
            self._write(worker, number, line)

    def finish(self, worker: int) -> None:
        """Write what has no end of line: its task has ended."""
        if self.tails:
            for key in [key for key in self.tails if key[0] == worker]:
                self._write(worker, key[1], self.tails.pop(key) + "\n")

    def _write(self, worker: int, number: int, line: str) -> None:
        text = f"[worker {worker}] {line}"
        try:
            stream = sys.stderr if number == 2 else sys.stdout
            try:
                stream.write(text)
            except UnicodeEncodeError as error:  # as the interpreter shows what it cannot print
                encoding = getattr(stream, "encoding", None) or error.encoding
                stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stream.flush()
        except Exception:  # noqa: BLE001, S110
            # This process has closed its own output, or put an object of its own there, which
            # must not end the thread that reads.
            pass
