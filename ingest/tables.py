"""Tables that only arrange a page, as in newsletters and old web sites: their cells are text, not data.

Read as data, a whole letter would be one line of one cell: no paragraphs, no headings, no place to split.
"""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

LONG = 300  # characters: a cell of data is rarely longer
MOSTLY = 0.6  # of a table's text


@dataclass
class _Open:
    """A table whose end is still to come. Lengths in characters that are not white space."""

    inner: int = 0  # of the longest table inside
    longest: int = 0  # of the longest cell
    cells: int = 0  # with text, in this row
    widest: int = 0
    filled: int = 0


def arranging(root: etree._Element) -> frozenset[etree._Element]:
    """The tables that hold another table or one long cell with most of their text, or one column of long texts.

    One pass, whatever the depth.
    """
    found: list[etree._Element] = []
    tables: list[_Open] = []
    lengths: list[int] = [0]
    for event, element in etree.iterwalk(root, events=("start", "end")):
        tag = element.tag.rpartition("}")[2].lower() if isinstance(element.tag, str) else ""
        if event == "start":
            lengths.append(_length(element.text) if tag else 0)
            if tag == "table":
                tables.append(_Open())
            elif tag == "tr" and tables:
                tables[-1].cells = 0
            continue
        size = lengths.pop()
        lengths[-1] += size + _length(element.tail)
        if not tables:
            continue
        table = tables[-1]
        if tag in ("td", "th") and size:
            table.longest = max(table.longest, size)
            table.cells += 1
            table.filled += 1
            table.widest = max(table.widest, table.cells)
        elif tag == "table":
            tables.pop()
            if _arranges(table, size):
                found.append(element)
            if tables:
                tables[-1].inner = max(tables[-1].inner, size)
    return frozenset(found)


def _arranges(table: _Open, size: int) -> bool:
    if table.inner > MOSTLY * size or (table.longest > LONG and table.longest > MOSTLY * size):
        return True
    return size > LONG * table.filled or (table.widest == 1 and size > LONG / 3 * table.filled)


def _length(text: str | None) -> int:
    return len("".join(text.split())) if text else 0
