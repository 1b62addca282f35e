"""A document's text as the page shows it: cut at pages, headings and the marked passage; tables as tables; words found."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kb.store.documents import DocumentText

_HEADING = re.compile(
    r"(?:^|(?<=\f))#{1,6} +(\S.*)$", re.MULTILINE
)  # the first line of a page stands behind its form feed
WINDOW = 60_000  # characters of text on one page
COLUMNS = 256  # of a table; what a row has beyond them stands in its last cell, as it is stored


@dataclass(frozen=True)
class Piece:
    """A run of text on the page: of which page of the document, and whether it is the passage or a heading."""

    page: int | None
    text: str
    marked: bool
    first: bool
    heading: bool


@dataclass(frozen=True)
class Block:
    """Running text, or the rows of a table, whose cells are runs of text too. width: cells of the longest row.

    Empty cells at a row's end are not stored, and not made up here either: one row may be thousands wide.
    """

    pieces: tuple[Piece, ...] = ()
    rows: tuple[tuple[tuple[Piece, ...], ...], ...] = ()
    width: int = 0


@dataclass(frozen=True)
class Hits:
    """Where words stand in a text. nth: the one that is shown, from 1; 0: they stand nowhere."""

    words: str = ""
    nth: int = 0
    count: int = 0
    start: int = 0
    end: int = 0


def find(text: str, words: str, nth: int) -> Hits:
    """The `nth` place of `words` in `text`, upper and lower case and kinds of white space aside."""
    parts = words.split()
    if not parts:
        return Hits()
    nth, at, count, span = max(1, nth), 0, 0, (0, 0)
    for count, match in enumerate(re.finditer(r"\s+".join(map(re.escape, parts)), text, re.IGNORECASE), 1):
        if count <= nth:  # of millions of places one is kept
            at, span = count, match.span()
    return Hits(words, at, count, *span)


def cut(text: DocumentText, begin: int, start: int | None, end: int | None) -> list[Piece]:
    """The text from `begin`, one window long, cut where pages begin and where the passage begins and ends."""
    last = min(len(text.text), begin + WINDOW)
    marked = (start, end) if start is not None and end is not None and start < end else (0, 0)
    headings = {m.start(): m for m in _HEADING.finditer(text.text, begin, last)}
    inner = (*text.page_starts, *marked, *headings, *(m.end() for m in headings.values()))
    edges = sorted({begin, last, *(edge for edge in inner if begin < edge < last)})
    pieces, starts = [], {*text.page_starts}
    for left, right in pairwise(edges):
        number = bisect_right(text.page_starts, left) or None
        first = left in starts
        inside = marked[0] <= left and right <= marked[1]
        heading = headings.get(left)
        shown = text.text[left:right]
        if heading and right >= heading.start(1):
            shown = text.text[heading.start(1) : right]
        pieces.append(Piece(number, shown.replace("\f", ""), inside, first, heading is not None))
    return pieces


def laid(pieces: Sequence[Piece]) -> list[Block]:
    """The pieces in blocks: where two or more lines in a row have tabs, they are the rows of a table."""
    blocks: list[Block] = []
    for tabbed, group in groupby(_lines(pieces), lambda line: any("\t" in piece.text for piece in line)):
        lines = list(group)
        if tabbed and len(lines) > 1:
            rows = tuple(tuple(_cells(line)) for line in lines)
            blocks.append(Block(rows=rows, width=max(map(len, rows))))
            continue
        joined: list[Piece] = []
        for piece in (piece for line in lines for piece in line):
            last = joined[-1] if joined else None
            if last and not piece.first and (last.marked, last.heading) == (piece.marked, piece.heading):
                joined[-1] = replace(last, text=last.text + piece.text)
            else:
                joined.append(piece)
        blocks.append(Block(pieces=tuple(joined)))
    return blocks


def _lines(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """The same text line by line; a line is whole however many pieces it is cut into."""
    line: list[Piece] = []
    for piece in pieces:
        for n, part in enumerate(re.findall(r"[^\n]*\n|[^\n]+", piece.text)):
            line.append(replace(piece, text=part, first=piece.first and n == 0))
            if part.endswith("\n"):
                yield line
                line = []
    if line:
        yield line


def _cells(line: Sequence[Piece]) -> Iterator[tuple[Piece, ...]]:
    cell: list[Piece] = []
    left = COLUMNS - 1  # cells that may still follow this one
    for piece in line:
        for n, part in enumerate(piece.text.removesuffix("\n").split("\t", left)):
            if n:
                yield tuple(cell)
                cell = []
                left -= 1
            if part:
                cell.append(replace(piece, text=part))
    yield tuple(cell)
