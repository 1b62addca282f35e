"""A BERT sentence encoder as an OpenVINO graph, built straight from its safetensors.

Building it here keeps torch out of the one-time export too, and lets each dense layer choose its
precision. Mean pooling over the tokens, then unit length, as sentence-transformers does it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset15 as ops
from numpy.typing import NDArray
from safetensors import safe_open

Weights = Mapping[str, NDArray[np.float32]]
# input of a dense layer -> (smoothing [channels], lowest, highest value after it)
Calibration = Mapping[str, tuple[NDArray[np.float32], float, float]]


@dataclass(frozen=True)
class BertConfig:
    """The numbers of config.json that shape the graph."""

    layers: int
    hidden: int
    heads: int
    positions: int
    epsilon: float

    @classmethod
    def read(cls, directory: Path) -> BertConfig | None:
        """None where the directory holds another architecture, or a variant this graph does not cover."""
        raw = json.loads((directory / "config.json").read_text())
        plain = (
            raw.get("position_embedding_type", "absolute") == "absolute" and raw.get("hidden_act") == "gelu"
        )
        if raw.get("model_type") != "bert" or not plain or not (directory / "model.safetensors").is_file():
            return None
        return cls(
            layers=raw["num_hidden_layers"],
            hidden=raw["hidden_size"],
            heads=raw["num_attention_heads"],
            positions=raw["max_position_embeddings"],
            epsilon=raw["layer_norm_eps"],
        )


def read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Every float tensor of a safetensors file, float32, without the optional `bert.` prefix."""
    with safe_open(str(path), "np") as tensors:
        return {
            name.removeprefix("bert."): tensors.get_tensor(name).astype(np.float32)
            for name in tensors.keys()  # noqa: SIM118 - safe_open is no mapping
            if "position_ids" not in name
        }


def build(
    config: BertConfig,
    weights: Weights,
    *,
    calibration: Calibration | None = None,
    expose: bool = False,
) -> ov.Model:
    """The graph: `input_ids`, `attention_mask` [b, t] int64 → `embedding` [b, hidden] float32, unit length.

    calibration: the dense layers to run in int8, by the name of their input, with its smoothing and range.
    expose: every dense layer's input becomes an output too, named for it (how a calibration is measured).
    """
    graph = _Graph(config, weights, calibration or {}, expose)
    return graph.model()


class _Graph:
    def __init__(self, config: BertConfig, weights: Weights, calibration: Calibration, expose: bool) -> None:
        self.config, self.weights, self.calibration, self.expose = config, weights, calibration, expose
        self.inner: list[Any] = []

    def model(self) -> ov.Model:
        ids = ops.parameter([-1, -1], np.int64, name="input_ids")
        mask = ops.parameter([-1, -1], np.int64, name="attention_mask")
        floats = ops.convert(mask, "f32")
        # 0 where attended, a large negative number (bf16 holds it) where padding stands: [b, 1, 1, t]
        bias = ops.unsqueeze(ops.multiply(ops.subtract(floats, _f32(1.0)), _f32(1e9)), _i64([1, 2]))
        state = self._embed(ids)
        for layer in range(self.config.layers):
            state = self._layer(f"encoder.layer.{layer}", state, bias)
        kept = ops.unsqueeze(floats, _i64([2]))
        total = ops.reduce_sum(ops.multiply(state, kept), _i64([1]), keep_dims=False)
        mean = ops.divide(total, ops.reduce_sum(kept, _i64([1]), keep_dims=False))
        out = ops.normalize_l2(mean, _i64([1]), 1e-12, "max")
        out.output(0).set_names({"embedding"})
        ids.output(0).set_names({"input_ids"})
        mask.output(0).set_names({"attention_mask"})
        return ov.Model([ops.result(out), *map(ops.result, self.inner)], [ids, mask], "encoder")

    def _embed(self, ids: Any) -> Any:
        prefix = "embeddings."
        words = ops.gather(ops.constant(self.weights[prefix + "word_embeddings.weight"]), ids, _i64(0))
        # every token is of segment 0: its embedding is added to the positions once
        places = (
            self.weights[prefix + "position_embeddings.weight"]
            + self.weights[prefix + "token_type_embeddings.weight"][0]
        )
        length = ops.gather(ops.shape_of(ids), _i64([1]), _i64(0))
        cut = ops.slice(ops.constant(places), _i64([0]), length, _i64([1]), _i64([0]))
        return self._norm(prefix + "LayerNorm", ops.add(words, cut))

    def _layer(self, prefix: str, state: Any, bias: Any) -> Any:
        shared = self._input(f"{prefix}.attention.self", state)
        query, key, value = (
            self._heads(self._dense(f"{prefix}.attention.self", shared, part=f".{part}"))
            for part in ("query", "key", "value")
        )
        # one operator: spelt out as its five, a question takes a fifth longer
        mixed = ops.scaled_dot_product_attention(query, key, value, bias)
        joined = ops.reshape(
            ops.transpose(mixed, _i64([0, 2, 1, 3])), _i64([0, 0, self.config.hidden]), special_zero=True
        )
        attended = self._dense_of(f"{prefix}.attention.output.dense", joined)
        state = self._norm(f"{prefix}.attention.output.LayerNorm", ops.add(attended, state))
        wide = ops.gelu(self._dense_of(f"{prefix}.intermediate.dense", state), "erf")
        narrow = self._dense_of(f"{prefix}.output.dense", wide)
        return self._norm(f"{prefix}.output.LayerNorm", ops.add(narrow, state))

    def _heads(self, state: Any) -> Any:
        shape = _i64([0, 0, self.config.heads, self.config.hidden // self.config.heads])
        return ops.transpose(ops.reshape(state, shape, special_zero=True), _i64([0, 2, 1, 3]))

    def _dense_of(self, name: str, state: Any) -> Any:
        return self._dense(name, self._input(name, state))

    def _input(self, name: str, state: Any) -> Any:
        """What a dense layer reads: smoothed and rounded to 256 steps where it runs in int8."""
        if self.expose:
            tapped = ops.convert(state, "f32")
            tapped.output(0).set_names({name})
            self.inner.append(tapped)
        if name not in self.calibration:
            return state
        smoothing, low, high = self.calibration[name]
        smoothed = ops.multiply(state, ops.constant((1 / smoothing).reshape(1, 1, -1)))
        return ops.fake_quantize(smoothed, _f32(low), _f32(high), _f32(low), _f32(high), 256)

    def _dense(self, name: str, state: Any, part: str = "") -> Any:
        weight = self.weights[f"{name}{part}.weight"]
        if name in self.calibration:
            weight = weight * self.calibration[name][0]
            # symmetric, one scale an output channel
            peak = np.maximum(np.abs(weight).max(axis=1, keepdims=True), 1e-6)
            sides = (ops.constant(side) for side in (-peak, peak, -peak, peak))
            kernel = ops.fake_quantize(ops.constant(weight), *sides, 255)
        else:
            kernel = ops.constant(weight)
        product = ops.matmul(state, kernel, False, True)
        return ops.add(product, ops.constant(self.weights[f"{name}{part}.bias"].reshape(1, 1, -1)))

    def _norm(self, name: str, state: Any) -> Any:
        level = ops.mvn(state, _i64([2]), True, self.config.epsilon, "inside_sqrt")
        scaled = ops.multiply(level, ops.constant(self.weights[f"{name}.weight"].reshape(1, 1, -1)))
        return ops.add(scaled, ops.constant(self.weights[f"{name}.bias"].reshape(1, 1, -1)))


def _f32(value: float) -> Any:
    return ops.constant(np.float32(value))


def _i64(value: int | list[int]) -> Any:
    return ops.constant(np.array(value, dtype=np.int64))
