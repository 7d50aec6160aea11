"""Tables of what came of pairs of interpreters: printed, and kept in a page of the docs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Callable

__all__ = ["Rows", "markdown", "merged", "order", "write"]

#: What is in each row, by the cells that head it, and in each column of that.
Rows = dict[tuple[str, ...], dict[str, str]]


def order(name: str) -> tuple[bool, list[int]]:
    """Versions by their numbers, CPython first."""
    digits = name.replace("pypy", "").split(".")
    return "pypy" in name, [int(part) for part in digits if part.isdigit()]


def markdown(heads: Sequence[str], columns: Iterable[str], rows: Rows) -> Iterator[str]:
    """The lines of a table.

    Args:
        heads: Above the cells that head each row.
        columns: The others, in their order.
        rows: What there is.
    """
    columns = list(columns)
    yield f"| {' | '.join([*heads, *columns])} |"
    yield "| --- " * (len(heads) + len(columns)) + "|"
    for row, cells in rows.items():
        yield f"| {' | '.join([*row, *(cells.get(column, '') for column in columns)])} |"


def merged(heads: int, text: str, new: Rows) -> Rows:
    """What stands in a table, with what was found now in place of what it says of the same.

    Args:
        heads: How many cells head a row.
        text: The table that there is.
        new: What was found.
    """
    lines = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    rows: Rows = {}
    for cells in lines[2:]:
        found = dict(zip(lines[0][heads:], cells[heads:]))
        rows[tuple(cells[:heads])] = {column: cell for column, cell in found.items() if cell}
    for row, found in new.items():
        rows.setdefault(row, {}).update(found)
    return rows


def write(
    path: Path,
    table: str,
    heads: Sequence[str],
    columns: Callable[[Rows], Iterable[str]],
    new: Rows,
    *,
    sort: bool = True,
) -> None:
    """Renew what stands in a page between the marks of a table.

    Args:
        path: The page.
        table: The table's name.
        heads: Above the cells that head each row.
        columns: Tells the others, given all rows.
        new: What was found.
        sort: Whether rows go by the interpreters that head them; else new ones are last.
    """
    text = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {table}: written by nox -s matrix -->\n", f"<!-- end of {table} -->"
    before, _, rest = text.partition(begin)
    assert rest, f"{path} has no place for the table {table!r}"
    present, _, after = rest.partition(end)
    rows = merged(len(heads), present, new)
    if sort:
        by = sorted(rows, key=lambda row: [order(name) for name in row])
        rows = {row: rows[row] for row in by}
    lines = "\n".join(markdown(heads, columns(rows), rows))
    path.write_text(f"{before}{begin}\n{lines}\n\n{end}{after}", encoding="utf-8")
