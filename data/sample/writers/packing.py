"""ZIP archives with fixed dates, so that the same sources give the same bytes."""

from __future__ import annotations

import io
import re
import zipfile

DATE = (2026, 11, 2, 9, 0, 0)
ISO_DATE = "2026-11-02T09:00:00Z"


def pack(entries: list[tuple[str, bytes]], stored: tuple[str, ...] = ()) -> bytes:
    """Write the entries in the given order; the names in `stored` are not compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries:
            info = zipfile.ZipInfo(name, DATE)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return buffer.getvalue()


def repack(office: bytes) -> bytes:
    """Give an OOXML package fixed dates, outside (ZIP entries) and inside (core properties)."""
    with zipfile.ZipFile(io.BytesIO(office)) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    stamp = re.compile(rb"(<dcterms:(created|modified)[^>]*>)[^<]*(</dcterms:)")
    fixed = rb"\g<1>" + ISO_DATE.encode() + rb"\g<3>"
    return pack([(n, stamp.sub(fixed, d) if n == "docProps/core.xml" else d) for n, d in entries])
