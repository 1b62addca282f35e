"""OpenDocument spreadsheets and presentations with what Tika leaves out written into them: names of sheets, slides.

Tika reads an ODS as one table after the other and an ODP as one run of paragraphs. So a copy is made in which every
sheet and slide begins with a heading: the sheet's name, or a mark that `slides` turns into page numbers. Lines of a
page's header and footer that are fields ("Page 1", a date) go: LibreOffice puts them into every file.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ingest.blocks import Block
from ingest.zips import DAMAGE, readable

KINDS = frozenset({"ods", "odp"})
CONTENT = "content.xml"
LARGEST = 64 * 2**20  # bytes of one part: beyond it, the file is read as it is
SHEET = re.compile(rb'<table:table\s(?:[^<>]*\s)?table:name="([^"<>]{1,300})"[^<>]*(?<!/)>')
SLIDE = re.compile(rb"<draw:page\s[^<>]*(?<!/)>")
PARAGRAPH = re.compile(rb"<text:p\b[^<>]*(?<!/)>(?:(?!</?text:p\b).){0,2000}</text:p>", re.DOTALL)
FIELD = re.compile(rb"<text:(?:sheet-name|page-number|page-count|title|date|time)\b")
MARK = "\u2e1akb slide\u2e1a"
HEADING = b'<text:h text:outline-level="1">%b</text:h>'


@contextlib.contextmanager
def marked(path: Path, kind: str) -> Iterator[Path]:
    """The file itself, or for the time being a copy with headings."""
    if kind not in KINDS:
        yield path
        return
    try:
        with zipfile.ZipFile(path) as source:
            size = source.getinfo(CONTENT).file_size
            content = _headed(source.read(CONTENT), kind) if size <= LARGEST else b""
    except DAMAGE:
        content = b""  # Tika says what is wrong with it
    if b"xmlns:text=" not in content[:20_000]:  # encrypted, too large, or unlike any we know
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="kb-odf-", suffix=f".{kind}") as copy:
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED) as target:
            for entry, data in readable(source, LARGEST):
                if entry.filename == CONTENT:
                    data = content
                elif entry.filename.endswith("styles.xml"):
                    data = PARAGRAPH.sub(_unless_field, data)
                target.writestr(entry, data)
        yield Path(copy.name)


def _unless_field(paragraph: re.Match[bytes]) -> bytes:
    return b"" if FIELD.search(paragraph[0]) else paragraph[0]


def _headed(content: bytes, kind: str) -> bytes:
    if kind == "ods":
        return SHEET.sub(lambda found: HEADING % found[1] + found[0], content)
    return SLIDE.sub(lambda found: found[0] + HEADING % MARK.encode(), content)


def slides(blocks: Iterable[Block]) -> Iterator[Block]:
    """Blocks with the page numbers that the marks stand for; the marks themselves go."""
    page: int | None = None
    for block in blocks:
        if block.text == MARK:
            page = (page or 0) + 1
        else:
            yield replace(block, page=page) if page else block
