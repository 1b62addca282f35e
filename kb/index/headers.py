"""Rows of tables under their header: stored text has a row to a line, its cells parted by tabs.

A row alone ("BG-310, Brew group, 64.00") says neither what its figures are nor that it is about prices. Read with the
cells of the table's first row ("Part: BG-310; Name: Brew group; Price: 64.00") it does.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

_RUN = re.compile(r"(?:^[^\n\t]*\t[^\n]*(?:\n|\Z)){2,}", re.MULTILINE)
_VALUE = re.compile(r"[-+±<>≤≥~≈£$€¥(]*\d")  # "64.00", "24 cm"; not "within 60 days"


@dataclass(frozen=True)
class Table:
    """Where a table stands in a text, and its first row. names: whether that one names the columns."""

    first: int
    start: int  # of the row after the first
    end: int
    header: str
    names: bool


class Tables:
    """The tables of a text, by place."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._found: list[Table] = []
        for run in _RUN.finditer(text) if "\t" in text else ():
            header, _, rest = run.group().partition("\n")
            names = all(cell and not _VALUE.match(cell) for cell in _cells(header))
            start = run.end() - len(rest)
            self._found.append(Table(run.start(), start, run.end(), header, names))

    def at(self, place: int) -> Table | None:
        """The table in which this place lies, its first row included."""
        index = bisect_right(self._found, place, key=lambda table: table.first) - 1
        table = self._found[index] if index >= 0 else None
        return table if table is not None and place < table.end else None

    def above(self, place: int) -> str:
        """The header under which the row at this place stands; nothing elsewhere."""
        table = self.at(place)
        return table.header if table is not None and table.names and place >= table.start else ""

    def said(self, start: int, end: int) -> str:
        """What text[start:end] says: a row with the names of its columns, anything else as it stands."""
        header, piece = self.above(start), self._text[start:end]
        return _under(header, piece) if header else piece

    def heads(self, place: int) -> bool:
        """Whether a row at this place only names the columns, be it again: pieces of a long table repeat their header."""
        table = self.at(place)
        if table is None or not table.names:
            return False
        return place < table.start or self._text.startswith(f"{table.header}\n", place)


def _under(header: str, row: str) -> str:
    """A row with its cells under the header's; empty ones at its end are not stored."""
    heads, cells = _cells(header), _cells(row)
    if not 1 < len(cells) <= len(heads):
        return row
    cells += [""] * (len(heads) - len(cells))
    pairs = zip(heads, cells, strict=True)
    return "; ".join(f"{head}: {cell}" for head, cell in pairs if cell)


def _cells(row: str) -> list[str]:
    return [" ".join(cell.split()) for cell in row.split("\t")]
