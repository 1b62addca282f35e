"""When a shard's bytes are wrong: make them again from the folder they were packed from, or say so."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kb.errors import KbError
from kb.llm.local.checks import same
from kb.llm.local.errors import CorruptShard
from kb.llm.local.pack import remake
from kb.llm.local.reader import BlobReader
from kb.llm.local.store import Shard, Store

log = logging.getLogger(__name__)


class SourceMender:
    """Reads once more through SQLite, then packs the matrix again; a shard that comes out right is written back."""

    def __init__(self, path: Path) -> None:
        self.mended = 0
        self._path = path
        self._lock = threading.Lock()

    def mend(self, shard: Shard, out: NDArray[np.uint8]) -> None:
        with self._lock:
            if self._read_again(shard, out):
                return
            try:
                with Store(self._path) as store:
                    source = store.meta.get("source", "")
                    data = remake(store, shard)
            except (KbError, OSError) as problem:
                raise CorruptShard(self._words(shard, f"its source could not mend it: {problem}")) from None
            if not same(shard, data):
                raise CorruptShard(self._words(shard, f"{source} holds other weights now"))
            np.copyto(out, np.frombuffer(data, np.uint8))
            self.mended += 1
            log.warning("%s of %s was damaged and has been made again from %s", shard, self._path, source)
            self._write_back(shard, data)

    def _read_again(self, shard: Shard, out: NDArray[np.uint8]) -> bool:
        reader = BlobReader(self._path)
        try:
            reader.read_into(shard, out)
            return same(shard, out.data)
        except CorruptShard:
            return False
        finally:
            reader.close()

    def _write_back(self, shard: Shard, data: memoryview) -> None:
        try:
            with Store(self._path, writable=True) as store:
                store.overwrite(shard, data)
        except (KbError, OSError) as problem:  # a read-only file: mended in memory each time
            log.warning("the mended %s could not be written to %s: %s", shard, self._path, problem)

    def _words(self, shard: Shard, why: str) -> str:
        return (
            f"{shard} of {self._path} is damaged; {why}. Remove the file and pack it again: kb model pack DIR"
        )
