"""The smoke job: a server of one installation, a client and an administrator of others.

Usage: ``python ci/smoke.py SERVER_PYTHON CLIENT_PYTHON ADMIN_PYTHON``. Each is an interpreter that
has the wheel in question. Exits 1 with what went wrong; prints the versions that worked together.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = 60.0

SERVE = "import sys; from farm_server.cli import main; sys.exit(main())"

WORK = """
import sys
import farm_client as farm

def fails():
    raise ValueError("as it should")

with farm.make_kernel(sys.argv[1], timeout=30) as kernel:
    assert farm.pmap(lambda x: x * x, range(1000)) == [x * x for x in range(1000)]
    assert farm.force(farm.future("operator:add", 2, 3)) == 5
    try:
        farm.force(farm.future(fails))
    except farm.TaskExecutionError as error:
        assert "as it should" in error.report, error.report
    else:
        sys.exit("the error of a task did not arrive")
print("farm-client", farm.__version__)
"""

ADMINISTER = """
import sys
import farm_admin
assert farm_admin.ping(sys.argv[1], 30)
print("farm-server", farm_admin.status(sys.argv[1]).version)
print("farm-admin", farm_admin.__version__)
farm_admin.end_server(sys.argv[1])
"""


def main() -> int:
    """Run the job; see the module."""
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    server, client, admin = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="farm-smoke-") as folder:
        address = f"unix://{folder}/socket"
        serving = subprocess.Popen(
            [server, "-I", "-c", SERVE, address, "--workers", "2"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert serving.stdout is not None
            said = serving.stdout.readline()
            if not said.startswith("farm-server ready"):
                sys.exit(f"farm-server did not start: {said!r}")
            for python, script in ((client, WORK), (admin, ADMINISTER)):
                path = Path(folder, "script.py")
                path.write_text(script, encoding="utf-8")
                run = [python, "-I", str(path), address]
                if subprocess.run(run, timeout=SECONDS, check=False).returncode:
                    sys.exit(f"failed with {python}")
            if serving.wait(SECONDS):
                sys.exit(f"farm-server ended with status {serving.returncode}")
        finally:
            serving.kill()
            serving.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
