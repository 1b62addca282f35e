"""What a file is, from its first bytes and its name; magic beats the extension."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from ingest import charset
from ingest.zips import DAMAGE

SIZE = 8192
STRAY = 0.01  # of a text's bytes may be zero
PLAIN = {
    "txt": "txt", "text": "txt", "log": "txt", "rst": "txt", "srt": "txt", "vtt": "txt", "org": "txt", "ini": "txt",
    "cfg": "txt", "conf": "txt", "yaml": "txt", "yml": "txt", "toml": "txt", "adoc": "txt", "tex": "txt", "sql": "txt",
    "py": "txt", "js": "txt", "ts": "txt", "java": "txt", "c": "txt", "h": "txt", "cpp": "txt", "go": "txt", "rs": "txt",
    "sh": "txt", "rb": "txt", "properties": "txt", "md": "md", "markdown": "md", "mdx": "md", "html": "html",
    "htm": "html", "xhtml": "html", "csv": "csv", "tsv": "tsv", "tab": "tsv", "json": "json", "jsonl": "json",
    "ndjson": "json", "xml": "xml",
}  # fmt: skip
IMAGES = frozenset({"png", "jpg", "jpeg", "tif", "tiff", "bmp", "gif", "webp", "jp2", "pnm"})
MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "pdf"),
    (b"{\\rtf", "rtf"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpg"),
    (b"GIF8", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"BM", "bmp"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gz"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"MZ", "exe"),
    (b"\x7fELF", "exe"),
    (b"\xca\xfe\xba\xbe", "exe"),
    (b"\xcf\xfa\xed\xfe", "exe"),
    (b"\xfe\xed\xfa\xcf", "exe"),
    (b"SQLite format 3\0", "sqlite"),
    (b"ITSF", "chm"),
)
# Extensions of formats that are text by their bytes but are more than text: Tika reads them.
MARKUP = frozenset({"eml", "mbox", "fodt", "fods", "fodp", "fb2", "svg", "mht", "mhtml", "rtf", "vcf", "p7m", "rdf", "dif", "webarchive"})  # fmt: skip
OLE = frozenset(
    {"doc", "xls", "ppt", "msg", "vsd", "pub", "wps", "mpp", "dot", "xlt", "pps", "vor", "hwp", "one"}
)
HEADER = re.compile(rb"^([a-z][a-z-]{1,38}):", re.MULTILINE)
MAIL = frozenset(
    b"received from to cc subject message-id mime-version date return-path delivered-to content-type".split()
)
OOXML = {"word/": "docx", "xl/": "xlsx", "ppt/": "pptx", "visio/": "vsdx"}
OOXML_KIN = {
    "docx": {"docx", "docm", "dotx", "dotm"},
    "xlsx": {"xlsx", "xlsm", "xltx", "xltm", "xlsb", "xlam"},
    "pptx": {"pptx", "pptm", "potx", "ppsx", "ppsm", "potm"},
}
ODF = {"text": "odt", "spreadsheet": "ods", "presentation": "odp", "graphics": "odg"}


def extension(filename: str) -> str:
    """Lower-case extension without its dot; '' without one."""
    return Path(filename).suffix.lstrip(".").lower()


def kind_of(path: Path, filename: str) -> str:
    """Type name such as pdf, docx, txt; 'bin' for bytes nobody knows; 'empty' for none."""
    with path.open("rb") as file:
        head = file.read(SIZE)
    named = extension(filename)
    if not head:
        return "empty"
    magic = next((kind for start, kind in MAGIC if head.startswith(start)), None)
    if magic is None and b"%PDF-" in head[:1024]:
        magic = "pdf"
    if magic == "bmp" and (named != "bmp" or len(head) < 26) and is_text(head):
        magic = None
    if magic == "zip":
        return _zip_kind(path, named)
    if magic == "ole":
        return named if named in OLE | set(OOXML.values()) else "ole"
    if magic == "exe" and head.startswith(b"MZ") and is_text(head):
        magic = None
    if magic in ("gz", "bz2", "xz") and named in ("tgz", "svgz", "tar", "emz", "wmz"):
        return named
    if magic:
        return magic
    if not is_text(head):
        return named if named and named not in PLAIN else "bin"
    if b"<?mso-application" in head[:500] or b"schemas.microsoft.com/office/2006/xmlPackage" in head[:1000]:
        return "wordxml"  # Office documents as one XML file: Tika knows their parts
    if named in PLAIN:
        return PLAIN[named]
    return named if named in MARKUP else _text_kind(head, named)


def is_text(head: bytes) -> bool:
    """Whether bytes look like text of any encoding: hardly any control characters, or UTF-16."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        return True
    zeros = head.count(0)
    if zeros and charset.is_wide(head):
        return True
    if zeros > STRAY * len(head):
        return False
    if zeros:  # left by a program that wrote the text
        head = head.replace(b"\0", b"")
        return charset.detect(head) == "utf-8" and is_text(head)
    odd_ones = sum(byte < 32 and byte not in (7, 8, 9, 10, 11, 12, 13, 26, 27) for byte in head)
    return odd_ones <= 0.01 * len(head) or charset.unmarked_wide(head) is not None


def _text_kind(head: bytes, named: str) -> str:
    """Text with an unknown extension, or none."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "html"
    if start.startswith(b"<?xml"):
        return "html" if b"<html" in start[:1000] else named or "xml"
    first = head.split(b"\n", 1)[0]
    if first.startswith(b"From ") and b"@" in first:
        return "mbox"
    names = set(HEADER.findall(head.replace(b"\r\n", b"\n").split(b"\n\n", 1)[0].lower()))
    if len(names & MAIL) >= 3:
        return "eml"
    return "txt"


def _zip_kind(path: Path, named: str) -> str:
    """Office, OpenDocument, EPUB and the like are zips; told apart by what lies in them."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist()[:5000])
            mime = (
                archive.read("mimetype")[:200].decode("ascii", "ignore")
                if _small(archive, "mimetype")
                else ""
            )
    except DAMAGE:
        return named if named else "zip"
    if "epub" in mime:
        return "epub"
    if "opendocument" in mime:
        return next((kind for word, kind in ODF.items() if word in mime), "odt")
    if "[Content_Types].xml" in names:
        for folder, kind in OOXML.items():
            if any(name.startswith(folder) for name in names):
                return named if named in OOXML_KIN.get(kind, ()) else kind
        return named or "zip"
    return named if named and named not in PLAIN else "zip"


def _small(archive: zipfile.ZipFile, name: str) -> bool:
    try:
        return archive.getinfo(name).file_size < 1000
    except KeyError:
        return False
