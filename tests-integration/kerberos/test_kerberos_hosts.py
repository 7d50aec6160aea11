"""Kerberos between hosts, whose cables are pulled: see ``kerberos_hosts.py``."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from namespaces import OWN, why_none

BOUND = 110.0


def test_between_hosts(tmp_path):
    """Client, server and KDC are different hosts; sessions outlive connections in both modes."""
    reason = why_none()
    if reason:
        pytest.skip(reason)
    program = Path(__file__).with_name("kerberos_hosts.py")
    done = subprocess.run(
        [*OWN, sys.executable, str(program), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=BOUND,
    )
    print(done.stdout)  # how long each took, for who asks with -s
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)[:2] for line in done.stdout.splitlines()] == [
        [mode, scenario]
        for mode in ("gss", "gss-tls")
        for scenario in ("work", "partition", "transfer")
    ]
