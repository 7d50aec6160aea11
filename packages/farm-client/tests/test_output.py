"""Printer: what tasks printed, by lines, with who printed it."""

import io
import sys

import pytest

from farm_client.output import Printer
from farm_common.frames import Frame, Kind


def frame(text, number=1, dropped=0):
    """An OUTPUT frame."""
    data = text if isinstance(text, bytes) else text.encode()
    return Frame(Kind.OUTPUT, ident=1, count=dropped, body=bytes((number,)) + data)


@pytest.mark.parametrize(
    ("shown", "out", "err"),
    [
        ([(0, "a\nb\n", 1)], "[worker 0] a\n[worker 0] b\n", ""),
        ([(0, "a\n", 2)], "", "[worker 0] a\n"),
        ([(0, "a", 1), (0, "b\n", 1)], "[worker 0] ab\n", ""),
        ([(0, "a", 1), (1, "b\n", 1)], "[worker 1] b\n[worker 0] a\n", ""),
        ([(0, "a", 1), (0, "b", 2)], "[worker 0] a\n", "[worker 0] b\n"),
        ([(0, "x\n\ny", 1)], "[worker 0] x\n[worker 0] \n[worker 0] y\n", ""),
        ([(0, b"\xe2\x98", 1), (0, b"\x83\n", 1)], "[worker 0] \u2603\n", ""),
        ([(0, b"\xff\n", 1)], "[worker 0] \ufffd\n", ""),
        ([(0, "", 1)], "", ""),
        ([(0, "10%\r20%\r\n", 1)], "[worker 0] 10%\r[worker 0] 20%\r\n", ""),
    ],
)
def test_lines(capsys, shown, out, err):
    """Whole lines at once, the rest when the task has ended; streams and workers apart."""
    printer = Printer()
    for worker, text, number in shown:
        printer.show(worker, frame(text, number))
    printer.finish(0)
    printer.finish(0)
    assert capsys.readouterr() == (out, err)


def test_what_was_dropped_is_counted(capsys):
    """Before what came after it."""
    Printer().show(3, frame("on\n", dropped=12345))
    assert capsys.readouterr().out == (
        "[worker 3] (12345 bytes of output were dropped)\n[worker 3] on\n"
    )


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_a_program_without_output(monkeypatch, stream):
    """Is not disturbed."""
    if stream is not None:
        stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    Printer().show(0, frame("a\n"))
