"""A table that was found, and what it must be like to count as one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ingest.pdftables.page import Box

LEAST_LINES = 3  # of a table without ruled lines
FILLED = 0.45  # of the cells, at least
MEANT_RULED, MEANT = 0.25, 0.6  # of the cells say more than one letter: those of drawings and formulas do not
LONG, MOSTLY = (
    300,
    0.6,
)  # as in ingest/tables.py: most of a table's text in one long cell only arranges a page
LEADERS = re.compile(r"[.·…_]{4,}|(?:[.·] ){4,}")


@dataclass(frozen=True)
class Table:
    """rows: of cells, '' where there is nothing; lines of a cell are parted by line breaks.

    box: where it stands. edges: where its columns part.
    """

    rows: list[list[str]]
    box: Box
    edges: list[float]


def checked(rows: list[list[str]], box: Box, edges: list[float], *, ruled: bool) -> Table | None:
    """Without empty rows and columns; None for what is no table after all."""
    rows = [[LEADERS.sub(" ", cell).strip() for cell in row] for row in rows]
    rows = [row for row in rows if any(row)]
    kept = [at for at in range(len(edges) - 1) if any(row[at] for row in rows)]
    rows = [[row[at] for at in kept] for row in rows]
    least = 2 if ruled else LEAST_LINES
    if len(kept) < 2 or len(rows) < least:
        return None
    cells = [cell for row in rows for cell in row if cell]
    if len(cells) < FILLED * len(rows) * len(kept) or sum(sum(map(bool, row)) > 1 for row in rows) < least:
        return None
    if sum(sum(map(str.isalnum, cell)) > 1 for cell in cells) < (MEANT_RULED if ruled else MEANT) * len(
        cells
    ):
        return None
    longest, size = max(map(len, cells)), sum(map(len, cells))
    if longest > LONG and longest > MOSTLY * size:
        return None
    return Table(rows, box, [edges[at] for at in kept] + [edges[kept[-1] + 1]])


def below(cell: str, more: str) -> str:
    """A cell with one more line."""
    return f"{cell}\n{more}" if cell and more else cell or more
