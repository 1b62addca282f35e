"""What to read before it is asked for: the router's guesses for the next layer, then the experts used most.

Where experts are paged, the disk is what a token waits for, so a wrong guess costs more than a right one gains:
guesses are followed only while they are mostly right. They are counted either way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

from kb.llm.local.slots import Key, Slot, SlotTable

_WAITING = 16  # experts to be read ahead; the least likely are dropped
_TRUST = 0.6  # share of recent guesses that must have been right
_RECENT = 1 / 128  # weight of one guess in that share


class Guesses:
    """Queues of experts to read ahead, and how the guesses turned out. The cache's lock guards it."""

    def __init__(self, table: SlotTable, warm: list[Key]) -> None:
        self.right = 0  # experts guessed for a layer that it then asked for
        self.wrong = 0
        self.loads = 0  # experts read on a guess
        self._table = table
        self._warm = dict.fromkeys(warm)  # in this order
        self._layer = -1  # that asked last
        self._said: dict[int, set[int]] = {}  # guesses still open, by layer
        self._queue: deque[Key] = deque()
        self._fresh: set[Key] = set()  # guessed since the last request
        self._next_group: set[Key] = set()  # of these, what was guessed for the layer that asks now
        self._trust = _TRUST

    def add(self, layer: int, ids: Sequence[int]) -> bool:
        """A guess for a layer; whether there is something to read."""
        self._said.setdefault(layer, set()).update(ids)
        self._fresh.update((layer, expert) for expert in ids)
        absent = []
        for expert in ids:
            slot = self._table.get((layer, expert))
            if slot is None:
                absent.append((layer, expert))
            else:
                slot.expected = True
        if self._trust < _TRUST:
            return False
        if layer == self._layer:  # a long prompt comes in groups: the rest of this layer before the next
            self._queue.extendleft(reversed(absent))
        else:
            self._queue.extend(absent)
        while len(self._queue) > _WAITING:
            self._queue.pop()
        return bool(self._queue)

    def judge(self, layer: int, wanted: Collection[int]) -> None:
        """The layer asks for these experts now."""
        if layer != self._layer:
            self._settle(self._layer)
            self._layer = layer
        said = self._said.get(layer)
        if said:
            for expert in wanted:
                if expert in said:
                    said.discard(expert)
                    self._count(True)
        # What was guessed for this request is known now; what was guessed just before it is for the next group.
        self._next_group = {key for key in self._fresh if key[0] == layer}
        self._fresh.clear()
        self._queue = deque(key for key in self._queue if key[0] != layer or key in self._next_group)

    def useless(self, key: Key) -> bool:
        """Whether an expert being read on a guess is for a layer that has asked for others."""
        slot = self._table.get(key)
        return (
            slot is not None
            and slot.ahead
            and not slot.pins
            and key[0] == self._layer
            and key not in self._next_group
        )

    def next(self) -> Slot | None:
        """A slot given to the next expert worth reading, if there is one."""
        while self._queue:
            key = self._queue.popleft()
            if key not in self._table and (slot := self._table.give(key, guess=True)) is not None:
                self.loads += 1
                return slot
        while self._table.spared:
            self._warm[self._table.spared.pop()] = None
        while self._warm and self._table.free:  # at start: fill empty slots, never push anyone out
            # Those of layers that are still to come in this step: it may want them in a moment.
            key = next((key for key in self._warm if key[0] > self._layer), next(iter(self._warm)))
            del self._warm[key]
            if key not in self._table:
                return self._table.give(key)
        return None

    def _settle(self, layer: int) -> None:
        """The layer is done: what it did not ask for was wrong, and is held for it no longer."""
        for expert in self._said.pop(layer, ()):
            self._count(False)
            if (slot := self._table.get((layer, expert))) is not None:
                slot.expected = slot.ahead = False
        self._queue = deque(key for key in self._queue if key[0] != layer)

    def _count(self, right: bool) -> None:
        if right:
            self.right += 1
        else:
            self.wrong += 1
        self._trust += (right - self._trust) * _RECENT
