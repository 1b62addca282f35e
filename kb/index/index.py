"""What makes chunks findable: both indexes behind one search, always as new as the last SQL commit.

The indexes are caches of SQL. Every search first asks for the newest log number and replays what it
has not seen, so any process sees what any other committed, without signals.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kb.errors import KbError
from kb.index import snapshot as snapshots
from kb.index.rows import Allowed
from kb.index.state import State
from kb.index.text import STOP_WORDS, question_terms, terms
from kb.ports import Encoder
from kb.store.chunks import Chunks
from kb.store.db import Database
from kb.store.failures import disk_full
from kb.store.logtrim import trim
from kb.types import Filters

SNAPSHOT_AFTER = 2000  # unsaved log entries, or a tenth of the index if that is more


@dataclass(frozen=True)
class Hits:
    """What both legs found for one question, in no order; the arrays run in parallel.

    dense: cosine of every hit. lexical: BM25 score of every hit, 0 where no term of the question occurs.
    dense_rank, lexical_rank: place among that leg's best k from 1, 0 beyond. weights: idf of the
    question's terms. covers: share of the question that the encoder knows the script and language of. vector: the question's, [dim].
    """

    ids: NDArray[np.int64]
    dense: NDArray[np.float32]
    lexical: NDArray[np.float32]
    dense_rank: NDArray[np.int64]
    lexical_rank: NDArray[np.int64]
    weights: dict[str, float]
    covers: float
    timings_ms: dict[str, float]
    vector: NDArray[np.float32]


@dataclass(frozen=True)
class Asked:
    """A question whose vector is being computed on another core since `began`; `vector` waits for it: [dim]."""

    text: str
    began: float
    vector: Callable[[], NDArray[np.float32]]


@dataclass(frozen=True)
class IndexCheck:
    """How the indexes compare with SQL. chunks: how many there are; every other number must be 0."""

    chunks: int
    missing_vectors: int
    extra_vectors: int
    missing_words: int
    extra_words: int
    wrong_vectors: int

    @property
    def sound(self) -> bool:
        """Whether SQL, FAISS and tantivy hold the same chunks."""
        return not any(self.wrong().values())

    def wrong(self) -> dict[str, int]:
        """How many of each there should not be."""
        return {name: count for name, count in asdict(self).items() if name != "chunks"}


class Index:
    """Opened at the first search. Safe to use from several threads and beside other processes."""

    def __init__(self, db: Database, encoder: Encoder, directory: Path) -> None:
        self._db, self._chunks = db, Chunks(db)
        self._encoder = encoder
        self._home = directory / encoder.name
        self._lock = threading.RLock()
        self._state: State | None = None
        self._work: snapshots.Workplace | None = None
        self._saving: threading.Thread | None = None

    def ask(self, question: str) -> Asked:
        """Start on the one part of a search that needs no permission, while the caller finds out what is allowed."""
        return Asked(question, time.perf_counter(), self._encoder.begin_question(question))

    def search(
        self,
        question: str | Asked,
        collection_ids: frozenset[int],
        filters: Filters | None = None,
        k: int = 50,
        *,
        head: int | None = None,
    ) -> Hits:
        """The best k of each leg among the allowed chunks; no allowed collection, no hits.

        head: the newest log number, where the caller has just read it.
        """
        asked = self.ask(question) if isinstance(question, str) else question
        started = time.perf_counter()
        state = self.refresh(head)
        allowed = Allowed(collection_ids, filters or Filters())
        refreshed = time.perf_counter()
        # words need no vector: they are searched while the question is encoded
        words = question_terms(asked.text)
        word_ids, scores = state.lexical.search(words, allowed, k)
        by_word = time.perf_counter()
        vector = asked.vector()
        encoded = time.perf_counter()
        with self._lock:
            mask = state.mask(allowed)
            near, _ = state.vectors.search(vector, mask, k)
            near_ids = state.rows.ids[near]
        searched = time.perf_counter()
        # each leg also scores what only the other found, so that they can be mixed
        rest = np.setdiff1d(near_ids, word_ids)
        rest_ids, rest_scores = state.lexical.search(words, allowed, len(rest), among=rest.tolist())
        ids = np.concatenate([word_ids, rest])
        lexical = np.zeros(len(ids), np.float32)
        lexical[: len(word_ids)] = scores
        lexical[len(word_ids) + np.searchsorted(rest, rest_ids)] = rest_scores
        with self._lock:
            rows = state.rows.find(ids)
            known = rows >= 0
            dense = np.where(known, state.vectors.scores(vector, np.maximum(rows, 0)), 0).astype(np.float32)
        ended = time.perf_counter()
        return Hits(
            ids=ids,
            dense=dense,
            lexical=lexical,
            dense_rank=_ranks(ids, near_ids),
            lexical_rank=_ranks(ids, word_ids),
            weights=state.lexical.weights(words),
            covers=self._encoder.covers(asked.text),
            timings_ms={
                "refresh": (refreshed - started) * 1e3,
                "encode": (encoded - asked.began) * 1e3,  # the words, and what else was done since, beside it
                "dense": (searched - encoded) * 1e3,
                "lexical": (by_word - refreshed + ended - searched) * 1e3,
            },
            vector=vector,
        )

    def unknown(
        self, words: Iterable[str], collection_ids: frozenset[int], filters: Filters | None = None
    ) -> set[str]:
        """Those words that no allowed chunk holds in any form: what else is stored does not show.

        Stop words, which are not indexed, count as known.
        """
        lexical, allowed = self.refresh().lexical, Allowed(collection_ids, filters or Filters())
        asked = [word for word in words if word.lower() not in STOP_WORDS]
        return {word for word in asked if not len(lexical.search(terms(word), allowed, 1)[0])}

    def refresh(self, head: int | None = None) -> State:
        """Replay the log past what this process has seen. Cheap when there is nothing new."""
        state = self._state
        if head is None:
            head = self._chunks.head()
        if state is not None and state.seq >= head:
            return state
        with self._lock:
            try:
                state = self._state or self._open()
                changed = False
                for batch in self._chunks.since(state.seq, self._encoder.name, dim=self._encoder.dim):
                    state.apply(batch)
                    changed = True
                if changed:
                    state.lexical.commit()
            except BaseException as error:
                self._state = None  # half applied: begin again from the snapshot
                if not snapshots.no_space(error, self._home):
                    raise
                self._to_memory(error)
                return self.refresh(head)
            self._state = state
            if state.unsaved >= max(SNAPSHOT_AFTER, state.rows.count // 10):
                self._save_beside()
            return state

    @property
    def encoder(self) -> str:
        """Name of the encoder whose chunks it holds; those of another one are not in it."""
        return self._encoder.name

    @property
    def seq(self) -> int:
        """The log number this process has seen; -1 before the first search."""
        return self._state.seq if self._state is not None else -1

    def snapshot(self) -> bool:
        """Write the indexes to disk for the next start. False: nothing to save, or another process is at it."""
        state = self.refresh()
        with snapshots.turn(self._home) as mine:
            if not mine or not state.unsaved:
                return False
            with self._lock:
                frozen = state.freeze(self._workplace().fresh("frozen"))
                unsaved = state.unsaved
            manifest = {
                "encoder": self._encoder.name,
                "dim": self._encoder.dim,
                "metric": "inner product",
                "seq": frozen.seq,
                "count": frozen.table.shape[1],
                "words": frozen.words,
            }
            snapshots.write(self._home, manifest, frozen.write)
            state.unsaved -= unsaved
            trim(self._db, min(snapshots.older(self._home), frozen.seq))
            return True

    def check(self, sample: int = 200) -> IndexCheck:
        """Prove SQL = FAISS = tantivy: ids of all, the vectors of an even sample."""
        state = self.refresh()
        with self._lock:
            truth = self._chunks.ids(self._encoder.name)
            rows = state.rows.ids[state.rows.alive]
            words = state.lexical.ids()
            probe = truth[:: max(1, len(truth) // sample)] if len(truth) else truth
            stored = self._chunks.vectors([int(chunk) for chunk in probe])
            wrong = 0
            for chunk, vector in stored.items():
                row = int(state.rows.find(np.array([chunk]))[0])
                wrong += row >= 0 and not np.allclose(state.vectors.exact[row], vector, atol=2e-3)
        return IndexCheck(
            chunks=len(truth),
            missing_vectors=len(np.setdiff1d(truth, rows)),
            extra_vectors=len(np.setdiff1d(rows, truth)),
            missing_words=len(np.setdiff1d(truth, words)),
            extra_words=len(np.setdiff1d(words, truth)),
            wrong_vectors=wrong,
        )

    def rebuild(self) -> None:
        """Build both indexes from SQL again, without embedding anything, and save them."""
        with self._lock:
            self._state = State.empty(self._encoder.dim, self._workplace())
        self.refresh()
        self.snapshot()

    def close(self) -> None:
        """Wait for a snapshot being written and give the working directory up."""
        if self._saving is not None:
            self._saving.join()
        with self._lock:
            self._state = None
            if self._work is not None:
                self._work.close()
                self._work = None

    def _open(self) -> State:
        work, dim = self._workplace(), self._encoder.dim
        while (found := snapshots.newest(self._home, self._encoder.name, dim)) is not None:
            try:
                return State.load(found, dim, work)
            except (OSError, ValueError, KeyError, RuntimeError, KbError) as error:
                if snapshots.no_space(error, self._home):
                    raise  # the snapshot is whole
                snapshots.set_aside(found.directory)
        return State.empty(dim, work)

    def _workplace(self) -> snapshots.Workplace:
        if self._work is None:
            self._work = snapshots.Workplace(self._home)
        return self._work

    def _to_memory(self, error: BaseException) -> None:
        """On a full disk asking goes on: the words are kept in memory until the next start. DiskFull: not there either."""
        full = disk_full(self._home)
        if self._work is not None:
            if self._work.in_memory:
                raise full from error
            self._work.close()
            self._work = None
        try:
            self._work = snapshots.Workplace(self._home, in_memory=True)
        except OSError:
            raise full from error

    def _save_beside(self) -> None:
        if self._saving is None or not self._saving.is_alive():
            self._saving = threading.Thread(target=self._save_quietly, name="kb-snapshot", daemon=True)
            self._saving.start()

    def _save_quietly(self) -> None:
        try:
            self.snapshot()
        except (OSError, ValueError, KbError):
            pass  # a full disk: the log is replayed at the next start instead


def _ranks(ids: NDArray[np.int64], best: NDArray[np.int64]) -> NDArray[np.int64]:
    place = {chunk: rank for rank, chunk in enumerate(best.tolist(), 1)}
    return np.array([place.get(chunk, 0) for chunk in ids.tolist()], np.int64)
