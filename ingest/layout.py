"""Clean blocks laid out as the stored text: pages parted by form feeds, headings marked with #, tables by tabs.

Chunks point into this text by character offsets, so it is made once and never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ingest.blocks import Block, Kind


@dataclass(frozen=True, slots=True)
class Span:
    """A block's place in the stored text, and the headings above it."""

    start: int
    end: int
    kind: Kind
    page: int | None
    heading: str
    part: str | None


@dataclass(frozen=True)
class Laid:
    """The stored text. spans: in order, not overlapping, with only white space between them."""

    text: str
    spans: tuple[Span, ...]
    page_starts: tuple[int, ...]


def lay_out(blocks: Sequence[Block], pages: int | None = None) -> Laid:
    """Join the blocks. pages: how many there are, so that empty ones at the end are marked too."""
    pieces: list[str] = []
    spans: list[Span] = []
    starts: list[int] = []
    at = 0
    path: list[tuple[int, str]] = []
    part: str | None = None
    before: Block | None = None
    for block in blocks:
        if block.part != part:
            path, part = [], block.part
        text = _marked(block)
        gap = "" if before is None else "\n" if block.kind == before.kind == "item" else "\n\n"
        if block.page is not None:
            starts = starts or [0]
            turns = max(
                0, block.page - len(starts)
            )  # empty pages are turned too, so that whoever counts is right
            gap = ("\n\n" if turns and before else gap) + "\f" * turns
            starts.extend(at + len(gap) - turns + turn for turn in range(1, turns + 1))
        pieces.append(gap)
        at += len(gap)
        if block.kind == "heading":
            path = [(level, name) for level, name in path if level < block.level]
            path.append((block.level, block.text))
        heading = " › ".join(name for _, name in path)
        spans.append(Span(at, at + len(text), block.kind, block.page, heading[:500], block.part))
        pieces.append(text)
        at += len(text)
        before = block
    while pages and starts and len(starts) < pages:
        pieces.append("\f")
        at += 1
        starts.append(at)
    return Laid("".join(pieces), tuple(spans), tuple(starts))


def _marked(block: Block) -> str:
    if block.kind == "heading":
        return "#" * min(max(block.level, 1), 6) + " " + " ".join(block.text.split())
    return block.text
