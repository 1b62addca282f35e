"""What parsing yields, whatever parsed it: blocks of text in reading order, and what was noticed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["heading", "text", "item", "table", "code"]


@dataclass(frozen=True, slots=True)
class Block:
    """A heading, paragraph, list item, table or piece of code.

    text: of a table, one row a line and cells parted by tabs. level: of a heading, 1–6; of an item, its depth.
    page: of PDFs and slides, from 1. part: name of the embedded file it comes from.
    """

    text: str
    kind: Kind = "text"
    level: int = 0
    page: int | None = None
    part: str | None = None


@dataclass(frozen=True)
class Extract:
    """A parsed document before cleaning.

    paged: pages come from a layout (running headers and line ends are the layout's, not the author's).
    warnings: sentences for people. children: {name, type, characters[, note]} of embedded files.
    """

    blocks: Sequence[Block]
    type: str
    title: str | None = None
    pages: int | None = None
    paged: bool = False
    needs_ocr: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    children: tuple[dict[str, Any], ...] = field(default_factory=tuple)


def table_text(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines, cells parted by tabs; empty rows and the empty cells at a row's end are left out."""
    lines = []
    for row in rows:
        cells = [" ".join(cell.split()) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            lines.append("\t".join(cells))
    return "\n".join(lines)


def characters(blocks: Sequence[Block]) -> int:
    """Characters that are not white space."""
    return sum(len("".join(block.text.split())) for block in blocks)


def capped(blocks: Iterator[Block] | Sequence[Block], limit: int) -> tuple[list[Block], bool]:
    """The blocks up to `limit` characters, and whether some text was left out."""
    kept: list[Block] = []
    room = limit
    for block in blocks:
        if len(block.text) > room:
            if room > 0:
                kept.append(Block(block.text[:room], block.kind, block.level, block.page, block.part))
            return kept, True
        kept.append(block)
        room -= len(block.text)
    return kept, False
