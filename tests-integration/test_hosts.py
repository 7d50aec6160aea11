"""Sessions on several hosts, whose cables are pulled: see ``faults/hosts.py``.

Left out where the system has no network namespaces, or lets nobody make them; the reason is told.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIOS = Path(__file__).parent / "faults" / "hosts.py"

BOUND = 110.0


def why_not():
    """What is missing, if anything is."""
    missing = [name for name in ("unshare", "nsenter", "ip") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)}: not installed (Debian: util-linux, iproute2)"
    tried = subprocess.run(
        ["unshare", "-n", "ip", "link", "add", "v0", "type", "bridge"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no network namespaces here: {tried.stderr.strip()}" if tried.returncode else ""


def test_cables_that_are_pulled():
    """For a moment, for long, and with the host dead: work goes on; each task has its result."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    done = subprocess.run(
        ["unshare", "-n", sys.executable, str(SCENARIOS)],
        capture_output=True,
        text=True,
        check=False,
        timeout=BOUND,
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)[0] for line in done.stdout.splitlines()] == ["short", "long", "crash"]
