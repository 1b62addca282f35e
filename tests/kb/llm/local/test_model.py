"""The model against transformers' GptOssForCausalLM in float32 on the same (dequantised) weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from bench.model_memory import MemoryWeights
from kb.llm.local.config import ModelConfig
from kb.llm.local.errors import BadModel
from kb.llm.local.kernels.compile import paths
from kb.llm.local.model import Model
from kb.llm.local.types import PAGE, Batch, Segment

from . import tiny

LENGTH = 300  # past the window (128) and the original context (128)
PAGES = 40


@pytest.fixture(scope="module")
def reference():
    return tiny.build()


@pytest.fixture(scope="module")
def config(reference) -> ModelConfig:
    return ModelConfig.from_json(reference.config.to_dict())


@pytest.fixture(scope="module")
def packed(reference) -> dict[str, MemoryWeights]:
    return {layout: tiny.weights(reference, layout) for layout in ("int8", "mxfp4")}


@pytest.fixture(scope="module")
def prompt() -> np.ndarray:
    return np.random.default_rng(0).integers(3, 512, LENGTH).astype(np.int32)


@pytest.fixture(scope="module")
def logits(reference, prompt) -> np.ndarray:
    return _reference_logits(reference, prompt)


def _reference_logits(model, prompt: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model(torch.from_numpy(prompt.astype(np.int64))[None]).logits[0].numpy()


@contextmanager
def _model(config: ModelConfig, weights: MemoryWeights, **options) -> Iterator[Model]:
    model = Model(config, weights, **{"pages": PAGES, "threads": 2, **options})
    try:
        yield model
    finally:
        model.close()


def _run(model: Model, tokens: np.ndarray, position: int = 0, pages: np.ndarray | None = None) -> np.ndarray:
    """Logits of every token of one sequence."""
    pages = np.arange(model.pages, dtype=np.int32) if pages is None else pages
    every = np.arange(len(tokens), dtype=np.int32)
    return model.forward(Batch(tokens, [Segment(len(tokens), position, pages)], every)).copy()


@pytest.mark.parametrize("path", paths())
@pytest.mark.parametrize("layout", ["int8", "mxfp4"])
def test_exact_mode_agrees_with_transformers(
    config, packed, prompt, logits, layout, path, record_property
) -> None:
    with _model(config, packed[layout], exact=True, path=path) as model:
        difference = np.abs(_run(model, prompt) - logits).max()
    record_property("largest logit difference", float(difference))
    assert difference < 2e-5 * np.abs(logits).max()


@pytest.fixture(scope="module")
def continuation(reference, prompt) -> list[int]:
    """256 greedy tokens after the first 40 of the prompt, by transformers."""
    ids = torch.from_numpy(prompt[:40].astype(np.int64))[None]
    with torch.no_grad():
        done = reference.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=256, min_new_tokens=256, do_sample=False
        )
    return done[0, 40:].tolist()


@pytest.mark.parametrize("layout", ["int8", "mxfp4"])
def test_exact_mode_writes_the_same_256_greedy_tokens(config, packed, prompt, layout, continuation) -> None:
    with _model(config, packed[layout], exact=True) as model:
        assert _greedy(model, prompt[:40], 256) == continuation


def _greedy(model: Model, start: np.ndarray, count: int) -> list[int]:
    pages = np.arange(model.pages, dtype=np.int32)
    last = model.forward(Batch(start, [Segment(len(start), 0, pages)], np.array([len(start) - 1], np.int32)))
    found: list[int] = []
    while len(found) < count:
        found.append(_allowed(last[0]))
        token = np.array([found[-1]], np.int32)
        position = len(start) + len(found) - 1
        last = model.forward(Batch(token, [Segment(1, position, pages)], np.zeros(1, np.int32)))
    return found


def _allowed(logits: np.ndarray) -> int:
    """The best token but the end (the reference is told to go on as well)."""
    logits = logits.copy()
    logits[2] = -np.inf
    return int(logits.argmax())


def test_dense_parts_in_int8_agree_on_their_dequantised_values(config, prompt) -> None:
    changed = tiny.build()
    weights = tiny.weights(changed, "mxfp4", "int8")
    tiny.dequantise(changed, weights)
    with _model(config, weights, exact=True) as model:
        found = _run(model, prompt)
    expected = _reference_logits(changed, prompt)
    assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize("exact", [True, False])
def test_layouts_give_the_same_bits(config, packed, prompt, exact) -> None:
    found = []
    for layout in ("int8", "mxfp4"):
        with _model(config, packed[layout], exact=exact) as model:
            found.append(_run(model, prompt))
    np.testing.assert_array_equal(*found)


def test_paths_give_the_same_bits(config, packed, prompt) -> None:
    found = []
    for path in paths():
        with _model(config, packed["mxfp4"], path=path) as model:
            assert model.path == path
            found.append(_run(model, prompt))
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_int8_activations_stay_close(config, packed, prompt, logits, record_property) -> None:
    with _model(config, packed["mxfp4"]) as model:
        found = _run(model, prompt)
    expected_log, found_log = (
        each - np.logaddexp.reduce(each, axis=1, keepdims=True) for each in (logits, found)
    )
    divergence = (np.exp(expected_log) * (expected_log - found_log)).sum(axis=1)
    agreement = float((found.argmax(axis=1) == logits.argmax(axis=1)).mean())
    record_property("KL mean, median", f"{divergence.mean():.2e}, {np.median(divergence):.2e}")
    record_property("top-1 agreement", agreement)
    assert divergence.mean() < 0.02 and agreement > 0.9


@pytest.mark.parametrize("exact", [True, False])
def test_chunks_company_and_page_places_change_no_bit(config, packed, prompt, exact) -> None:
    other = prompt[::-1].copy()[:100]
    with _model(config, packed["mxfp4"], exact=exact) as model:
        alone = [_run(model, prompt), _run(model, other)]
        # the same two, in scattered pages, in chunks, together
        tables = np.random.default_rng(1).permutation(PAGES).astype(np.int32)
        first, second = tables[: -(-LENGTH // PAGE)], tables[20:24]
        parts: list[list[np.ndarray]] = [[], []]
        cuts = [(0, 77), (77, 200), (200, 201), (201, 202), (202, LENGTH)]
        for (start, end), (left, right) in zip(
            cuts, [(0, 1), (1, 2), (2, 50), (50, 51), (51, 100)], strict=True
        ):
            tokens = np.concatenate([prompt[start:end], other[left:right]])
            segments = [Segment(end - start, start, first), Segment(right - left, left, second)]
            found = model.forward(Batch(tokens, segments, np.arange(len(tokens), dtype=np.int32))).copy()
            parts[0].append(found[: end - start])
            parts[1].append(found[end - start :])
        for whole, pieces in zip(alone, parts, strict=True):
            np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_a_shared_prefix_may_stand_in_two_page_tables(config, packed, prompt) -> None:
    with _model(config, packed["int8"]) as model:
        whole = _run(model, prompt[:100])
        table = np.array([0, 1, 30, 31], dtype=np.int32)  # the first 64 tokens' pages, then pages of its own
        np.testing.assert_array_equal(_run(model, prompt[64:100], 64, table), whole[64:])


def test_pages_come_back_from_bytes(config, packed, prompt) -> None:
    with _model(config, packed["int8"]) as model:
        whole = _run(model, prompt[:100])
        kept = model.kv.read([0, 1])
        model.kv.keys[...] = model.kv.values[...] = np.nan
        model.kv.write([7, 5], kept)
        table = np.array([7, 5, 9, 10], dtype=np.int32)
        np.testing.assert_array_equal(_run(model, prompt[64:100], 64, table), whole[64:])


def test_only_the_logits_asked_for_are_computed(config, packed, prompt, logits) -> None:
    pages = np.arange(PAGES, dtype=np.int32)
    with _model(config, packed["int8"], exact=True) as model:
        none = model.forward(Batch(prompt[:200], [Segment(200, 0, pages)], np.zeros(0, np.int32)))
        assert none.shape == (0, 512)
        some = model.forward(Batch(prompt[200:], [Segment(100, 200, pages)], np.array([99, 3], np.int32)))
        np.testing.assert_allclose(some, logits[[299, 203]], atol=1e-4)


def test_other_shapes(prompt) -> None:
    """Experts in another number, heads in another grouping, a vocabulary that is no multiple of 32, tied embeddings."""
    experts = {"num_local_experts": 5, "num_experts_per_tok": 2, "intermediate_size": 96}
    attention = {"num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 64, "sliding_window": 50}
    ends = {"vocab_size": 517, "tie_word_embeddings": True, "num_hidden_layers": 3}
    other = tiny.build(5, **experts, **attention, **ends)
    config = ModelConfig.from_json(other.config.to_dict())
    with _model(config, tiny.weights(other, "mxfp4"), exact=True, threads=1) as model:
        found = _run(model, prompt)
    assert np.abs(found - _reference_logits(other, prompt)).max() < 1e-4


def test_many_experts_are_fetched_a_few_at_a_time(config, packed, prompt) -> None:
    asked: list[list[int]] = []
    weights = MemoryWeights(packed["int8"]._dense, packed["int8"]._experts)
    plain = weights.experts
    weights.experts = lambda layer, ids: (asked.append(list(ids)), plain(layer, ids))[1]  # type: ignore[method-assign]
    with _model(config, weights) as model:
        together = _run(model, prompt)
    with _model(config, weights, experts_at_once=4) as model:
        asked.clear()
        np.testing.assert_array_equal(_run(model, prompt), together)
    assert max(len(ids) for ids in asked) == 4


def test_hints_name_the_next_layers_experts(config, packed, prompt) -> None:
    weights = packed["int8"]
    hinted: list[tuple[int, list[int]]] = []
    used: list[tuple[int, list[int]]] = []
    spy = MemoryWeights(weights._dense, weights._experts)
    plain = spy.experts
    spy.hint = lambda layer, ids: hinted.append((layer, list(ids)))  # type: ignore[method-assign]
    spy.experts = lambda layer, ids: (used.append((layer, list(ids))), plain(layer, ids))[1]  # type: ignore[method-assign]
    with _model(config, spy) as model:
        for position in range(50):
            _run(model, prompt[position : position + 1], position)
        assert [layer for layer, _ in hinted[:3]] == [1, 2, 3]
        right = sum(
            len(set(ids) & set(dict(used[4 * number : 4 * number + 4])[layer]))
            for number in range(50)
            for layer, ids in hinted[3 * number : 3 * number + 3]
        )
        assert (model.expert_hint.right, model.expert_hint.total) == (right, 50 * 3 * 4)
        assert model.expert_hint.rate > 0.6  # blind guessing: 4 of 8


def test_bad_batches_are_refused_by_name(config, packed, prompt) -> None:
    pages = np.arange(PAGES, dtype=np.int32)
    none = np.zeros(0, np.int32)
    bad = [
        (Batch(none, [], none), "empty"),
        (Batch(prompt[:3], [Segment(2, 0, pages)], none), "add up"),
        (Batch(np.array([512], np.int32), [Segment(1, 0, pages)], none), "vocabulary"),
        (Batch(prompt[:40], [Segment(40, 0, pages[:1])], none), "2 pages"),
        (Batch(prompt[:1], [Segment(1, 0, np.array([PAGES], np.int32))], none), "outside the cache"),
        (Batch(prompt[:1], [Segment(1, 4096, np.zeros(200, np.int32))], none), "past"),
        (Batch(prompt[:1], [Segment(1, 0, pages)], np.array([1], np.int32)), "logits"),
    ]
    with _model(config, packed["int8"]) as model:
        for batch, word in bad:
            with pytest.raises(ValueError, match=word):
                model.forward(batch)
        assert np.isfinite(_run(model, prompt[:5])).all()
    with pytest.raises(RuntimeError, match="closed"):
        _run(model, prompt[:5])


def test_missing_weights_are_named(config, packed) -> None:
    weights = packed["int8"]
    dense = {name: value for name, value in weights._dense.items() if "layers.2.self_attn.sinks" not in name}
    with pytest.raises(BadModel, match=r"layers\.2\.self_attn\.sinks"):
        Model(config, MemoryWeights(dense, weights._experts), pages=4, threads=1)
