"""The command farm-admin."""

import io
import json
import sys

import pytest

from farm_admin import cli
from farm_common.frames import Kind


def run(*arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    return caught.value.code


def test_ping(server, capsys):
    """Status 0 and how long it took."""
    assert run("ping", server.address) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"{server.address} answers (")
    assert captured.err == ""


def test_one_of_several_does_not_answer(server, nobody, capsys):
    """Status 1; the others are done all the same."""
    assert run("ping", nobody, server.address, "--timeout", "2") == 1
    captured = capsys.readouterr()
    assert captured.out.startswith(f"{server.address} answers (")
    assert captured.err.startswith(f"farm-admin: no server listens on {nobody} (")
    assert captured.err.endswith(f"); start one there: farm-server {nobody}\n")
    assert captured.err.count("\n") == 1


def test_end(server, capsys):
    """It says what that means."""
    assert run("end", server.address) == 0
    assert capsys.readouterr().out == f"{server.address} takes no new connections\n"
    assert server.asked == [Kind.DRAIN]


def test_status(server, status, capsys):
    """A table for each server, apart from each other."""
    server.status = status
    assert run("status", server.address, server.address) == 0
    first, _, second = capsys.readouterr().out.rpartition(f"\n\n{server.address}  n\n")
    assert "127.0.0.1:5  busy   sim" in first
    assert "127.0.0.1:5  busy   sim" in second


def test_kill(server, status, capsys):
    """It says what was ended, and where nothing was."""
    server.status = status
    assert run("kill", server.address, "--category", "sim") == 0
    text = f"{server.address}  ended task 4 of k, category sim, in process 13\n"
    assert capsys.readouterr().out == text
    assert run("kill", server.address, "--all", "--dry-run") == 0
    assert "would end task 4 of k" in capsys.readouterr().out
    assert [dry_run for _, dry_run in server.doomed] == [False, True]
    assert run("kill", server.address, "--category", "other") == 0
    assert capsys.readouterr().out == f"{server.address}  no such task of yours runs\n"
    assert run("kill", server.address, "--json", "--pid", "13") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["killed"] == [{"pid": 13, "task": 4}]


def test_top(server, status, capsys):
    """Elsewhere than on a terminal it prints one view after the other."""
    server.status = status
    assert run("top", server.address, "--count", "2", "--interval", "0.001") == 0
    out = capsys.readouterr().out
    assert out.count(f"{server.address}  n  up 1h02m, ") == 2
    assert out.count("127.0.0.1:5") == 2


def test_top_of_nobody(nobody, capsys):
    """It says what is wrong, and the status is 1."""
    assert run("top", nobody, "--count", "1") == 1
    assert "no server listens on" in capsys.readouterr().out


def test_top_without_rich(server, monkeypatch, capsys):
    """One line that says what to install."""
    monkeypatch.setitem(sys.modules, "rich.live", None)
    assert run("top", server.address) == 1
    assert "pip install 'farm-admin[top]'" in capsys.readouterr().err


def test_json(server, status, nobody, capsys):
    """A list in the order of the arguments, failures included."""
    server.status = status
    assert run("status", "--json", nobody, server.address) == 1
    captured = capsys.readouterr()
    failed, found = json.loads(captured.out)
    error = failed.pop("error")
    assert error.startswith(f"no server listens on {nobody} (")
    assert failed == {"address": nobody, "ok": False}
    assert found == {"address": server.address, "ok": True, **status}
    assert nobody in captured.err


def test_json_of_the_others(server, capsys):
    """Every command has it."""
    assert run("ping", "--json", server.address) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["address"], found["ok"]) == (server.address, True)
    assert 0 < found["seconds"] < 10
    assert run("end", "--json", server.address) == 0
    assert json.loads(capsys.readouterr().out) == [{"address": server.address, "ok": True}]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["ping"], "the following arguments are required: ADDRESS"),
        (["bottom", "h:1"], "invalid choice: 'bottom'"),
        (["top", "ssh://h"], "'ssh://h' has no server to watch"),
        (["top", "h:1", "--interval", "none"], "an interval has an end"),
        (["top", "h:1", "--count", "0"], "'0' is not a whole number above 0"),
        (["kill", "ssh://h", "--all"], "'ssh://h' has no server to end tasks of"),
        (["kill", "h:1"], "kill ends the tasks that --category, --kernel and --pid say"),
        (["kill", "h:1", "--all", "--pid", "7"], "or with --all every one"),
        (["kill", "h:1", "--pid", "-7"], "'-7' is not a whole number above 0"),
        (["ping", "nonsense"], "farm-admin: bad address 'nonsense'"),
        (["ping", "local"], "'local' is no server's address"),
        (["end", "ssh://h"], "'ssh://h' has no server to end"),
        (["ping", "h:1", "--tls", "/nowhere"], "is missing: /nowhere/key.pem; farm-admin certs"),
        (["certs"], "the following arguments are required: WHAT"),
        (["certs", "server"], "the following arguments are required: NAME"),
        (["ping", "h:1", "--timeout", "0"], "'0' is not a number above 0, nor none"),
        (["ping", "h:1", "--timeout", "x"], "'x' is not a number above 0, nor none"),
        (["ping", "h:1", "--gss-service", "x"], "--gss-service belongs to --gss or --gss-tls"),
    ],
)
def test_wrong_usage(capsys, arguments, text):
    """Status 2, and no traceback."""
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert text in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_for_ever(server):
    """--timeout none."""
    assert run("ping", server.address, "--timeout", "none") == 0


def test_version(capsys):
    """Three versions in one line."""
    assert run("--version") == 0
    text = capsys.readouterr().out
    assert text.startswith("farm-admin 0.")
    assert ", protocol 1, " in text


@pytest.mark.parametrize("arguments", [["--help"], ["ping", "--help"], ["status", "--help"]])
def test_help(capsys, arguments):
    """Examples and statuses everywhere."""
    assert run(*arguments) == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert "exit status:" in text


def test_standard_output_that_is_closed(server, capsys, monkeypatch):
    """The status says what there is to say."""
    monkeypatch.setattr(sys, "stdout", None)
    assert run("ping", server.address) == 0
    assert capsys.readouterr().err == ""


def test_standard_output_that_is_full(server, capsys, monkeypatch):
    """A line that says so, and status 1."""
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert run("ping", server.address) == 1
        full.flush()
    why = "farm-admin: cannot write to standard output: No space left on device\n"
    assert capsys.readouterr().err == why


def test_letters_that_standard_output_lacks(server, status, monkeypatch):
    """They are shown as escapes, and the rest as it is."""
    server.status = {**status, "name": "b\u00fccher"}
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert run("status", server.address) == 0
    assert raw.getvalue().startswith(f"{server.address}  b\\xfccher\n".encode())
