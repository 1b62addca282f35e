"""Scanned pages that carry a little text of their own: "Scanned by …", a fax header, a stamp with a number.

A page without text is plainly a picture. One with a line of text may be too, and nothing that was on the paper
would ever be found; so in a PDF that holds a picture for every page, pages with hardly any text are read as
images as well. What the text layer said then comes a second time, and is left out.
"""

from __future__ import annotations

import mmap
import re
from collections import Counter
from pathlib import Path

from lxml import etree

from ingest.blocks import Extract

SPARSE = (
    100  # characters; Tika is told to read pages with somewhat more as images (tika_config.SPARSE_CHARACTERS)
)
_PICTURE = re.compile(rb"/Subtype\s*/Image\b")


def pages(extract: Extract, path: Path) -> tuple[int, ...]:
    """Pages of a PDF to be read as images: those that have no text, and those that may be stamped scans."""
    if extract.type != "pdf" or not extract.pages or _pictures(path) < extract.pages:
        return extract.needs_ocr
    said: Counter[int | None] = Counter()
    for block in extract.blocks:
        said[block.page] += len(block.text)
    faint = {page for page in range(1, extract.pages + 1) if said[page] <= SPARSE}
    return tuple(sorted(faint.union(extract.needs_ocr)))


def _pictures(path: Path) -> int:
    """Images in a PDF. Their dictionaries stand in the clear, whatever else is compressed."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return sum(1 for _ in _PICTURE.finditer(data))


def once(root: etree._Element) -> None:
    """Take out of a page's text layer what reading its image said again. root: Tika's XHTML."""
    for read in root.iter("{*}div"):
        if read.get("class") != "ocr":
            continue
        text = _squeezed(read)
        for element in list(read.itersiblings(preceding=True)):
            if (said := _squeezed(element)) and said in text:
                for child in list(element):
                    element.remove(child)
                element.text = None


def _squeezed(element: etree._Element) -> str:
    return "".join("".join(element.itertext()).split())
