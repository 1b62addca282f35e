"""Weights on demand: dense matrices resident (of the embedding, rows), experts in as many slots as the memory budget allows.

An expert asked for is a hit (in a slot), or a miss that the loader reads while the caller waits. Slots and
their buffers are made once, and given back only when the machine runs out of memory (`shrink`); a token allocates
nothing.

Locks: `_lock` guards slots, guesses, statistics and the loader's queues and is never held while reading;
`_admission` lets one caller at a time gather its experts, so that two cannot each hold half of the slots and
wait for the other.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kb.llm.local.arena import Arena
from kb.llm.local.dense import Dense
from kb.llm.local.errors import ModelError
from kb.llm.local.guesses import Guesses
from kb.llm.local.loader import Load, Loader
from kb.llm.local.populate import Populater
from kb.llm.local.reader import STAGING, Readers
from kb.llm.local.repair import SourceMender
from kb.llm.local.slots import Key, Slot, SlotTable
from kb.llm.local.store import Store, expert_pairs
from kb.llm.local.types import Expert, Packed
from kb.llm.local.usage import Usage

READERS = 4  # threads: with two, the disk idles while one copies and the other waits for a core
PAGED_TOGETHER = 8  # experts pinned at once where they are paged …
LEAST_SLOTS = 12  # … and some slots to read ahead
_CACHED = 0.9  # share of reads that the page cache has, from which reading again is cheap
_REFRESH = 1024  # steps between two looks at which experts are hot


class CachedStore:
    """`types.Weights` over a packed model within `budget` bytes. Safe for several threads; close it at the end.

    threads: that read. direct: past the page cache; None chooses. warm: fill empty slots in the background,
    most used experts first. wait: until the dense matrices are there; else `wait` has to be called. Raises BadModel, CorruptShard, or ModelError when the budget is too small.
    """

    def __init__(
        self,
        path: Path,
        budget: int,
        *,
        threads: int = READERS,
        direct: bool | None = None,
        usage_file: Path | None = None,
        warm: bool = True,
        wait: bool = True,
    ) -> None:
        with Store(path) as store:
            store.require_complete()
            readers = Readers(
                path, direct
            )  # it has the pages that hold the rows of `shards` read all at once
            shards = store.shards()
            self.config, self.layout = store.config, store.layout
            self.texts = {key: value for key, value in store.meta.items() if "." in key}
        self._shards = expert_pairs(shards, path)
        layers, experts = (
            max(layer for layer, _ in self._shards) + 1,
            max(expert for _, expert in self._shards) + 1,
        )
        self._mender = SourceMender(path)
        self.reader = readers.kind
        self.hashes = b"".join(shard.sha256 for shard in shards)  # of all that is in the file
        self._dense = Dense(path, [s for s in shards if s.kind == "dense"], readers.pages, self._mender)
        self.dense_bytes = self._dense.nbytes
        gate_up, down = self._shards[0, 0]
        self.slot_bytes = gate_up.nbytes + down.nbytes
        self._least = min(experts, LEAST_SLOTS)
        self._most = self._slot_count(path, budget - threads * STAGING, layers * experts)
        self.usage = Usage(layers, experts)
        self._usage_file = usage_file or path.with_name(path.name + ".usage.json")
        self.usage.load(self._usage_file)
        room: list[Expert] = []
        with contextlib.suppress(MemoryError):  # fewer slots than hoped for are slots all the same
            while len(room) < self._most:
                room.append(self._room())
        if len(room) < self._least:
            raise ModelError(
                f"Memory ran out while {path.name} was loaded. Set KB_MODEL_RAM to less, or free memory."
            )
        # A layer's experts in one go cost fewer meetings of the threads; then so many slots stay when memory is short.
        self._together = experts if len(room) == layers * experts else min(experts, PAGED_TOGETHER)
        self._least = max(self._least, self._together)
        self._table = SlotTable(room, self.usage)
        self._guesses = Guesses(self._table, self.usage.ranking() if warm else [])
        self._hits = self._misses = self._ahead_used = 0
        self._stall_s = 0.0
        self._latest = 0  # layer that asked last
        self._fetching = False  # rows of the embedding
        self._opened = False  # every layer has been asked

        self._lock = threading.Lock()
        self._ready = threading.Condition(self._lock)
        self._admission = threading.Lock()
        self._closed = False
        self._loader = Loader(readers, self._mender, threads, self._read_ahead, self._lock)
        self._populater = Populater(self._table, self._lock, self._room_ready) if warm else None
        try:
            self._dense.load(self._loader, self._ready)
            if wait:
                self.wait()
        except BaseException:
            self.close()
            raise

    def wait(self) -> None:
        """Until the dense matrices are there. CorruptShard, OSError where one cannot be had."""
        self._dense.wait()
        with self._lock:
            self._loader.wake()

    @property
    def slots(self) -> int:
        """Experts that fit into memory at once: the most that one `experts()` may ask for."""
        return len(self._table)

    @property
    def expert_bytes(self) -> int:
        """What the slots take."""
        return len(self._table) * self.slot_bytes

    @property
    def together(self) -> int:
        """Experts to ask for at once: a whole layer where all have slots, few where they must be read first."""
        return self._together

    def dense(self, name: str) -> Packed:
        """A resident matrix by its name in the checkpoint."""
        return self._dense[name]

    def rows(self, name: str, ids: NDArray[np.int32]) -> tuple[Packed, NDArray[np.int32]]:
        """A matrix that holds these rows of the one named, and which of its rows they are. Good until the next call."""
        self._fetching = True  # nothing is read ahead meanwhile
        try:
            return self._dense.take(name, ids)
        finally:
            self._fetching = False
            with self._lock:
                self._loader.wake()

    def experts(self, layer: int, ids: Sequence[int]) -> AbstractContextManager[list[Expert]]:
        """Experts of a layer in the order asked, pinned until exit. CorruptShard when one cannot be had."""
        return self._pinned(layer, ids)

    def hint(self, layer: int, ids: Sequence[int]) -> None:
        """Experts the layer will probably ask for, most likely first."""
        with self._lock:
            if self._guesses.add(layer, ids):
                self._loader.wake()

    def shrink(self, nbytes: int) -> int:
        """Give so many bytes of slots back to the system, those wanted least first; how many it came to."""
        freed = 0
        with self._lock:
            while freed < nbytes and len(self._table) > self._least and self._table.retire():
                freed += self.slot_bytes
        return freed

    def grow(self, nbytes: int) -> int:
        """Take back up to so many bytes of what `shrink` gave; how many it came to."""
        taken = 0
        with contextlib.suppress(MemoryError):
            while taken + self.slot_bytes <= nbytes and len(self._table) < self._most:
                room = self._room()
                with self._lock:
                    self._table.add(room)
                    self._ready.notify_all()
                    if self._populater is not None:
                        self._populater.wake()
                taken += self.slot_bytes
        return taken

    def report(self) -> dict[str, float]:
        """Counters since opening, and sizes, by name."""
        with self._lock:
            rows = self._dense.rows
            return {
                "rows_read": 0 if rows is None else rows.read,
                "hits": self._hits,
                "misses": self._misses,
                "evictions": self._table.evictions,
                "hints_right": self._guesses.right,
                "hints_wrong": self._guesses.wrong,
                "ahead_loads": self._guesses.loads,
                "ahead_used": self._ahead_used,
                "stall_ms": self._stall_s * 1000,
                "bytes_read": self._loader.bytes_read + (0 if rows is None else rows.ranges.bytes_read),
                "shards_verified": self._loader.verified + (0 if rows is None else rows.ranges.verified),
                "shards_mended": self._mender.mended,
                "slots": len(self._table),
                "slots_filled": self._table.filled,
                "dense_bytes": self.dense_bytes,
                "expert_bytes": self.expert_bytes,
            }

    def close(self) -> None:
        """Stop reading and keep the statistics."""
        if not self._closed:
            self._closed = True
            if self._populater is not None:
                self._populater.close()
            self._dense.loaded()
            self._loader.close()
            self._dense.close()
            if self.usage.steps.any():
                self.usage.save(self._usage_file)

    def __enter__(self) -> CachedStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _room(self) -> Expert:
        """Memory for one expert, of its own, so that it can be given back."""
        arena = Arena(self.slot_bytes)
        parts = self._shards[0, 0]
        return Expert(*(arena.take(shard.layout, shard.rows, shard.cols) for shard in parts))

    @contextmanager
    def _pinned(self, layer: int, ids: Sequence[int]) -> Iterator[list[Expert]]:
        held = self._acquire(layer, ids)
        try:
            yield [held[expert].expert for expert in ids]
        finally:
            with self._lock:
                self._unpin(held)

    def _acquire(self, layer: int, ids: Sequence[int]) -> dict[int, Slot]:
        """Pin these experts, reading what is not there."""
        wanted = list(dict.fromkeys(ids))
        if len(wanted) > len(self._table):
            raise ModelError(f"{len(wanted)} experts at once do not fit into {len(self._table)} slots")
        held: dict[int, Slot] = {}
        with self._admission, self._lock:
            self._opened = self._opened or layer < self._latest
            self._latest = layer
            self._guesses.judge(layer, wanted)
            self.usage.touch(layer, wanted)
            if layer == 0 and self.usage.steps[0] % _REFRESH == 0:
                self._table.refresh_hot()
            try:
                self._pin_present(layer, wanted, held)  # first, so that no miss pushes them out
                self._loader.drop(self._guesses.useless)
                for expert in wanted:
                    if expert not in held:
                        held[expert] = self._demand((layer, expert))
                self._wait(held)
            except BaseException:
                self._unpin(held)
                raise
        return held

    def _pin_present(self, layer: int, wanted: list[int], held: dict[int, Slot]) -> None:
        for expert in wanted:
            if (slot := self._table.get((layer, expert))) is not None:
                slot.pins += 1
                held[expert] = slot
                self._hits += 1
                self._ahead_used += slot.ahead
                slot.ahead = slot.expected = False

    def _demand(self, key: Key) -> Slot:
        """A pinned slot whose bytes are on their way."""
        self._misses += 1
        # Where memory is slow to be had, experts that have done their part make room until the first token is out;
        # and later any, while reading one again from the page cache costs a fraction of taking its memory.
        slow = self._populater is not None and self._populater.slow
        spare = slow and (not self._opened or self._loader.cached > _CACHED)
        before = None if self._opened else key[0]
        while (slot := self._table.give(key, spare=spare, before=before)) is None:
            self._ready.wait()
        slot.pins += 1
        self._loader.demand(self._loads(slot))
        return slot

    def _wait(self, held: dict[int, Slot]) -> None:
        if any(slot.pending for slot in held.values()):
            began = time.perf_counter()
            while any(slot.pending for slot in held.values()):
                self._ready.wait()
            self._stall_s += time.perf_counter() - began
        for slot in held.values():
            if slot.error is not None:
                raise slot.error

    def _unpin(self, held: dict[int, Slot]) -> None:
        for slot in held.values():
            slot.pins -= 1
            self._drop_if_bad(slot)
        self._ready.notify_all()

    def _loads(self, slot: Slot) -> list[Load]:
        assert slot.owner is not None
        gate_up, down = self._shards[slot.owner]
        done = partial(self._loaded, slot)
        return [
            Load(gate_up, slot.expert.gate_up.data, done, slot.owner),
            Load(down, slot.expert.down.data, done, slot.owner),
        ]

    def _loaded(self, slot: Slot, error: Exception | None) -> None:
        """One of a slot's two shards is there, or cannot be had (lock held)."""
        slot.pending -= 1
        slot.error = slot.error or error
        if not slot.pending:
            self._drop_if_bad(slot)
            self._ready.notify_all()

    def _drop_if_bad(self, slot: Slot) -> None:
        """Bytes that are not right are never used: the next who asks reads afresh."""
        if slot.error is not None and not slot.pins and not slot.pending:
            self._table.vacate(slot)

    def _room_ready(self) -> None:
        """An empty slot more (lock held)."""
        self._ready.notify_all()
        self._loader.wake()

    def _read_ahead(self) -> list[Load]:
        """What the loader may read while nobody waits (lock held)."""
        if self._dense.opening or self._fetching:
            return []
        slot = self._guesses.next()
        return [] if slot is None else self._loads(slot)

    def _slot_count(self, path: Path, budget: int, most: int) -> int:
        count = min(most, (budget - self.dense_bytes) // self.slot_bytes)
        if count < self._least:
            needed = self.dense_bytes + self._least * self.slot_bytes
            raise ModelError(
                f"{path.name} needs at least {needed / 1e9:.2f} GB for its weights and may use"
                f" {max(0, budget) / 1e9:.2f} GB. Set KB_MODEL_RAM to more, or free memory."
            )
        return int(count)
