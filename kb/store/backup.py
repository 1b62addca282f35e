"""A copy of the state while kb runs: the database as it is at one instant, then the originals that it names.

In this order, because originals are never changed and are there before a row names them; one that goes meanwhile, with
its document, makes it begin again. The indexes are not copied: they are made of the rows.

One backup at a time writes into a folder: it holds `kb.sqlite3.lock` there, the file that a kb restored from it would use.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from kb.errors import Broken, Busy, Invalid, NotFound
from kb.store.blobs import Blobs
from kb.store.db import Database
from kb.store.failures import disk_full, from_os
from kb.store.fsync import sync
from kb.store.private import STATE, private_directory, private_file

TOGETHER = 64  # originals whose way to the disk is waited for at once
UNLIMITED = 2**62
TRIES = 3
LOCK = f"{STATE}.lock"
# what one that was killed leaves
UNFINISHED = tuple(f"{STATE}.new{end}" for end in ("", "-journal", "-wal", "-shm"))


@dataclass(frozen=True)
class Saved:
    """What a backup holds. copied: originals that an earlier backup into the same folder had not yet."""

    documents: int
    originals: int
    copied: int


def backup(
    db: Database, blobs: Blobs, target: Path, *, progress: Callable[[int, int], None] = lambda done, of: None
) -> Saved:
    """Copy the state into `target`, a folder that is new, empty, or holds an earlier backup, which is brought up to date.

    What was there before stays whole until the new database takes the old one's place, at the end. Raises Invalid
    for another folder or another kind of database, Busy while another backup writes into this one, Broken for a
    damaged database or original, DiskFull.
    """
    if db.path is None:
        raise Invalid(
            "Only SQLite is backed up here. Use your database's own tool, and copy the folder blobs/."
        )
    _fit(target, db.path)
    try:
        private_directory(target)
        with _alone(target):
            for _ in range(TRIES):
                try:
                    return _save(db, blobs, target, progress)
                except NotFound as error:
                    lost = error  # swept, its document having been deleted meanwhile: from the beginning
    except OSError as error:
        raise from_os(error, target) from error
    raise Broken(f"An original is missing: {lost.detail} `kb doctor` says what of.") from lost


def _save(db: Database, blobs: Blobs, target: Path, progress: Callable[[int, int], None]) -> Saved:
    fresh = target / f"{STATE}.new"
    _database(db, fresh)
    made = _identity(fresh)
    with closing(sqlite3.connect(fresh)) as copy:
        documents = int(copy.execute("SELECT count(*) FROM documents").fetchone()[0])
        names = [row[0] for row in copy.execute("SELECT DISTINCT sha256 FROM revisions ORDER BY sha256")]
    copied = _originals(blobs, Blobs(target / "blobs"), names, progress)
    if _identity(fresh) != made:  # a network folder whose locks do not reach the other machine
        raise Busy(f"Something else has written into {target} meanwhile; what was there before is whole.")
    os.replace(fresh, target / STATE)
    sync(target)
    return Saved(documents, len(names), copied)


def _identity(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """The only backup into this folder; nothing unfinished lies there when it begins, nor when it has failed."""
    descriptor = os.open(target / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(
                f"Another backup is being written into {target}. Wait until it is done, or name another folder."
            ) from None
        try:
            yield
        finally:
            with suppress(OSError):  # on a full disk it would only be in the way
                _clear(target)
    finally:
        os.close(descriptor)


def _clear(target: Path) -> None:
    for name in UNFINISHED:
        (target / name).unlink(missing_ok=True)


def _fit(target: Path, source: Path) -> None:
    if target.resolve() == source.parent:
        raise Invalid(f"{target} is the state itself. Name another folder, best on another disk.")
    if not target.exists():
        return
    if not target.is_dir():
        raise Invalid(f"{target} is a file. Name a folder.")
    names = {path.name for path in target.iterdir()}
    if names - {STATE, LOCK, *UNFINISHED, "blobs"}:
        raise Invalid(
            f"{target} holds other things than a backup. Name a new folder, or one that holds an earlier backup."
        )


def _database(db: Database, fresh: Path) -> None:
    _clear(fresh.parent)  # a journal left behind must not be played back into the new file
    private_file(fresh)
    try:
        with db.read() as session, closing(sqlite3.connect(fresh)) as copy:
            raw = session.connection().connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)
            raw.backup(copy)  # one step: the snapshot of this instant; writers go on
            # a file of its own, without a log beside it that would have to be kept with it
            copy.execute("PRAGMA journal_mode=DELETE")
            (verdict,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_FULL":
            raise disk_full(fresh) from error
        raise Broken(f"The database could not be copied: {error}. `kb doctor` says what is wrong.") from error
    if verdict != "ok":
        raise Broken(f"The database is damaged ({verdict}); the backup before this one was left as it is.")
    sync(fresh)


def _originals(blobs: Blobs, kept: Blobs, names: Sequence[str], progress: Callable[[int, int], None]) -> int:
    missing = [name for name in names if not kept.path(name).exists()]
    waiting: Iterator[str] = iter(missing)
    done = 0
    while some := list(islice(waiting, TOGETHER)):
        with kept.together() as batch:
            for name in some:
                with blobs.open(name) as stream:
                    if batch.receive(stream, UNLIMITED).sha256 != name:
                        raise Broken(
                            f"The original {blobs.path(name)} is damaged: its bytes are not what they were."
                        )
        done += len(some)
        progress(done, len(missing))
    return len(missing)
