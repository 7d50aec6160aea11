"""What is said to ssh, and what any login shell makes of it."""

import os
import shutil
import subprocess
import sys

import pytest

from farm_common.address import parse_address
from farm_common.ssh.command import bootstrap, remote_command, ssh_command

SHELLS = [
    name for name in ("sh", "bash", "dash", "tcsh", "csh", "fish", "zsh") if shutil.which(name)
]


def command_for(address, options=(), prompts=False):
    return ssh_command(parse_address(address), options, "/l:/r", prompts=prompts)


def test_what_the_address_says_comes_first():
    """ssh takes the first of several values: the address's, the program's, then farm's own."""
    command = command_for(
        "ssh://me@node1:2222?option=ServerAliveInterval=5&option=ProxyJump=gw&config=/etc/x",
        ["ConnectTimeout=60"],
    )
    assert command[:3] == ["ssh", "-F", "/etc/x"]
    options = [command[i + 1] for i, word in enumerate(command) if word == "-o"]
    assert options[:3] == ["ServerAliveInterval=5", "ProxyJump=gw", "ConnectTimeout=60"]
    assert {"ConnectTimeout=10", "ServerAliveInterval=7", "BatchMode=yes"} < set(options[3:])
    assert command[-8:] == ["-L", "/l:/r", "-l", "me", "-p", "2222", "--", "node1"]


def test_what_is_not_said_is_left_to_ssh():
    """The user, the port and the configuration are ssh's own; it may ask if somebody is there."""
    command = command_for("ssh://[fe80::1]", prompts=True)
    assert not {"-l", "-p", "-F", "BatchMode=yes"} & set(command)
    assert command[-2:] == ["--", "fe80::1"]


def test_a_configuration_in_the_home_directory(monkeypatch):
    """A tilde is this machine's."""
    monkeypatch.setenv("HOME", "/home/me")
    assert command_for("ssh://h?config=~/x")[2] == "/home/me/x"


def run(shell, python, program=b"import sys;sys.stdout.write('ran '+sys.executable)", path=None):
    command = remote_command("TOKEN", len(program), python)
    env = {**os.environ, **({} if path is None else {"PATH": path})}
    found = shutil.which(shell)
    ended = subprocess.run([found, "-c", command], input=program, env=env, capture_output=True)
    return ended.stdout.decode()


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_understands_it(shell):
    """The Python executes what it is sent."""
    assert run(shell, sys.executable).startswith("ran ")
    assert run(shell, "").startswith("ran ")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "name", ["a b", "it's", 'say "hi"', "$HOME", "a;b", "!x", "back\\slash", "ü%s*"]
)
def test_every_path_is_taken_as_it_is(shell, name, tmp_path):
    """Whatever is in it."""
    folder = tmp_path / name
    folder.mkdir()
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    assert run(shell, str(python)).startswith("ran ")


def test_the_home_directory_there(tmp_path, monkeypatch):
    """A tilde is the other machine's."""
    (tmp_path / "my python").symlink_to(sys.executable)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run("sh", "~/my python").startswith("ran ")


@pytest.fixture
def pythons(tmp_path):
    """Makes Pythons of some version, and returns the only folder on the PATH."""
    (tmp_path / "sh").symlink_to("/bin/sh")

    def make(**versions):
        for name, version in versions.items():
            path = tmp_path / name.replace("_", ".")
            path.write_text(f"#!/bin/sh\n{version}\n")
            path.chmod(0o755)
        return str(tmp_path)

    return make


def test_none_will_do(pythons):
    """It says what there is, in the order in which it was tried."""
    path = pythons(python3="echo 3.7.3", python3_9="exit 1", python="echo 2.7.18")
    assert run("sh", "", path=path) == "\nTOKEN none python3=3.7.3 python3.9= python=2.7.18\n"


def test_the_first_that_will_do(pythons):
    """One that is too old is passed over; what it writes while it starts does no harm."""
    good = f'case "$2" in *version*) echo hello; echo True;; *) exec {sys.executable} "$@";; esac'
    path = pythons(python3="echo 3.7.3", python3_11=good, python="echo 2.7.18")
    assert run("sh", "", path=path).startswith("ran ")


def test_the_program():
    """It is a Python program, and names no file of this machine."""
    program = bootstrap("T", "/tmp/x/socket", "d" * 64, {"farm_common": "0.1"}, ["--workers=2"])
    compile(program, "there", "exec")
    assert program.decode().endswith(
        "main('T', '/tmp/x/socket', '" + "d" * 64 + "', {'farm_common': '0.1'}, ['--workers=2'])\n"
    )
