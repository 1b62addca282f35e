"""Curated answers: the entry whose wording comes nearest to the question, if it comes near enough."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kb.index import terms
from kb.ports import Encoder
from kb.store import Database, allowed
from kb.store.faqs import Faqs
from kb.types import Audience, FaqMatch, Principal

COSINE = 0.80
OVERLAP = 0.70
TIE = 0.1


@dataclass(frozen=True)
class _Wordings:
    """All wordings as of one version of the FAQ."""

    version: int
    faq_ids: NDArray[np.str_]
    collection_ids: NDArray[np.int64]
    texts: Sequence[str]
    matrix: NDArray[np.float32]
    bags: Sequence[Counter[str]]
    weights: dict[str, float]


class FaqMatcher:
    """Matches questions to entries; wordings are kept in memory and read again when the FAQ changes."""

    def __init__(self, db: Database, encoder: Encoder) -> None:
        self._db, self._encoder, self._faqs = db, encoder, Faqs(db)
        self._lock = threading.Lock()
        self._cache: _Wordings | None = None

    def match(
        self,
        principal: Principal,
        question: str,
        *,
        collections: tuple[str, ...] | None = None,
        audience: Audience | None = None,
    ) -> FaqMatch | None:
        """The best entry that this principal may read, if it clears the threshold."""
        best = self.rank(principal, question, 1, collections=collections, audience=audience)
        blind = self._encoder.covers(question) < 0.5
        if not best or best[0].score < (OVERLAP if blind else COSINE):
            return None
        return best[0]

    def rank(
        self,
        principal: Principal,
        question: str,
        k: int = 5,
        *,
        collections: tuple[str, ...] | None = None,
        audience: Audience | None = None,
    ) -> list[FaqMatch]:
        """The k nearest entries, best first, each with its nearest wording."""
        wordings = self._wordings()
        with self._db.read() as session:
            scope = allowed(session, principal, collections=collections, audience=audience)
            mask = np.isin(wordings.collection_ids, list(scope.collection_ids))
            if not mask.any():
                return []
            score, order = self._scores(question, wordings, mask)
            best: dict[str, int] = {}
            for row in order:
                best.setdefault(str(wordings.faq_ids[row]), int(row))
                if len(best) == k:
                    break
            entries = self._faqs.load(session, list(best), scope)
        return [
            FaqMatch(entries[faq], float(score[row]), wordings.texts[row])
            for faq, row in best.items()
            if faq in entries
        ]

    def _scores(
        self, question: str, wordings: _Wordings, mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Each wording's similarity, and the order of the allowed ones."""
        overlap = _overlaps(question, wordings)
        if self._encoder.covers(question) < 0.5:
            score = rank = overlap
        else:
            score = wordings.matrix @ self._encoder.encode_question(question)
            rank = score + TIE * overlap
        rows = np.flatnonzero(mask)
        return score, rows[np.argsort(-rank[rows], kind="stable")]

    def _wordings(self) -> _Wordings:
        version = self._faqs.version()
        cache = self._cache
        if cache is not None and cache.version == version:
            return cache
        with self._lock:
            if self._cache is None or self._cache.version != version:
                self._cache = self._read(version)
            return self._cache

    def _read(self, version: int) -> _Wordings:
        _, faq_ids, collection_ids, texts, matrix = self._faqs.wordings(
            self._encoder.name, dim=self._encoder.dim
        )
        bags = [Counter(terms(text)) for text in texts]
        seen = Counter(term for bag in bags for term in bag)
        weights = {term: float(np.log(1 + len(bags) / count)) for term, count in seen.items()}
        return _Wordings(
            version, np.array(faq_ids), np.array(collection_ids, np.int64), texts, matrix, bags, weights
        )


def _overlaps(question: str, wordings: _Wordings) -> NDArray[np.float32]:
    """Common terms of question and wording as a share of all terms of both, rare ones counting more (0..1)."""
    asked = Counter(terms(question))
    rare = float(np.log(1 + max(1, len(wordings.bags))))
    weight = wordings.weights
    total = sum(weight.get(term, rare) * count for term, count in asked.items())
    found = np.zeros(len(wordings.bags), np.float32)
    for row, bag in enumerate(wordings.bags):
        common = sum(weight[term] * min(count, asked[term]) for term, count in bag.items() if term in asked)
        if common:
            size = sum(weight[term] * count for term, count in bag.items())
            found[row] = 2 * common / (total + size)
    return found
