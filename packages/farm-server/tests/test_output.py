"""Output: what a process prints becomes frames. Each test runs in a process of its own."""

import json
import subprocess
import sys
import textwrap

import pytest

PRELUDE = """
import json, os, subprocess, sys, threading, time
from farm_common.connection import Connection
from farm_common.frames import FrameReader
from farm_common.states import Role, State
from farm_server.output import Output

log = os.fdopen(os.dup(int(sys.argv[1])), "w")
connection = Connection(Role.SERVER)
connection.state = State.OPEN
output = Output({where!r})

def take(during=False):
    reader = FrameReader(1 << 26)
    data = b"".join(bytes(s) for s in output.take(connection, 9, during))
    return [
        (f.ident, f.count, bytes(f.body)[0], bytes(f.body)[1:].decode("latin-1"))
        for f in (reader.feed(data) if data else [])
    ]

def tell(what):
    json.dump(what, log)
    log.close()
    os._exit(0)
"""


@pytest.fixture
def printed(tmp_path):
    """Runs a body after PRELUDE; returns what it told, its stdout and stderr."""

    def printed_(body, where="forward"):
        path = tmp_path / "log"
        with open(path, "w", encoding="utf-8") as log:
            done = subprocess.run(
                [
                    sys.executable,
                    "-c",
                    PRELUDE.format(where=where) + textwrap.dedent(body),
                    str(log.fileno()),
                ],
                pass_fds=[log.fileno()],
                capture_output=True,
                text=True,
                timeout=30,
            )
        text = path.read_text(encoding="utf-8")
        assert text, done.stderr
        return json.loads(text), done.stdout, done.stderr

    return printed_


def test_what_was_printed_is_taken(printed):
    """From Python, the descriptor and child processes, in order, once."""
    told, out, err = printed(
        """
        print("a")
        os.write(1, b"b\\n")
        subprocess.run(["echo", "c"])
        print("d", end="")
        first = take()
        tell([first, take()])
        """
    )
    assert "".join(piece[3] for piece in told[0]) == "a\nb\nc\nd"
    assert {piece[:3] == [9, 0, 1] for piece in told[0]} == {True}
    assert told[1] == []
    assert out == err == ""


def test_standard_error_is_apart(printed):
    """Stream 2."""
    told, _, _ = printed("print('x', file=sys.stderr)\ntell(take())")
    assert told == [[9, 0, 2, "x\n"]]


def test_while_a_task_runs_lines_are_taken(printed):
    """What has no end of line stays where it is."""
    told, _, _ = printed(
        """
        print("line")
        print("rest", end="")
        tell([take(during=True), take()])
        """
    )
    assert told == [[[9, 0, 1, "line\n"]], [[9, 0, 1, "rest"]]]


def test_a_full_pipe_and_a_thread_that_takes(printed):
    """Who empties the pipe does not wait for who fills it."""
    told, _, _ = printed(
        """
        taken = []
        done = threading.Event()
        def monitor():
            while not done.is_set():
                for descriptor in output.descriptors:
                    output.collect(descriptor)
                taken.extend(take(during=True))
        thread = threading.Thread(target=monitor, daemon=True)
        thread.start()
        for _ in range(100):
            sys.stdout.write("x" * 50_000)
        sys.stdout.flush()
        done.set()
        thread.join()
        taken += take()
        dropped = sum(piece[1] for piece in taken) + output._dropped[1]
        tell(sum(len(piece[3]) for piece in taken) + dropped)
        """
    )
    assert told == 100 * 50_000


@pytest.mark.parametrize("closing", ["sys.stdout.close()", "sys.stdout.detach()"])
def test_output_that_was_closed(printed, closing):
    """The next task has it again."""
    told, _, _ = printed(
        f"""
        {closing}
        take()
        take()
        print("again")
        os.write(1, b"too\\n")
        tell(take())
        """
    )
    assert "".join(piece[3] for piece in told) == "again\ntoo\n"


@pytest.mark.parametrize("name", ["stdout", "stderr"])
@pytest.mark.parametrize(
    "replacing",
    [
        "sys.{0} = io.StringIO()",
        "sys.{0} = None",
        "del sys.{0}",
        "sys.{0} = io.TextIOWrapper(sys.{0}.buffer)",
        "sys.{0} = io.TextIOWrapper(sys.{0}.detach())",
    ],
)
def test_output_that_was_replaced(printed, replacing, name):
    """The next task has it again, though not while this one runs."""
    told, _, _ = printed(
        f"""
        import io
        {replacing.format(name)}
        replaced = getattr(sys, {name!r}, None)
        take(during=True)
        kept = getattr(sys, {name!r}, None) is replaced
        del replaced
        take()
        take()
        print("again", file=sys.{name})
        tell([kept, take()])
        """
    )
    kept, taken = told
    assert kept
    assert [piece[3] for piece in taken] == ["again\n"]


def test_more_than_a_terminal_can_show(printed):
    """It is dropped, and counted in what is sent next."""
    told, _, _ = printed(
        """
        pieces = []
        for _ in range(100):
            os.write(1, b"x" * 60_000)
            pieces += take()
        time.sleep(0.2)  # the allowance grows by the second
        print("after")
        pieces += take()
        tell([sum(len(p[3]) for p in pieces), sum(p[1] for p in pieces), pieces[-1][3]])
        """
    )
    sent, dropped, last = told
    assert sent + dropped == 100 * 60_000 + len("after\n")
    assert dropped > 1_000_000
    assert last == "after\n"


def test_text_that_is_not_unicode(printed):
    """A lone surrogate does not fail the task that prints it."""
    told, _, _ = printed("print('\\udcff \\u2603')\ntell(take())")
    assert told[0][3].encode("latin-1").decode() == "\\udcff \u2603\n"


def test_left_with_the_server(printed):
    """On its standard error: its standard output is for the ready line."""
    told, out, err = printed("print('x', flush=True)\ntell(take())", where="server")
    assert (told, out, err) == ([], "", "x\n")


def test_discarded(printed):
    """Nowhere."""
    body = "print('x', flush=True); os.write(2, b'y')\ntell(take())"
    assert printed(body, where="discard") == ([], "", "")
