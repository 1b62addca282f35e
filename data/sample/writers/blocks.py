"""The small Markdown that the sources are written in: headings, paragraphs, lists, tables and notes.

Inline marks are not interpreted; a source that needs them is better kept as Markdown or HTML itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["heading", "paragraph", "bullet", "number", "table", "note"]


@dataclass(frozen=True)
class Block:
    """One piece of a document; `level` is used by headings only, `rows` by tables only."""

    kind: Kind
    text: str = ""
    level: int = 0
    rows: tuple[tuple[str, ...], ...] = ()


def parse(source: str) -> list[Block]:
    """Read the source line by line; every line is a block of its own, but table lines join into one table."""
    blocks: list[Block] = []
    rows: list[tuple[str, ...]] = []
    for line in [*source.splitlines(), ""]:
        line = line.strip()
        if line.startswith("|"):
            if not re.fullmatch(r"\|[\s|:-]+\|", line):
                rows.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
            continue
        if rows:
            blocks.append(Block("table", rows=tuple(rows)))
            rows = []
        if not line:
            continue
        if match := re.match(r"(#+) (.*)", line):
            blocks.append(Block("heading", match[2], level=len(match[1])))
        elif line.startswith("- "):
            blocks.append(Block("bullet", line[2:]))
        elif match := re.match(r"\d+\. (.*)", line):
            blocks.append(Block("number", match[1]))
        elif line.startswith("> "):
            blocks.append(Block("note", line[2:]))
        else:
            blocks.append(Block("paragraph", line))
    return blocks


def sections(blocks: list[Block], level: int) -> list[tuple[str, list[Block]]]:
    """Group blocks under the headings of `level` or above; each group is (heading, blocks below it)."""
    groups: list[tuple[str, list[Block]]] = []
    for block in blocks:
        if block.kind == "heading" and block.level <= level:
            groups.append((block.text, []))
        elif groups:
            groups[-1][1].append(block)
    return groups


def title(blocks: list[Block]) -> str:
    """The text of the first heading."""
    return next(block.text for block in blocks if block.kind == "heading")


def is_cjk(text: str) -> bool:
    """Whether the text holds Chinese characters, which need other fonts."""
    return bool(re.search(r"[\u4e00-\u9fff]", text))
