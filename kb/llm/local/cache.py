"""Weights on demand: dense matrices resident, experts in as many slots as the memory budget allows.

An expert asked for is a hit (in a slot), or a miss that the loader reads while the caller waits. Slots and
their buffers are made once; after that a token allocates nothing. Who leaves when a slot is needed: the expert
with the lowest usage (`usage`), never one that is pinned by an open `experts()` context or still being read, and
for a guess never one that is hot or itself guessed.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from kb.llm.local import quant
from kb.llm.local.arena import Arena, Slot, slots
from kb.llm.local.errors import BadModel, ModelError
from kb.llm.local.loader import Load, Loader
from kb.llm.local.mend import SourceMender
from kb.llm.local.reader import STAGING, Readers
from kb.llm.local.store import Shard, Store
from kb.llm.local.types import Expert, Packed
from kb.llm.local.usage import Usage

_HINTS = 16  # experts waiting to be read ahead; older guesses are dropped
_HOT_SHARE = 0.5  # of the slots, at most


@dataclass
class Counters:
    """What the cache did since it was opened, for /metrics."""

    hits: int = 0
    misses: int = 0
    hints_right: int = 0  # experts guessed for a layer that it then asked for
    hints_wrong: int = 0
    ahead_loads: int = 0  # experts read on a guess
    ahead_used: int = 0  # of these, asked for before they had to leave (also while still being read)
    evictions: int = 0
    stall_ms: float = 0.0  # time `experts()` waited for reads


class CachedStore:
    """`types.Weights` over a packed model within `budget` bytes. Safe for several threads; close it at the end."""

    def __init__(
        self,
        path: Path,
        budget: int,
        *,
        threads: int = 2,
        direct: bool | None = None,
        usage_file: Path | None = None,
        warm: bool = True,
    ) -> None:
        with Store(path) as store:
            store.require_complete()
            shards = store.shards()
            self.config, self.layout = store.config, store.layout
            self.texts = {key: value for key, value in store.meta.items() if "." in key}
        self.counters = Counters()
        self._shards = _experts(shards, path)
        layers, experts = self._shape = max(self._shards)[0] + 1, max(key[1] for key in self._shards) + 1
        dense = [shard for shard in shards if shard.kind == "dense"]
        sizes = {shard.name: quant.nbytes(shard.layout, shard.rows, shard.cols) for shard in dense}
        self.dense_bytes = sum(sizes.values())
        gate_up, down = self._shards[0, 0]
        self.slot_bytes = gate_up.nbytes + down.nbytes
        count = self._slot_count(path, budget - threads * STAGING, layers * experts, experts)
        self._arena = Arena(self.dense_bytes + count * self.slot_bytes)
        self._dense = {
            shard.name: self._arena.take(shard.layout, shard.rows, shard.cols)
            for shard in dense
            if not shard.part
        }
        self._slots = slots(self._arena, count, gate_up, down)
        self._layers = np.zeros(count, np.intp)  # owner of each slot, as arrays to choose among
        self._experts = np.zeros(count, np.intp)
        self._free = deque(range(count))
        self._where: dict[tuple[int, int], int] = {}
        self._guesses: list[tuple[int, ...]] = [()] * layers
        self._hints: deque[tuple[int, int]] = deque()
        self.usage = Usage(layers, experts)
        self._usage_file = usage_file or path.with_name(path.name + ".usage.json")
        self.usage.load(self._usage_file)
        self._hot = self.usage.hot(int(count * _HOT_SHARE))
        self._warm = deque(self.usage.ranking() if warm else [])
        self._lock = threading.Lock()
        self._ready = threading.Condition(self._lock)
        self._admission = (
            threading.Lock()
        )  # one caller gathers experts at a time: two halves cannot wait on each other
        self._mender = SourceMender(path)
        readers = Readers(path, direct)
        self.reader = readers.kind
        self._closed = False
        self._opening = len(dense)
        self._problem: Exception | None = None
        self._loader = Loader(readers, self._mender, threads, self._read_ahead, self._lock)
        try:
            self._load_dense(dense)
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> int:
        """Experts that fit into memory at once."""
        return len(self._slots)

    def dense(self, name: str) -> Packed:
        """A resident matrix by its name in the checkpoint."""
        try:
            return self._dense[name]
        except KeyError:
            raise BadModel(f"the packed model has no {name}. Pack it again: kb model pack DIR") from None

    def experts(self, layer: int, ids: Sequence[int]) -> AbstractContextManager[list[Expert]]:
        """Experts of a layer in the order asked, pinned until exit. CorruptShard when one cannot be had."""
        return self._pinned(layer, ids)

    def hint(self, layer: int, ids: Sequence[int]) -> None:
        """Experts the layer will probably ask for, most likely first."""
        with self._lock:
            self._guesses[layer] = tuple(ids)
            for expert in ids:
                if (layer, expert) not in self._where:
                    self._hints.append((layer, expert))
            while len(self._hints) > _HINTS:
                self._hints.popleft()
            if self._hints:
                self._loader.wake()

    def report(self) -> dict[str, float]:
        """The counters and sizes by name."""
        with self._lock:
            return {
                **vars(self.counters),
                "bytes_read": self._loader.bytes_read,
                "shards_verified": self._loader.verified,
                "shards_mended": self._mender.mended,
                "slots": len(self._slots),
                "slots_filled": len(self._where),
                "dense_bytes": self.dense_bytes,
                "expert_bytes": len(self._slots) * self.slot_bytes,
            }

    def close(self) -> None:
        """Stop reading and keep the statistics."""
        if not self._closed:
            self._closed = True
            self._loader.close()
            if self.usage.steps.any():
                self.usage.save(self._usage_file)

    def __enter__(self) -> CachedStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _pinned(self, layer: int, ids: Sequence[int]) -> Iterator[list[Expert]]:
        held = self._acquire(layer, ids)
        try:
            yield [self._slots[held[expert]].expert for expert in ids]
        finally:
            with self._lock:
                self._unpin(held.values())

    def _acquire(self, layer: int, ids: Sequence[int]) -> dict[int, int]:
        """Pin these experts, reading what is not there: {expert: slot}."""
        held: dict[int, int] = {}
        wanted = list(dict.fromkeys(ids))
        if len(wanted) > len(self._slots):
            raise ModelError(f"{len(wanted)} experts at once do not fit into {len(self._slots)} slots")
        with self._admission, self._lock:
            self._judge(layer, wanted)
            self.usage.touch(layer, wanted)
            try:
                for expert in wanted:  # first those that are there, so that no miss pushes them out
                    if (slot := self._where.get((layer, expert))) is not None:
                        held[expert] = slot
                        self._slots[slot].pins += 1
                        self._count_hit(self._slots[slot])
                for expert in wanted:
                    if expert not in held:
                        self.counters.misses += 1
                        held[expert] = self._begin((layer, expert), wait=True)
                        self._slots[held[expert]].pins += 1
                self._wait(held)
            except BaseException:
                self._unpin(held.values())
                raise
        return held

    def _wait(self, held: dict[int, int]) -> None:
        began = time.perf_counter()
        while any(self._slots[slot].pending for slot in held.values()):
            self._ready.wait()
        self.counters.stall_ms += (time.perf_counter() - began) * 1000
        for slot in held.values():
            if (error := self._slots[slot].error) is not None:
                raise error

    def _begin(self, key: tuple[int, int], *, wait: bool) -> int:
        """Give an expert a slot and ask for its bytes."""
        slot = self._take()
        while slot is None and wait:
            self._ready.wait()
            slot = self._take()
        assert slot is not None
        self._loader.demand(self._assign(slot, key))
        return slot

    def _assign(self, index: int, key: tuple[int, int]) -> list[Load]:
        slot = self._slots[index]
        slot.owner, slot.pending, slot.ahead, slot.error = key, 2, False, None
        self._where[key] = index
        self._layers[index], self._experts[index] = key
        gate_up, down = self._shards[key]
        done = partial(self._loaded, index)
        return [Load(gate_up, slot.expert.gate_up.data, done), Load(down, slot.expert.down.data, done)]

    def _loaded(self, index: int, error: Exception | None) -> None:
        """A shard of this slot is there, or is not (lock held)."""
        slot = self._slots[index]
        slot.pending -= 1
        slot.error = slot.error or error
        if not slot.pending:
            if slot.error is not None and not slot.pins:
                self._vacate(index)
            self._ready.notify_all()

    def _take(self, *, guess: bool = False) -> int | None:
        """A slot to fill: a free one, else that of the expert least worth keeping; None if none may go."""
        if self._free:
            return self._free.popleft()
        scores = self.usage.scores(self._layers, self._experts)
        scores += self._hot[self._layers, self._experts]
        for index in np.argsort(scores):
            slot = self._slots[index]
            if slot.pins or slot.pending or (guess and (slot.ahead or scores[index] >= 1)):
                continue
            self.counters.evictions += 1
            self._vacate(int(index))
            return self._free.popleft()
        return None

    def _vacate(self, index: int) -> None:
        slot = self._slots[index]
        if slot.owner is not None:
            del self._where[slot.owner]
        slot.owner, slot.error, slot.ahead = None, None, False
        self._free.appendleft(index)

    def _unpin(self, indexes: Iterable[int]) -> None:
        for index in indexes:
            slot = self._slots[index]
            slot.pins -= 1
            if slot.error is not None and not slot.pins and not slot.pending:
                self._vacate(index)  # never used, and read afresh next time
        self._ready.notify_all()

    def _read_ahead(self) -> list[Load]:
        """The next expert worth reading before it is asked for (lock held; the loader is idle)."""
        while self._hints:
            key = self._hints.popleft()
            if key not in self._where:
                if (slot := self._take(guess=True)) is None:
                    continue
                loads = self._assign(slot, key)
                self._slots[slot].ahead = True
                self.counters.ahead_loads += 1
                return loads
        while self._free and self._warm and not self._opening:
            key = self._warm.popleft()
            if key not in self._where:
                return self._assign(self._free.popleft(), key)
        return []

    def _judge(self, layer: int, wanted: Sequence[int]) -> None:
        """Count how the guess for this layer went and drop what is left of it (lock held)."""
        guess = self._guesses[layer]
        if guess:
            right = len(set(guess) & set(wanted))
            self.counters.hints_right += right
            self.counters.hints_wrong += len(guess) - right
            self._guesses[layer] = ()
            self._hints = deque(key for key in self._hints if key[0] != layer)
            for expert in guess:  # no longer worth more than its usage says
                if expert not in wanted and (slot := self._where.get((layer, expert))) is not None:
                    self._slots[slot].ahead = False
        if not self.usage.steps[layer] % 1024 and layer == 0:
            self._hot = self.usage.hot(int(len(self._slots) * _HOT_SHARE))

    def _count_hit(self, slot: Slot) -> None:
        if slot.ahead:
            self.counters.ahead_used += 1
            slot.ahead = False
        self.counters.hits += 1

    def _load_dense(self, dense: list[Shard]) -> None:
        with self._lock:
            self._loader.demand(
                [
                    Load(
                        shard,
                        self._dense[shard.name].data[shard.start : shard.start + shard.nbytes],
                        self._dense_done,
                    )
                    for shard in dense
                ]
            )
            while self._opening and self._problem is None:
                self._ready.wait()
        if self._problem is not None:
            raise self._problem

    def _dense_done(self, error: Exception | None) -> None:
        self._opening -= 1
        self._problem = self._problem or error
        self._ready.notify_all()
        if not self._opening:
            self._loader.wake()

    def _slot_count(self, path: Path, budget: int, most: int, least: int) -> int:
        count = min(most, (budget - self.dense_bytes) // self.slot_bytes)
        if count < least:
            needed = self.dense_bytes + least * self.slot_bytes + 2 * STAGING
            raise ModelError(
                f"{path.name} needs at least {needed / 1e9:.2f} GB for weights, and may use {budget / 1e9:.2f} GB."
                " Set KB_MODEL_RAM to more, or free memory."
            )
        return int(count)


def _experts(shards: list[Shard], path: Path) -> dict[tuple[int, int], tuple[Shard, Shard]]:
    """The two shards of every expert."""
    halves = {
        (shard.layer, shard.expert, shard.kind): shard
        for shard in shards
        if shard.layer is not None and shard.expert is not None
    }
    try:
        found = {
            (layer, expert): (halves[layer, expert, "gate_up"], halves[layer, expert, "down"])
            for layer, expert, _ in halves
        }
    except KeyError:
        found = {}
    if not found or any(shard.part for shard in halves.values()):
        raise BadModel(f"{path} lacks experts. Pack the model again.")
    return found
