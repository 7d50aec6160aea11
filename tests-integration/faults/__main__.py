"""``python tests-integration/faults chaos|soak|crowd``: do harm for a while, and look at it."""

from __future__ import annotations

import argparse
import time

import chaos


def main() -> None:
    """What the sessions of the same names run."""
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("chaos", help="kill, stop and cut at random, and account for each task")
    one.add_argument("--minutes", type=float, default=10.0)
    one.add_argument("--seed", type=int, default=None, help="default: another one each time")
    options = parser.parse_args()
    if options.kind == "chaos":
        seed = time.time_ns() % 1_000_000 if options.seed is None else options.seed
        chaos.run(options.minutes, seed)


if __name__ == "__main__":
    main()
