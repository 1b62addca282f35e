"""Reading zip files that may be damaged: Office, OpenDocument and EPUB files are zips too."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

# What opening one, or reading a part of it, raises: damage, a missing part, a password, an unknown compression.
DAMAGE = (zipfile.BadZipFile, KeyError, OSError, ValueError, NotImplementedError, RuntimeError, EOFError)


def readable(archive: zipfile.ZipFile, largest: int) -> Iterator[tuple[zipfile.ZipInfo, bytes]]:
    """The parts of at most `largest` bytes that can be read: a damaged picture does not take the text along."""
    for entry in archive.infolist():
        if entry.file_size <= largest:
            try:
                data = archive.read(entry)
            except DAMAGE:
                continue
            yield entry, data
