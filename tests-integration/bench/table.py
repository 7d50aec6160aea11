"""Figures, what they should be, and how they are printed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Optional

#: How many decimals a unit is printed with.
_DECIMALS = {"x": 2, "us": 1, "s": 3, "GB/s": 2, "MB/s": 0, "MB": 1, "B": 0, "/s": 0}


@dataclass(frozen=True)
class Target:
    """What a figure should be.

    Attributes:
        limit: The bound.
        least: Whether the figure should be at least that; otherwise at most.
        implementation: Of Python, that it is meant for.
    """

    limit: float
    least: bool
    implementation: str = "cpython"

    @property
    def applies(self) -> bool:
        """Whether it is meant for this interpreter."""
        return sys.implementation.name == self.implementation

    def verdict(self, value: float) -> str:
        """Whether it was met, or by how much it was missed, in parts of the limit."""
        off = (self.limit - value if self.least else value - self.limit) / self.limit
        return "met" if off <= 0 else f"missed by {100 * off:.0f} %"


def at_most(limit: float) -> Target:
    """The figure should not be larger."""
    return Target(limit, least=False)


def at_least(limit: float) -> Target:
    """The figure should not be smaller."""
    return Target(limit, least=True)


def shown(value: float, unit: str) -> str:
    """A value with its unit."""
    decimals = 0 if unit == "us" and value >= 1000 else _DECIMALS[unit]
    return f"{value:,.{decimals}f} {unit}".replace(" /s", "/s").replace("us", "µs")


@dataclass
class Row:
    """One figure.

    Attributes:
        name: What was measured.
        unit: Of all values.
        samples: One value a round; the figure is their median.
        target: What it should be.
        beside: The peers' medians in the same rounds, or whatever else explains the figure.
    """

    name: str
    unit: str
    samples: list[float]
    target: Optional[Target] = None
    beside: dict[str, str] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The figure."""
        return median(self.samples)

    def cells(self) -> list[str]:
        """The texts of the row's columns."""
        beside = ", ".join(f"{name} {text}".strip() for name, text in self.beside.items())
        if not self.samples:
            return [self.name, "-", "", "", "", beside]
        low, high = min(self.samples), max(self.samples)
        spread = ""
        if len(self.samples) > 1:
            number = shown(low, self.unit).split()[0].replace("/s", "")
            spread = f"{number} … {shown(high, self.unit)}"
        target = verdict = ""
        if self.target is not None and self.target.applies:
            sign = "≥" if self.target.least else "≤"
            target = f"{sign} {shown(self.target.limit, self.unit)}"
            verdict = self.target.verdict(self.value)
        return [self.name, shown(self.value, self.unit), spread, target, verdict, beside]


class Table:
    """The figures of one measure.

    Args:
        title: The measure's name.

    Attributes:
        note: How long it took, and what disturbed it.
    """

    HEAD = ("figure", "median", "range", "target", "verdict", "beside it, in the same rounds")

    def __init__(self, title: str) -> None:
        self.title = title
        self.note = ""
        self.rows: list[Row] = []

    def add(
        self,
        name: str,
        unit: str,
        samples: Iterable[float],
        target: Optional[Target] = None,
        **beside: Iterable[float],
    ) -> None:
        """Add a figure; peers' samples have the same unit."""
        peers = {
            peer.replace("_", " "): shown(median(values), unit) for peer, values in beside.items()
        }
        self.rows.append(Row(name, unit, list(samples), target, peers))

    def compare(
        self,
        name: str,
        ours: Iterable[float],
        theirs: Iterable[float],
        target: Optional[Target] = None,
    ) -> None:
        """Add the ratio of what was measured in the same rounds."""
        self.rows.append(Row(name, "x", [a / b for a, b in zip(ours, theirs)], target))

    def skip(self, name: str, why: str) -> None:
        """Say that a figure could not be had."""
        self.rows.append(Row(name, "", [], None, {"skipped:": why}))

    def as_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        rows = []
        for row in self.rows:
            content: dict[str, Any] = {"name": row.name, "unit": row.unit, "samples": row.samples}
            content["beside"] = row.beside
            if row.samples:
                content["median"] = row.value
                if row.target is not None and row.target.applies:
                    content["at_least" if row.target.least else "at_most"] = row.target.limit
                    content["verdict"] = row.target.verdict(row.value)
            rows.append(content)
        return {"title": self.title, "note": self.note, "rows": rows}

    def __str__(self) -> str:
        lines = [list(self.HEAD), *(row.cells() for row in self.rows)]
        lines[0][0] = self.title
        widths = [max(map(len, column)) for column in zip(*lines)]
        texts = []
        for line in lines:
            first, *middle, last = line
            padded = [text.rjust(width) for text, width in zip(middle[:3], widths[1:4])]
            padded.append(middle[3].ljust(widths[4]))
            texts.append("  ".join([first.ljust(widths[0]), *padded, last]).rstrip())
        texts.insert(1, "-" * max(map(len, texts)))
        return "\n".join([*texts, f"({self.note})"])
