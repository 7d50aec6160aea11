"""The sessions chaos, soak and races, for seconds instead of minutes."""

import subprocess
import sys
from pathlib import Path

import pytest

HARM = Path(__file__).parent / "faults"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")


def run(*arguments):
    """What one of them reports."""
    done = subprocess.run(
        [sys.executable, str(HARM), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=115,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_some_seconds_of_chaos():
    """Each task has one outcome, and ran as often as it may; nothing is left."""
    out = run("chaos", "--minutes", "0.2", "--seed", "5")
    assert "their outcomes {" in out
    assert out.endswith("nothing is left\n")


def test_a_short_soak():
    """It has curves to show."""
    out = run("soak", "--minutes", "0.05", "--seed", "5")
    assert out.count("descriptors  children") == 2


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="PyPy does not tell of each step")
def test_some_seconds_of_races():
    """Whatever threads are preempted in, what they do comes out right."""
    out = run("races", "--minutes", "0.1", "--seed", "5", "--module", "cognate/call.py")
    assert out.endswith("all was right\n")
