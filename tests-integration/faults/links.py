"""A network of one's own: a bridge in this network namespace, and cables to others to be pulled.

To be used in a namespace that is the program's own (``unshare -n``): nothing of it is left then,
however the program ends.
"""

from __future__ import annotations

import os
import subprocess
import time
from typing import Any, Callable

__all__ = ["HERE", "Link", "ip", "make_bridge", "until"]

BOUND = 60.0

#: The address of this namespace.
HERE = "10.99.0.1"


def ip(*arguments: str, inside: int = 0) -> None:
    """Set up the network, of this namespace or of another process's."""
    enter = ["nsenter", "-t", str(inside), "-n"] if inside else []
    subprocess.run([*enter, "ip", *arguments], check=True, timeout=BOUND)


def make_bridge() -> None:
    """Make what cables are plugged into."""
    ip("link", "set", "lo", "up")
    ip("link", "add", "br0", "type", "bridge")
    ip("addr", "add", f"{HERE}/24", "dev", "br0")
    ip("link", "set", "br0", "up")


class Link:
    """The cable to a host.

    Args:
        number: Which host; its address follows from that.

    Attributes:
        place: The address.
    """

    def __init__(self, number: int) -> None:
        self._name = f"h{number}"
        self.place = f"10.99.0.{number + 1}"

    def lay(self, pid: int) -> None:
        """Lay it to the namespace of a process, as soon as that has one of its own."""
        until(lambda: os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net"))
        ip("link", "add", self._name, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        ip("link", "set", self._name, "master", "br0", "up")
        ip("link", "set", "lo", "up", inside=pid)
        ip("addr", "add", f"{self.place}/24", "dev", "eth0", inside=pid)
        ip("link", "set", "eth0", "up", inside=pid)

    def unplug(self) -> None:
        """Pull it: nobody is told."""
        ip("link", "set", self._name, "down")

    def plug(self) -> None:
        """Put it back."""
        ip("link", "set", self._name, "up")

    def remove(self) -> None:
        """Take it away."""
        ip("link", "del", self._name)


def until(condition: Callable[[], Any], seconds: float = BOUND) -> None:
    """Wait for what nobody tells."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.01)
