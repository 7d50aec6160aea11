"""Why a server could not be started over ssh: from what was said, the error that says so."""

from __future__ import annotations

from typing import Optional

from ..errors import AuthError, KernelCreationError

__all__ = ["said", "ssh_failed"]

#: How much to quote: lines, and characters of each.
_LINES = 8
_LENGTH = 300

#: What ssh says where one side does not accept the other, and what helps.
_NOT_ACCEPTED = {
    "REMOTE HOST IDENTIFICATION HAS CHANGED": (
        "if that machine was set up anew, remove its old key as ssh says, and log in once by hand"
    ),
    "Host key verification failed": (
        "log in once by hand to accept its key, or add option=StrictHostKeyChecking=accept-new"
    ),
    "Permission denied": (
        "check the user and the key: `ssh` must get there by itself, with a key or an agent"
    ),
    "Too many authentication failures": (
        "name the key: option=IdentityFile=FILE&option=IdentitiesOnly=yes"
    ),
    "No more authentication methods": "check the user and the key",
}

_HINTS = {
    "Could not resolve hostname": "check how the host is spelt, here and in ssh's configuration",
    "Connection refused": "check the port, and whether sshd runs there",
    "timed out": "check the host, the port, and whether a firewall lets you through",
    "No route to host": "check the host, and the network",
}


def said(text: str) -> str:
    """The last lines of what a program wrote, fit to be shown; empty if there are none."""
    lines = [_clean(line.rstrip().rpartition("\r")[2]) for line in text.split("\n")]
    return "\n".join([line[:_LENGTH] for line in lines if line.strip()][-_LINES:])


def ssh_failed(
    where: str, status: Optional[int], errors: str, output: str = "", seconds: float = 0
) -> KernelCreationError:
    """The error for an ssh that did not get as far as farm's own program at the other end.

    Args:
        where: The address.
        status: ssh's exit status: 255 for its own errors, else what the login shell returned;
            None while it runs.
        errors: The end of its standard error.
        output: The end of its standard output.
        seconds: How long it was waited for.
    """
    if status is None:
        return KernelCreationError(
            f"{where}: nothing was heard from there for {seconds:.3g} s: either ssh does not get "
            "there, or the login shell does not come to an end of its start files"
            f"{_below(said(errors))}"
        )
    if status == 255:
        for phrase, advice in _NOT_ACCEPTED.items():
            if phrase in errors:
                return AuthError(_quoting(f"{where}: cannot log in", errors, advice))
        hints = [hint for phrase, hint in _HINTS.items() if phrase in errors]
        return KernelCreationError(_quoting(f"{where}: ssh failed", errors, *hints[:1]))
    ending = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    quoted = said(f"{output}\n{errors}")
    return KernelCreationError(
        f"{where}: ssh {ending} before farm's command ran there; does that user have a shell, "
        f"and may the key run commands?{_below(quoted)}"
    )


def _quoting(what: str, errors: str, advice: str = "see what `ssh -v` says") -> str:
    """What happened, what ssh said of it, and what may help: the shortest way that is clear."""
    quoted = said(errors)
    if not quoted or "\n" in quoted:
        return f"{what}; {advice}{_below(quoted)}"
    return f"{what}: {quoted.rstrip('.')}; {advice}"


def _below(text: str) -> str:
    return "".join(f"\n  {line}" for line in text.split("\n")) if text else ""


def _clean(line: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in line.rstrip())
