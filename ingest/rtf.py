"""Tables of RTF files: Tika reads every cell as a paragraph of its own, so a copy is read whose cells are marked.

`marked` makes the copy, `tables` turns the marks in what Tika says back into tables.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ingest.blocks import Block, table_text

LARGEST = 64 * 2**20
LONGEST_ROW = 20_000  # characters
CELL, ROW = "\u2e1b", "\u2e1c"
ROW_ENDS = re.compile(rb"(?<!\\)\\row(?![a-z])")
CELL_ENDS = re.compile(rb"(?<!\\)\\cell(?![a-z]) ?")
PARAGRAPH = re.compile(rb"(?<!\\)\\par(?![a-z]) ?")
BINARY = re.compile(rb"\\bin\d")
SAID_CELL = b"{\\uc1\\u%d?}" % ord(CELL)
SAID_ROW = b"{\\uc1\\u%d?}\\par " % ord(ROW)


@contextlib.contextmanager
def marked(path: Path, kind: str) -> Iterator[Path]:
    """The file itself, or for the time being a copy with marked cells and rows."""
    data = path.read_bytes() if kind == "rtf" and path.stat().st_size <= LARGEST else b""
    if b"\\trowd" not in data or BINARY.search(data):
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="kb-rtf-", suffix=".rtf") as copy:
        copy.write(_marked(data))
        copy.flush()
        yield Path(copy.name)


def _marked(data: bytes) -> bytes:
    *rows, rest = ROW_ENDS.split(data)
    made = []
    for row in rows:
        at = max(0, row.find(b"\\trowd"))
        # The paragraphs of a cell are lines of it: what ends a paragraph here is the row.
        inside = CELL_ENDS.sub(lambda _: SAID_CELL, PARAGRAPH.sub(rb"\\line ", row[at:]))
        made.append(row[:at] + inside + SAID_ROW)
    return b"".join(made) + rest


def tables(blocks: Sequence[Block]) -> Iterator[Block]:
    """Rows that follow each other become a table; marks that were left over go."""
    rows: list[list[str]] = []
    for block in (*_whole_rows(blocks), None):
        if block is not None and ROW in block.text:
            before, _, after = block.text.rpartition(ROW)
            rows.extend(row.split(CELL)[:-1] for row in before.split(ROW))
            block = replace(block, text=after.replace(CELL, " ").strip())
        if rows and (block is None or block.text):
            if body := table_text(rows):
                yield Block(body, "table")
            rows = []
        if block is not None and block.text:
            yield replace(block, text=block.text.replace(CELL, " ")) if CELL in block.text else block


def _whole_rows(blocks: Sequence[Block]) -> Iterator[Block]:
    """Blocks in which no row is parted: some files end paragraphs within a row."""
    parts: list[Block] = []
    for block in blocks:
        parts.append(block)
        row = CELL in parts[0].text and ROW not in parts[0].text
        if row and ROW not in block.text and sum(len(part.text) for part in parts) < LONGEST_ROW:
            continue
        if row and ROW in block.text:
            yield replace(parts[0], text=" ".join(part.text for part in parts))
        else:
            yield from parts
        parts = []
    yield from parts
