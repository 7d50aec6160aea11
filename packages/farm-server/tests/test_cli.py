"""The command line, without serving."""

import io
import os
import stat
import sys

import pytest

from farm_common.address import parse_address
from farm_common.security import NoAuth, TLSAuth
from farm_server import cli


@pytest.fixture
def serve(monkeypatch):
    """Records what would be served."""
    calls = []

    def serve_(settings, *, ready, until_closed):
        calls.append((settings, until_closed))
        ready([str(address) for address in settings.addresses])
        return True

    monkeypatch.setattr(cli, "serve", serve_)
    monkeypatch.setattr(cli, "log_to_stderr", lambda level: None)
    return calls


def run(*arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    return caught.value.code


def test_defaults(serve, capsys):
    """One loopback address, and the ready line."""
    assert run() == 0
    settings, until_closed = serve[0]
    assert settings.addresses == (parse_address("127.0.0.1:11111"),)
    assert until_closed is None
    assert capsys.readouterr().out == "farm-server ready 127.0.0.1:11111\n"


def test_all_options(serve, capsys, tmp_path):
    """Each reaches the settings."""
    file = tmp_path / "ports"
    code = run(
        *("127.0.0.1:1", "[::1]:2", "--workers", "3", "--max-connections", "9", "--name", "n"),
        *("--tag", "a", "--tag", "b", "--insecure", "--memory-limit", "1G", "--log-level", "INFO"),
        *("--port-file", str(file), "--until-stdin-closes", "--grace", "2.5"),
    )
    assert code == 0
    settings, until_closed = serve[0]
    assert (settings.workers, settings.max_connections, settings.name) == (3, 9, "n")
    assert (settings.tags, settings.insecure, settings.memory_limit) == (("a", "b"), True, 1 << 30)
    assert settings.grace == 2.5
    assert until_closed == 0
    assert file.read_text() == "127.0.0.1:1\n[::1]:2\n"
    assert os.listdir(tmp_path) == ["ports"]
    assert capsys.readouterr().out == "farm-server ready 127.0.0.1:1 [::1]:2\n"


def test_certificates(serve, monkeypatch):
    """The directory and the names that may come in reach the mechanism."""
    made = []

    class Auth(TLSAuth):
        @classmethod
        def from_directory(cls, directory, *, allowed_names):
            made.append((directory, allowed_names))
            return NoAuth()

    monkeypatch.setattr("farm_common.security.options.TLSAuth", Auth)
    assert run("--tls", "d") == 0
    assert run("--tls", "d", "--allow", "alice", "--allow", "bob") == 0
    assert made == [("d", None), ("d", ["alice", "bob"])]
    assert [settings.auths[0].name for settings, _ in serve] == ["none", "none"]


def test_local_users(serve):
    """An option of its own."""
    run("--allow-local-users")
    run()
    assert [settings.local_users for settings, _ in serve] == [True, False]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--allow", "alice"], "--allow says who may connect of those who prove who they are"),
        (["--tls", "/nowhere"], "the private key is missing: /nowhere/key.pem; farm-admin certs"),
        (["nonsense"], "bad address 'nonsense'"),
        (["local"], "a server cannot listen on 'local'"),
        (["--workers", "0"], "'0' is not a number above 0"),
        (["--workers", "x"], "'x' is not a number above 0"),
        (["--memory-limit", "1"], "'1' is too little for a worker"),
        (["--grace", "x"], "invalid float value: 'x'"),
        (["--grace", "-1"], "grace=-1.0 is not a number of seconds from 0 to 1000000"),
        (["--grace", "nan"], "grace=nan is not a number of seconds"),
        (["--log-level", "loud"], "invalid choice: 'loud'"),
        (["--work", "1"], "unrecognized arguments"),
    ],
)
def test_wrong_usage(serve, capsys, arguments, text):
    """Status 2, and no traceback."""
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert text in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert not serve


def test_a_port_file_that_cannot_be_written(serve, capsys):
    """Status 1, and which file."""
    assert run("--port-file", "/nonexistent/file") == 1
    assert capsys.readouterr().err == (
        "farm-server: cannot write /nonexistent/file: No such file or directory\n"
    )


def test_a_port_file_that_cannot_be_finished(serve, capsys, tmp_path, monkeypatch):
    """Nothing of it is left behind."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cli.os, "replace", full)
    assert run("--port-file", str(tmp_path / "ports")) == 1
    assert capsys.readouterr().err.endswith("ports: No space left on device\n")
    assert os.listdir(tmp_path) == []


def test_a_port_file_that_is_a_pipe(serve, capsys, tmp_path):
    """It is written to, and stays what it is; where nobody reads it, that is said."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run("127.0.0.1:1", "--port-file", str(pipe)) == 0
        assert os.read(reader, 100) == b"127.0.0.1:1\n"
    finally:
        os.close(reader)
    assert run("--port-file", str(pipe)) == 1
    assert f"cannot write {pipe}" in capsys.readouterr().err
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_ready_line_with_letters_that_standard_output_lacks(serve, monkeypatch):
    """A path is written as the system has it."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert run("unix:///tmp/\u00f6/a b") == 0
    assert raw.getvalue() == os.fsencode("farm-server ready unix:///tmp/\u00f6/a b\n")


def test_standard_output_that_is_full(serve, monkeypatch):
    """The server serves all the same, and nobody writes the line later."""
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert run() == 0
        full.flush()


def test_connections_that_were_cut(serve, monkeypatch):
    """Status 1 tells a script."""
    monkeypatch.setattr(cli, "serve", lambda *args, **keywords: False)
    assert run() == 1


def test_version(capsys):
    """Three versions in one line."""
    assert run("--version") == 0
    words = capsys.readouterr().out
    assert words.startswith("farm-server 0.")
    assert ", protocol 1, " in words


def test_help(capsys):
    """It shows examples, the ready line, signals and statuses, and no private option."""
    assert run("--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in (
        "examples:",
        "farm-server ready ADDRESS",
        "SIGTERM",
        "exit status:",
        "--port-file",
        "at most --max-connections",
        "folder is made, with mode 0700",
    ):
        assert part in text
    assert "stdin" not in text
