"""What to read before it is asked for: the router's guesses for the next layer, then the experts used most."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

from kb.llm.local.slots import Key, Slot, SlotTable

_WAITING = 16  # experts; older guesses are dropped


class Guesses:
    """Queues of experts to read ahead, and how the guesses turned out. The cache's lock guards it."""

    def __init__(self, table: SlotTable, warm: list[Key], layers: int) -> None:
        self.right = 0  # experts guessed for a layer that it then asked for
        self.wrong = 0
        self.loads = 0  # experts read on a guess
        self._table = table
        self._warm = deque(warm)
        self._said: list[tuple[int, ...]] = [()] * layers
        self._queue: deque[Key] = deque()

    def add(self, layer: int, ids: Sequence[int]) -> bool:
        """A guess for a layer; whether there is something to read."""
        self._said[layer] = tuple(ids)
        self._queue.extend((layer, expert) for expert in ids if (layer, expert) not in self._table)
        while len(self._queue) > _WAITING:
            self._queue.popleft()
        return bool(self._queue)

    def judge(self, layer: int, wanted: Collection[int]) -> None:
        """The layer asks for these: count its guess, drop what is still queued, and hold nothing for it any more."""
        said = self._said[layer]
        if not said:
            return
        right = sum(expert in wanted for expert in said)
        self.right += right
        self.wrong += len(said) - right
        self._said[layer] = ()
        self._queue = deque(key for key in self._queue if key[0] != layer)
        for expert in said:
            if expert not in wanted and (slot := self._table.get((layer, expert))) is not None:
                slot.ahead = False

    def next(self) -> Slot | None:
        """A slot given to the next expert worth reading, if there is one."""
        while self._queue:
            key = self._queue.popleft()
            if key not in self._table and (slot := self._table.give(key, guess=True)) is not None:
                self.loads += 1
                return slot
        while self._warm and self._table.free:  # at start: fill empty slots, never push anyone out
            key = self._warm.popleft()
            if key not in self._table:
                return self._table.give(key)
        return None
