"""Programs with kernels and servers of their own, in surroundings that are not the usual."""

import os
import signal
import subprocess
import sys

import pytest

BOUND = 30.0

#: A kernel with a private server, and one with a server in the background. Its last line is for
#: a file, as there may be no standard output.
PROGRAM = """
import os
import sys
import farm_client as farm
from farm_server import start_server

def double(x):
    return 2 * x

with farm.make_kernel("local?workers=1", timeout=20) as kernel:
    first = farm.pmap(double, range(3))
with start_server("127.0.0.1:0", workers=1, background=True) as server:
    with farm.make_kernel(server.address, timeout=20) as kernel:
        second = farm.pmap(double, range(3))
with open(sys.argv[1], "w") as file:
    file.write(f"{first} {second}")
os.environ.pop("PYTHONINSPECT", None)
"""

RESULT = "[0, 2, 4] [0, 2, 4]"


@pytest.mark.parametrize(
    "variable", ["PYTHONWARNINGS=error", "PYTHONDEVMODE=1", "PYTHONINSPECT=1", "PYTHONSAFEPATH=1"]
)
def test_settings_of_python(run, tmp_path, variable):
    """Servers inherit them, and nothing of farm's own is seen of that."""
    name, _, value = variable.partition("=")
    done = run(PROGRAM, str(tmp_path / "out"), env={**os.environ, name: value})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "out").read_text() == RESULT


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_descriptors_that_are_closed(tmp_path, closed):
    """As daemons have them: the servers get what they need all the same."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, program, tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "out").read_text() == RESULT


def test_a_working_directory_that_is_gone(tmp_path):
    """A private server is started elsewhere."""
    gone = tmp_path / "gone"
    gone.mkdir()
    program = tmp_path / "program.py"
    program.write_text(
        "import farm_client as farm\n"
        "with farm.make_kernel('local?workers=1', timeout=20):\n"
        "    print(farm.pmap(abs, range(3)))\n"
    )
    script = 'cd "$1" && rmdir "$1" && exec "$2" "$3"'
    command = ["sh", "-c", script, "sh", gone, sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0, 1, 2]\n", "")


@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM", "SIGKILL"])
def test_a_program_that_is_killed(folder, until, name):
    """Its private server ends, and removes what there was for it."""
    code = (
        "import farm_client as farm\n"
        "kernel = farm.make_kernel('local?workers=1', timeout=20)\n"
        "print(kernel.worker_count, flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": folder},
    ) as process:
        try:
            assert process.stdout.readline() == b"1\n"
            assert len(os.listdir(folder)) == 1
        finally:
            process.send_signal(getattr(signal, name))
    until(lambda: os.listdir(folder) == [])
