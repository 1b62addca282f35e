"""Which pages of the key-value cache a text holds: found ready, computed, let others find, kept, given back."""

from __future__ import annotations

import contextlib
from typing import Protocol

from kb.llm.local.counters import Counters
from kb.llm.local.prefix import PagePool
from kb.llm.local.sequences import Sequence
from kb.llm.local.types import PAGE


class Keeper(Protocol):
    """Keeps the pages of a common prefix beyond this process."""

    def keep(self, tokens: list[int], pages: list[int]) -> None:
        """These pages hold exactly these tokens, from the start of a text. Called on the scheduler's thread."""


class Holdings:
    """The pages of sequences, in one pool. Used on the scheduler's thread only."""

    def __init__(self, pool: PagePool, counters: Counters, keeper: Keeper | None = None) -> None:
        self.pool = pool
        self.counters, self._keeper = counters, keeper

    def adopt(self, sequence: Sequence) -> None:
        """Use pages that others have computed; the last token is always computed, for its logits."""
        most = (len(sequence.tokens) - 1) // PAGE
        while len(sequence.pages) * PAGE == sequence.computed and len(sequence.pages) < most:
            page = self.pool.find(sequence.keys[len(sequence.pages)])
            if page is None:
                break
            sequence.pages.append(page)
            sequence.computed += PAGE
            sequence.published += 1
            self.counters.reused_tokens += PAGE

    def publish(self, sequence: Sequence) -> None:
        """Let others find the pages that are full by now."""
        if sequence.over:
            return
        for place in range(sequence.published, sequence.computed // PAGE):
            self.pool.publish(sequence.pages[place], sequence.keys[place])
            sequence.published = place + 1

    def keep(self, sequence: Sequence) -> None:
        """A system prompt seen a second time is worth keeping on disk."""
        pages = sequence.request.save // PAGE
        if self._keeper is not None and pages and (sequence.reused or 0) >= pages * PAGE:
            with contextlib.suppress(MemoryError):  # a copy in memory first; not worth a text
                self._keeper.keep(sequence.tokens[: pages * PAGE], sequence.pages[:pages])

    def fit(self, sequence: Sequence, running: list[Sequence]) -> bool:
        """Room for its prompt and one token, beside what running prompts will still take."""
        keys = sequence.keys[: (len(sequence.tokens) - 1) // PAGE]
        have = self.pool.holds(keys)
        need = len(sequence.tokens) // PAGE + 1 - have + self.pool.idle_among(keys[:have])
        promised = sum(max(0, len(s.tokens) // PAGE + 1 - len(s.pages)) for s in running)
        return need + promised <= self.pool.available

    def free(self, sequence: Sequence) -> None:
        """Give its pages back: it holds nothing any more."""
        self.pool.release(sequence.pages)
        sequence.pages = []
        sequence.computed = sequence.published = 0
