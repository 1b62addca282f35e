"""Tiny random model folders written without torch: the names, shapes and forms of a gpt-oss release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIG: dict[str, Any] = {
    "model_type": "gpt_oss",
    "vocab_size": 192,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "num_local_experts": 8,
    "num_experts_per_tok": 4,
    "sliding_window": 128,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "rope_theta": 150000.0,
}
_CODES = {np.dtype(np.uint16): "BF16", np.dtype(np.uint8): "U8", np.dtype(np.float32): "F32"}


def write(folder: Path, *, mxfp4: bool = False, seed: int = 0, **changes: Any) -> Path:
    """A folder with config, a stand-in tokenizer and weights in two safetensors files with their index."""
    config = {**CONFIG, **changes}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    (folder / "generation_config.json").write_text('{"temperature": 1.0}')
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    tensors = _tensors(config, mxfp4, np.random.default_rng(seed))
    names = sorted(tensors)
    index = {}
    for number in (1, 2):
        file = f"model-{number:05d}-of-00002.safetensors"
        part = {name: tensors[name] for name in names[number - 1 :: 2]}
        index |= dict.fromkeys(part, file)
        save(folder / file, part)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return folder


def save(file: Path, tensors: dict[str, NDArray[Any]]) -> None:
    """One safetensors file; uint16 arrays stand for bf16."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, array in tensors.items():
        span = [at, at + array.nbytes]
        header[name] = {"dtype": _CODES[array.dtype], "shape": list(array.shape), "data_offsets": span}
        at += array.nbytes
    text = json.dumps(header).encode()
    with file.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for array in tensors.values():
            out.write(array.tobytes())


def _tensors(config: dict[str, Any], mxfp4: bool, random: np.random.Generator) -> dict[str, NDArray[Any]]:
    hidden, inner, experts = config["hidden_size"], config["intermediate_size"], config["num_local_experts"]
    q = config["num_attention_heads"] * config["head_dim"]
    kv = config["num_key_value_heads"] * config["head_dim"]

    def bf16(*shape: int) -> NDArray[np.uint16]:
        return (random.normal(0, 0.05, shape).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)

    def blocks(*shape: int) -> NDArray[np.uint8]:
        return random.integers(0, 256, shape, dtype=np.uint8)

    def scales(*shape: int) -> NDArray[np.uint8]:
        return random.integers(118, 124, shape, dtype=np.uint8)

    found: dict[str, NDArray[Any]] = {
        "model.embed_tokens.weight": bf16(config["vocab_size"], hidden),
        "lm_head.weight": bf16(config["vocab_size"], hidden),
        "model.norm.weight": bf16(hidden),
    }
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        for name, rows, cols in (("q", q, hidden), ("k", kv, hidden), ("v", kv, hidden), ("o", hidden, q)):
            found[f"{at}self_attn.{name}_proj.weight"] = bf16(rows, cols)
            found[f"{at}self_attn.{name}_proj.bias"] = bf16(rows)
        found[at + "self_attn.sinks"] = bf16(config["num_attention_heads"])
        found[at + "input_layernorm.weight"] = bf16(hidden)
        found[at + "post_attention_layernorm.weight"] = bf16(hidden)
        found[at + "mlp.router.weight"] = bf16(experts, hidden)
        found[at + "mlp.router.bias"] = bf16(experts)
        for name, rows, cols in (("gate_up", 2 * inner, hidden), ("down", hidden, inner)):
            stem = f"{at}mlp.experts.{name}_proj"
            found[stem + "_bias"] = bf16(experts, rows)
            if mxfp4:
                found[stem + "_blocks"] = blocks(experts, rows, cols // 32, 16)
                found[stem + "_scales"] = scales(experts, rows, cols // 32)
            else:
                found[stem] = bf16(experts, cols, rows)
    return found
