"""One order from two legs: a sum of two scores that mean the same for every question.

- lexical: BM25 as a share of what the question's terms weigh together (their idf): how much of what was
  asked a chunk says
- dense: the cosine, as far as the encoder knows the question's script; above SURE it counts four times more,
  because a question so near to a text is nearly its paraphrase. Where no chunk says much of the question, it was
  worded differently, and the cosine counts more; all the more where its words are few or common and BM25 has
  little to go by (both are what FAQ-like corpora need)

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

# chosen on twelve public sets (`bench/eval.py`); their neighbours do as well there, so none is tuned to a hair
DENSE = 0.65  # weight of the cosine beside BM25's share
SURE, MORE = 0.55, 2.0
SAID = 0.75  # share of the question from which a chunk counts as saying it
DOUBT, MOST = 10.0, 8.0  # how fast the cosine's weight grows as less is said, and how far
TYPICAL = 20.0  # idf of all terms of an ordinary question together
BLIND = 0.3  # below this share of known script a question's vector says nothing
LIKELIEST = 2.2  # BM25 gives a term at most 2.2 times its idf


@dataclass(frozen=True)
class Ranking:
    """Chunk ids, best first, and their scores (0..1). weight: of the cosine beside BM25's share."""

    ids: tuple[int, ...]
    scores: tuple[float, ...]
    weight: float


Fuse = Callable[[Hits], Ranking]


def mixed(hits: Hits) -> Ranking:
    """What every search uses."""
    share = said(hits)
    known = sight(hits.covers)
    weight = known * dense_weight(float(share.max(initial=0)), sum(hits.weights.values()))
    near = weight * np.maximum(hits.dense, 0) + known * MORE * np.maximum(hits.dense - SURE, 0)
    highest = LIKELIEST + weight + known * MORE * (1 - SURE)
    return _ranking(hits, (share + near) / highest, weight)


def dense_only(hits: Hits) -> Ranking:
    """The dense leg by itself, for comparison."""
    return _ranking(hits, np.where(hits.dense_rank > 0, hits.dense, 0), 1.0)


def lexical_only(hits: Hits) -> Ranking:
    """The lexical leg by itself, for comparison."""
    return _ranking(hits, np.where(hits.lexical_rank > 0, said(hits) / LIKELIEST, 0), 0.0)


def sight(covers: float) -> float:
    """How far the encoder sees: nothing in a script it does not know, less in a mixed one."""
    return covers * covers if covers >= BLIND else 0.0


def dense_weight(best: float, total: float) -> float:
    """Of the cosine. best: largest share of the question any chunk says. total: idf of the question's terms."""
    return min(MOST, DENSE + DOUBT * TYPICAL / max(total, 1.0) * max(0.0, SAID - best))


def said(hits: Hits) -> NDArray[np.float32]:
    """BM25 of each hit over the idf of all the question's terms."""
    total = sum(hits.weights.values())
    return hits.lexical / np.float32(total) if total > 0 else hits.lexical


def _ranking(hits: Hits, score: NDArray[np.floating[Any]], weight: float) -> Ranking:
    order = np.argsort(-score, kind="stable")
    order = order[score[order] > 0]
    return Ranking(tuple(hits.ids[order].tolist()), tuple(score[order].tolist()), weight)
