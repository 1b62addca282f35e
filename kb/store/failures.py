"""What the disk and the database report, said as kb's own errors."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from kb.errors import Broken, Busy, DiskFull, KbError, Unwritable

ENOUGH = 2**20  # bytes free below which an input/output error is put down to a full disk


def disk_full(path: Path | None) -> DiskFull:
    """The error for a disk without space, naming the folder."""
    where = f" that holds {path}" if path else ""
    return DiskFull(
        f"The disk{where} is full. Nothing that was confirmed is lost. "
        "Free some space, then try again; kb needs no restart."
    )


def from_os(error: OSError, path: Path) -> KbError:
    """An operating-system error on kb's own files."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(path)
    kind = Unwritable if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else Broken
    return kind(
        f"{error.strerror or error} ({error.filename or path}). Check the disk and the folder's owner."
    )


@contextmanager
def translated(path: Path | None) -> Iterator[None]:
    """Database errors raised inside become Busy, DiskFull or Broken; anything else passes unchanged."""
    try:
        yield
    except PoolTimeout as error:
        raise Busy(
            "All database connections are in use. Please try again in a moment.", retry_after=1
        ) from error
    except DBAPIError as error:
        found = _known(error, path)
        if found is None:
            raise
        raise found from error


def _known(error: DBAPIError, path: Path | None) -> KbError | None:
    name: str = getattr(error.orig, "sqlite_errorname", None) or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Busy("The database is locked by another program. Please try again in a moment.", retry_after=2)
    if name == "SQLITE_FULL":
        return disk_full(path)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return Broken(
            f"The database {path} is damaged. Stop kb, run `kb doctor`, and restore the last backup."
        )
    if name.startswith("SQLITE_CANTOPEN") and path is not None and not os.access(path.parent, os.W_OK):
        name = "SQLITE_READONLY"  # the write-ahead log cannot be made beside it
    if name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN")):
        if path is not None and _free(path) < ENOUGH:
            return disk_full(path)
        return Broken(f"The disk reports an error under the database {path} ({name}). Check the disk.")
    if name.startswith("SQLITE_READONLY"):
        return Unwritable(
            f"The database {path} cannot be written to: its folder is read-only, or another user's. "
            "kb needs to write there even to read; check the owner and rights, or set KB_DATA."
        )
    return None


def _free(path: Path) -> int:
    try:
        stat = os.statvfs(path.parent)
    except OSError:
        return 0
    return stat.f_bavail * stat.f_frsize
