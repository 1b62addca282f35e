"""One order from two legs: a sum of two scores that mean the same for every question.

- lexical: BM25 as a share of what the question's terms weigh together (their idf): how much of what was
  asked a chunk says
- dense: the cosine, as far as the encoder knows the question's script; above SURE it counts three times more,
  because a question so near to a text is nearly its paraphrase (this is what FAQ-like corpora need)

Blind rank fusion lets an encoder that knows no Chinese wreck a Chinese answer, and throws away how sure a leg
is; scaling each leg by its own best hit does the latter too. Both legs score the union of what either found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kb.index import Hits

DENSE = 0.7  # weight of the cosine beside BM25's share; on the sets tried any from 0.5 to 0.8 does
SURE, MORE = 0.6, 2.0
BLIND = 0.3  # below this share of known script a question's vector says nothing
HIGHEST = 2.2 + DENSE + MORE * (1 - SURE)  # BM25 gives a term at most 2.2 times its idf


@dataclass(frozen=True)
class Ranking:
    """Chunk ids, best first, and their scores (0..1). weight: of the cosine beside BM25's share."""

    ids: tuple[int, ...]
    scores: tuple[float, ...]
    weight: float


Fuse = Callable[[Hits], Ranking]


def mixed(hits: Hits) -> Ranking:
    """What every search uses."""
    weight = dense_weight(hits.covers)
    near = np.maximum(hits.dense, 0) + MORE / DENSE * np.maximum(hits.dense - SURE, 0)
    return _ranking(hits, (said(hits) + weight * near) / HIGHEST, weight)


def dense_only(hits: Hits) -> Ranking:
    """The dense leg by itself, for comparison."""
    return _ranking(hits, np.where(hits.dense_rank > 0, hits.dense, 0), 1.0)


def lexical_only(hits: Hits) -> Ranking:
    """The lexical leg by itself, for comparison."""
    return _ranking(hits, np.where(hits.lexical_rank > 0, said(hits) / HIGHEST, 0), 0.0)


def dense_weight(covers: float) -> float:
    """Nothing for a question in a script the encoder does not know, less for a mixed one."""
    return DENSE * covers * covers if covers >= BLIND else 0.0


def said(hits: Hits) -> NDArray[np.float32]:
    """BM25 of each hit over the idf of all the question's terms."""
    total = sum(hits.weights.values())
    return hits.lexical / np.float32(total) if total > 0 else hits.lexical


def _ranking(hits: Hits, score: NDArray[np.floating[Any]], weight: float) -> Ranking:
    order = np.argsort(-score, kind="stable")
    order = order[score[order] > 0]
    return Ranking(tuple(hits.ids[order].tolist()), tuple(score[order].tolist()), weight)
