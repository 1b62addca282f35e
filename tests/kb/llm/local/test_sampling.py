"""Sampling against distributions worked out by hand, and against plain definitions on random ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from kb.llm.local.errors import ModelError
from kb.llm.local.sampling import Sampler, SamplingParams

LOGITS = np.log(np.array([0.5, 0.25, 0.15, 0.06, 0.04], np.float32))


def drawn(
    logits: np.ndarray, times: int = 3000, prompt: list[int] | None = None, **params: Any
) -> np.ndarray:
    """Share of each token in many draws from the same place."""
    counts = np.zeros(len(logits))
    sampler = Sampler(SamplingParams(seed=7, **params), prompt or [])
    for _ in range(times):
        counts[sampler.sample(logits).token] += 1
        sampler._counts.clear()
    return counts / times


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, [0.5, 0.25, 0.15, 0.06, 0.04]),
        ({"temperature": 0}, [1, 0, 0, 0, 0]),
        ({"temperature": 1e-50}, [1, 0, 0, 0, 0]),
        ({"top_k": 2}, [2 / 3, 1 / 3, 0, 0, 0]),
        ({"top_k": 99}, [0.5, 0.25, 0.15, 0.06, 0.04]),
        ({"top_p": 0.7}, [2 / 3, 1 / 3, 0, 0, 0]),
        ({"top_p": 1e-6}, [1, 0, 0, 0, 0]),
        ({"min_p": 0.25}, [5 / 9, 2.5 / 9, 1.5 / 9, 0, 0]),
        ({"top_k": 3, "top_p": 0.8}, [2 / 3, 1 / 3, 0, 0, 0]),  # 0.5 and 0.25 are 0.83 of the three
        ({"temperature": 0.5}, [0.7321, 0.1830, 0.0659, 0.0105, 0.0047]),
        ({"logit_bias": {0: -100}}, [0, 0.5, 0.3, 0.12, 0.08]),
    ],
)
def test_shares(params: dict[str, Any], expected: list[float]) -> None:
    found = drawn(LOGITS, **params)
    assert found == pytest.approx(expected, abs=0.04)
    assert all(found[place] == 0 for place, share in enumerate(expected) if share == 0)


@pytest.mark.parametrize("spread", [0.5, 3.0])
def test_the_nucleus_of_a_real_vocabulary(spread: float) -> None:
    logits = (spread * np.random.default_rng(0).standard_normal(201_088)).astype(np.float32)
    share = np.exp(logits.astype(np.float64))
    share /= share.sum()
    order = np.argsort(-share)
    nucleus = set(order[: int(np.searchsorted(np.cumsum(share[order]), 0.9)) + 2].tolist())
    sampler = Sampler(SamplingParams(top_p=0.9, seed=1), [])
    assert {sampler.sample(logits).token for _ in range(20)} <= nucleus
    sampler = Sampler(SamplingParams(top_k=5, seed=1), [])
    assert {sampler.sample(logits).token for _ in range(20)} <= set(order[:5].tolist())


def test_penalties() -> None:
    logits = np.array([2.0, 1.9, -1.0, -1.1], np.float32)

    def first_two(prompt: list[int], **params: Any) -> list[int]:
        sampler = Sampler(SamplingParams(temperature=0, **params), prompt)
        return [sampler.sample(logits).token for _ in range(2)]

    assert first_two([]) == [0, 0]
    assert first_two([0], repetition_penalty=1.2) == [1, 0]  # the prompt counts; then both are penalised
    assert first_two([], frequency_penalty=0.2) == [0, 1]
    assert first_two([0], presence_penalty=0.2) == [0, 1]  # the prompt does not count


def test_seeds() -> None:
    def tokens(seed: int | None) -> list[int]:
        sampler = Sampler(SamplingParams(seed=seed), [])
        return [sampler.sample(np.zeros(5000, np.float32)).token for _ in range(8)]

    assert tokens(3) == tokens(3) != tokens(4)
    assert tokens(None) != tokens(None)


def test_log_probabilities_are_the_models_own() -> None:
    sampler = Sampler(SamplingParams(temperature=0.1, top_k=1, top_logprobs=3), [])
    chosen = sampler.sample(LOGITS)
    assert chosen.token == 0
    assert chosen.logprob == pytest.approx(math.log(0.5), abs=1e-5)
    assert [token for token, _ in chosen.top] == [0, 1, 2]
    assert chosen.top[2][1] == pytest.approx(math.log(0.15), abs=1e-5)
    assert Sampler(SamplingParams(top_logprobs=0), []).sample(LOGITS).top == ()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_no_numbers_are_an_error(bad: float) -> None:
    logits = LOGITS.copy()
    logits[2] = bad
    with pytest.raises(ModelError, match="not numbers"):
        Sampler(SamplingParams(), []).sample(logits)
