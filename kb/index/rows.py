"""The columns beside the vectors: which chunk a row is, and what a search may be narrowed by.

Rows stand in the order of their chunk ids, which only grow. A deleted row stays as a tombstone until
the next snapshot leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from kb.errors import Broken
from kb.store.chunks import IndexedChunk
from kb.types import Filters

NUMBERS = ("chunk", "collection", "created", "source", "type", "language")


@dataclass(frozen=True)
class Allowed:
    """The chunks a search may find: collections, computed from SQL for this request, and the question's filters.

    An empty set of collections matches nothing.
    """

    collection_ids: frozenset[int]
    filters: Filters


class Rows:
    """Growable columns, int64, one row a vector. Not safe for threads: the index holds its lock."""

    def __init__(self) -> None:
        self.count = 0
        self._columns = {name: np.zeros(1024, np.int64) for name in NUMBERS}
        self._alive = np.zeros(1024, bool)
        self.words: list[str] = []  # code → text of source, type and language
        self._codes: dict[str, int] = {}

    def add(self, chunks: Sequence[IndexedChunk]) -> None:
        """Append; raises Broken unless ids grow."""
        if not chunks:
            return
        ids = np.array([chunk.id for chunk in chunks], np.int64)
        last = self.ids[-1] if self.count else 0
        if ids[0] <= last or np.any(np.diff(ids) <= 0):
            raise Broken(
                f"Chunk {int(ids[0])} came to the index after chunk {int(last)}. Run `kb doctor --repair`."
            )
        self._grow(self.count + len(chunks))
        here = slice(self.count, self.count + len(chunks))
        self._columns["chunk"][here] = ids
        self._columns["collection"][here] = [chunk.collection_id for chunk in chunks]
        self._columns["created"][here] = [seconds(chunk.created) for chunk in chunks]
        for name in ("source", "type", "language"):
            self._columns[name][here] = [self._code(getattr(chunk, name)) for chunk in chunks]
        self._alive[here] = True
        self.count += len(chunks)

    def delete(self, chunk_ids: Iterable[int]) -> None:
        """Mark rows dead; ids that are not here are no error: they belong to another encoder or are gone."""
        wanted = np.fromiter(chunk_ids, np.int64)
        rows = self.find(wanted)
        rows = rows[rows >= 0]
        self._alive[rows] = False

    def find(self, chunk_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each chunk id, -1 where there is none; dead rows are found too."""
        places = np.searchsorted(self.ids, chunk_ids)
        inside = np.minimum(places, max(self.count - 1, 0))
        hit = (
            (places < self.count) & (self.ids[inside] == chunk_ids)
            if self.count
            else np.zeros_like(places, bool)
        )
        return np.where(hit, inside, -1)

    def allowed(self, allowed: Allowed) -> NDArray[np.bool_]:
        """[count] bool: alive, in an allowed collection, and passing every filter."""
        mask = self._alive[: self.count] & np.isin(self._column("collection"), list(allowed.collection_ids))
        filters = allowed.filters
        for name in ("source", "type", "language"):
            if wanted := getattr(filters, name):
                codes = [code for code, word in enumerate(self.words) if matches(name, word, wanted)]
                mask &= np.isin(self._column(name), codes)
        if filters.date_from is not None:
            mask &= self._column("created") >= seconds(filters.date_from)
        if filters.date_to is not None:
            mask &= self._column("created") <= seconds(filters.date_to)
        return mask

    @property
    def ids(self) -> NDArray[np.int64]:
        """Chunk ids, ascending, dead ones included."""
        return self._column("chunk")

    @property
    def alive(self) -> NDArray[np.bool_]:
        """[count] bool."""
        return self._alive[: self.count]

    def table(self) -> NDArray[np.int64]:
        """[6, alive]: the columns in the order of NUMBERS, for the snapshot."""
        return np.stack([self._column(name)[self.alive] for name in NUMBERS])

    @classmethod
    def from_table(cls, table: NDArray[np.int64], words: list[str]) -> Rows:
        """The inverse of table(). Raises Broken for a table that cannot be one."""
        if table.ndim != 2 or len(table) != len(NUMBERS) or np.any(np.diff(table[0]) <= 0):
            raise Broken("The index's table of chunks is damaged.")
        rows = cls()
        rows._grow(table.shape[1])
        for name, values in zip(NUMBERS, table, strict=True):
            rows._columns[name][: table.shape[1]] = values
        rows._alive[: table.shape[1]] = True
        rows.count = table.shape[1]
        rows.words, rows._codes = list(words), {word: code for code, word in enumerate(words)}
        return rows

    def _column(self, name: str) -> NDArray[np.int64]:
        return self._columns[name][: self.count]

    def _code(self, word: str) -> int:
        if word not in self._codes:
            self._codes[word] = len(self.words)
            self.words.append(word)
        return self._codes[word]

    def _grow(self, needed: int) -> None:
        size = len(self._alive)
        if needed <= size:
            return
        extra = max(needed, size * 3 // 2) - size
        for name, column in self._columns.items():
            self._columns[name] = np.concatenate([column, np.zeros(extra, np.int64)])
        self._alive = np.concatenate([self._alive, np.zeros(extra, bool)])


def matches(name: str, word: str, wanted: str) -> bool:
    """Whether a document's source, type or language is what was asked for; 'zh' also means 'zh-Hant'."""
    word, wanted = word.lower(), wanted.lower()
    return word == wanted or (name == "language" and word.startswith(f"{wanted}-"))


def seconds(moment: datetime) -> int:
    """Whole seconds since 1970; a time without a zone is taken as UTC."""
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
