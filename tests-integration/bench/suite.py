"""Run the measures, print their figures; nothing here passes or fails by time.

Usage: ``python tests-integration/bench [--only NAME]... [--quick] [--json FILE]``. What each
figure means is said in the module that measures it; `docs/topics/performance.md` is for readers.
The exit status is 1 if a measure could not be taken or a task's result was wrong, else 0.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Optional

import cognates
import crowd
import gss
import latency
import memory
import mixture
import resume
import shipping
import ssh
import startup
import throughput
import tls
import volume
from effort import Effort
from machine import Meter, describe
from table import Table

MEASURES = {
    "latency": latency.measure,
    "throughput": throughput.measure,
    "volume": volume.measure,
    "mixture": mixture.measure,
    "ssh": ssh.measure,
    "startup": startup.measure,
    "memory": memory.measure,
    "crowd": crowd.measure,
    "cognates": cognates.measure,
    "shipping": shipping.measure,
    "resume": resume.measure,
    "gss": gss.measure,
    "tls": tls.measure,
}

#: A measure that takes longer than this hangs, and ends the run with every thread's stack.
_MOST_SECONDS = 300.0


def main() -> None:
    """Measure what the arguments say."""
    parser = argparse.ArgumentParser(
        prog="bench", description="Figures of farm beside those of its peers."
    )
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        choices=list(MEASURES),
        help=f"measure only this; may be repeated. One of {', '.join(MEASURES)}",
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, and noisier")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all samples there")
    options = parser.parse_args()
    # Workers import the tasks by name, so that no figure depends on how functions travel.
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    sys.exit(0 if run(options.only or list(MEASURES), options.quick, options.json) else 1)


def run(names: list[str], quick: bool, file: Optional[Path]) -> bool:
    """Take the named measures; return whether all could be taken."""
    machine = describe()
    print(machine, flush=True)
    whole = Meter()
    tables, failed = [], []
    for name in names:
        table, meter = Table(name), Meter()
        faulthandler.dump_traceback_later(_MOST_SECONDS, exit=True)
        try:
            MEASURES[name](table, Effort(quick))
        except Exception:
            failed.append(name)
            traceback.print_exc()
        faulthandler.cancel_dump_traceback_later()
        table.note = str(meter)
        print(f"\n{table}", flush=True)
        tables.append(table)
    print(f"\nall of it: {whole}")
    if failed:
        print(f"could not be measured: {', '.join(failed)}", file=sys.stderr)
    if file is not None:
        content = {"machine": machine, "quick": quick, "tables": [t.as_json() for t in tables]}
        file.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return not failed
