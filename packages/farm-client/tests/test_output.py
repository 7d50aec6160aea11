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


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("ascii", "\\u2603 \\xe9\n"), ("latin-1", "\\u2603 \xe9\n"), ("utf-8", "\u2603 \xe9\n")],
)
def test_what_the_encoding_does_not_have(monkeypatch, encoding, shown):
    """Is written as an escape, and the rest of the line as it is."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    Printer().show(0, frame("\u2603 \xe9\n"))
    assert stream.buffer.getvalue().decode(encoding) == f"[worker 0] {shown}"


def test_a_stream_of_the_program_that_fails(monkeypatch):
    """Its error goes no further, and the next line is written."""

    class Stream(io.StringIO):
        def write(self, text):
            if "fail" in text:
                raise RuntimeError(text)
            return super().write(text)

    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    Printer().show(0, frame("fail\nwork\n"))
    monkeypatch.delattr(sys, "stdout")
    Printer().show(0, frame("nowhere\n"))
    assert stream.getvalue() == "[worker 0] work\n"
