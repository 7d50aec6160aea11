"""Several hosts whose cables are pulled: see ``faults/hosts.py`` and ``faults/ssh_hosts.py``.

Left out where the system has no network namespaces, or lets nobody make them; the reason is told.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from namespaces import OWN, why_none
from sshd import ROOT, SSHD, bare, make_place
from users import make_user, remove_user

SCENARIOS = Path(__file__).parent / "faults"
PYTHONS = json.loads(os.environ.get("FARM_PYTHONS", "{}")) or {"this": sys.executable}

BOUND = 110.0


def test_cables_that_are_pulled():
    """For a moment, for long, and with the host dead: work goes on; each task has its result."""
    reason = why_none()
    if reason:
        pytest.skip(reason)
    done = subprocess.run(
        [*OWN, sys.executable, str(SCENARIOS / "hosts.py")],
        capture_output=True,
        text=True,
        check=False,
        timeout=BOUND,
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)[0] for line in done.stdout.splitlines()] == ["short", "long", "crash"]


FACTS = """
import json, os, platform, sys
import cloudpickle, farm_common, farm_server
places = [os.path.dirname(module.__file__) for module in (cloudpickle, farm_common, farm_server)]
version = ".".join(platform.python_version_tuple()[:2])
runs = platform.python_implementation().lower() + " " + version
print(json.dumps({"packages": places, "prefix": sys.base_prefix, "runs": runs}))
"""


def closed(path):
    """The outermost folder on the way to a path that only root may go through; empty if none is."""
    for parent in reversed(Path(path).parents):
        if not parent.stat().st_mode & 0o001:
            return str(parent)
    return ""


@pytest.fixture
def ssh_hosts():
    """What each of three hosts is to have: a user, a Python, and the second farm-server."""
    names = [name for name in ("3.9", "3.13", "pypy3.9") if name in PYTHONS] or [*PYTHONS]
    folder, made, hosts = make_place(), [], []
    try:
        for number in range(3):
            python = PYTHONS[names[number % len(names)]]
            facts = json.loads(subprocess.check_output([python, "-c", FACTS], text=True))
            path, user = bare(python), f"farmhost{os.getpid() % 10000}{number}"
            make_user(user, folder / user)
            made.append(user)
            installed = install(path, folder / user, user, facts["packages"]) if number == 1 else ""
            hosts.append(
                {
                    "user": user,
                    "python": path,
                    "prefix": facts["prefix"],
                    "closed": closed(path),
                    "runs": facts["runs"],
                    "installed": installed,
                }
            )
        yield {"folder": str(folder), "hosts": hosts}
    finally:
        left = [pid for user in made for pid in remove_user(user)]
        shutil.rmtree(folder)
    assert left == [], "a session was left behind"


def install(python, home, user, packages):
    """Put packages where ``pip install --user`` puts them; return where that is."""
    command = [python, "-c", "import site; print(site.getusersitepackages())"]
    environment = {**os.environ, "HOME": str(home)}
    where = subprocess.check_output(command, text=True, env=environment).strip()
    for package in packages:
        shutil.copytree(package, os.path.join(where, os.path.basename(package)))
    subprocess.run(["chown", "-R", user, str(home)], check=True)
    return where


def test_three_hosts_over_ssh(request):
    """One kernel over three users, systems and interpreters: cables are pulled, one is gone."""
    reason = why_none() or ("" if ROOT else "only root can make users")
    if not SSHD or not shutil.which("ssh"):
        reason = reason or "needs the Debian packages openssh-server and openssh-client"
    if reason:
        pytest.skip(reason)
    given = request.getfixturevalue("ssh_hosts")
    done = subprocess.run(
        [*OWN, sys.executable, str(SCENARIOS / "ssh_hosts.py")],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        timeout=BOUND,
    )
    print(done.stdout)  # how long each took, for who asks with -s
    assert done.returncode == 0, done.stderr
    scenarios = [json.loads(line)[0] for line in done.stdout.splitlines()]
    assert scenarios == ["together", "partition", "long", "gone"]
