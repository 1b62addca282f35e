"""Byte ranges of one packed matrix out of the file: for a matrix of which a step needs little.

The pages of its BLOBs are read past SQLite, through the page cache. Nothing is used of a shard that was not checked:
the first time one of its bytes is wanted all of it is read once, from the very places that are read later, and held
against its mark. A shard that is not right there (damaged, or not on pages in a row) is mended into memory and stays.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import xxhash

from kb.llm.local import quant
from kb.llm.local.pages import Extent, PageMap
from kb.llm.local.store import Shard

_STEP = 1 << 20  # bytes checked at a time …
_AHEAD = 8 * _STEP  # … and asked of the disk before they are needed


class Mender(Protocol):
    """Second source of a shard whose bytes are wrong."""

    def mend(self, shard: Shard, out: quant.Bytes) -> None:
        """The right bytes into `out`, or CorruptShard."""


class Ranges:
    """One matrix: its shards in order. `extents` are theirs. One caller at a time; close it at the end."""

    def __init__(self, path: Path, pages: PageMap, shards: list[Shard], mender: Mender) -> None:
        self.bytes_read = self.verified = 0
        self._pages, self._shards, self._mender = pages, shards, mender
        self._extents = [_extent(pages, shard) for shard in shards]
        self._checked: set[int] = set()  # places in `shards`
        self._kept: dict[int, quant.Bytes] = {}  # of these, what must not be read from the file
        self._gap = memoryview(bytearray(4))  # the pointer between a page's contents and the next's
        self._path = path
        self._fd = -1

    def open(self) -> None:
        """Hold on to the file that lies there now."""
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_RDONLY)
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_RANDOM)

    def close(self) -> None:
        """Give the file back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def prepare(self, wanted: Iterable[tuple[int, int]]) -> None:
        """These (offset, length) are about to be read: check what they lie in, and have the disk read them all.

        CorruptShard where the right bytes cannot be had.
        """
        self.open()
        pieces = [piece for start, length in wanted for piece in self._pieces(start, length)]
        for number in sorted({number for number, _, _ in pieces} - self._checked):
            self._check(number)
        for number, start, end in pieces:
            if number not in self._kept:
                self._advise(number, start, end)

    def read(self, start: int, out: quant.Bytes) -> None:
        """The matrix's bytes from `start` on, as many as `out` holds; they were prepared. OSError if the disk fails."""
        done = 0
        for number, first, end in self._pieces(start, out.nbytes):
            part = out[done : done + end - first]
            if (kept := self._kept.get(number)) is not None:
                part[:] = kept[first:end]
            else:
                self._read(number, first, part)
            done += end - first
        self.bytes_read += done

    def _pieces(self, start: int, length: int) -> list[tuple[int, int, int]]:
        """(shard, from, to) of a range of the matrix."""
        end, found = start + length, []
        for number, shard in enumerate(self._shards):
            first, last = max(start, shard.start), min(end, shard.start + shard.nbytes)
            if first < last:
                found.append((number, first - shard.start, last - shard.start))
        return found

    def _check(self, number: int) -> None:
        shard = self._shards[number]
        if not self._intact(number):
            right = quant.aligned(shard.nbytes)
            self._mender.mend(shard, right)
            self._kept[number] = right
        self._checked.add(number)
        self.verified += 1

    def _intact(self, number: int) -> bool:
        shard, part = self._shards[number], quant.aligned(_STEP)
        digest = hashlib.sha256() if shard.checksum is None else xxhash.xxh3_128()
        self._advise(number, 0, min(_AHEAD, shard.nbytes))
        try:
            for start in range(0, shard.nbytes, _STEP):
                ahead = start + _AHEAD
                self._advise(number, ahead, min(ahead + _STEP, shard.nbytes))
                piece = part[: shard.nbytes - start]
                self._read(number, start, piece)
                digest.update(piece.data)
        except OSError:
            return False
        self.bytes_read += shard.nbytes
        return digest.digest() == (shard.sha256 if shard.checksum is None else shard.checksum)

    def _advise(self, number: int, start: int, end: int) -> None:
        """The disk may begin to read this."""
        for run in self._runs(number, start, end):
            (first, _), (last, length) = run[0], run[-1]
            os.posix_fadvise(self._fd, first, last + length - first, os.POSIX_FADV_WILLNEED)

    def _read(self, number: int, start: int, out: quant.Bytes) -> None:
        """Bytes of a shard from `start` on."""
        view, done = out.data, 0
        for run in self._runs(number, start, start + out.nbytes):
            pieces = []
            for _, length in run:
                pieces += [view[done : done + length], self._gap]
                done += length
            wanted = sum(map(len, pieces[:-1]))
            if os.preadv(self._fd, pieces[:-1], run[0][0]) != wanted:
                raise OSError("the file ended early; it changed while it was read")

    def _runs(self, number: int, start: int, end: int) -> list[list[tuple[int, int]]]:
        """Where these bytes of a shard lie, (offset, length); pages that follow each other together."""
        runs: list[list[tuple[int, int]]] = []
        before = -1
        for place in self._pages.places(self._extents[number], start, end):
            if place[0] == before + len(self._gap):
                runs[-1].append(place)
            else:
                runs.append([place])
            before = sum(place)
        return runs


def in_pages(pages: PageMap | None, shards: list[Shard]) -> bool:
    """Whether these can be read in ranges."""
    return pages is not None and all(pages.extent(shard.id, shard.nbytes) for shard in shards)


def _extent(pages: PageMap, shard: Shard) -> Extent:
    found = pages.extent(shard.id, shard.nbytes)
    assert found is not None, "see in_pages"
    return found
