"""The mix of both legs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kb.index import Hits
from kb.retrieval.fuse import dense_only, dense_weight, lexical_only, mixed, refined, sight


def hits(dense: list[float], lexical: list[float], covers: float = 1.0, total: float = 10.0) -> Hits:
    def ranks(scores: list[float]) -> Any:
        order = np.argsort(-np.array(scores))
        places = np.zeros(len(scores), np.int64)
        places[order] = np.arange(1, len(scores) + 1)
        return np.where(np.array(scores) > 0, places, 0)

    return Hits(
        ids=np.arange(1, len(dense) + 1),
        dense=np.array(dense, np.float32),
        lexical=np.array(lexical, np.float32),
        dense_rank=ranks(dense),
        lexical_rank=ranks(lexical),
        weights={"term": total},
        covers=covers,
        timings_ms={},
        vector=np.zeros(4, np.float32),
    )


def test_what_both_legs_like_comes_first() -> None:
    assert mixed(hits([0.6, 0.7, 0.1], [6, 1, 7])).ids[0] == 1


def test_a_script_the_encoder_does_not_know_leaves_the_words_alone() -> None:
    found = hits([0.9, 0.1, 0.5], [0, 8, 4], covers=0.0)
    assert mixed(found).ids == lexical_only(found).ids == (2, 3)


def test_without_a_common_word_meaning_decides() -> None:
    found = hits([0.2, 0.8], [0, 0])
    assert mixed(found).ids == dense_only(found).ids == (2, 1)


def test_the_encoder_counts_less_the_less_it_knows() -> None:
    weights = [sight(covers) for covers in (0, 0.2, 0.5, 0.8, 1)]
    assert weights == sorted(weights)
    assert weights[0] == weights[1] == 0 < weights[2] < weights[4] == 1


def test_meaning_counts_more_where_little_of_the_question_is_said() -> None:
    worded_otherwise = hits([0.5, 0.3], [0, 3])  # the second says a third of the question
    assert mixed(worded_otherwise).ids == (1, 2)
    worded_alike = hits([0.5, 0.3], [0, 9])
    assert mixed(worded_alike).ids == (2, 1)


def test_meaning_counts_all_the_more_where_words_are_few_or_common() -> None:
    assert (
        dense_weight(0.5, 5.0) > dense_weight(0.5, 20.0) > dense_weight(0.9, 20.0) == dense_weight(0.9, 5.0)
    )


def test_what_meaning_is_sure_of_is_not_drowned_by_many_that_say_half_the_words() -> None:
    # chunk 1 says nothing of the question, which nine others half say, none of them near it in meaning
    among = hits([0.62, *[0.2] * 9, 0.3], [0, *[7.7] * 9, 2.0])
    assert 1 in mixed(among).ids[:5]


def test_a_clear_answer_in_words_stays_first() -> None:
    found = hits([0.62, 0.3, 0.3, 0.2], [0, 16, 7, 7])
    assert mixed(found).ids[0] == 2
    # and where the words say all of it several times over, meaning alone has no say
    assert mixed(hits([0.54, 0.3, 0.3], [0, 22, 4])).ids == (2, 3, 1)


def test_where_the_encoder_sees_only_a_name_in_the_question_the_words_decide() -> None:
    found = hits([0.75, 0.3], [1, 3.5], covers=0.45)
    assert mixed(found).ids == lexical_only(found).ids == (2, 1)


def test_scores_fall_and_lie_between_0_and_1() -> None:
    ranking = mixed(hits([1.0, 0.4, 0.3], [22, 5, 0]))
    assert list(ranking.scores) == sorted(ranking.scores, reverse=True)
    assert all(0 < score <= 1 for score in ranking.scores)
    assert ranking.scores[0] == pytest.approx(1)


def test_nothing_found_is_no_ranking() -> None:
    assert mixed(hits([], [])).ids == ()


def test_a_nearer_part_lifts_its_chunk_and_not_having_been_looked_at_does_not() -> None:
    found = hits([0.5, 0.5, 0.5, 0.6], [1, 1, 1, 1])
    close = refined(found, {1: (0.5, 0.0), 2: (0.75, 0.75), 4: (0.4, -1.0)})
    assert close.dense.tolist() == pytest.approx(
        [0.5, 0.65, 0.55, 0.6]
    )  # none falls, the third rises as others do
    assert mixed(close).ids == (2, 4, 3, 1)
    assert refined(found, {}) is found
