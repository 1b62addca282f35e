"""Office files in 'Strict Open XML' rewritten as ordinary ones: the same parts under the names that parsers know."""

from __future__ import annotations

import contextlib
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ingest.zips import DAMAGE, readable

KINDS = frozenset({"docx", "xlsx", "pptx"})
MARK = b"purl.oclc.org/ooxml/"
MAX_PART = 64 * 2**20
TRANSITIONAL = "http://schemas.openxmlformats.org/"
# Strict namespaces differ in their first part and drop the year; a few are named otherwise.
RULES: tuple[tuple[re.Pattern[bytes], bytes], ...] = tuple(
    (re.compile(b"http://purl\\.oclc\\.org/ooxml/" + old.encode()), (TRANSITIONAL + new).encode())
    for old, new in (
        ("officeDocument/relationships/metadata/", "package/2006/relationships/metadata/"),
        ("officeDocument/relationships", "officeDocument/2006/relationships"),
        ("officeDocument/extendedProperties", "officeDocument/2006/extended-properties"),
        ("officeDocument/customProperties", "officeDocument/2006/custom-properties"),
        ("officeDocument/docPropsVTypes", "officeDocument/2006/docPropsVTypes"),
        ("officeDocument/", "officeDocument/2006/"),
        ("drawingml/", "drawingml/2006/"),
        ("spreadsheetml/", "spreadsheetml/2006/"),
        ("wordprocessingml/", "wordprocessingml/2006/"),
        ("presentationml/", "presentationml/2006/"),
        ("schemaLibrary/", "schemaLibrary/2006/"),
    )
)


@contextlib.contextmanager
def ordinary(path: Path, kind: str) -> Iterator[Path]:
    """The file itself, or for a strict one a rewritten copy that lives as long as the context."""
    if kind not in KINDS or not _is_strict(path):
        yield path
        return
    with tempfile.NamedTemporaryFile(suffix=f".{kind}") as copy:
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED) as target:
            for entry, data in readable(source, MAX_PART):
                if entry.filename.endswith((".xml", ".rels")):
                    data = _transitional(data)
                target.writestr(entry.filename, data)
        yield Path(copy.name)


def _transitional(part: bytes) -> bytes:
    for pattern, new in RULES:
        part = pattern.sub(new, part)
    return part.replace(b' conformance="strict"', b"")


def _is_strict(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo("_rels/.rels")
            return info.file_size < 2**20 and MARK in archive.read(info)
    except DAMAGE:
        return False
