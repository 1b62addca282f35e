"""Random weights in gpt-oss-20b's shapes, for measurements: right sizes and sane magnitudes, no sense."""

from __future__ import annotations

import numpy as np

from bench.model_memory import MemoryWeights
from kb.llm.local import quant
from kb.llm.local.arena import Arena
from kb.llm.local.config import ModelConfig, RopeScaling
from kb.llm.local.quant_dense import dense_specs
from kb.llm.local.types import Expert, Packed


def config(layers: int) -> ModelConfig:
    """gpt-oss-20b with fewer layers."""
    return ModelConfig(
        vocab_size=201088,
        hidden_size=2880,
        intermediate_size=2880,
        num_layers=layers,
        num_heads=64,
        num_kv_heads=8,
        head_dim=64,
        num_experts=32,
        experts_per_token=4,
        sliding_window=128,
        sliding_layers=tuple(i % 2 == 0 for i in range(layers)),
        max_position=131072,
        rms_norm_eps=1e-5,
        rope_theta=150000.0,
        rope_scaling=RopeScaling(32.0, 4096, truncate=False),
    )


def matrix(
    layout: str, rows: int, cols: int, random: np.random.Generator, arena: Arena | None = None
) -> Packed:
    """Random bytes where weights go, scales that keep products near one."""
    packed = quant.empty(layout, rows, cols) if arena is None else arena.take(layout, rows, cols)
    at = quant.sections(layout, rows, cols)
    if layout in ("int8", "mxfp4"):
        packed.data[: at.weights_bytes] = _noise(at.weights_bytes, random)
        exponent = 127 - 12 if layout == "int8" else 127 - 8
        packed.data[at.scales : at.scales + at.scales_bytes] = exponent
        quant.set_bias(packed, None)
        return packed
    values = random.standard_normal((rows, cols)).astype(np.float32)
    values = 1 + 0.1 * values if rows == 1 else values / np.float32(cols**0.5)
    packed.data[...] = quant.pack(values, None, layout).data
    return packed


def weights(shape: ModelConfig, layout: str, router: str = "uniform") -> MemoryWeights:
    """Dense parts int8, experts in `layout`, in huge pages as a server holds them.

    router: 'uniform' prefers no expert; 'skewed' adds log(1 / rank) to the logits, another order in each layer.
    """
    random = np.random.default_rng(0)
    specs = dense_specs(shape)
    together = Arena(sum(quant.nbytes(spec.layout, spec.rows, spec.cols) for spec in specs))
    dense = {spec.name: matrix(spec.layout, spec.rows, spec.cols, random, together) for spec in specs}
    if router == "skewed":
        for name, packed in dense.items():
            if name.endswith("router.weight"):
                ranks = random.permutation(np.arange(1, shape.num_experts + 1))
                quant.set_bias(packed, np.log(1 / ranks).astype(np.float32))
    h, inner = shape.hidden_size, shape.intermediate_size
    sizes = ((2 * inner, h), (h, inner))  # gate and up, down
    nbytes = sum(quant.nbytes(layout, *size) for size in sizes)
    # all of it before any is written to: neighbours then share the huge pages across their borders
    room = [[Arena(nbytes) for _ in range(shape.num_experts)] for _ in range(shape.num_layers)]
    experts = [
        [Expert(*(matrix(layout, *size, random, arena) for size in sizes)) for arena in layer]
        for layer in room
    ]
    return MemoryWeights(dense, experts)


_BLOCK: np.ndarray | None = None


def _noise(size: int, random: np.random.Generator) -> np.ndarray:
    """Random bytes; one draw, repeated from a random place: drawing 20 GB would take minutes."""
    global _BLOCK
    if _BLOCK is None:
        _BLOCK = random.integers(0, 256, 64 << 20, dtype=np.uint8)
    start = int(random.integers(0, 32 << 20))
    return np.resize(_BLOCK[start:], size)
