"""Tables of sentences, which no phone is wide enough for, get a label in each cell.

The label is the column's heading. `farm.css` shows it where the screen is narrow, and the cells of
a row one below the other.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx

#: A row with more characters than this does not fit beside its columns' margins.
WIDE = 72


def label(app: Sphinx, tree: nodes.document, name: str) -> None:
    """Label the cells of a page's wide tables."""
    for table in tree.findall(nodes.table):
        rows = [list(row.findall(nodes.entry)) for row in table.findall(nodes.row)]
        headings = [cell.astext() for cell in rows[0]]
        longest = max(sum(len(cell.astext()) for cell in row) for row in rows)
        if len(headings) < 3 or longest <= WIDE or any("morecols" in c for r in rows for c in r):
            continue
        table["classes"].append("stacked")
        for row in rows[1:]:
            for heading, cell in zip(headings[1:], row[1:]):
                if heading and cell.astext():
                    said = nodes.inline("", heading, classes=["label"])
                    cell.children[0].insert(0, said)


def setup(app: Sphinx) -> dict:
    """Listen for pages."""
    app.connect("doctree-resolved", label)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
