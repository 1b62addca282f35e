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
            if _closes(line, fence):
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


class _Open:
    """The block whose lines are being gathered; `end` gives it, if it has any text, and begins anew."""

    def __init__(self) -> None:
        self.kind: Kind = "text"
        self.lines: list[str] = []

    def end(self) -> Iterator[Block]:
        kind, lines = self.kind, self.lines
        self.kind, self.lines = "text", []
        if not any(line.strip() for line in lines):
            return
        if kind == "table":
            rows = [_cells(line) for line in lines if not TABLE_RULE.match(line.strip())]
            yield Block(table_text(rows), "table")
        else:
            yield Block("\n".join(lines).strip("\n").rstrip(), kind, int(kind == "item"))

    def is_one_line(self) -> bool:
        """Whether it is a single line of text, which a rule under it makes a heading."""
        return self.kind == "text" and len(self.lines) == 1 and "|" not in self.lines[0]

    def begins(self, line: str, below: str) -> Kind | None:
        """The kind of block that begins with this line; None where the line goes on with the open one."""
        if self.kind == "table":
            return None if "|" in line else "text"
        if ITEM.match(line):
            return "item"
        return "table" if self.kind == "text" and _opens_table(line, below) else None


def markdown(text: str) -> Iterator[Block]:
    """Blocks of Markdown source."""
    open_ = _Open()
    fence = ""
    lines = list(without_comments(text.split("\n")))
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if fence:
            open_.lines.append(line)
            if _closes(line, fence):
                fence = ""
                yield from open_.end()
        elif opens := FENCE.match(line):
            yield from open_.end()
            fence = opens[1]
            open_.kind, open_.lines = "code", [line]
        elif heading := ATX.match(line):
            yield from open_.end()
            if said := _heading(line[heading.end() :]):
                yield Block(said, "heading", len(heading[1]))
        elif (under := SETEXT.match(line)) and open_.is_one_line():
            yield Block(open_.lines.pop().strip(), "heading", 1 if under[1][0] == "=" else 2)
        elif not line.strip():
            yield from open_.end()
        else:
            if kind := open_.begins(line, below):
                yield from open_.end()
                open_.kind = kind
            open_.lines.append(line)
    yield from open_.end()


def plain(text: str) -> Iterator[Block]:
    """Paragraphs of plain text: blank lines part them. Lines of as many tabs each are the rows of a table."""
    for piece in re.split(r"\n[ \t\f]*\n", text):
        body = piece.strip("\n\f").rstrip()
        rows = [line.split("\t") for line in body.split("\n")]
        if len(rows) > 1 and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1:
            yield Block(table_text(rows), "table")
        elif body.strip():
            yield Block(body, "text")


def _heading(text: str) -> str:
    """Without closing signs, an anchor and runs of blanks."""
    said = " ".join(text.split())
    bare = said.rstrip("#")
    said = bare.rstrip() if not bare or bare.endswith(" ") else said
    return ANCHOR.sub("", said).strip()


def _closes(line: str, fence: str) -> bool:
    """Whether a line ends the code that `fence` began: as many of its signs or more, and nothing else."""
    return line.strip().startswith(fence) and not line.strip().strip(fence[0])


def _opens_table(line: str, below: str) -> bool:
    return "|" in line and "|" in below and bool(TABLE_RULE.match(below.strip())) and "-" in below


def _cells(line: str) -> list[str]:
    bare = line.strip().removeprefix("|")
    bare = bare[:-1] if bare.endswith("|") and not bare.endswith("\\|") else bare
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", bare)]
