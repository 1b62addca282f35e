"""One order from two legs: a sum of two scores that mean the same for every question.

- lexical: BM25 as a share of what the question's terms weigh together (their idf): how much of what was
  asked a chunk says
- dense: the cosine, as far as the encoder knows the question's script; above SURE it counts four times more,
  because a question so near to a text is nearly its paraphrase. Where no chunk says much of the question, it was
  worded differently, and the cosine counts more; all the more where its words are few or common and BM25 has
  little to go by (both are what FAQ-like corpora need)

A sum drowns what one leg is sure of where the other rates many chunks alike: a question worded otherwise than its
answer has many half-right chunks in words. So chunks are ordered by a chance: mostly what the sum makes of it, and
for up to a fifth what the cosine makes of it alone, the less the more the words say. A clear sum is not moved by
that; an undecided one takes in what the cosine is sure of.

The best few are then looked at more closely (`refined`): a chunk about five things lies near none of them, but one
of its sentences does, or its title.

Blind rank fusion lets an encoder that knows no Chinese wreck a Chinese answer, and throws away how sure a leg
is; scaling each leg by its own best hit does the latter too. Both legs score the union of what either found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kb.index import Hits

# chosen on eighteen public sets (`bench/eval.py`); their neighbours do as well there, so none is tuned to a hair
DENSE = 0.65  # weight of the cosine beside BM25's share
SURE, MORE = 0.55, 2.0
SAID = 0.75  # share of the question from which a chunk counts as saying it
DOUBT, MOST = 10.0, 8.0  # how fast the cosine's weight grows as less is said, and how far
ALONE = 0.2  # chance left to the cosine alone where the words say nothing
SHARP = 8.0  # a chunk ahead by 1/SHARP in the sum is e times likelier to hold the answer
SHARP_ALONE = 60.0  # the same for the cosine
TYPICAL = 20.0  # idf of all terms of an ordinary question together
SENTENCE = 0.4  # how far a sentence that is nearer than its chunk lifts it; .3 and .5 do nearly as well
HEADING = 0.2  # the same for title and heading
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
    best = float(share.max(initial=0))
    known = sight(hits.covers)
    weight = known * dense_weight(best, sum(hits.weights.values()))
    near = weight * np.maximum(hits.dense, 0) + known * MORE * np.maximum(hits.dense - SURE, 0)
    highest = LIKELIEST + weight + known * MORE * (1 - SURE)
    total = share + near
    alone = ALONE * known * max(0.0, 1 - best / LIKELIEST)
    score = np.where(total > 0, total + _lift(total, hits.dense, alone), 0)
    return _ranking(hits, np.minimum(score / highest, 1), weight)


def refined(hits: Hits, parts: Mapping[int, tuple[float, float]]) -> Hits:
    """The hits with cosines that look at parts too: by chunk id, of the nearest sentence, and of title and heading.

    A part nearer than its chunk lifts it; a chunk that is nearer as a whole stays as it is. Chunks that are not in
    `parts` are lifted as much as the others on average: not having been looked at is neither a gain nor a loss.
    """
    ids, cosines = np.array(list(parts), np.int64), np.array(list(parts.values()), np.float32).reshape(-1, 2)
    _, rows, places = np.intersect1d(hits.ids, ids, assume_unique=True, return_indices=True)
    if not len(rows):
        return hits
    nearer = np.maximum(cosines[places] - hits.dense[rows, None], 0)
    lift = nearer @ np.array([SENTENCE, HEADING], np.float32)
    dense = hits.dense + lift.mean()
    dense[rows] = hits.dense[rows] + lift
    return replace(hits, dense=dense)


def dense_only(hits: Hits) -> Ranking:
    """The dense leg by itself, for comparison."""
    return _ranking(hits, np.where(hits.dense_rank > 0, hits.dense, 0), 1.0)


def lexical_only(hits: Hits) -> Ranking:
    """The lexical leg by itself, for comparison."""
    return _ranking(hits, np.where(hits.lexical_rank > 0, said(hits) / LIKELIEST, 0), 0.0)


def sight(covers: float) -> float:
    """How far the encoder sees: nothing in a script it does not know, much less in a mixed one, where it may see
    no more than a product's name."""
    return covers**4 if covers >= BLIND else 0.0


def dense_weight(best: float, total: float) -> float:
    """Of the cosine. best: largest share of the question any chunk says. total: idf of the question's terms."""
    return min(MOST, DENSE + DOUBT * TYPICAL / max(total, 1.0) * max(0.0, SAID - best))


def _lift(total: NDArray[Any], cosine: NDArray[Any], alone: float) -> NDArray[Any]:
    """What to add to each sum, so that sums are ordered as the chances are: those from the sum, and `alone` (0..1)
    of those from the cosine by itself."""
    if not alone or not len(total):
        return np.zeros_like(total)
    chance, by_cosine = _chances(SHARP * total), _chances(SHARP_ALONE * cosine)
    lift: NDArray[Any] = np.log1p(alone / (1 - alone) * by_cosine / chance) / SHARP
    return lift


def _chances(odds: NDArray[Any]) -> NDArray[np.float64]:
    """Shares that add up to 1, of log-odds; never quite 0."""
    found = np.exp(np.maximum(odds.astype(np.float64) - odds.max(), -300))
    shares: NDArray[np.float64] = found / found.sum()
    return shares


def said(hits: Hits) -> NDArray[np.float32]:
    """BM25 of each hit over the idf of all the question's terms."""
    total = sum(hits.weights.values())
    return hits.lexical / np.float32(total) if total > 0 else hits.lexical


def _ranking(hits: Hits, score: NDArray[np.floating[Any]], weight: float) -> Ranking:
    order = np.argsort(-score, kind="stable")
    order = order[score[order] > 0]
    return Ranking(tuple(hits.ids[order].tolist()), tuple(score[order].tolist()), weight)
