"""The matrices that are not experts: in memory from the start, but for the input embedding.

Of the embedding, a tenth of these bytes and more, a token needs one row; rows are read when they are wanted. Where it is
the output head as well it is needed whole.
"""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kb.llm.local import quant
from kb.llm.local.arena import Arena
from kb.llm.local.errors import BadModel
from kb.llm.local.loader import Load, Loader
from kb.llm.local.pages import PageMap
from kb.llm.local.quant_dense import EMBEDDING, HEAD
from kb.llm.local.ranges import Mender, Ranges, in_pages
from kb.llm.local.rows import Rows
from kb.llm.local.store import Shard
from kb.llm.local.types import Packed


class Dense:
    """shards: of all dense matrices. pages: where shards lie; None where that is not known."""

    def __init__(self, path: Path, shards: list[Shard], pages: PageMap | None, mender: Mender) -> None:
        self.rows: Rows | None = None
        self.opening = 1  # shards that are not there yet
        self._problem: Exception | None = None
        self._head: threading.Thread | None = None
        self._ready = threading.Condition()
        embedding = [shard for shard in shards if shard.name == EMBEDDING]
        tied = all(shard.name != HEAD for shard in shards)
        if embedding and pages is not None and not tied and in_pages(pages, embedding):
            self.rows = Rows(embedding[0], Ranges(path, pages, embedding, mender))
            shards = [shard for shard in shards if shard.name != EMBEDDING]
        self._shards = shards
        whole = [shard for shard in shards if not shard.part]
        size = sum(quant.nbytes(shard.layout, shard.rows, shard.cols) for shard in whole)
        self.nbytes = size + (0 if self.rows is None else self.rows.nbytes)
        arena = Arena(size)
        self._packed = {shard.name: arena.take(shard.layout, shard.rows, shard.cols) for shard in whole}

    def close(self) -> None:
        if self.rows is not None:
            self.rows.ranges.close()

    def __getitem__(self, name: str) -> Packed:
        try:
            return self._packed[name]
        except KeyError:
            raise BadModel(f"the packed model has no {name}. Pack it again: kb model pack DIR") from None

    def take(self, name: str, ids: NDArray[np.int32]) -> tuple[Packed, NDArray[np.int32]]:
        """A matrix that holds these rows of the one named, and which of its rows they are."""
        if self.rows is not None and name == EMBEDDING:
            return self.rows.take(ids)
        return self[name], ids

    def load(self, loader: Loader, ready: threading.Condition) -> None:
        """Begin to read what is in memory. ready: on the cache's lock; told of what is there."""
        self._ready = ready
        if self.rows is not None:
            self.rows.ranges.open()
        head = [shard for shard in self._shards if shard.name == HEAD]
        others = [shard for shard in self._shards if shard.name != HEAD]
        room = threading.Thread(target=self._load_head, args=(loader, head), name="weights-head", daemon=True)
        with ready:
            self.opening = len(self._shards)
            loader.demand(self._loads(others))
        room.start()
        self._head = room

    def wait(self) -> None:
        """Until all is there. CorruptShard, OSError where something cannot be had."""
        with self._ready:
            while self.opening:
                self._ready.wait()
        if self._problem is not None:
            raise self._problem

    def loaded(self) -> None:
        """No more is going to be asked of the loader."""
        if self._head is not None:
            self._head.join()

    def _load_head(self, loader: Loader, shards: list[Shard]) -> None:
        """Its memory is written to first, in one go that needs nothing of the interpreter: parsing a tokenizer, as a
        start does meanwhile, holds that for a second, and who reads needs it after every part. See `populate` for why."""
        for shard in shards:
            if not shard.part:
                data = self[shard.name].data
                ctypes.memset(data.ctypes.data, 0, data.nbytes)
        with self._ready:
            loader.demand(self._loads(shards))

    def _loads(self, shards: list[Shard]) -> list[Load]:
        return [Load(shard, self._piece(shard), self._done) for shard in shards]

    def _done(self, error: Exception | None) -> None:
        """Of one more (lock held)."""
        self.opening -= 1
        self._problem = self._problem or error
        self._ready.notify_all()

    def _piece(self, shard: Shard) -> quant.Bytes:
        return self._packed[shard.name].data[shard.start : shard.start + shard.nbytes]
