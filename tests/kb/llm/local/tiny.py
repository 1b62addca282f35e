"""Tiny random gpt-oss models: the architecture of the real one at a thousandth of its width.

`build()` gives a transformers model in float32 whose experts are exactly representable in MXFP4 and whose other
weights are exactly bf16, so every way of saving it is lossless. `save(model, folder)` writes a checkpoint folder
in bf16, `save(model, folder, mxfp4=True)` in the released form (`*_blocks`, `*_scales`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import GptOssConfig, GptOssForCausalLM

from bench.model_memory import MemoryWeights
from kb.llm.local import quant
from kb.llm.local.config import ModelConfig
from kb.llm.local.quant_dense import dense_specs
from kb.llm.local.types import Expert

torch.set_num_threads(1)  # too small to share, and other tests run beside

FP4 = torch.from_numpy(quant.FP4)

SHAPE: dict[str, Any] = {
    "num_hidden_layers": 4,
    "num_local_experts": 8,
    "num_experts_per_tok": 4,
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 64,
    "head_dim": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "sliding_window": 128,
    "max_position_embeddings": 4096,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "rope_parameters": {
        "rope_type": "yarn",
        "rope_theta": 150000.0,
        "factor": 32.0,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "truncate": False,
        "original_max_position_embeddings": 128,
    },
}


def build(seed: int = 0, **changes: Any) -> GptOssForCausalLM:
    """A random model (float32, eager attention); `changes` override SHAPE."""
    config = GptOssConfig(**{**SHAPE, **changes}, attn_implementation="eager")
    random = torch.Generator().manual_seed(seed)
    model = GptOssForCausalLM(config).float().eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if "experts" in name and not name.endswith("_bias"):
                blocks, scales = _random_mxfp4(tensor.shape, random)
                tensor.copy_(expand(blocks, scales))
            elif "norm" in name:
                tensor.copy_(_bf16(1 + 0.2 * torch.randn(tensor.shape, generator=random)))
            else:
                width = 1.0 if "embed" in name or "sinks" in name else 0.1
                tensor.copy_(_bf16(width * torch.randn(tensor.shape, generator=random)))
    return model


def expand(blocks: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Released blocks [experts, rows, groups, 16] to float32 [experts, cols, rows], transformers' way round."""
    values = torch.stack([FP4[(blocks & 15).long()], FP4[(blocks >> 4).long()]], dim=-1).flatten(-2)
    values = values * torch.exp2(scales.float() - 127)[..., None]
    return values.flatten(-2).transpose(1, 2).contiguous()


def compress(weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The released blocks and scales of float32 [experts, cols, rows] that MXFP4 can hold exactly."""
    rows = weights.transpose(1, 2)
    grouped = rows.reshape(*rows.shape[:2], -1, 32)
    blocks = torch.zeros(*grouped.shape[:3], 16, dtype=torch.uint8)
    scales = torch.zeros(grouped.shape[:3], dtype=torch.uint8)
    found = torch.zeros(grouped.shape[:3], dtype=torch.bool)
    power = torch.frexp(grouped.abs().amax(-1)).exponent + 124
    for shift in range(4):
        scaled = grouped / torch.exp2((power + shift).float() - 127)[..., None]
        codes = torch.searchsorted(FP4[:8].contiguous(), scaled.abs().contiguous()).clamp(max=7)
        fits = (FP4[codes] == scaled.abs()).all(-1) & ~found
        codes = (codes | (torch.signbit(scaled) << 3)).to(torch.uint8)
        blocks[fits] = (codes[..., 0::2] | (codes[..., 1::2] << 4))[fits]
        scales[fits] = (power + shift)[fits].to(torch.uint8)
        found |= fits
    assert found.all(), "not MXFP4 numbers"
    return blocks, scales


def save(model: GptOssForCausalLM, folder: Path, *, mxfp4: bool = False, shards: int = 2) -> Path:
    """Write config.json and safetensors with their index, as a model repository holds them."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        if mxfp4 and name.endswith(("gate_up_proj", "down_proj")):
            tensors[name + "_blocks"], tensors[name + "_scales"] = compress(tensor)
        else:
            tensors[name] = tensor.to(torch.bfloat16).contiguous()
    names = sorted(tensors)
    index: dict[str, str] = {}
    for number in range(shards):
        file = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: tensors[name] for name in names[number::shards]}
        index.update(dict.fromkeys(part, file))
        save_file(part, folder / file, metadata={"format": "pt"})
    total = sum(tensor.nbytes for tensor in tensors.values())
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": index})
    )
    config = model.config.to_dict()
    config.pop("quantization_config", None)
    if mxfp4:
        config["quantization_config"] = {"quant_method": "mxfp4"}
    (folder / "config.json").write_text(json.dumps(config, default=str))
    return folder


def _random_mxfp4(shape: torch.Size, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    experts, cols, rows = shape
    blocks = torch.randint(0, 256, (experts, rows, cols // 32, 16), generator=random, dtype=torch.uint8)
    scales = torch.randint(121, 124, (experts, rows, cols // 32), generator=random, dtype=torch.uint8)
    return blocks, scales


def _bf16(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.bfloat16).float()


def numpy(tensor: torch.Tensor) -> np.ndarray[Any, np.dtype[Any]]:
    """A tensor's values as numpy (float32 for the floating kinds)."""
    tensor = tensor.detach()
    return (tensor.float() if tensor.is_floating_point() else tensor).contiguous().numpy()


def weights(model: GptOssForCausalLM, layout: str = "int8", matrices: str = "bf16") -> MemoryWeights:
    """The model packed in memory; layout: of the experts, matrices: of the projections, embeddings and head."""
    config = ModelConfig.from_json(model.config.to_dict())
    tensors = {name: numpy(tensor) for name, tensor in model.state_dict().items()}
    dense = {
        spec.name: quant.pack(
            tensors[spec.name].reshape(spec.rows, spec.cols),
            tensors[spec.bias] if spec.bias else None,
            spec.layout,
        )
        for spec in dense_specs(config, matrices)
    }
    experts = []
    for layer in range(config.num_layers):
        at = f"model.layers.{layer}.mlp.experts."
        experts.append(
            [
                Expert(
                    *(
                        quant.pack(tensors[at + part][number].T, tensors[at + part + "_bias"][number], layout)
                        for part in ("gate_up_proj", "down_proj")
                    )
                )
                for number in range(config.num_experts)
            ]
        )
    return MemoryWeights(dense, experts)


def dequantise(model: GptOssForCausalLM, packed: MemoryWeights) -> None:
    """Overwrite the model's dense matrices by what the packed ones stand for."""
    config = ModelConfig.from_json(model.config.to_dict())
    tensors = dict(model.named_parameters())
    with torch.no_grad():
        for spec in dense_specs(config):
            values, _ = quant.unpack(packed.dense(spec.name))
            tensors[spec.name].copy_(torch.from_numpy(values).reshape(tensors[spec.name].shape))
