"""Draw farm_common's state tables into docs/reference/protocol.md, between its two markers.

The tables are the program (``farm_common.states.TRANSITIONS``); the specification shows them, so
that the two cannot differ.

Usage: ``python ci/make_state_tables.py [--check]``, with farm_common installed; with ``--check``
nothing is written, and the exit status is 1 when the page does not show the tables as they are.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from farm_common.frames import NAMES
from farm_common.states import TRANSITIONS, Event, Role

PATH = Path(__file__).parents[1] / "docs" / "reference" / "protocol.md"
BEGIN = "<!-- state tables: written by ci/make_state_tables.py -->\n"
END = "<!-- end of the state tables -->\n"


def draw() -> str:
    """Both roles' tables in Markdown."""
    lines: list[str] = []
    for role in Role:
        name = role.name.lower()
        lines += [f"### The {name}", "", f"```{{states}} {name}", "```", ""]
        lines += ["| state | event | next state |"]
        lines += ["| --- | --- | --- |"]
        for state, table in TRANSITIONS[role].items():
            rows: dict[tuple[str, str], list[str]] = {}
            for event, following in table.items():
                rows.setdefault((event[0], following.name), []).append(_name(event))
            for (verb, name), whats in rows.items():
                lines.append(f"| {state.name} | {verb} {', '.join(whats)} | {name} |")
            if not rows:
                lines.append(f"| {state.name} | none | |")
        lines.append("")
    return "\n".join(lines)


def _name(event: Event) -> str:
    what = event[1]
    if what == "layer":
        return "the layer's word that it is established"
    return f"the {what}" if isinstance(what, str) else f"`{NAMES[what]}`"


def main() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    arguments = parser.parse_args()
    page = PATH.read_text("utf-8")
    before, found, rest = page.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        print(f"{PATH} lacks the markers of the state tables", file=sys.stderr)
        return 1
    wanted = f"{before}{BEGIN}\n{draw()}\n{END}{after}"
    if not arguments.check:
        PATH.write_text(wanted, "utf-8")
    elif wanted != page:
        print(f"{PATH} does not show the tables as they are: run {parser.prog}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
