"""What kind of file this is, as a lower-case name such as pdf: from the filename, else from the first bytes."""

from __future__ import annotations

from pathlib import PurePath

ALIASES = {
    "jpeg": "jpg",
    "htm": "html",
    "xhtml": "html",
    "markdown": "md",
    "text": "txt",
    "log": "txt",
    "tif": "tiff",
    "jsonl": "json",
    "ndjson": "json",
}
KNOWN = frozenset(
    """pdf docx doc docm xlsx xls xlsm pptx ppt pptm odt ods odp rtf html md txt csv tsv json xml eml msg
    epub png tiff jpg gif bmp webp zip""".split()
)
MAGIC = (
    (b"%PDF-", "pdf"),
    (b"{\\rtf", "rtf"),
    (b"\x89PNG", "png"),
    (b"\xff\xd8\xff", "jpg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"GIF8", "gif"),
    (b"\xd0\xcf\x11\xe0", "doc"),
    (b"PK\x03\x04", "zip"),
)


def guess(filename: str, start: bytes) -> str:
    """A known extension wins; then the first bytes; then any extension; then txt or bin."""
    extension = PurePath(filename).suffix.lstrip(".").lower()[:16]
    extension = ALIASES.get(extension, extension)
    if extension in KNOWN:
        return extension
    for magic, found in MAGIC:
        if start.startswith(magic):
            return found
    head = start.lstrip(b"\xef\xbb\xbf \t\r\n")[:200].lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return "html"
    if head.startswith(b"<?xml"):
        return "xml"
    if extension.isalnum():
        return extension
    return "bin" if b"\0" in start else "txt"
