"""Programs in fresh interpreters, for what a process can be asked only once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Union

_SCRIPTS = Path(__file__).parent / "scripts"
_MOST_SECONDS = 120.0


def run(name: str, *arguments: Union[str, int]) -> float:
    """Run ``scripts/<name>.py``; return the number that it prints."""
    command = [sys.executable, str(_SCRIPTS / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=_MOST_SECONDS, check=True)
    return float(done.stdout)
