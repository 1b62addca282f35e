"""Presentations whose slides come in the order in which they are shown.

Tika reads the slides of a PPTX in the order of their relationships' names, as words: rId10 before rId7. So slide
numbers are wrong in nearly every real deck. A copy with names that sort as the slides are shown is read instead.
"""

from __future__ import annotations

import contextlib
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from ingest.zips import DAMAGE, readable

KINDS = frozenset({"pptx", "pptm", "ppsx", "ppsm", "potx", "potm"})
DECK, LINKS = "ppt/presentation.xml", "ppt/_rels/presentation.xml.rels"
LARGEST = 16 * 2**20  # bytes of these two parts
PART = 256 * 2**20
RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


@contextlib.contextmanager
def as_shown(path: Path, kind: str) -> Iterator[Path]:
    """The file itself where its slides sort rightly already; else, for the time being, a copy where they do."""
    parts = _renamed(path) if kind in KINDS else None
    if parts is None:
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="kb-deck-", suffix=f".{kind}") as copy:
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as target:
            for entry, data in readable(source, PART):
                target.writestr(entry.filename, parts.get(entry.filename, data))
        yield Path(copy.name)


def _renamed(path: Path) -> dict[str, bytes] | None:
    """The deck and its relationships with slides named by their place; None where nothing is to be done."""
    try:
        with zipfile.ZipFile(path) as source:
            if any(source.getinfo(name).file_size > LARGEST for name in (DECK, LINKS)):
                return None
            parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
            deck = etree.fromstring(source.read(DECK), parser)
            links = etree.fromstring(source.read(LINKS), parser)
    except (*DAMAGE, etree.LxmlError):
        return None  # Tika says what is wrong with it
    shown = [slide for slide in deck.iter("{*}sldId") if slide.get(RELATION)]
    names = [str(slide.get(RELATION)) for slide in shown]
    if names == sorted(names) or len(set(names)) != len(names):
        return None
    new = {name: f"kbSlide{place:06d}" for place, name in enumerate(names)}
    for slide, name in zip(shown, names, strict=True):
        slide.set(RELATION, new[name])
    for link in links.iter("{*}Relationship"):
        link.set("Id", new.get(str(link.get("Id")), str(link.get("Id"))))
    return {DECK: etree.tostring(deck), LINKS: etree.tostring(links)}
