"""This process's resident size, in bytes."""

import resource
import sys


def now() -> int:
    """What it is."""
    return _status("VmRSS")


def peak() -> int:
    """What it was at most."""
    return _status("VmHWM")


def _status(name: str) -> int:
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            for line in file:
                if line.startswith(f"{name}:"):
                    return int(line.split()[1]) * 1024
    except FileNotFoundError:
        pass
    # Elsewhere the peak must do for both. Not on Linux: it is inherited from who started this.
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
