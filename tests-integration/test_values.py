"""Every value of the tables, from every interpreter to every other.

The tables are those that packages/farm-common/tests/test_values.py sends to itself. The matrix of
what arrived is printed, and with FARM_MATRIX_VALUES written into that file.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PEER = Path(__file__).with_name("values_peer.py")
BOUND = 300.0

PYTHONS = json.loads(os.environ.get("FARM_PYTHONS", "{}")) or {"this": sys.executable}


def order(name):
    """Versions by their numbers, CPython first."""
    numbers = [int(part) for part in name.replace("pypy", "").split(".") if part.isdigit()]
    return "pypy" in name, numbers


def run(python, *arguments):
    """What the peer prints, run by an interpreter."""
    done = subprocess.run(
        [python, str(PEER), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def has_numpy(python):
    """Whether an interpreter has it."""
    command = [python, "-c", "import numpy"]
    return subprocess.run(command, capture_output=True, timeout=BOUND).returncode == 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("table", ["values_corpus", "arrays_corpus"])
def test_every_pair(table, tmp_path):
    """All that one interpreter packs another unpacks, and its check holds there."""
    names = sorted(PYTHONS, key=order)
    if table == "arrays_corpus":
        names = [name for name in names if has_numpy(PYTHONS[name])]
        if not names:
            pytest.skip("no interpreter has NumPy")
    files = {name: tmp_path / f"{name}.pickle" for name in names}
    for name in names:
        run(PYTHONS[name], "pack", table, files[name])
    wrong = {}
    for name in names:
        found = json.loads(run(PYTHONS[name], "check", table, *files.values()))
        for source in names:
            wrong[source, name] = found[str(files[source])]
    show(table, names, wrong)
    failures = {f"{a} to {b}": texts for (a, b), texts in wrong.items() if texts}
    assert failures == {}


def show(table, names, wrong):
    """Print how many values failed in each pair."""
    lines = [f"| {table}: from \\ to | {' | '.join(names)} |", "| --- |" + " --- |" * len(names)]
    for source in names:
        cells = [str(len(wrong[source, name])) for name in names]
        lines.append(f"| {source} | {' | '.join(cells)} |")
    text = "\n".join(lines)
    print(f"\n{text}")
    path = os.environ.get("FARM_MATRIX_VALUES")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{text}\n\n")
