"""Shards from the file into memory, as fast as the disk gives them.

`PageReader` reads the pages of a BLOB past SQLite. What the page cache holds already is copied from there, each
page's contents straight to their place: .1 processor seconds and .15 seconds a GB. The rest it reads past the page cache
(O_DIRECT), taking the chain pointers out while copying, so that nothing is kept twice when memory is tight; or, where
the whole file fits into memory that is free, through it. `BlobReader` reads through SQLite: it works everywhere.

A reader belongs to one thread. Neither checks hashes; `loader` does.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from pathlib import Path
from typing import Protocol

import apsw
import numpy as np
from numpy.typing import NDArray

from kb.llm.local.errors import BadModel, CorruptShard
from kb.llm.local.pages import Extent, PageMap
from kb.llm.local.resident import resident
from kb.llm.local.settings import available_memory
from kb.llm.local.store import Shard

STAGING = (
    2 << 20
)  # bytes read at once: a shard is several such parts, so that no thread waits long for another's last


class Reader(Protocol):
    """Fills a buffer with the bytes of a shard."""

    cached: bool  # what was read last is in the page cache

    def read_into(self, shard: Shard, out: NDArray[np.uint8]) -> None:
        """All of the shard's bytes into `out` (uint8, contiguous, exactly its size)."""

    def read_part(self, shard: Shard, out: NDArray[np.uint8], part: int) -> None:
        """One of `Readers.parts(shard)` parts of them to their place in `out`."""

    def close(self) -> None:
        """Give its file and buffers back."""


class BlobReader:
    """Through SQLite's incremental BLOB interface into the caller's buffer."""

    cached = False  # not known

    def __init__(self, path: Path, mmap_bytes: int = 0) -> None:
        # Not `immutable`: a shard may be mended in place while we read.
        self._connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        self._connection.set_busy_timeout(5000)
        self._connection.execute(f"PRAGMA mmap_size={mmap_bytes}")
        self._connection.execute("PRAGMA cache_size=-256")
        self._blob: apsw.Blob | None = None

    def read_into(self, shard: Shard, out: NDArray[np.uint8]) -> None:
        try:
            with self._connection.blob_open("main", "shards", "data", shard.id, False) as blob:
                if blob.length() != out.nbytes:
                    raise CorruptShard(f"{shard} is {blob.length()} bytes long, not {out.nbytes}")
                blob.read_into(out.data)
        except apsw.Error as error:
            raise CorruptShard(f"{shard} cannot be read: {error}") from None

    def read_part(self, shard: Shard, out: NDArray[np.uint8], part: int) -> None:
        self.read_into(shard, out)

    def read_range(self, shard: Shard, out: NDArray[np.uint8], start: int, end: int) -> None:
        """Bytes `start` to `end` of a shard to their place in `out`."""
        try:
            with self._connection.blob_open("main", "shards", "data", shard.id, False) as blob:
                blob.seek(start)
                blob.read_into(out.data, start, end - start)
        except apsw.Error as error:
            raise CorruptShard(f"{shard} cannot be read: {error}") from None

    def close(self) -> None:
        self._connection.close()


class PageReader:
    """Past SQLite; with `direct` also past the page cache, but for what is there. OSError from the constructor where
    the file system cannot do it."""

    def __init__(self, path: Path, pages: PageMap, direct: bool = True) -> None:
        self.cached = False
        self._pages = pages
        self._links = memoryview(bytearray(4 * (STAGING // pages.page_size)))  # chain pointers of a read
        self._staging = mmap.mmap(-1, STAGING)  # page-aligned, as O_DIRECT wants it
        self._view = memoryview(self._staging)
        self._bytes = np.frombuffer(self._staging, np.uint8)
        self._buffered = BlobReader(path)
        self._fd = os.open(path, os.O_RDONLY)
        self._direct: int | None = None
        if not direct:
            return
        try:
            self._direct = os.open(path, os.O_RDONLY | os.O_DIRECT)
            os.preadv(self._direct, [self._view[:4096]], 0)
        except OSError:
            self.close()
            raise

    def read_into(self, shard: Shard, out: NDArray[np.uint8]) -> None:
        for part in range(parts(self._pages, shard.id, out.nbytes)):
            self.read_part(shard, out, part)

    def read_part(self, shard: Shard, out: NDArray[np.uint8], part: int) -> None:
        extent = self._pages.extent(shard.id, out.nbytes)
        if extent is None:  # rows that SQLite laid out otherwise (none that we wrote) are read its own way
            self._buffered.read_into(shard, out)
            return
        size = self._pages.page_size
        most = STAGING // size
        room = most * (size - 4)
        start = extent.head + part * room if part else 0
        end = min(out.nbytes, extent.head + (part + 1) * room)
        if part == 0:
            out[: extent.head] = np.frombuffer(os.pread(self._fd, extent.head, extent.offset), np.uint8)
        if extent.rest and not self._read(extent, out[:end], extent.head + part * room, part * most, most):
            self._buffered.read_range(shard, out, start, end)

    def _read(self, extent: Extent, out: NDArray[np.uint8], at: int, skip: int, most: int) -> bool:
        """The `most` pages after the first `skip` of a chain, without pointers, to `out[at:]`; False if they lie elsewhere."""
        size = self._pages.page_size
        runs = self._pages.runs(extent)
        self.cached = True
        for index, (first, count) in enumerate(runs):
            after = runs[index + 1][0] if index + 1 < len(runs) else 0
            page = first + min(skip, count)
            number = min(most, first + count - page)
            skip, most = skip - (page - first), most - number
            if not number:
                continue
            following = np.arange(page + 1, page + number + 1)
            if page + number == first + count:
                following[-1] = after
            end = min(out.nbytes, at + number * (size - 4))
            if self._scatter(page, number, out[at:end]):
                pointers = np.frombuffer(self._links, ">u4", number)
            elif self._direct is not None and self._fetch(page, number * size):
                staged = self._bytes[: number * size].reshape(number, size)
                pointers = staged[:, :4].copy().view(">u4")[:, 0]
                _unchain(staged, out[:end], at)
            else:
                return False
            if not np.array_equal(pointers, following):
                return False
            at = end
        return at == out.nbytes

    def _scatter(self, page: int, number: int, out: NDArray[np.uint8]) -> bool:
        """Pages from the page cache, or through it: contents to `out`, pointers to `_links`. False if not all were had."""
        size, offset = self._pages.page_size, (page - 1) * self._pages.page_size
        if self._direct is not None and not resident(self._fd, offset, number * size):
            return False
        room = size - 4
        target, pieces = out.data, []
        for place in range(number):
            pieces.append(self._links[4 * place : 4 * place + 4])
            pieces.append(target[place * room : (place + 1) * room])
        return os.preadv(self._fd, pieces, offset) == 4 * number + out.nbytes

    def _fetch(self, page: int, length: int) -> bool:
        assert self._direct is not None
        self.cached, done = False, 0
        while done < length:
            offset = (page - 1) * self._pages.page_size + done
            got = os.preadv(self._direct, [self._view[done:length]], offset)
            if got == 0:
                return False
            done += got
        return True

    def close(self) -> None:
        os.close(self._fd)
        if self._direct is not None:
            os.close(self._direct)
        self._buffered.close()
        self._view.release()
        del self._bytes
        with contextlib.suppress(BufferError):  # freed with the last array on it
            self._staging.close()


def _unchain(staged: NDArray[np.uint8], out: NDArray[np.uint8], at: int) -> None:
    """Copy page contents without their first four bytes to `out[at:]`."""
    room = staged.shape[1] - 4
    whole = min(len(staged), (out.nbytes - at) // room)
    np.copyto(out[at : at + whole * room].reshape(whole, room), staged[:whole, 4:])
    at += whole * room
    if whole < len(staged):
        left = out.nbytes - at
        out[at:] = staged[whole, 4 : 4 + left]


def parts(pages: PageMap, row: int, nbytes: int) -> int:
    """How many reads of at most STAGING bytes a shard takes."""
    extent = pages.extent(row, nbytes)
    if extent is None:
        return 1
    count = -(-extent.rest // (pages.page_size - 4))
    return max(1, -(-count // (STAGING // pages.page_size)))


class Readers:
    """Makes readers of one kind for a file. direct: None chooses by the memory that is free now."""

    def __init__(self, path: Path, direct: bool | None = None) -> None:
        self._path = path
        self.pages: PageMap | None = None  # where shards lie, as far as it is known
        if direct is None:
            direct = available_memory() < 2 * path.stat().st_size
        self.kind = "buffered"
        with contextlib.suppress(OSError, BadModel):
            self.pages = page_map(path)
            if direct and hasattr(os, "O_DIRECT"):
                PageReader(path, self.pages).close()
                self.kind = "direct"

    def parts(self, shard: Shard) -> int:
        """Into how many parts a shard may be read by several threads."""
        return 1 if self.pages is None else parts(self.pages, shard.id, shard.nbytes)

    def open(self) -> Reader:
        """A reader for the calling thread."""
        if self.pages is None:
            return BlobReader(self._path)
        return PageReader(self._path, self.pages, self.kind == "direct")


def page_map(path: Path) -> PageMap:
    """Where the shards of a packed model lie."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'shards'").get
    except apsw.Error as error:
        raise BadModel(f"{path} is not a packed model: {error}") from None
    finally:
        connection.close()
    fd = os.open(path, os.O_RDONLY)
    try:
        return PageMap(fd, int(root))
    except IndexError:
        raise BadModel(f"{path}: its page tree is damaged") from None
    finally:
        os.close(fd)
