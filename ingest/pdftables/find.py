"""Tables on a page: grids of ruled lines first, then lines whose cells stand below each other.

What is uncertain is no table: its text stays as it was read.
"""

from __future__ import annotations

from ingest.pdftables.aligned import aligned, blocks
from ingest.pdftables.framed import Unclear, framed
from ingest.pdftables.lines import lines
from ingest.pdftables.page import Box, Page
from ingest.pdftables.ruled import grids
from ingest.pdftables.table import Table

FRAME = 3  # ruled lines along the rows, at most, of a frame around rows without such lines


def tables(page: Page) -> list[Table]:
    """From top to bottom."""
    found: list[Table] = []
    words = page.words
    for grid in sorted(grids(page.rules), key=lambda grid: -_area(grid.box)):
        inside = [word for word in words if _within(word, grid.box)]
        try:
            table = framed(grid, inside) if inside else None
        except Unclear:
            if len(grid.ys) > FRAME:
                words = _without(words, inside)
            continue
        if table:
            found.append(table)
            words = _without(words, inside)
    level = sorted((r.y0 + r.y1) / 2 for r in page.rules if r.x1 - r.x0 > 20 and r.y1 - r.y0 < 3)
    left = lines(words)
    for block in blocks(left):
        table = aligned(block, level, left)
        if table:
            found.append(table)
    return sorted(found, key=lambda table: table.box.y0)


def _without(words: list[Box], taken: list[Box]) -> list[Box]:
    gone = set(taken)
    return [word for word in words if word not in gone]


def _area(box: Box) -> float:
    return (box.x1 - box.x0) * (box.y1 - box.y0)


def _within(word: Box, box: Box) -> bool:
    x, y = (word.x0 + word.x1) / 2, (word.y0 + word.y1) / 2
    return box.x0 - 2 <= x <= box.x1 + 2 and box.y0 - 2 <= y <= box.y1 + 2
