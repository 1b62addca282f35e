"""When the machine runs out of memory: give back what can be computed or read again, before the kernel takes all.

First pages of the key-value cache that nobody uses (prompts kept for later), then experts (read again when asked for);
these come back when there is plenty. Where nothing is left to give, new requests are turned away with 503.

Where the operator has said how much memory the model may take, experts also make room for pages as these fill, and get
it back when pages are emptied: a kept prompt saves more reading than the few experts in its place.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from kb.llm.local.prefix import PagePool
from kb.llm.local.settings import available_memory

log = logging.getLogger(__name__)

RESERVE = 256_000_000  # less than this available, and memory is given back
_LOOK_S = 0.5  # between two looks at the machine
_PAGES_AT_ONCE = 64


class Shrinking(Protocol):
    """Weights that can do with less memory: `cache.CachedStore`."""

    @property
    def expert_bytes(self) -> int: ...
    def shrink(self, nbytes: int) -> int: ...
    def grow(self, nbytes: int) -> int: ...


class Forgetting(Protocol):
    """The memory of pages: `kv.KVCache`."""

    def forget(self, pages: list[int]) -> None: ...


class Relief:
    """Called by the scheduler's thread between steps.

    available: bytes the process may still take. together: bytes that experts and pages may take; None: no matter.
    """

    def __init__(
        self,
        pool: PagePool,
        cache: Forgetting,
        page_bytes: int,
        weights: Shrinking,
        available: Callable[[], int] = available_memory,
        reserve: int = RESERVE,
        every_s: float = _LOOK_S,
        together: int | None = None,
    ) -> None:
        self.given = 0  # bytes, in all
        self.short = False  # nothing left to give, and still too little
        self._pool, self._cache, self._page_bytes, self._weights = pool, cache, page_bytes, weights
        self._available, self._reserve, self._every_s = available, reserve, every_s
        self._together = together
        self._looked = 0.0

    def look(self) -> bool:
        """Give or take back as the machine has it; whether memory is too short for anything new."""
        now = time.monotonic()
        if now - self._looked >= self._every_s:
            self._looked = now
            room = self._room()
            if room is not None and room < 0:
                room += self._weights.shrink(-room)
            available = self._available()
            if available < self._reserve:
                self.short = self.give(2 * self._reserve - available) == 0
            else:
                self.short = False
                most = min(available - 3 * self._reserve, self._reserve)
                self._weights.grow(most if room is None else min(most, room))
        return self.short

    def _room(self) -> int | None:
        """Bytes that experts may still take beside the pages in use; negative: they take too much."""
        if self._together is None:
            return None
        return self._together - self._pool.written * self._page_bytes - self._weights.expert_bytes

    def give(self, nbytes: int) -> int:
        """Give back about so many bytes; how many it came to, 0 when nothing is left."""
        freed = 0
        while freed < nbytes and (pages := self._pool.empty(_PAGES_AT_ONCE)):
            self._cache.forget(pages)
            freed += len(pages) * self._page_bytes
        if freed < nbytes:
            freed += self._weights.shrink(nbytes - freed)
        if freed:
            log.warning("memory is short: gave %d MB of the model's caches back", freed // 1_000_000)
        self.given += freed
        return freed
