"""Check what was built into a folder before anybody installs it.

Each wheel holds ``py.typed`` and its licence, requires what its extras promise, was built from
an sdist beside it of the same version, and can be imported, commands and entry points included,
in an environment that has what the wheel declares and nothing else.

Usage: ``python ci/check_wheels.py DIST``; needs ``uv`` on the PATH. Exits 1 at the first wheel
that is not as it should be, and says why.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
import zipfile
from email.parser import Parser
from pathlib import Path

EXPECTED = ["farm_admin", "farm_client", "farm_common", "farm_gss", "farm_server"]

# An extra that is not declared, or brings nothing, is no more than a warning of the installer's.
EXTRAS = {"farm_client": {"gss": "farm-gss"}, "farm_server": {"gss": "farm-gss"}}

# Compiled when installed, against libraries that a checking machine need not have; what needs
# them at import time would fail here, and should.
NOT_INSTALLED = {"gssapi"}

PROBE = """
import importlib, importlib.metadata, sys
importlib.import_module(sys.argv[1])
version = importlib.import_module(sys.argv[1] + ".__about__").__version__
assert version == sys.argv[2], f"__version__ is {version}"
for point in importlib.metadata.distribution(sys.argv[1]).entry_points:
    point.load()
"""


def main() -> int:
    """Check every wheel of the folder given."""
    dist = Path(sys.argv[1]).resolve()
    wheels = {wheel.name.split("-")[0]: wheel for wheel in sorted(dist.glob("*.whl"))}
    if sorted(wheels) != EXPECTED:
        sys.exit(f"{dist} has wheels of {sorted(wheels)}, not {EXPECTED}")
    for package, wheel in wheels.items():
        version = wheel.name.split("-")[1]
        if not (dist / f"{package}-{version}.tar.gz").exists():
            sys.exit(f"{wheel.name} has no sdist of its version beside it")
        requirements = check_contents(wheel, package, version)
        check_import(wheel, package, version, requirements)
        print(f"{wheel.name}: sound, and imports with {', '.join(requirements)}")
    return 0


def check_contents(wheel: Path, package: str, version: str) -> list[str]:
    """Check the wheel's files and metadata; return what it requires without extras."""
    info = f"{package}-{version}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        missing = {f"{package}/py.typed", f"{info}/licenses/LICENSE"} - set(archive.namelist())
        if missing:
            sys.exit(f"{wheel.name} lacks {', '.join(sorted(missing))}")
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
    if not metadata.get_payload():
        sys.exit(f"{wheel.name} has no README as its description")
    requirements = metadata.get_all("Requires-Dist", [])
    for extra, wanted in EXTRAS.get(package, {}).items():
        if not any(is_of_extra(requirement, wanted, extra) for requirement in requirements):
            sys.exit(f"{wheel.name} does not require {wanted} for [{extra}]: {requirements}")
    return [requirement for requirement in requirements if "extra ==" not in requirement]


def is_of_extra(requirement: str, name: str, extra: str) -> bool:
    """Whether a line of metadata requires a package for an extra, and only for that."""
    what, _, marker = requirement.partition(";")
    found = re.match(r"[\w.-]+", what)
    quoted = marker.replace('"', "'").replace(" ", "")
    return found is not None and found[0] == name and quoted == f"extra=='{extra}'"


def check_import(wheel: Path, package: str, version: str, requirements: list[str]) -> None:
    """Import the wheel where only its requirements are installed, siblings from beside it."""
    installed = [
        requirement
        for requirement in requirements
        if not any(requirement.startswith(name) for name in NOT_INSTALLED)
    ]
    with tempfile.TemporaryDirectory() as folder:
        run("uv", "venv", "--quiet", "--python", sys.executable, folder)
        python = str(Path(folder, "bin", "python"))
        install = ["uv", "pip", "install", "--quiet", "--python", python]
        # uv remembers what it unpacked by name and version, which an earlier build had, too.
        for name in EXPECTED:
            install += ["--refresh-package", name.replace("_", "-")]
        run(*install, "--find-links", str(wheel.parent), *installed)
        run(*install, "--no-deps", str(wheel))
        probe = Path(folder, "probe.py")
        probe.write_text(PROBE, encoding="utf-8")
        run(python, "-I", str(probe), package, version)


def run(*command: str) -> None:
    """Run a command; end the whole check where it fails, its output having said why."""
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"failed: {shlex.join(command)}")


if __name__ == "__main__":
    sys.exit(main())
