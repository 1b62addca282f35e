"""From logits to one token: penalties, temperature, and the cuts (top-k, top-p, min-p), on plain arrays.

A vocabulary of 201,088 is not sorted while a few candidates hold the mass asked for; ties are kept together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kb.llm.local.errors import ModelError

Floats = NDArray[np.float32]
_BLOCK = 1024
_LEAST_TEMPERATURE = 1e-4  # below it nothing but the likeliest is ever drawn, and dividing by it overflows
_CUTS = (1e-2, 1e-4, 1e-7, 0.0)  # where to look for candidates, against the likeliest


@dataclass(frozen=True)
class SamplingParams:
    """How one answer is drawn. The defaults change nothing about the model's own probabilities."""

    temperature: float = 1.0  # 0: always the likeliest
    top_p: float = 1.0
    top_k: int = 0  # 0: all
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    top_logprobs: int | None = None  # None: no log probabilities; n: that of the token and of the n likeliest


@dataclass(frozen=True)
class Chosen:
    """One drawn token and, if asked for, log probabilities before any temperature or cut."""

    token: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


class Sampler:
    """Draws the tokens of one answer. The same seed and logits give the same tokens."""

    def __init__(self, params: SamplingParams, prompt: Sequence[int]) -> None:
        self.params = params
        self._random = np.random.default_rng(params.seed)
        self._counts: dict[int, int] = {}  # of tokens generated
        self._prompt = np.unique(np.asarray(prompt, np.int64)) if params.repetition_penalty != 1 else None
        self._bias = np.array(sorted(params.logit_bias.items()), np.float64).reshape(-1, 2)

    def sample(self, logits: Floats) -> Chosen:
        """The next token. ModelError where the model computed no numbers."""
        highest = float(logits.max())
        if not math.isfinite(highest):
            raise ModelError("The model computed values that are not numbers.")
        adjusted = self._adjust(logits)
        cold = self.params.temperature < _LEAST_TEMPERATURE
        token = int(adjusted.argmax()) if cold else self._draw(adjusted)
        self._counts[token] = self._counts.get(token, 0) + 1
        if self.params.top_logprobs is None:
            return Chosen(token)
        return _explain(logits, highest, token, self.params.top_logprobs)

    def _adjust(self, logits: Floats) -> Floats:
        """Penalties and bias on a copy; the very array where there are none."""
        params, bias = self.params, self._bias
        bias = bias[bias[:, 0] < len(logits)]
        penalised = params.frequency_penalty or params.presence_penalty or self._prompt is not None
        if not penalised and not len(bias):
            return logits
        out = logits.copy()
        seen = np.fromiter(self._counts, np.int64, len(self._counts))
        if self._prompt is not None:
            either = np.union1d(seen, self._prompt)
            values, factor = out[either], np.float32(params.repetition_penalty)
            out[either] = np.where(values > 0, values / factor, values * factor)
        if len(seen):
            counts = np.fromiter(self._counts.values(), np.float32, len(seen))
            out[seen] -= params.frequency_penalty * counts + params.presence_penalty
        out[bias[:, 0].astype(np.int64)] += bias[:, 1].astype(np.float32)
        return out

    def _draw(self, logits: Floats) -> int:
        params = self.params
        weights = np.exp((logits - logits.max()) / np.float32(params.temperature))
        least = params.min_p  # the likeliest weighs 1
        if 0 < params.top_k < len(weights):
            least = max(least, _kth(weights, params.top_k))
        if params.top_p < 1:
            least = max(least, _nucleus(weights, params.top_p, least))
        if least <= 0:
            return _pick(weights, self._random.random())
        ids = np.flatnonzero(weights >= least)
        return int(ids[_pick(weights[ids], self._random.random())])


def _pick(weights: Floats, random: float) -> int:
    """A place, each as likely as it weighs: first the block, then the place in it."""
    starts = np.arange(0, len(weights), _BLOCK)
    blocks = np.cumsum(np.add.reduceat(weights, starts, dtype=np.float64))
    mark = random * blocks[-1]
    block = min(int(np.searchsorted(blocks, mark, side="right")), len(blocks) - 1)
    part = np.cumsum(weights[block * _BLOCK : (block + 1) * _BLOCK], dtype=np.float64)
    place = np.searchsorted(part, mark - (blocks[block - 1] if block else 0.0), side="right")
    return block * _BLOCK + min(int(place), len(part) - 1)


def _kth(weights: Floats, k: int) -> float:
    """The k-th largest weight."""
    for least in _CUTS:
        few = weights[weights >= least]
        if len(few) >= k:
            return float(np.partition(few, len(few) - k)[len(few) - k])
    return 0.0


def _nucleus(weights: Floats, top_p: float, least: float) -> float:
    """The smallest weight among the fewest that together hold `top_p` of all that are at least `least`."""
    if least > 0:
        weights = weights[weights >= least]
    wanted = top_p * float(weights.sum(dtype=np.float64))
    for cut in _CUTS:
        few = weights[weights >= cut] if cut else weights
        if cut and few.sum(dtype=np.float64) < wanted:
            continue
        ordered = np.sort(few)[::-1]
        heap = np.cumsum(ordered, dtype=np.float64)
        return float(ordered[min(int(np.searchsorted(heap, wanted)), len(heap) - 1)])
    raise AssertionError("the last cut keeps everything")


def _explain(logits: Floats, highest: float, token: int, top: int) -> Chosen:
    weights = np.exp(logits - np.float32(highest))
    total = highest + math.log(float(weights.sum(dtype=np.float64)))
    top = min(top, len(logits))
    places = np.flatnonzero(weights >= _kth(weights, top)) if top else np.empty(0, np.int64)
    order = places[np.argsort(-logits[places], kind="stable")][:top]
    return Chosen(
        token,
        float(logits[token]) - total,
        tuple((int(place), float(logits[place]) - total) for place in order),
    )
