"""Markdown and plain text to blocks. Plain text has no marks; Markdown's headings, lists, tables and code do.

The source itself is kept as text (no rendering): what people wrote is what is searched and shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ingest.blocks import Block, Kind, table_text

FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
ATX = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
SETEXT = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
ITEM = re.compile(r"([ \t]*)(?:[-*+]|\d{1,9}[.)])[ \t]+\S")
TABLE_RULE = re.compile(r"\|?[ \t]*:?-{2,}:?[ \t]*(?:\|[ \t]*:?-{2,}:?[ \t]*)*\|?[ \t]*$")
FRONT_MATTER = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.*?)\n\1[ \t]*(?:\n|\Z)", re.DOTALL)
FRONT_TITLE = re.compile(r"""^title[ \t]*[:=][ \t]*(["']?)(.+?)\1[ \t]*$""", re.MULTILINE)
COMMENT_OPENS = re.compile(r"<!--|\{/\*")
COMMENT = re.compile(r"<!--.*?-->|\{/\*.*?\*/\}")
IN_CODE = re.compile(r"`[^`]*(?:<!--|\{/\*)")  # shown as code, in a line about comments
LONG_LINE = 10_000
CLOSES = {"<!--": "-->", "{/*": "*/}"}
ANCHOR = re.compile(r"[ \t]*\{#[^}]*\}$")


def front_title(text: str) -> tuple[str, str | None]:
    """The text without its front matter (YAML or TOML), and the title found there."""
    found = FRONT_MATTER.match(text)
    if not found:
        return text, None
    title = FRONT_TITLE.search(found[2])
    return text[found.end() :], title[2].strip() if title else None


def without_comments(lines: Sequence[str]) -> Iterator[str]:
    """The lines without <!-- … --> and {/* … */} outside code: no page shows them to a reader.

    A comment that never ends is none; very long lines stay as they are.
    """
    last = {close: number for number, line in enumerate(lines) for close in CLOSES.values() if close in line}
    fence = until = ""
    for number, line in enumerate(lines):
        if until:
            at = line.find(until)
            if at < 0:
                continue
            line, until = line[at + len(until) :], ""
        elif fence:
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
            yield line
            continue
        if opens := FENCE.match(line):
            fence = opens[1]
        elif len(line) < LONG_LINE and not IN_CODE.search(line):
            line = COMMENT.sub("", line)
            opened = COMMENT_OPENS.search(line)
            if opened and last.get(CLOSES[opened[0]], -1) > number:
                line, until = line[: opened.start()], CLOSES[opened[0]]
        yield line


def markdown(text: str, part: str | None = None) -> Iterator[Block]:
    """Blocks of Markdown source."""
    paragraph: list[str] = []
    kind: Kind = "text"
    fence = ""
    lines = list(without_comments(text.split("\n")))

    def flush() -> Iterator[Block]:
        nonlocal kind
        if paragraph and any(line.strip() for line in paragraph):
            body = paragraph
            if kind == "table":
                rows = [_cells(line) for line in body if not TABLE_RULE.match(line.strip())]
                yield Block(table_text(rows), "table", part=part)
            else:
                yield Block("\n".join(body).strip("\n").rstrip(), kind, int(kind == "item"), part=part)
        paragraph.clear()
        kind = "text"

    for number, line in enumerate(lines):
        if fence:
            paragraph.append(line)
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
                yield from flush()
            continue
        opens = FENCE.match(line)
        if opens:
            yield from flush()
            fence, kind = opens[1], "code"
            paragraph.append(line)
            continue
        heading = ATX.match(line)
        if heading:
            yield from flush()
            if said := _heading(line[heading.end() :]):
                yield Block(said, "heading", len(heading[1]), part=part)
            continue
        under = SETEXT.match(line)
        if (
            under
            and len(paragraph) == 1
            and kind == "text"
            and paragraph[0].strip()
            and "|" not in paragraph[0]
        ):
            yield Block(paragraph.pop().strip(), "heading", 1 if under[1][0] == "=" else 2, part=part)
            continue
        if not line.strip():
            yield from flush()
            continue
        item = ITEM.match(line)
        if item and kind != "table":
            yield from flush()
            kind = "item"
        elif (
            kind == "text"
            and "|" in line
            and number + 1 < len(lines)
            and _opens_table(line, lines[number + 1])
        ):
            yield from flush()
            kind = "table"
        elif kind == "table" and "|" not in line:
            yield from flush()
        paragraph.append(line)
    yield from flush()


def plain(text: str, part: str | None = None) -> Iterator[Block]:
    """Paragraphs of plain text: blank lines part them. Lines of as many tabs each are the rows of a table."""
    for piece in re.split(r"\n[ \t\f]*\n", text):
        body = piece.strip("\n\f").rstrip()
        rows = [line.split("\t") for line in body.split("\n")]
        if len(rows) > 1 and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1:
            yield Block(table_text(rows), "table", part=part)
        elif body.strip():
            yield Block(body, "text", part=part)


def _heading(text: str) -> str:
    """Without closing signs, an anchor and runs of blanks."""
    said = " ".join(text.split())
    bare = said.rstrip("#")
    said = bare.rstrip() if not bare or bare.endswith(" ") else said
    return ANCHOR.sub("", said).strip()


def _opens_table(line: str, below: str) -> bool:
    return "|" in below and bool(TABLE_RULE.match(below.strip())) and "-" in below


def _cells(line: str) -> list[str]:
    bare = line.strip().removeprefix("|")
    bare = bare[:-1] if bare.endswith("|") and not bare.endswith("\\|") else bare
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", bare)]
