"""A tree of (X)HTML elements to blocks: headings, paragraphs, list items, tables, code, pages.

One walker serves both what Tika writes (line breaks in text are line breaks; div classes name
pages, slides and sheets) and HTML files read by ourselves (white space folds; hidden text is dropped).
Iterative, so depth costs no stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree

from ingest import tables
from ingest.blocks import Block, Kind, table_text
from ingest.hidden import is_hidden, selectors

BLOCKS = frozenset(
    """address article aside blockquote body dd details dialog div dl dt fieldset figcaption figure footer
    form h1 h2 h3 h4 h5 h6 header hr html legend li main nav ol p pre section summary table tbody td
    tfoot th thead tr ul caption""".split()
)
HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
MASTER = re.compile(r"(?i)click to edit|(?:second|third|fourth|fifth) level|^[\W\d]*$")
LABEL = 100  # characters of a cell that is said again in every row it spans
CARRIED = 10_000  # such cells in a table
SPACES = re.compile(r"[^\S\n]+")
BREAKS = re.compile(r" *\n *")


def harmless(*, huge: bool) -> etree.XMLParser:
    """An XML parser that mends, and neither expands nor loads what a document type names: no bomb, no outside file.

    huge: lifts the limits on nesting and size, for what was bounded before.
    """
    return etree.XMLParser(
        recover=True,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=huge,
        remove_comments=True,
    )


def blocks(root: etree._Element, *, part: str | None, tika: bool, sheets: bool = False) -> Iterator[Block]:
    """Blocks in document order. sheets: 'page' divs are worksheets, not pages."""
    by_sheet = frozenset() if tika else selectors(root)
    flow = frozenset() if sheets else tables.arranging(root)
    return _Walker(part, tika, sheets, by_sheet, flow).walk(root)


@dataclass
class _Walker:
    part: str | None
    tika: bool
    sheets: bool
    by_sheet: frozenset[str]
    flow: frozenset[etree._Element]
    page: int | None = None
    buffer: list[str] = field(default_factory=list)
    heading: int = 0
    items: int = 0
    code: int = 0
    rows: list[list[str]] = field(default_factory=list)
    over: dict[int, tuple[int, str]] = field(default_factory=dict)  # by column: the last row, counted from 1
    carried: int = 0
    tables: int = 0
    slides: int = 0
    master: int = 0
    seen: set[str] = field(default_factory=set)

    def walk(self, root: etree._Element) -> Iterator[Block]:
        stack: list[tuple[etree._Element, bool]] = [(root, False)]
        while stack:
            element, leaving = stack.pop()
            tag = _tag(element)
            if leaving:
                yield from self.leave(element, tag)
                self.text(element.tail)
                continue
            if not tag or self.skipped(element, tag):
                if tag in BLOCKS or tag == "br":
                    yield from self.flush()
                self.text(element.tail)
                continue
            yield from self.enter(element, tag)
            self.text(element.text)
            stack.append((element, True))
            stack.extend((child, False) for child in reversed(element))
        yield from self.flush()

    def skipped(self, element: etree._Element, tag: str) -> bool:
        if self.tika:
            return tag == "head" or (tag == "div" and element.get("class") == "package-entry")
        return is_hidden(element, tag, self.by_sheet)

    def enter(self, element: etree._Element, tag: str) -> Iterator[Block]:
        if tag == "img" and (alt := (element.get("alt") or "").strip()):
            self.buffer.append(f" {alt} ")
        if self.tables:
            self.enter_in_table(tag)
            return
        if tag == "br":
            self.buffer.append("\n")
            return
        if tag not in BLOCKS:
            return
        yield from self.flush()
        if tag == "table" and element not in self.flow:
            self.tables, self.rows, self.over, self.carried = 1, [], {}, 0
        elif tag in HEADINGS:
            self.heading = int(tag[1])
        elif tag == "p" and self.tika and element.get("class") in ("title", "Title"):
            self.heading = 1
        elif tag == "li":
            self.items += 1
        elif tag == "pre":
            self.code += 1
        elif tag == "div" and self.tika:
            self.master += element.get("class") == "slide-master-content"
            self.turn_page(element.get("class") or "")

    def enter_in_table(self, tag: str) -> None:
        """Inside a cell, blocks and tables are words beside each other."""
        if tag == "tr" and self.tables == 1:
            self.rows.append([])
            self.buffer.clear()
            self.carry()
        elif tag in ("td", "th") and self.tables == 1:
            self.buffer.clear()
        elif tag in BLOCKS or tag == "br":
            self.buffer.append(" ")
        self.tables += tag == "table"

    def turn_page(self, name: str) -> None:
        """Pages of PDFs; slides of ppt ('slide' holds 'slide-content') and pptx ('slide-content' alone)."""
        if self.sheets:
            return
        if name == "slide":
            self.slides += 1
        if name in ("page", "slide") or (name == "slide-content" and not self.slides):
            self.page = (self.page or 0) + 1

    def leave(self, element: etree._Element, tag: str) -> Iterator[Block]:
        if self.tables:
            yield from self.leave_in_table(element, tag)
            return
        if tag not in BLOCKS:
            return
        yield from self.flush()
        if tag in HEADINGS or tag == "p":
            self.heading = 0
        elif tag == "li":
            self.items = max(0, self.items - 1)
        elif tag == "pre":
            self.code = max(0, self.code - 1)
        elif tag == "div" and element.get("class") == "slide-master-content":
            self.master = max(0, self.master - 1)

    def leave_in_table(self, element: etree._Element, tag: str) -> Iterator[Block]:
        """The whole table, where it ends here."""
        outermost = self.tables == 1
        if outermost and tag in ("td", "th") and self.rows:
            self.cell(element)
            self.buffer.clear()
        elif outermost and tag == "caption":
            self.rows.append(["".join(self.buffer)])
            self.buffer.clear()
        elif tag == "table":
            self.tables -= 1
            if outermost:
                text = table_text(self.rows)
                self.rows = []
                self.buffer.clear()
                if text:
                    yield Block(text, "table", 0, self.page, self.part)

    def cell(self, element: etree._Element) -> None:
        """The cell that ends here, in the row that is open."""
        row, text = self.rows[-1], "".join(self.buffer)
        rows = _number(element.get("rowspan"))
        # A cell that spans columns keeps the ones after it under their own header.
        spans = ["" for _ in range(min(_number(element.get("colspan")), 50) - 1)]
        if rows > 1:  # a long text is said once; its place is kept, for the cells after it
            for at, said in enumerate([text if len(text) <= LABEL else "", *spans], len(row)):
                self.over[at] = (len(self.rows) + rows - 1, said)
        row.extend([text, *spans])
        self.carry()

    def carry(self) -> None:
        """Cells that began in a row above and stand here as well: so every row can be read alone."""
        row = self.rows[-1]
        while (cell := self.over.get(len(row))) and cell[0] >= len(self.rows) and self.carried < CARRIED:
            self.carried += 1
            row.append(cell[1])

    def text(self, text: str | None) -> None:
        if text:
            self.buffer.append(text if self.tika or self.code else " ".join(f"x{text}x".split())[1:-1])

    def flush(self) -> Iterator[Block]:
        text = "".join(self.buffer)
        self.buffer.clear()
        if not self.code:
            text = BREAKS.sub("\n", SPACES.sub(" ", text))
        text = text.strip("\n") if self.code else text.strip()
        if not text.strip():
            return
        if self.master:  # what a slide master says stands on every slide: once is enough
            if text in self.seen or MASTER.search(text):
                return
            self.seen.add(text)
        kind: Kind = "heading" if self.heading else "code" if self.code else "item" if self.items else "text"
        level = self.heading or (self.items if kind == "item" else 0)
        if kind == "heading":
            text = " ".join(text.split())
        yield Block(text, kind, level, self.page, self.part)


def _tag(element: etree._Element) -> str:
    """Local name in lower case; '' for comments and processing instructions."""
    tag = element.tag
    if not isinstance(tag, str):
        return ""
    return tag.rpartition("}")[2].lower()


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() and len(text) < 4 and int(text) else 1
