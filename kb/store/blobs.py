"""Originals, stored once under the SHA-256 of their bytes: `<dir>/ab/ab12…`. Never changed after.

A blob is on the disk, by fsync, before any row names it; so a row never points at nothing, and a blob
without a row is litter that `sweep` clears after a day.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kb.errors import NotFound, TooLarge
from kb.store.crashpoints import crashpoint
from kb.store.failures import from_os
from kb.store.fsync import sync
from kb.store.private import opener, private_directory

PIECE = 2**20
SYNCERS = 8  # threads that wait for the disk
GRACE_S = 24 * 3600


@dataclass(frozen=True)
class Blob:
    """Stored bytes: their hash, size in bytes, and where they lie."""

    sha256: str
    size: int
    path: Path


class Blobs:
    """The folder of originals."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def add(self, stream: BinaryIO, limit_bytes: int) -> Blob:
        """Store a stream, durably. TooLarge beyond `limit_bytes`; DiskFull when there is no space."""
        with self.together() as batch:
            blob = batch.receive(stream, limit_bytes)
        return blob  # noqa: RET504 (durable only now: the block's end waits for the disk)

    @contextmanager
    def together(self) -> Iterator[Batch]:
        """Store several streams; durable, all of them, when the block has been left.

        Their fsyncs run side by side after the last was received, so that the disk makes one trip for many.
        """
        batch = Batch(self)
        try:
            yield batch
            batch.settle()
        except OSError as error:
            raise from_os(error, self.directory) from error
        finally:
            batch.clear()

    def path(self, sha256: str) -> Path:
        """Where the bytes with this hash lie, whether or not they are there."""
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise NotFound("There is no such file.")
        return self.directory / sha256[:2] / sha256

    def open(self, sha256: str) -> BinaryIO:
        """The bytes, for reading. NotFound when they are gone."""
        try:
            return self.path(sha256).open("rb")
        except FileNotFoundError:
            raise NotFound(
                "The original file is missing from the store; `kb doctor` lists such losses."
            ) from None

    def verify(self, sha256: str) -> bool:
        """Whether the stored bytes still have their hash (reads the whole file)."""
        try:
            with self.path(sha256).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except FileNotFoundError:
            return False

    def all(self) -> Iterator[str]:
        """The hash of every stored blob."""
        for folder in sorted(self.directory.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(folder.iterdir()):
                if len(path.name) == 64:
                    yield path.name

    def sweep(self, used: Callable[[str], bool], *, grace_s: float = GRACE_S) -> int:
        """Remove unfinished uploads and blobs that nothing uses, older than `grace_s`. Returns how many.

        used: whether any row names a hash; asked again right before each removal.
        """
        gone = 0
        for path in [*(self.directory / "tmp").glob("*"), *(self.path(sha) for sha in self.all())]:
            with self._lock(fcntl.LOCK_EX), suppress(FileNotFoundError):
                old = time.time() - path.stat().st_mtime > grace_s
                if old and (path.parent.name == "tmp" or not used(path.name)):
                    path.unlink()
                    gone += 1
        return gone

    @contextmanager
    def _lock(self, kind: int) -> Iterator[None]:
        """Keeps sweep() from removing what add() is just putting there; adders do not wait for each other."""
        descriptor = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, kind)
            yield
        finally:
            os.close(descriptor)


class Batch:
    """Streams on their way into the folder; see `Blobs.together`."""

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs
        self.received: dict[Path, Blob] = {}  # temporary file → what it will be

    def receive(self, stream: BinaryIO, limit_bytes: int) -> Blob:
        """Write one stream beside its place. TooLarge beyond `limit_bytes`; the others are not affected."""
        home = private_directory(private_directory(self.blobs.directory) / "tmp")
        temporary = home / f"{os.getpid()}-{secrets.token_hex(8)}"
        digest, size = hashlib.sha256(), 0
        try:
            with open(temporary, "xb", opener=opener) as file:
                while piece := stream.read(PIECE):
                    size += len(piece)
                    if size > limit_bytes:
                        raise TooLarge(
                            f"The file is larger than {limit_bytes / 2**20:g} MiB, the largest accepted "
                            "(KB_MAX_FILE_MB).",
                            slug="document-too-large",
                        )
                    digest.update(piece)
                    file.write(piece)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        crashpoint("blob.written")
        sha256 = digest.hexdigest()
        self.received[temporary] = Blob(sha256, size, self.blobs.path(sha256))
        return self.received[temporary]

    def settle(self) -> None:
        """Contents, then names, then the folders that hold the names: each on the disk before the next."""
        blobs = self.blobs
        _each(sync, self.received)
        folders = {blob.path.parent for blob in self.received.values()}
        fresh = [folder for folder in folders if not folder.exists()]
        for folder in fresh:
            private_directory(folder)
        if fresh:
            sync(blobs.directory)
        for temporary, blob in self.received.items():
            with blobs._lock(fcntl.LOCK_SH):
                # also when it is there already: this heals a damaged copy and makes it young for sweep()
                os.replace(temporary, blob.path)
        crashpoint("blob.renamed")
        _each(sync, folders)

    def clear(self) -> None:
        """Remove what was not renamed."""
        for temporary in self.received:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _each(act: Callable[[Path], None], paths: Collection[Path]) -> None:
    """Side by side: file systems commit together what is asked for together. Raises the first failure."""
    if len(paths) < 2:
        for path in paths:
            act(path)
        return
    with ThreadPoolExecutor(min(SYNCERS, len(paths))) as pool:
        list(pool.map(act, paths))
