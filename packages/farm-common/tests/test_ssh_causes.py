"""Why a server could not be started over ssh, from what ssh said."""

import pytest

from farm_common import AuthError, KernelCreationError
from farm_common.ssh.causes import said, ssh_failed

WHERE = "ssh://me@node1"


@pytest.mark.parametrize(
    ("errors", "kind", "texts"),
    [
        (
            "ssh: connect to host node1 port 22: Connection refused\r\n",
            KernelCreationError,
            [": Connection refused; check the port"],
        ),
        (
            "ssh: Could not resolve hostname node1: Name or service not known\n",
            KernelCreationError,
            ["node1: Name or service not known; check how the host is spelt"],
        ),
        (
            "Connection timed out during banner exchange\nConnection to h port 22 timed out\n",
            KernelCreationError,
            ["a firewall", "\n  Connection timed out", "\n  Connection to h"],
        ),
        ("me@node1: Permission denied (publickey).\n", AuthError, ["(publickey); check the user"]),
        (
            "*** welcome ***\nHost key verification failed.\n",
            AuthError,
            ["accept-new", "\n  *** welcome ***\n  Host key"],
        ),
        ("", KernelCreationError, ["ssh failed; see what `ssh -v` says"]),
        ("odd\n", KernelCreationError, ["ssh failed: odd; see what"]),
    ],
)
def test_ssh_itself(errors, kind, texts):
    """Its own words, and what may help; that one side is not accepted is another kind of error."""
    error = ssh_failed(WHERE, 255, errors)
    assert type(error) is kind
    assert str(error).startswith(f"{WHERE}: ")
    for text in texts:
        assert text in str(error)


def test_the_login_shell():
    """What stands in for a shell tells it on standard output, and its status is its own."""
    error = ssh_failed(WHERE, 1, "err\n", "This account is currently not available.\n")
    assert "status 1 before farm's command ran" in str(error)
    assert "\n  This account is currently not available.\n  err" in str(error)
    assert "killed by signal 9" in str(ssh_failed(WHERE, -9, ""))


def test_nothing_is_heard():
    """It says for how long, and quotes what there is."""
    error = ssh_failed(WHERE, None, "welcome\n", seconds=14.0)
    assert "nothing was heard from there for 14 s" in str(error)
    assert str(error).endswith("\n  welcome")


def test_what_was_said():
    """The last lines, not too long, and nothing that could move the cursor."""
    text = "".join(f"line {number}\n\n" for number in range(100))
    assert said(text).split("\n") == [f"line {number}" for number in range(92, 100)]
    assert len(said("x" * 10000)) == 300
    assert said("10%\r50%\r\x1b[31mred\x1b[0m\r\n") == "?[31mred?[0m"
    assert said(" \n\n") == ""
