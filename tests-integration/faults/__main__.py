"""``python tests-integration/faults chaos|soak|crowd|races``: do harm, and look at it."""

from __future__ import annotations

import argparse
import time

import chaos
import crowd
import races
import soak


def main() -> None:
    """What the sessions of the same names run."""
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("chaos", help="kill, stop and cut at random, and account for each task")
    one.add_argument("--minutes", type=float, default=10.0)
    two = kinds.add_parser("soak", help="do everything for long, and see what grows")
    two.add_argument("--minutes", type=float, default=60.0)
    three = kinds.add_parser("crowd", help="64 kernels, 1,000 connections, 1,000 killed clients")
    three.add_argument("--scale", type=float, default=1.0, help="the part of these numbers to do")
    four = kinds.add_parser("races", help="preempt threads in one module after the other")
    four.add_argument("--minutes", type=float, default=10.0)
    four.add_argument("--module", action="append", help="a part of its path; default: all in turn")
    for each in (one, two, three, four):
        each.add_argument("--seed", type=int, default=None, help="default: another one each time")
    options = parser.parse_args()
    seed = time.time_ns() % 1_000_000 if options.seed is None else options.seed
    if options.kind == "chaos":
        chaos.run(options.minutes, seed)
    elif options.kind == "soak":
        soak.run(options.minutes, seed)
    elif options.kind == "races":
        races.run(options.minutes, seed, options.module)
    else:
        crowd.run(options.scale, seed)


if __name__ == "__main__":
    main()
