"""The one way to document text: every search and every answer goes through here."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kb.errors import Forbidden
from kb.index import Hits, Index, Nearness
from kb.ports import Encoder
from kb.retrieval import fuse, passages
from kb.retrieval.near import Sentences
from kb.retrieval.signals import Signals
from kb.store import Database, allowed
from kb.store.chunks import Chunks
from kb.types import Audience, Filters, Principal, Retrieved

LEG = 50  # chunks each leg puts forward
SPARE = 2  # chunks loaded for each passage wanted: some are doubles or neighbours, some were just deleted
CLOSELY = 20  # chunks whose sentences are looked at, at least


class Retriever:
    """Finds passages for a principal. The allowed set is asked of SQL in each call and applied twice:
    inside both indexes, and by the load, which also hides what was deleted meanwhile."""

    def __init__(
        self,
        db: Database,
        index: Index,
        encoder: Encoder,
        *,
        ranking: fuse.Fuse = fuse.mixed,
        closely: bool = True,
    ) -> None:
        """closely: whether the sentences of the best chunks are looked at too; a single leg is compared without."""
        self._db, self._index, self.encoder = db, index, encoder
        self._chunks, self._ranking, self._closely = Chunks(db), ranking, closely

    def retrieve(
        self,
        principal: Principal,
        question: str,
        *,
        collections: tuple[str, ...] | None = None,
        filters: Filters = Filters(),  # noqa: B008 - frozen
        limit: int = 10,
        audience: Audience | None = None,
    ) -> Retrieved:
        """At most `limit` passages, best first. Raises Forbidden (no scope to search), NotFound (collection)."""
        if not (principal.may("search") or principal.may("ask")):
            raise Forbidden("Searching needs the scope 'search' or 'ask'.")
        started = time.perf_counter()
        asked = self._index.ask(question)  # encoded on another core while SQL says what is allowed
        with self._db.read() as session:
            scope = allowed(session, principal, collections=collections, audience=audience)
            head = self._chunks.head(session)
        hits = self._index.search(asked, scope.collection_ids, filters, max(LEG, limit), head=head)
        searched = time.perf_counter()
        ranking = self._ranking(hits)
        wanted = ranking.ids[: max(SPARE * limit, CLOSELY if self._closely else 0)]
        with self._db.read() as session:
            loaded = self._chunks.load(session, wanted, scope)
        nearness = Nearness(hits.vector, {chunk.id: chunk.sentences for chunk in loaded})
        parts = nearness.parts() if self._closely and fuse.sight(hits.covers) else {}
        if parts:
            ranking = self._ranking(fuse.refined(hits, parts))
        scores = dict(zip(ranking.ids, ranking.scores, strict=True))
        loaded.sort(key=lambda chunk: -scores.get(chunk.id, 0.0))
        why = _why(hits, ranking, parts, [chunk.id for chunk in loaded])
        found = passages.arrange(loaded, [scores.get(chunk.id, 0.0) for chunk in loaded], why, limit)
        ended = time.perf_counter()
        return Retrieved(
            passages=found,
            timings_ms={
                **hits.timings_ms,
                "load": (ended - searched) * 1e3,
                "total": (ended - started) * 1e3,
            },
            signals=Signals(hits, found),
            sentences=Sentences(nearness, loaded, found),
        )

    def unknown(
        self,
        principal: Principal,
        words: Iterable[str],
        *,
        collections: tuple[str, ...] | None = None,
        filters: Filters = Filters(),  # noqa: B008 - frozen
        audience: Audience | None = None,
    ) -> set[str]:
        """Those words that no document this principal may ask holds in any form."""
        with self._db.read() as session:
            scope = allowed(session, principal, collections=collections, audience=audience)
        return self._index.unknown(words, scope.collection_ids, filters)


def _why(
    hits: Hits, ranking: fuse.Ranking, parts: Mapping[int, tuple[float, float]], chunks: Sequence[int]
) -> dict[int, dict[str, Any]]:
    """For each chunk: its rank and score in each leg, the cosines of its parts, and the mix."""
    row_of = {int(chunk): row for row, chunk in enumerate(hits.ids)}
    scores = dict(zip(ranking.ids, ranking.scores, strict=True))
    return {
        chunk: {
            "score": round(scores.get(chunk, 0.0), 4),
            "dense": {
                "rank": int(hits.dense_rank[row]) or None,
                "score": round(float(hits.dense[row]), 4),
                "sentence": round(parts[chunk][0], 4) if chunk in parts else None,
                "heading": round(parts[chunk][1], 4) if chunk in parts else None,
                "weight": round(ranking.weight, 3),
            },
            "lexical": {
                "rank": int(hits.lexical_rank[row]) or None,
                "score": round(float(hits.lexical[row]), 3),
                "weight": round(1 - ranking.weight, 3),
            },
        }
        for chunk in chunks
        for row in [row_of[chunk]]
    }
