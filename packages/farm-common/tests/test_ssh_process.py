"""A process that is talked to: nothing that it writes, or does not read, blocks anybody."""

import logging
import os
import signal
import threading

import pytest

from farm_common.deadline import Deadline
from farm_common.ssh.process import Process

BOUND = 30.0


@pytest.fixture
def run():
    """Runs a script of sh; nothing is left of it."""
    started = []

    def run_(script, terminal=False):
        started.append(Process(["sh", "-c", script], "label", terminal=terminal))
        return started[-1]

    yield run_
    for process in started:
        process.kill()
        process.finish(BOUND)
        assert process.status is not None
    assert [t.name for t in threading.enumerate() if t.name == "farm-ssh"] == []


def test_a_line_is_found(run):
    """Among others, and the rest of what is written stays."""
    process = run("echo welcome; printf abc; printf '\\nkey one two\\nkey three\\n'; read x")
    assert process.expect(["key "], Deadline(BOUND)) == ("key ", "one two")
    assert process.expect(["other", "key "], Deadline(BOUND)) == ("key ", "three")
    assert process.running


def test_what_is_sent(run):
    """It arrives, also where it is more than a pipe takes and comes back at once."""
    process = run("cat; echo; echo end of it")
    process.send(b"x" * 1_000_000)
    assert process.expect(["never"], Deadline(0)) is None
    process.send(b"\nkey y\n")
    assert process.expect(["key "], Deadline(BOUND)) == ("key ", "y")


def test_its_end(run):
    """There is nothing more to expect; its last words and status are known."""
    process = run("echo out; echo err >&2; exit 7")
    assert process.expect(["key"], Deadline(BOUND)) is None
    assert process.status == 7
    assert process.errors == "err\n"
    assert process.output == "out\n"
    assert not process.running


def test_it_does_not_read(run):
    """What it is sent is lost when it ends, and that is all."""
    process = run("exec <&-; echo err >&2; exit 7")
    process.send(b"x" * 1_000_000)
    assert process.expect(["key"], Deadline(BOUND)) is None
    assert process.status == 7
    assert process.errors == "err\n"


def test_the_time_is_over(run):
    """It goes on, and can be asked again."""
    process = run("read x; echo key")
    assert process.expect(["key"], Deadline(0)) is None
    assert process.running
    process.send(b"\n")
    assert process.expect(["key"], Deadline(BOUND)) == ("key", "")


def test_a_flood(run):
    """It is read, on both streams, and only the end of it is kept."""
    process = run(
        "head -c 20000000 /dev/zero >&2; head -c 20000000 /dev/zero; printf '\\nkey\\n';"
        "echo last >&2; read x; exit 3"
    )
    assert process.expect(["key"], Deadline(BOUND)) == ("key", "")
    process.send(b"\n")
    assert process.expect(["nothing"], Deadline(BOUND)) is None
    assert process.errors.endswith("last\n")
    assert len(process.errors) <= 8192
    assert process.status == 3


def test_nobody_waits_for_a_reader(run):
    """Once it is attended to, whatever it writes is read; closing its input ends it."""
    process = run("head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2; cat; exit 0")
    process.attend()
    process.finish(BOUND)
    assert process.status == 0


def test_it_does_not_end(run):
    """It is killed."""
    process = run("exec sleep 1000")
    process.attend()
    process.finish(0.01)
    assert process.status == -signal.SIGKILL


def test_killed_by_another_thread(run):
    """Whoever waits for it learns that there is nothing more."""
    process = run("exec sleep 1000")
    killer = threading.Timer(0.05, process.kill)
    killer.start()
    assert process.expect(["key"], Deadline(BOUND)) is None
    killer.join()
    assert process.status == -signal.SIGKILL


def test_a_child_that_stays(run):
    """One that has the pipes, as a proxy's command may, delays nobody for long."""
    process = run("sleep 1000 & echo key $!; read x; exit 5")
    child = int(process.expect(["key "], Deadline(BOUND))[1])
    try:
        process.attend()
        process.finish(BOUND)
        assert process.status == 5
    finally:
        os.kill(child, signal.SIGKILL)


def test_what_it_complains_of_is_logged(run, caplog):
    """Where somebody wants to know, once the server runs."""
    caplog.set_level(logging.INFO, "farm.ssh")
    process = run("echo before >&2; echo key; read x; echo after >&2")
    assert process.expect(["key"], Deadline(BOUND)) is not None
    process.attend()
    process.finish(BOUND)
    assert "label: after" in caplog.messages
    assert "after\n" in process.errors


def test_interrupts_are_for_others(run):
    """In the terminal's own group it ignores what Ctrl-C sends; alone it has a group of its own."""
    script = "kill -INT $$; kill -QUIT $$; echo key $(ps -o pgid= -p $$); read x"
    group = run(script, terminal=True).expect(["key "], Deadline(BOUND))[1]
    assert int(group) == os.getpgrp()
    group = run("echo key $(ps -o pgid= -p $$)").expect(["key "], Deadline(BOUND))[1]
    assert int(group) != os.getpgrp()


def test_no_such_program():
    """The system's own error."""
    with pytest.raises(FileNotFoundError):
        Process(["/nonexistent"], "label", terminal=False)
