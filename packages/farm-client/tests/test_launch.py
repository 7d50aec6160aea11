"""Which addresses have a server started for them, and by whom."""

import pytest

import farm_client as farm
from farm_client.launch import LocalServer, launcher
from farm_common import KernelCreationError, parse_address
from farm_common.ssh import SshServer


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("local", LocalServer),
        ("ssh://h", SshServer),
        ("h:1", type(None)),
        ("unix:///s", type(None)),
    ],
)
def test_who_starts_it(address, kind):
    """Nobody starts one where one listens."""
    assert type(launcher(parse_address(address))) is kind


def test_options_of_the_program(tmp_path, monkeypatch):
    """They are read when a kernel is made, also those of a list that is new."""
    log = tmp_path / "log"
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\necho "$@" >{log}\necho "Permission denied" >&2\nexit 255\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(farm.ssh, "options", ["ProxyJump=gateway"])
    with pytest.raises(farm.AuthError) as caught:
        farm.make_kernel("ssh://me@h?option=Port=7")
    assert str(caught.value).startswith("ssh://me@h: cannot log in: Permission denied; ")
    assert "-o Port=7 -o ProxyJump=gateway -o " in log.read_text()
    assert isinstance(caught.value, KernelCreationError)
