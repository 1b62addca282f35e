"""Before any parser sees a file: is it worth reading, and safe to try? Only first bytes and zip directories are looked at."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ingest.outcome import Encrypted, Unreadable
from ingest.zips import DAMAGE

MAX_ENTRIES = 50_000
MAX_UNPACKED = 4 * 2**30
MAX_RATIO, RATIO_FROM = 200, 256 * 2**20
REFUSED = {
    "exe": "This is a program, not a document.",
    "sqlite": "This is a database file, not a document.",
    "mobi": "MOBI e-books cannot be read. Convert it to EPUB and add it again.",
    "azw3": "Kindle e-books cannot be read. Convert it to EPUB and add it again.",
    "empty": "The file is empty.",
    "bin": "The file holds neither text nor any known kind of document.",
}
ZIPS = frozenset(
    "zip docx docm dotx xlsx xlsm xltx pptx pptm ppsx potx odt ods odp odg epub vsdx pages key numbers jar".split()
)

OFFICE = frozenset({"docx", "xlsx", "pptx", "odt", "ods", "odp", "epub", "pdf"})
TEXTS = frozenset({"txt", "bin"})


def check(path: Path, kind: str, named: str, max_bytes: int) -> None:
    """Raises Unreadable or Encrypted with the reason; returns when the file may be parsed.

    kind: by the bytes. named: by the extension.
    """
    if kind in REFUSED:
        raise Unreadable(REFUSED[kind])
    size = path.stat().st_size
    if size > max_bytes:
        raise Unreadable(
            f"The file has {size / 2**20:,.0f} MiB; at most {max_bytes / 2**20:,.0f} are read (KB_MAX_FILE_MB)."
        )
    if named in OFFICE and kind not in OFFICE and kind in TEXTS:
        raise Unreadable(
            f"The name says {named.upper()}, but the content is not; the file is damaged or misnamed."
        )
    if kind in ZIPS:
        _check_zip(path, kind, size)


def _check_zip(path: Path, kind: str, size: int) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except DAMAGE:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                return  # an encrypted Office file is no zip; Tika says so
        raise Unreadable(
            f"The {kind.upper()} file is damaged, probably cut short. Save or copy it again."
        ) from None
    if len(entries) > MAX_ENTRIES:
        raise Unreadable(f"The file holds {len(entries):,} parts; at most {MAX_ENTRIES:,} are read.")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MAX_UNPACKED or (unpacked > RATIO_FROM and unpacked > MAX_RATIO * size):
        raise Unreadable(
            f"The file unpacks to {unpacked / 2**30:,.1f} GiB, far more than it should; it was not read."
        )
    files = [entry for entry in entries if not entry.is_dir()]
    if kind == "zip" and files and all(entry.flag_bits & 1 for entry in files):
        raise Encrypted("The archive")
