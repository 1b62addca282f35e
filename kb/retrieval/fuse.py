"""One order from two legs: a mix of their scores in which each leg counts as far as it knows the question.

Blind rank fusion lets an encoder that knows no Chinese wreck a Chinese answer, and throws away how sure
a leg is. Here both legs score the union of what either found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kb.index import Hits


@dataclass(frozen=True)
class Ranking:
    """Chunk ids, best first, and their scores (0..1). weight: the dense leg's share of each score."""

    ids: tuple[int, ...]
    scores: tuple[float, ...]
    weight: float


Fuse = Callable[[Hits], Ranking]


def mixed(hits: Hits) -> Ranking:
    """What every search uses."""
    weight = dense_weight(hits)
    score = weight * relative(hits.dense) + (1 - weight) * relative(hits.lexical)
    return _ranking(hits, score, weight)


def dense_only(hits: Hits) -> Ranking:
    """The dense leg by itself, for comparison."""
    return _ranking(hits, np.where(hits.dense_rank > 0, relative(hits.dense), 0), 1.0)


def lexical_only(hits: Hits) -> Ranking:
    """The lexical leg by itself, for comparison."""
    return _ranking(hits, np.where(hits.lexical_rank > 0, relative(hits.lexical), 0), 0.0)


def dense_weight(hits: Hits) -> float:
    """The dense leg's share."""
    if not len(hits.ids) or not hits.covers:
        return 0.0
    if not np.any(hits.lexical > 0):
        return 1.0
    return 0.5 * hits.covers


def relative(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores as shares of the best one; negative ones count nothing."""
    if not len(scores):
        return scores
    best = float(scores.max())
    shares = np.maximum(scores, 0) / max(best, 1e-9)
    return shares.astype(np.float32)


def _ranking(hits: Hits, score: NDArray[np.float32], weight: float) -> Ranking:
    order = [int(row) for row in np.argsort(-score, kind="stable") if score[row] > 0]
    return Ranking(
        tuple(int(hits.ids[row]) for row in order), tuple(float(score[row]) for row in order), weight
    )
