"""Pages of the key-value cache, shared by requests that begin alike.

A full page is known by a key: the hash of its 32 tokens and of the key of the page before it, so equal keys mean
equal tokens from the start of the sequence on. Pages carry a count of their users; a page without users stays
findable until room is needed, and then the one unused for longest goes first, later pages before earlier ones.
The partial page at the end of a sequence belongs to nobody else: who shares the beginning computes it anew.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from kb.llm.local.errors import OutOfPages
from kb.llm.local.types import PAGE

Key = bytes
ROOT: Key = b""


def page_key(before: Key, tokens: Sequence[int]) -> Key:
    """Key of a full page whose predecessor has the key `before`."""
    return hashlib.blake2b(before + np.asarray(tokens, "<i4").tobytes(), digest_size=20).digest()


def page_keys(tokens: Sequence[int]) -> list[Key]:
    """Keys of all full pages of a sequence."""
    keys: list[Key] = []
    for start in range(0, len(tokens) - PAGE + 1, PAGE):
        keys.append(page_key(keys[-1] if keys else ROOT, tokens[start : start + PAGE]))
    return keys


class PagePool:
    """Who uses which page. Only the scheduler's thread changes it; counters may be read by others."""

    def __init__(self, pages: int) -> None:
        self.size = pages
        self._free = list(range(pages - 1, -1, -1))
        self._users = [0] * pages
        self._keys: dict[int, Key] = {}
        self._found: dict[Key, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()  # findable, no users; unused for longest first
        self._written: set[int] = set()  # pages that take memory
        self.evictions = 0

    @property
    def available(self) -> int:
        """Pages that could be taken now."""
        return len(self._free) + len(self._idle)

    @property
    def used(self) -> int:
        """Pages with users."""
        return self.size - self.available

    @property
    def idle(self) -> int:
        """Pages kept for requests to come."""
        return len(self._idle)

    @property
    def written(self) -> int:
        """Pages that take memory: in use, kept, or not emptied since."""
        return len(self._written)

    def find(self, key: Key) -> int | None:
        """The page with this key, with one more user; None if there is none."""
        page = self._found.get(key)
        if page is not None:
            self._users[page] += 1
            self._idle.pop(page, None)
        return page

    def holds(self, keys: Sequence[Key]) -> int:
        """How many of these, from the first on, could be found."""
        return next((place for place, key in enumerate(keys) if key not in self._found), len(keys))

    def idle_among(self, keys: Sequence[Key]) -> int:
        """How many of these are found and without users: using them makes fewer pages available."""
        return sum(1 for key in keys if (page := self._found.get(key)) is not None and page in self._idle)

    def take(self) -> int:
        """A page for one user. OutOfPages when all have users."""
        if not self._free:
            if not self._idle:
                raise OutOfPages("The key-value cache is full.", retry_after=5)
            page, _ = self._idle.popitem(last=False)
            self._forget(page)
            self.evictions += 1
            self._free.append(page)
        page = self._free.pop()
        self._users[page] = 1
        self._written.add(page)
        return page

    def empty(self, most: int) -> list[int]:
        """Up to `most` pages without users that hold something, unused for longest first; free from now on."""
        found = [page for page in self._free if page in self._written][:most]
        while len(found) < most and self._idle:
            page, _ = self._idle.popitem(last=False)
            self._forget(page)
            self._free.insert(0, page)  # the last to be taken again
            found.append(page)
        self._written.difference_update(found)
        return found

    def publish(self, page: int, key: Key) -> None:
        """This page is full and computed: others may find it. A second page of the same key stays private."""
        if key not in self._found:
            self._found[key] = page
            self._keys[page] = key

    def release(self, pages: Sequence[int]) -> None:
        """One user less for each page of a sequence, given in its order."""
        for page in reversed(pages):
            self._users[page] -= 1
            assert self._users[page] >= 0, "a page was released twice"
            if self._users[page] == 0:
                if page in self._keys:
                    self._idle[page] = None
                else:
                    self._free.append(page)

    def _forget(self, page: int) -> None:
        del self._found[self._keys.pop(page)]
