"""Whether a table goes on with the one that ended the page before, and so has its header.

A wrong header is worse than none: it is said again only where columns of numbers tell it from the rows, and where
nothing but what both pages say (running headers and footers, page numbers) stands between the two parts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

SAME_PLACE = 6.0  # points between the columns of a table and those of its part on the next page
MOSTLY = 0.8  # of a column's cells hold numbers
DIGITS = re.compile(r"\d+")
PERIOD = re.compile(r"(?:Q|H|T|S|FY|CY|KW)\s?\d.*|.*\b(?:19|20)\d\d\b.*", re.IGNORECASE)  # of a header too

Table = tuple[Sequence[Sequence[str]], Sequence[float]]


@dataclass(frozen=True)
class Foot:
    """The last table of a page: its header and other rows, where its columns part; below: the lines under it;
    said: all of the page's lines that are no table."""

    page: int
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    edges: Sequence[float]
    below: Sequence[str]
    said: Sequence[str]


def header_above(
    before: Foot | None,
    page: int,
    rows: Sequence[Sequence[str]],
    edges: Sequence[float],
    above: Sequence[str],
    said: Sequence[str],
) -> Sequence[str]:
    """The header that the page's first table goes on under; empty where it has its own, or none is certain.

    above: the lines over it; said: all of its page's lines that are no table.
    """
    if before is None or before.page != page - 1 or not _same(before.edges, edges):
        return ()
    if not _running(before.below, said) or not _running(above, before.said):
        return ()
    telling = [
        at
        for at, head in enumerate(before.header)
        if head and not DIGITS.search(head) and _numbers([row[at] for row in before.rows])
    ]
    first = [rows[0][at] for at in telling if rows[0][at]]
    return before.header if 2 * len(first) >= max(1, len(telling)) and all(map(_is_number, first)) else ()


def _numbers(cells: Sequence[str]) -> bool:
    return bool(cells) and sum(map(_is_number, cells)) >= MOSTLY * len(cells)


def _is_number(cell: str) -> bool:
    return bool(DIGITS.search(cell)) and not PERIOD.fullmatch(cell)


def _running(lines: Sequence[str], others: Sequence[str]) -> bool:
    """Whether each line stands on the other page too, but for its numbers."""
    known = {_alike(line) for line in others}
    return all(_alike(line) in known for line in lines)


def _alike(line: str) -> str:
    return DIGITS.sub("#", "".join(line.split()))


def _same(edges: Sequence[float], others: Sequence[float]) -> bool:
    return len(edges) == len(others) and all(
        abs(a - b) <= SAME_PLACE for a, b in zip(edges, others, strict=True)
    )
