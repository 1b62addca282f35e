"""Separated values (CSV, TSV): lines to a table's rows, in a file of their own or attached to another."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from ingest.blocks import Block, table_text

SEPARATOR = re.compile(r"sep=([,;|\t])\n", re.IGNORECASE)


def rows(text: str, delimiter: str | None = None) -> str:
    """A table's text from lines of separated values. delimiter: None looks for it. Raises csv.Error."""
    if found := SEPARATOR.match(text):  # a first line that Excel alone reads
        delimiter, text = found[1], text[found.end() :]
    if delimiter is None:
        head = text[:4096].split("\n")[:20]
        delimiter = max(",;\t|", key=lambda mark: (min(line.count(mark) for line in head if line) if any(head) else 0,
                                                   sum(line.count(mark) for line in head)))  # fmt: skip
    csv.field_size_limit(2**24)
    lines = csv.reader(io.StringIO(text), delimiter=delimiter, strict=False)
    return table_text([row for row in lines if any(cell.strip() for cell in row)])


def tabled(found: Sequence[Block], part: str) -> list[Block]:
    """An attached list of separated values is a table, as one that stands alone is; Tika hands its lines on."""
    if any(block.kind != "text" for block in found):
        return list(found)
    try:
        body = rows("\n".join(block.text for block in found))
    except csv.Error:
        return list(found)
    return [Block(body, "table", part=part)] if body else list(found)
