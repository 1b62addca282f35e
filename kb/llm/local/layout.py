"""Every matrix of a gpt-oss checkpoint, in the order it is packed, and how to make it from the released tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kb.llm.local import quant
from kb.llm.local.config import BLOCK, ModelConfig
from kb.llm.local.errors import BadModel
from kb.llm.local.quant_dense import DenseSpec, dense_specs
from kb.llm.local.quant_error import PackError, pack_error
from kb.llm.local.source import Checkpoint
from kb.llm.local.types import Packed

EXPERT_LAYOUTS = ("int8", "mxfp4")
DENSE_LAYOUTS = ("int8", "bf16")
SCALES = {
    "int8": f"a power of two per row and {BLOCK} inputs",
    "mxfp4": f"a power of two per row and {BLOCK} inputs, as released",
    "bf16": "none",
    "f32": "none",
}
_ROWS = 2048  # of a dense matrix at a time, in whole tiles; small, as packing makes a dozen copies of them


@dataclass(frozen=True)
class Matrix:
    """One matrix to pack."""

    name: str
    kind: str  # "dense" | "gate_up" | "down"
    layer: int | None
    expert: int | None
    layout: str
    rows: int
    cols: int
    dense: DenseSpec | None = None


@dataclass(frozen=True)
class Made:
    """A packed matrix and what packing cost; `error` is None where it is exact by construction."""

    matrix: Matrix
    packed: Packed
    error: PackError | None


def matrices(config: ModelConfig, experts: str, dense: str = "int8") -> Iterator[Matrix]:
    """All matrices of a model: the dense ones first, then the experts layer by layer."""
    for spec in dense_specs(config, dense):
        layer = int(spec.name.split(".")[2]) if spec.name.startswith("model.layers.") else None
        yield Matrix(spec.name, "dense", layer, None, spec.layout, spec.rows, spec.cols, spec)
    hidden, inner = config.hidden_size, config.intermediate_size
    for layer in range(config.num_layers):
        for expert in range(config.num_experts):
            at = f"model.layers.{layer}.mlp.experts.{expert}."
            yield Matrix(at + "gate_up_proj", "gate_up", layer, expert, experts, 2 * inner, hidden)
            yield Matrix(at + "down_proj", "down", layer, expert, experts, hidden, inner)


def released_in_mxfp4(source: Checkpoint) -> bool:
    """Whether the experts come as 4-bit blocks."""
    return "model.layers.0.mlp.experts.gate_up_proj_blocks" in source


def make(source: Checkpoint, matrix: Matrix) -> Made:
    """Pack one matrix: the same bytes each time, so that a damaged shard can be made again and still have its hash.

    BadModel when a tensor is missing or has another shape than the config says.
    """
    made = _make_expert(source, matrix) if matrix.dense is None else _make_dense(source, matrix, matrix.dense)
    at = quant.sections(matrix.layout, matrix.rows, matrix.cols)
    made.packed.data[at.weights + at.weights_bytes : at.scales] = 0  # alignment gaps
    made.packed.data[at.scales + at.scales_bytes : at.bias] = 0
    made.packed.data[at.bias + at.bias_bytes :] = 0
    return made


def _make_expert(source: Checkpoint, matrix: Matrix) -> Made:
    stem = f"model.layers.{matrix.layer}.mlp.experts.{matrix.kind}_proj"
    bias = source.floats(stem + "_bias", index=matrix.expert)
    if stem + "_blocks" in source:
        blocks = source.read(stem + "_blocks", index=matrix.expert)
        _check(matrix, (blocks.shape[0], blocks.shape[1] * BLOCK), stem + "_blocks")
        scales = source.read(stem + "_scales", index=matrix.expert)
        return Made(matrix, quant.pack_mxfp4(blocks, scales, bias, matrix.layout), None)
    weights = np.ascontiguousarray(source.floats(stem, index=matrix.expert).T)  # kept [inputs, outputs] there
    _check(matrix, weights.shape, stem)
    packed = quant.pack(weights, bias, matrix.layout)
    return Made(matrix, packed, pack_error(weights, packed))


def _make_dense(source: Checkpoint, matrix: Matrix, spec: DenseSpec) -> Made:
    shape = source.shape(spec.name)
    _check(matrix, shape if len(shape) == 2 else (1, *shape), spec.name)
    packed = quant.empty(matrix.layout, matrix.rows, matrix.cols)
    errors: list[tuple[float, PackError]] = []
    for start in range(0, matrix.rows, _ROWS):
        end = min(matrix.rows, start + _ROWS)
        piece = (
            source.floats(spec.name, rows=slice(start, end)) if len(shape) == 2 else source.floats(spec.name)
        )
        piece = piece.reshape(end - start, matrix.cols)
        quant.fill(packed, start, piece)
        if matrix.layout == "int8":
            error = pack_error(piece, quant.pack(piece, None, matrix.layout))
            errors.append((float(np.linalg.norm(piece)), error))
    quant.set_bias(packed, None if spec.bias is None else source.floats(spec.bias))
    return Made(matrix, packed, _together(errors))


def _together(pieces: list[tuple[float, PackError]]) -> PackError | None:
    """The error of a matrix from those of its pieces and their norms."""
    if not pieces:
        return None
    wrong = sum((error.relative * norm) ** 2 for norm, error in pieces) ** 0.5
    norm = sum(norm**2 for norm, _ in pieces) ** 0.5
    return PackError(
        wrong / norm if norm else 0.0,
        max(error.largest for _, error in pieces),
        max(error.scale for _, error in pieces),
    )


def _check(matrix: Matrix, shape: tuple[int, ...], name: str) -> None:
    if tuple(shape) != (matrix.rows, matrix.cols):
        raise BadModel(f"{name} has shape {tuple(shape)}; config.json asks for {(matrix.rows, matrix.cols)}")
