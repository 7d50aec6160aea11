"""Namespaces for a program of a test: a network and processes of its own."""

from __future__ import annotations

import shutil
import subprocess

__all__ = ["OWN", "why_none"]

#: Runs a program with a network of its own. It is the first of its processes: with it all end.
OWN = ("unshare", "-n", "-p", "-f", "--kill-child", "--mount-proc")


def why_none() -> str:
    """Why there can be no such program here; empty if there can."""
    missing = [name for name in ("unshare", "nsenter", "ip") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)}: not installed (Debian: util-linux, iproute2)"
    tried = subprocess.run(
        [*OWN, "ip", "link", "add", "v0", "type", "bridge"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no network namespaces here: {tried.stderr.strip()}" if tried.returncode else ""
