"""Tables in the place of the lines that Tika made of them.

A table is put in only where Tika's text of the page has a stretch of lines that says the same, letter for letter but
for their order: so nothing is lost, nothing comes twice, and text beside the table stays where it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ingest.blocks import Block, table_text
from ingest.clean import joined

ALIKE = 0.9  # of the letters, both ways
SAME_WORDS = 0.8  # of a line's letters lie in words of the table
EDGE = 3  # lines above or below a table that goes on over a page's end: running headers and footers
SAME_PLACE = 6.0  # points between the columns of a table and those of its part on the next page

Table = tuple[Sequence[Sequence[str]], Sequence[float]]


@dataclass
class _Line:
    """A line of a block. inside: of the table that is being looked for."""

    block: int
    text: str
    table: int | None = None


def merged(blocks: Sequence[Block], found: Mapping[int, Sequence[Table]]) -> list[Block]:
    """The blocks, with what `found` holds by page in the place of its lines."""
    out: list[Block] = []
    before: tuple[int, Table, str] | None = None
    at = 0
    while at < len(blocks):
        page, last = blocks[at].page, at
        while last < len(blocks) and blocks[last].page == page and blocks[last].part == blocks[at].part:
            last += 1
        here = list(blocks[at:last])
        tables = found.get(page, ()) if page is not None and blocks[at].part is None else ()
        if page is not None and tables:
            here, before = _page(page, here, tables, before)
        out.extend(here)
        at = last
    return out


def _page(
    page: int, blocks: Sequence[Block], tables: Sequence[Table], before: tuple[int, Table, str] | None
) -> tuple[list[Block], tuple[int, Table, str] | None]:
    """The page's blocks; and the table that ends it with its header row, which the next page may go on with."""
    lines = [
        _Line(number, line)
        for number, block in enumerate(blocks)
        if block.kind != "table"
        for line in block.text.split("\n")
    ]
    texts: dict[int, str] = {}
    for number, (rows, edges) in enumerate(tables):
        cells = [["".join(_unbroken(cell)) for cell in row] for row in rows]
        first = _claim(lines, number, cells)
        if first is None:
            continue
        text = table_text(cells)
        header = next((line for line in text.split("\n")[:3] if "\t" in line), "")
        if before and first <= EDGE and before[0] == page - 1 and _same(before[1][1], edges):
            header, said = before[2], header
            text = text if said == header or not header else f"{header}\n{text}"
        before = (page, (rows, edges), header)
        texts[number] = text
    if texts and sum(1 for _ in _after(lines)) > EDGE:
        before = None
    return list(_parted(blocks, lines, texts)), before if texts else None


def _unbroken(cell: str) -> str:
    out = ""
    for line in cell.split("\n"):
        out = joined(out, line) if out else line
    return out


def _same(edges: Sequence[float], others: Sequence[float]) -> bool:
    return len(edges) == len(others) and all(
        abs(a - b) <= SAME_PLACE for a, b in zip(edges, others, strict=True)
    )


def _claim(lines: list[_Line], number: int, cells: Sequence[Sequence[str]]) -> int | None:
    """Mark the lines that the table was made of; the first one's place, None where they are not to be found."""
    words = {word for row in cells for cell in row for word in cell.split()}
    by_row = "".join(_letters(cell) for row in cells for cell in row)
    by_column = "".join(_letters(cell) for column in zip(*cells, strict=True) for cell in column)
    wanted = Counter(by_row)
    for least in (1.0, SAME_WORDS):  # prose around a table often speaks in its words
        inside = [
            line.table is None and _share(line.text, words, by_row, by_column) >= least for line in lines
        ]
        claimed = [at for at in _stretch(lines, inside) if inside[at]]
        said = Counter("".join(_letters(lines[at].text) for at in claimed))
        if claimed and (said & wanted).total() >= ALIKE * max(said.total(), wanted.total()):
            for at in claimed:
                lines[at].table = number
            return claimed[0]
    return None


def _stretch(lines: Sequence[_Line], inside: Sequence[bool]) -> range:
    """The lines that follow each other with the most letters inside, less those outside."""
    best, start, total, found = 0, 0, 0, range(0)
    for at, line in enumerate(lines):
        size = len(_letters(line.text))
        total += size if inside[at] else -size
        if total <= 0:
            start, total = at + 1, 0
        elif total > best:
            best, found = total, range(start, at + 1)
    return found


def _share(text: str, words: set[str], by_row: str, by_column: str) -> float:
    """How much of a line the table says: all of it in one piece, or less than 1: the share of its words."""
    letters = _letters(text)
    if letters in by_row or letters in by_column:
        return 1.0
    return sum(0.99 * len(_letters(word)) for word in text.split() if word in words) / len(letters)


def _letters(text: str) -> str:
    """What counts when two readings are compared: blanks, dots and hyphens may come out otherwise."""
    return "".join(filter(str.isalnum, text))


def _after(lines: Sequence[_Line]) -> Iterator[_Line]:
    """Lines with text below the last table."""
    for line in reversed(lines):
        if line.table is not None:
            return
        if line.text.strip():
            yield line


def _parted(blocks: Sequence[Block], lines: Sequence[_Line], texts: Mapping[int, str]) -> Iterator[Block]:
    """The blocks without the lines that were claimed, and each table where its first line was."""
    said: set[int] = set()
    by_block: dict[int, list[_Line]] = {}
    for line in lines:
        by_block.setdefault(line.block, []).append(line)
    for number, block in enumerate(blocks):
        own = by_block.get(number, [])
        if all(line.table is None for line in own):
            yield block
            continue
        kept: list[str] = []
        for line in own:
            if line.table is None:
                kept.append(line.text)
            elif line.table not in said:
                if any(text.strip() for text in kept):
                    yield replace(block, text="\n".join(kept).strip())
                kept = []
                said.add(line.table)
                yield Block(texts[line.table], "table", 0, block.page, block.part)
        if any(text.strip() for text in kept):
            yield replace(block, text="\n".join(kept).strip())
