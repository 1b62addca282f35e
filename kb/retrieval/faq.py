"""Curated answers: the entry whose wordings come nearest to the question, if one comes near enough.

An entry stands as high as its best three wordings together, since one stray variant should not outweigh an
entry of which several are near (share of right first entries, best wording → best three: banking77 .872 →
.903, clinc150 .878 → .911, stackfaq .940 both). Common words only settle what the encoder leaves open.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kb.ports import Encoder
from kb.retrieval.wordings import Overlaps
from kb.store import Database, Scope, allowed
from kb.store.faqs import Faqs
from kb.types import Audience, FaqMatch, Principal

# A curated answer is shown as it stands, so a wrong one is worse than none. At a cosine of 0.80 the first entry
# is right in 1.00 of the questions answered on stackfaq, .94 banking77, .94 clinc150, .88 hint3 (both with
# questions that no entry covers), and all of the covid paraphrase pairs are true ones (recall .37).
COSINE = 0.80
# Chinese, by common words and characters: of LCQMC's pairs, made to mislead, .88 are true ones at this overlap
# (recall .46, AUROC .83).
OVERLAP = 0.85
BLIND = 0.5  # below this share of known script a question is matched by its words
BEST = (1.0, 0.5, 0.25)  # what an entry's best wordings weigh
TIE = 0.01  # weight of common words beside the cosine: more puts covid below the encoder alone (.460, .463)

Leg = Literal["dense", "lexical"]


@dataclass(frozen=True)
class _Wordings:
    """All wordings as of one version of the FAQ. entry: row of `faq_ids` for each wording."""

    version: int
    faq_ids: tuple[str, ...]
    entry: NDArray[np.int64]
    collection_ids: NDArray[np.int64]
    texts: Sequence[str]
    matrix: NDArray[np.float32]
    overlaps: Overlaps


class FaqMatcher:
    """Matches questions to entries; wordings are kept in memory and read again when the FAQ changes."""

    def __init__(self, db: Database, encoder: Encoder, *, leg: Leg | None = None) -> None:
        """leg: rank by the nearest wording in one leg alone, for comparison."""
        self._db, self._encoder, self._faqs, self._leg = db, encoder, Faqs(db), leg
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
        """The first entry that this principal may read, if one of its wordings clears the threshold."""
        best = self.rank(principal, question, 1, collections=collections, audience=audience)
        threshold = OVERLAP if self._encoder.covers(question) < BLIND else COSINE
        return best[0] if best and best[0].score >= threshold else None

    def rank(
        self,
        principal: Principal,
        question: str,
        k: int,
        *,
        collections: tuple[str, ...] | None = None,
        audience: Audience | None = None,
    ) -> list[FaqMatch]:
        """The k nearest entries, best first. score: cosine (or overlap) of the entry's nearest wording."""
        wordings = self._wordings()
        with self._db.read() as session:
            scope = allowed(session, principal, collections=collections, audience=audience)
            rows = _readable(wordings, scope)
            if not len(rows):
                return []
            score = self._scores(question, wordings, rows)
            best = _best(wordings.entry[rows], score, k, BEST if self._leg is None else BEST[:1])
            names = [wordings.faq_ids[entry] for entry, _ in best]
            entries = self._faqs.load(session, names, scope)
        return [
            FaqMatch(entries[name], float(score[at][0]), wordings.texts[rows[at]])
            for name, (_, at) in zip(names, best, strict=True)
            if name in entries
        ]

    def _scores(self, question: str, wordings: _Wordings, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """[rows, 2]: what a wording's nearness is, and what it is ranked by."""
        overlap = wordings.overlaps.of(question)[rows]
        if self._leg == "lexical" or (self._leg is None and self._encoder.covers(question) < BLIND):
            return np.stack([overlap, overlap], axis=1)
        cosine = wordings.matrix[rows] @ self._encoder.encode_question(question)
        if self._leg == "dense":
            return np.stack([cosine, cosine], axis=1)
        return np.stack([cosine, cosine + TIE * overlap], axis=1)

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
        encoder = self._encoder
        faq_ids, collections, texts, matrix = self._faqs.wordings(encoder.name, encoder.dim)
        names = tuple(dict.fromkeys(faq_ids))
        place = {name: row for row, name in enumerate(names)}
        entry = np.array([place[name] for name in faq_ids], np.int64)
        return _Wordings(
            version, names, entry, np.array(collections, np.int64), texts, matrix, Overlaps(texts)
        )


def _readable(wordings: _Wordings, scope: Scope) -> NDArray[np.int64]:
    return np.flatnonzero(np.isin(wordings.collection_ids, list(scope.collection_ids)))


def _best(
    entry: NDArray[np.int64], score: NDArray[np.float32], k: int, weights: Sequence[float]
) -> list[tuple[int, int]]:
    """The k best entries with the place of their nearest wording, best first. weights: of their best wordings."""
    order = np.argsort(-score[:, 1], kind="stable")
    top: dict[int, list[int]] = {}
    for at in order:
        found = top.setdefault(int(entry[at]), [])
        if len(found) < len(weights):
            found.append(int(at))
    together = {
        one: sum(weight * score[at, 1] for weight, at in zip(weights, found, strict=False))
        / sum(weights[: len(found)])
        for one, found in top.items()
    }
    ranked = sorted(together, key=lambda one: -together[one])[:k]
    return [(one, top[one][0]) for one in ranked]
