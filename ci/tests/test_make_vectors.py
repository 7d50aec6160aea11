"""The golden vectors are what their generator makes, and the generator knows nothing of farm."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "make_vectors.py"


def run(*arguments):
    """Run the generator as it stands, without anything that is installed or set."""
    command = [sys.executable, "-I", "-S", str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_up_to_date():
    """Making them again gives the same file, with the standard library alone."""
    done = run("--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_farm_is_not_imported():
    """The generator does not mention a module of farm in an import."""
    lines = SCRIPT.read_text("utf-8").splitlines()
    assert not [line for line in lines if "import" in line.split() and "farm_" in line]


def test_stale(tmp_path):
    """A file that differs is an error that says what to do."""
    copy = tmp_path / "ci" / SCRIPT.name
    copy.parent.mkdir()
    copy.write_text(SCRIPT.read_text("utf-8"), "utf-8")
    command = [sys.executable, "-I", "-S", str(copy)]
    stale = subprocess.run([*command, "--check"], capture_output=True, text=True, check=False)
    assert stale.returncode == 1
    assert "run it" in stale.stderr
    assert subprocess.run(command, check=False).returncode == 0
    assert subprocess.run([*command, "--check"], check=False).returncode == 0
