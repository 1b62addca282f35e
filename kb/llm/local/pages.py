"""Where SQLite keeps the BLOB of a row, so that a reader can fetch it past SQLite.

From the published file format: a table is a b-tree of pages (type 5 inside, 13 at the leaves); a row too large
for its leaf goes on in a chain of overflow pages, each starting with the number of the next (0: last). A BLOB
written into a growing file gets consecutive pages, except for the one at 1 GiB that SQLite reserves for locks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from kb.llm.local.errors import BadModel

_LOCK_AT = 1 << 30  # the page that holds this byte is never used


@dataclass(frozen=True)
class Extent:
    """The last column of one row: `head` bytes at `offset`, the others from overflow page `first` on."""

    offset: int
    head: int
    first: int  # 0: no overflow
    rest: int  # bytes in the overflow chain


class PageMap:
    """The pages of one table whose last column is a BLOB of a known size."""

    def __init__(self, fd: int, root: int) -> None:
        header = os.pread(fd, 100, 0)
        size = int.from_bytes(header[16:18], "big")
        self.page_size = 65536 if size == 1 else size
        self.pages = os.fstat(fd).st_size // self.page_size
        self.lock_page = _LOCK_AT // self.page_size + 1
        self._usable = self.page_size - header[20]
        self._fd = fd
        self._cells: dict[int, tuple[int, int, int, int]] = {}  # id → (offset, local, payload, first)
        if header[20]:
            raise BadModel("the file reserves space on its pages")
        self._walk(root, depth=0)

    def extent(self, row: int, nbytes: int) -> Extent | None:
        """Where the last `nbytes` of a row lie; None if that row is not as expected."""
        if row not in self._cells:
            return None
        offset, local, payload, first = self._cells[row]
        rest = payload - local
        head = nbytes - rest
        if not 0 <= head <= local:
            return None
        return Extent(offset + local - head, head, first, rest)

    def runs(self, extent: Extent) -> list[tuple[int, int]]:
        """(first page, count) of the consecutive pages an overflow chain should lie on, around the lock page."""
        count = -(-extent.rest // (self.page_size - 4))
        first, last = extent.first, extent.first + count - 1
        if not first <= self.lock_page <= last:
            return [(first, count)]
        before = self.lock_page - first
        return [(first, before), (self.lock_page + 1, count - before)]

    def places(self, extent: Extent, start: int, end: int) -> list[tuple[int, int]]:
        """(offset in the file, length) of the bytes `start` to `end` of a BLOB whose pages are in a row."""
        found = []
        if start < extent.head:
            upto = min(end, extent.head)
            found.append((extent.offset + start, upto - start))
            start = upto
        room = self.page_size - 4
        while start < end:
            number, within = divmod(start - extent.head, room)
            page = extent.first + number
            page += extent.first <= self.lock_page <= page
            length = min(end - start, room - within)
            found.append(((page - 1) * self.page_size + 4 + within, length))
            start += length
        return found

    def _walk(self, number: int, depth: int) -> None:
        if not 1 <= number <= self.pages or depth > 20:
            raise BadModel("its page tree is damaged")
        base = (number - 1) * self.page_size
        page = os.pread(self._fd, self.page_size, base)
        start = 100 if number == 1 else 0
        count = int.from_bytes(page[start + 3 : start + 5], "big")
        if page[start] == 5:
            places = [_u16(page, start + 12 + 2 * cell) for cell in range(count)] + [start + 8]
            children = [int.from_bytes(page[at : at + 4], "big") for at in places]
            for child in children:  # all of them asked of the disk at once: they lie apart
                at = max(0, child - 1) * self.page_size
                os.posix_fadvise(self._fd, at, self.page_size, os.POSIX_FADV_WILLNEED)
            for child in children:
                self._walk(child, depth + 1)
        elif page[start] == 13:
            for cell in range(count):
                self._leaf_cell(page, base, _u16(page, start + 8 + 2 * cell))
        else:
            raise BadModel("its page tree is damaged")

    def _leaf_cell(self, page: bytes, base: int, at: int) -> None:
        payload, at = _varint(page, at)
        row, at = _varint(page, at)
        local, first = payload, 0
        if payload > self._usable - 35:
            least = (self._usable - 12) * 32 // 255 - 23
            local = least + (payload - least) % (self._usable - 4)
            if local > self._usable - 35:
                local = least
            first = int.from_bytes(page[at + local : at + local + 4], "big")
        self._cells[row] = (base + at, local, payload, first)


def _u16(page: bytes, at: int) -> int:
    return int.from_bytes(page[at : at + 2], "big")


def _varint(page: bytes, at: int) -> tuple[int, int]:
    value = 0
    for _ in range(8):
        byte = page[at]
        at += 1
        value = value << 7 | byte & 127
        if byte < 128:
            return value, at
    return value << 8 | page[at], at + 1
