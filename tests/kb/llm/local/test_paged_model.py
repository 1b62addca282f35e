"""The whole way: a checkpoint folder, packed, paged through few slots, computes what plain memory computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kb.llm.local.cache import READERS, CachedStore
from kb.llm.local.config import ModelConfig
from kb.llm.local.model import Model
from kb.llm.local.pack import pack
from kb.llm.local.reader import STAGING
from kb.llm.local.types import PAGE, Batch, Segment, Weights

from . import tiny

TOKENS, STEPS = 70, 12


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same model as bf16 and in the released form."""
    root, model = tmp_path_factory.mktemp("paged"), tiny.build()
    return {name: tiny.save(model, root / name, mxfp4=name == "mxfp4") for name in ("bf16", "mxfp4")}


def _logits(config: ModelConfig, weights: Weights, hints: bool) -> np.ndarray:
    """A prompt, then single tokens: the logits after each."""
    model = Model(config, weights, pages=8, threads=2, hints=hints)
    table = np.arange(8, dtype=np.int32)
    tokens = np.random.default_rng(0).integers(3, 512, TOKENS + STEPS).astype(np.int32)
    assert (TOKENS + STEPS) / PAGE < 8
    found = [
        model.forward(
            Batch(tokens[:TOKENS], [Segment(TOKENS, 0, table)], np.array([TOKENS - 1], np.int32))
        ).copy()
    ]
    for position in range(TOKENS, TOKENS + STEPS):
        batch = Batch(tokens[position : position + 1], [Segment(1, position, table)], np.zeros(1, np.int32))
        found.append(model.forward(batch).copy())
    model.close()
    return np.concatenate(found)


def test_paging_changes_no_logit(folders: dict[str, Path], tmp_path: Path) -> None:
    reference = None
    for name, layout in (("mxfp4", "mxfp4"), ("mxfp4", "int8"), ("bf16", "mxfp4")):
        path = pack(folders[name], tmp_path / f"{name}-{layout}.kbm", layout=layout, page_size=4096)
        with CachedStore(path, 1 << 30) as store:
            config = ModelConfig.from_json(store.config)
            resident = _logits(config, store, hints=False)
            few = store.dense_bytes + 12 * store.slot_bytes + READERS * STAGING
        for hints in (False, True):
            with CachedStore(path, few, direct=hints) as store:
                np.testing.assert_array_equal(_logits(config, store, hints), resident)
                report = store.report()
                assert report["misses"] > 0 and report["slots"] == 12
                assert bool(report["hints_right"]) is hints
        # Both layouts, and both ways to the 4-bit one, are the same integers and scales.
        reference = resident if reference is None else reference
        np.testing.assert_array_equal(resident, reference)
