"""Tables in the place of the lines that Tika made of them.

A table is put in only where Tika's text of the page has a stretch of lines, one below the other, with exactly its
letters: so nothing is lost, nothing comes twice, and text beside the table stays where it was.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ingest.blocks import Block, table_text
from ingest.clean import joined
from ingest.pdftables.goes_on import Foot, Table, header_above

__all__ = ["merged"]


@dataclass
class _Line:
    """A line of a block. table: which one it was a part of."""

    block: int
    text: str
    table: int | None = None


def merged(blocks: Sequence[Block], found: Mapping[int, Sequence[Table]]) -> list[Block]:
    """The blocks, with what `found` holds by page in the place of its lines."""
    out: list[Block] = []
    before: Foot | None = None
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
    page: int, blocks: Sequence[Block], tables: Sequence[Table], before: Foot | None
) -> tuple[list[Block], Foot | None]:
    """The page's blocks; and the table that ends it, which the next page may go on with."""
    lines = [
        _Line(number, line)
        for number, block in enumerate(blocks)
        if block.kind != "table"
        for line in block.text.split("\n")
    ]
    texts: dict[int, str] = {}
    places: dict[int, tuple[int, list[list[str]], Sequence[float]]] = {}
    for number, (rows, edges) in enumerate(tables):
        cells = [["".join(_unbroken(cell)) for cell in row] for row in rows]
        claimed = _claim(lines, cells)
        if claimed is None:
            continue
        for at in claimed:
            lines[at].table = number
        texts[number] = table_text(cells)
        places[number] = claimed.start, cells, edges
    if not texts:
        return list(blocks), None
    said = [line.text for line in lines if line.table is None and line.text.strip()]
    ordered = sorted(places, key=lambda number: places[number][0])
    start, cells, edges = places[ordered[0]]
    above = [line.text for line in lines[:start] if line.text.strip()]
    header = header_above(before, page, cells, edges, above, said)
    if header:
        texts[ordered[0]] = f"{table_text([header])}\n{texts[ordered[0]]}"
    _, cells, edges = places[ordered[-1]]
    own = header if header and len(ordered) == 1 else cells[0]
    foot = Foot(page, own, cells if own is header else cells[1:], edges, list(_after(lines)), said)
    return list(_parted(blocks, lines, texts)), foot


def _unbroken(cell: str) -> str:
    out = ""
    for line in cell.split("\n"):
        out = joined(out, line) if out else line
    return out


def _claim(lines: Sequence[_Line], cells: Sequence[Sequence[str]]) -> range | None:
    """The one stretch of lines with exactly the letters of the cells; None where there is none, or which is unclear."""
    wanted = _letters("".join(cell for row in cells for cell in row))
    count, size = Counter(wanted), len(wanted)
    letters = [_letters(line.text) for line in lines]
    found: list[range] = []
    start = end = held = 0
    said: Counter[str] = Counter()
    while end < len(lines):
        if lines[end].table is not None:
            start, held, said = end + 1, 0, Counter()
        else:
            said.update(letters[end])
            held += len(letters[end])
        end += 1
        while held > size:
            said.subtract(letters[start])
            held -= len(letters[start])
            start += 1
        if held == size and letters[end - 1] and size:
            first = next(at for at in range(start, end) if letters[at])
            if +said == count:
                found.append(range(first, end))
    found = _likely(found, letters, cells) if len(found) > 1 else found
    return _with_signs(found[0], lines, letters, cells) if found else None


def _likely(found: list[range], letters: Sequence[str], cells: Sequence[Sequence[str]]) -> list[range]:
    """Of several stretches the first that begins with the first row and ends with the last, if all that do are alike:
    above the table its last line may have stood as a caption."""
    head, foot = _letters("".join(cells[0])), _letters("".join(cells[-1]))
    fit = [
        at
        for at in found
        if head.startswith(letters[at.start][: len(head)]) and foot.endswith(letters[at[-1]][-len(foot) :])
    ]
    return fit if len({tuple(letters[at.start : at.stop]) for at in fit}) == 1 else []


def _with_signs(
    at: range, lines: Sequence[_Line], letters: Sequence[str], cells: Sequence[Sequence[str]]
) -> range:
    """With the lines at its edges that hold nothing but signs, as far as the table has such signs left."""
    left = _signs("".join(cell for row in cells for cell in row))
    left.subtract(_signs("".join(lines[n].text for n in at)))
    start, stop = at.start, at.stop
    for step in (1, -1):
        n = stop if step > 0 else start - 1
        while 0 <= n < len(lines) and not letters[n] and lines[n].table is None:
            signs = _signs(lines[n].text)
            if any(left[sign] < count for sign, count in signs.items()):
                break
            left.subtract(signs)
            if signs:
                start, stop = min(start, n), max(stop, n + 1)
            n += step
    return range(start, stop)


def _letters(text: str) -> str:
    """What counts when two readings are compared: blanks, dots and hyphens may come out otherwise."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text)))


def _signs(text: str) -> Counter[str]:
    return Counter(sign for sign in text if not sign.isalnum() and not sign.isspace())


def _after(lines: Sequence[_Line]) -> Iterator[str]:
    """Lines with text below the last table."""
    for line in reversed(lines):
        if line.table is not None:
            return
        if line.text.strip():
            yield line.text


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
