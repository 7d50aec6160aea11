"""The layering check finds what it is there for, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "check_layering.py"

SOUND = {
    "farm_common/__init__.py": "from .errors import FarmError\n__all__ = ['FarmError']\n",
    "farm_common/errors.py": "__all__ = ['FarmError']\nclass FarmError(Exception): ...\n",
    "farm_common/frames.py": "import struct\nfrom .errors import FarmError\n__all__ = ['read']\n",
    "farm_common/deadline.py": "import time\n__all__ = ['Deadline']\n",
    "farm_common/stream.py": "import socket\nfrom . import frames\n__all__ = ['Stream']\n",
    "farm_common/security/__init__.py": "__all__ = ['Layer']\n",
    "farm_client/__init__.py": (
        "import asyncio, threading\n"
        "from farm_common import FarmError, frames\n"
        "from farm_common.security import Layer\n"
        "frames.read\n"
    ),
    "farm_gss/__init__.py": "def f():\n    import gssapi\n",
}


REFERENCE = "".join(
    f".. automodule:: {name}\n"
    for name in ("farm_common", "farm_common.errors", "farm_common.frames", "farm_common.security")
)


def run(root, extra):
    """Run the check on a house of SOUND and ``extra`` and return (exit status, lines)."""
    for name, text in {**SOUND, **extra}.items():
        package = name.split("/")[0].replace("_", "-")
        path = root / "packages" / package / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    reference = root / "docs" / "reference" / "common.md"
    reference.parent.mkdir(parents=True)
    reference.write_text(REFERENCE)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(root)], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def test_a_sound_house_passes(tmp_path):
    """Imports that point down, and public names, are no violation."""
    assert run(tmp_path, {}) == (0, ["layering: sound"])


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("farm_client/a.py", "import farm_server", "farm_client imports farm_server (rule 1)"),
        (
            "farm_client/a.py",
            "from farm_server import x",
            "farm_client imports farm_server (rule 1)",
        ),
        ("farm_admin/a.py", "import farm_client.kernel", "farm_admin imports farm_client (rule 1)"),
        ("farm_common/a.py", "import farm_client", "farm_common imports farm_client (rule 1)"),
        (
            "farm_server/a.py",
            "def f():\n  import farm_gss",
            "farm_server imports farm_gss (rule 1)",
        ),
        (
            "farm_server/a.py",
            "from importlib import import_module\nimport_module('farm_gss')",
            "farm_server imports farm_gss (rule 1)",
        ),
        ("farm_server/a.py", "import requests", "farm_server imports requests (rule 1)"),
        (
            "farm_common/connection.py",
            "import socket",
            "farm_common.connection is sans-I/O and imports socket (rule 2)",
        ),
        (
            "farm_common/address.py",
            "def f():\n  from time import monotonic",
            "farm_common.address is sans-I/O and imports time (rule 2)",
        ),
        (
            "farm_common/states.py",
            "from .deadline import Deadline",
            "farm_common.states is sans-I/O and imports farm_common.deadline.Deadline (rule 2)",
        ),
        (
            "farm_common/handshake.py",
            "from . import stream",
            "farm_common.handshake is sans-I/O and imports farm_common.stream (rule 2)",
        ),
        (
            "farm_common/security/tls.py",
            "import socket",
            "farm_common.security.tls imports socket, which few may (rule 2)",
        ),
        (
            "farm_client/a.py",
            "from farm_common.frames import secret",
            "secret is not in __all__ of farm_common.frames (rule 3)",
        ),
        (
            "farm_client/a.py",
            "from farm_common import frames\nframes.secret",
            "secret is not in __all__ of farm_common.frames (rule 3)",
        ),
        (
            "farm_client/a.py",
            "from farm_common.missing import x",
            "farm_common.missing has no literal __all__ that lists x (rule 3)",
        ),
        (
            "farm_client/a.py",
            "from farm_common.deadline import Deadline",
            "farm_common.deadline is not in docs/reference (rule 3)",
        ),
        (
            "farm_client/a.py",
            "from farm_common import *",
            "import the names you use from farm_common, one by one (rule 3)",
        ),
        (
            "farm_client/a.py",
            "import farm_common.frames",
            "import the names you use from farm_common.frames, one by one (rule 3)",
        ),
    ],
)
def test_a_violation_is_named_with_its_place(tmp_path, name, source, message):
    """Each violation is one line with file, line and rule, and the exit status is 1."""
    status, lines = run(tmp_path, {name: source + "\n"})
    package = name.split("/")[0].replace("_", "-")
    line = len(source.splitlines())
    expected = f"packages/{package}/src/{name}:{line}: {message}"
    assert (status, lines) == (1, [expected, "layering: 1 violations"])
