"""The two indexes of one process as of one log position: built from a snapshot, brought forward by the log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kb.index.lexical import Lexical
from kb.index.rows import Allowed, Rows
from kb.index.snapshot import Snapshot, Workplace, link_index
from kb.index.vectors import Vectors, save
from kb.store.chunks import LogBatch

MASKS = 64  # allowed sets whose masks are kept until the next change


class State:
    """Rows, vectors and words that belong together. The caller holds the lock, except for word searches."""

    def __init__(self, rows: Rows, vectors: Vectors, lexical: Lexical, seq: int) -> None:
        self.rows, self.vectors, self.lexical, self.seq = rows, vectors, lexical, seq
        self.unsaved = 0  # log entries applied since the snapshot this came from
        self._masks: dict[Allowed, NDArray[np.bool_]] = {}

    @classmethod
    def empty(cls, dim: int, work: Workplace) -> State:
        """Nothing yet: the log is replayed from its beginning."""
        return cls(Rows(), Vectors(dim), Lexical(work.fresh()), 0)

    @classmethod
    def load(cls, snapshot: Snapshot, dim: int, work: Workplace) -> State:
        """From a checked snapshot. Raises OSError, ValueError or Broken where its parts do not fit."""
        directory = snapshot.directory
        rows = Rows.from_table(
            np.load(directory / "rows.npy", allow_pickle=False), list(snapshot.manifest["words"])
        )
        vectors = Vectors.read(directory / "vectors.faiss", dim, rows.count)
        lexical = Lexical(work.adopt(directory / "lexical"))
        if lexical.count != rows.count:
            raise ValueError(f"{lexical.count} chunks in the lexical index, {rows.count} in the vector index")
        return cls(rows, vectors, lexical, snapshot.seq)

    def apply(self, batch: LogBatch) -> None:
        """Bring forward by a stretch of the log; word searches see it after commit()."""
        self._masks.clear()
        self.rows.add(batch.adds)
        self.vectors.add(batch.embeddings)
        self.lexical.add(batch.adds)
        deletes = list(batch.deletes)
        if batch.live is not None:
            deletes += np.setdiff1d(self.rows.ids[self.rows.alive], batch.live).tolist()
        self.rows.delete(deletes)
        self.lexical.delete(deletes)
        self.seq = batch.seq
        self.unsaved += len(batch.adds) + len(deletes)

    def mask(self, allowed: Allowed) -> NDArray[np.bool_]:
        """[rows] bool. Kept by the allowed set itself, which each request computes from SQL anew."""
        mask = self._masks.get(allowed)
        if mask is None:
            if len(self._masks) >= MASKS:
                self._masks.clear()
            mask = self._masks[allowed] = self.rows.allowed(allowed)
        return mask

    def freeze(self, place: Path) -> Frozen:
        """This moment, to be written to disk while the state moves on. place: an empty directory on the same disk."""
        self.lexical.settle()
        link_index(self.lexical.directory, place)
        return Frozen(
            seq=self.seq,
            table=self.rows.table(),
            words=list(self.rows.words),
            vectors=self.vectors.exact,  # rows are only ever appended beyond it
            alive=self.rows.alive.copy(),
            lexical=place,
        )


@dataclass(frozen=True)
class Frozen:
    """What a snapshot holds."""

    seq: int
    table: NDArray[np.int64]
    words: list[str]
    vectors: NDArray[np.float16]
    alive: NDArray[np.bool_]
    lexical: Path

    def write(self, directory: Path) -> None:
        """The files, into an empty directory."""
        np.save(directory / "rows.npy", self.table, allow_pickle=False)
        save(directory / "vectors.faiss", self.vectors, self.alive)
        (directory / "lexical").mkdir()
        link_index(self.lexical, directory / "lexical")
