"""Programs in fresh interpreters, for what a process can be asked only once.

They may keep what they compiled, whatever the environment says, as pip compiles what it installs.
Without that (``PYTHONDONTWRITEBYTECODE``, and an installer that leaves compiling for later) each
start of an interpreter would compile all of farm again, and a start would measure that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Union

_SCRIPTS = Path(__file__).parent / "scripts"
_MOST_SECONDS = 120.0


def run(name: str, *arguments: Union[str, int]) -> float:
    """Run ``scripts/<name>.py``; return the number that it prints."""
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, str(_SCRIPTS / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, timeout=_MOST_SECONDS, check=True
    )
    return float(done.stdout)
