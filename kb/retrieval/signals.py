"""Numbers about what was found, from which the answering room judges whether the documents hold an answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kb.index import Hits, distinct_terms
from kb.retrieval.lazy import Lazy
from kb.types import Passage


class Signals(Lazy[str, float]):
    """All between 0 and 1; an empty result gives zeros.

    cosine: of the nearest chunk. margin: how far it stands above the tenth. said, said_all: share (by idf) of
    the question's terms in the best passage, in the first three. agree: whether both legs put the same chunk
    first. lexical: BM25 of the best chunk as a share of what a chunk holding every term once would score, about.
    """

    def __init__(self, hits: Hits, passages: Sequence[Passage]) -> None:
        self._hits, self._passages = hits, passages

    def compute(self) -> dict[str, float]:
        """From the hits of both legs and the passages made of them."""
        hits, passages = self._hits, self._passages
        found = dict.fromkeys(("cosine", "margin", "said", "said_all", "agree", "lexical"), 0.0)
        if not len(hits.ids) or not passages:
            return found
        cosines = np.sort(hits.dense[hits.dense_rank > 0])[::-1]
        if len(cosines):
            found["cosine"] = max(0.0, float(cosines[0]))
            found["margin"] = float(cosines[0] - cosines[min(9, len(cosines) - 1)])
        found["said"], found["said_all"] = coverage(hits, passages[:3])
        found["agree"] = float(np.any((hits.dense_rank == 1) & (hits.lexical_rank == 1)))
        total = sum(hits.weights.values())
        if total:
            found["lexical"] = min(1.0, float(hits.lexical.max()) / (1.5 * total))
        return found


def coverage(hits: Hits, passages: Sequence[Passage]) -> tuple[float, float]:
    """Share of the question's terms, by idf, that the first passage, and all of them, hold in text, title or heading."""
    total = sum(hits.weights.values())
    if not total:
        return 0.0, 0.0
    held: list[set[str]] = [
        hits.weights.keys() & distinct_terms(f"{passage.title}\n{passage.heading}\n{passage.text}")
        for passage in passages
    ]
    every = set().union(*held)
    return sum(hits.weights[t] for t in held[0]) / total, sum(hits.weights[t] for t in every) / total
