"""Which expert is in which slot, and who leaves when room is needed. The cache's lock guards all of it."""

from __future__ import annotations

from collections import deque

import numpy as np

from kb.llm.local.types import Expert
from kb.llm.local.usage import Usage

Key = tuple[int, int]  # (layer, expert)
_HOT_SHARE = 0.5  # of the slots, at most


class Slot:
    """Room for one expert."""

    __slots__ = ("ahead", "error", "expected", "expert", "index", "owner", "pending", "pins")

    def __init__(self, index: int, expert: Expert) -> None:
        self.index = index
        self.expert = expert
        self.owner: Key | None = None
        self.pending = 0  # shards still being read
        self.pins = 0  # contexts that use it
        self.ahead = False  # read on a guess, and no one has come for it yet
        self.expected = False  # guessed for a layer that is still to come
        self.error: Exception | None = None


class SlotTable:
    """All slots of a cache.

    The expert with the lowest usage leaves; never one that is pinned or being read, and hot or expected ones only
    for a demand when there is no other. A guess pushes out neither.
    """

    def __init__(self, experts: list[Expert], usage: Usage) -> None:
        self.slots = [Slot(index, expert) for index, expert in enumerate(experts)]
        self.evictions = 0
        self.spared: set[Key] = set()  # experts that left to spare memory, and should come back
        self._usage = usage
        self._where: dict[Key, Slot] = {}
        self._free: deque[Slot] = deque()  # empty slots …
        self._fresh = deque(self.slots)  # … and those whose memory nobody has written to yet
        self._layers = np.zeros(
            len(self.slots), np.intp
        )  # the owners once more, to score all of them at once
        self._experts = np.zeros(len(self.slots), np.intp)
        self.refresh_hot()

    def __len__(self) -> int:
        return len(self.slots)

    def __contains__(self, key: Key) -> bool:
        return key in self._where

    @property
    def filled(self) -> int:
        """Slots with an expert in them."""
        return len(self._where)

    @property
    def free(self) -> bool:
        """Whether a slot can be had without pushing anyone out, and without waiting for its memory."""
        return bool(self._free)

    def get(self, key: Key) -> Slot | None:
        """The slot of an expert, if it has one."""
        return self._where.get(key)

    def give(
        self, key: Key, *, guess: bool = False, spare: bool = False, before: int | None = None
    ) -> Slot | None:
        """A slot for an expert that has none, its two shards still to be read; None if nobody may leave now.

        spare: rather that of another expert (before: of a layer before this one) than memory nobody has written to yet.
        """
        slot = self._free.popleft() if self._free else None
        if slot is None and spare and self._fresh and (found := self._least(guess, before=before)):
            if found.owner is not None:
                self.spared.add(found.owner)
            slot = self._evict(found)
        if slot is None:
            slot = self._fresh.popleft() if self._fresh else self._emptied(guess)
        if slot is not None:
            slot.owner, slot.pending, slot.error = key, 2, None
            slot.ahead = slot.expected = guess
            self._where[key] = slot
            self._layers[slot.index], self._experts[slot.index] = key
        return slot

    def unwritten(self) -> Slot | None:
        """A slot whose memory nobody has written to yet; nobody gets it until it is `written`."""
        return self._fresh.popleft() if self._fresh else None

    def written(self, slot: Slot) -> None:
        """The slot's memory is there: it is free."""
        self._free.append(slot)

    def vacate(self, slot: Slot) -> None:
        """Forget what is in a slot."""
        self._empty(slot)
        self._free.appendleft(slot)

    def retire(self) -> bool:
        """Give the memory of one slot back to the system: a free one, else that of the expert wanted least.

        False when all are in use.
        """
        empty = self._free or self._fresh
        slot = empty.pop() if empty else self._emptied(guess=False)
        if slot is None:
            return False
        last = self.slots.pop()  # slots are known by their place: the last one moves into the gap
        if last is not slot:
            self.slots[slot.index] = last
            self._layers[slot.index], self._experts[slot.index] = (
                self._layers[last.index],
                self._experts[last.index],
            )
            last.index = slot.index
        return True

    def add(self, expert: Expert) -> None:
        """Room for one more."""
        slot = Slot(len(self.slots), expert)
        self.slots.append(slot)
        self._fresh.append(slot)
        if len(self._layers) < len(self.slots):
            self._layers, self._experts = (np.append(part, 0) for part in (self._layers, self._experts))

    def refresh_hot(self) -> None:
        """Decide afresh, from the statistics, which experts are hot."""
        self._hot = self._usage.hot(int(len(self.slots) * _HOT_SHARE))

    def _emptied(self, guess: bool) -> Slot | None:
        found = self._least(guess)
        return None if found is None else self._evict(found)

    def _least(self, guess: bool, before: int | None = None) -> Slot | None:
        """The slot of the expert wanted least that may leave now. before: of the layers before this one only."""
        layers, experts = self._layers[: len(self.slots)], self._experts[: len(self.slots)]
        scores = self._usage.scores(layers, experts)
        hot = self._hot[layers, experts]
        expected: Slot | None = None
        order = np.lexsort((scores, hot))
        for index in order if before is None else order[layers[order] < before]:
            slot: Slot = self.slots[index]
            if slot.owner is None or slot.pins or slot.pending or (guess and hot[index]):
                continue
            if slot.expected:
                expected = expected or slot
                continue
            return slot
        return None if guess else expected

    def _evict(self, slot: Slot) -> Slot:
        self.evictions += 1
        self._empty(slot)
        return slot

    def _empty(self, slot: Slot) -> None:
        if slot.owner is not None:
            del self._where[slot.owner]
        slot.owner, slot.error = None, None
        slot.ahead = slot.expected = False
