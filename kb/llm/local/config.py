"""A gpt-oss model's shape, read from its `config.json`, and what this engine can run of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kb.llm.local.errors import BadModel

BLOCK = 32  # inputs that share one scale


@dataclass(frozen=True)
class RopeScaling:
    """YaRN: how rotary positions stretch past the context the model was first trained on."""

    factor: float
    original_max_position: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    attention_factor: float | None = None  # None: 0.1 ln(factor) + 1


@dataclass(frozen=True)
class ModelConfig:
    """Shapes and constants of one gpt-oss model."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    num_experts: int
    experts_per_token: int
    sliding_window: int
    sliding_layers: tuple[bool, ...]  # layer i looks back `sliding_window` tokens only
    max_position: int
    rms_norm_eps: float
    rope_theta: float
    rope_scaling: RopeScaling | None
    swiglu_alpha: float = 1.702
    swiglu_limit: float = 7.0
    tie_word_embeddings: bool = False
    eos_token_ids: tuple[int, ...] = ()
    pad_token_id: int | None = None
    bos_token_id: int | None = None

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> ModelConfig:
        """From a parsed `config.json`, either age of its rope fields; BadModel says what is missing or unfit."""
        if raw.get("model_type") != "gpt_oss":
            raise BadModel(f"this engine runs gpt_oss models; config.json says {raw.get('model_type')!r}")
        try:
            config = _read(cls, raw)
        except KeyError as error:
            raise BadModel(f"config.json lacks {error.args[0]!r}; is the folder complete?") from None
        except (TypeError, ValueError) as error:
            raise BadModel(f"config.json cannot be read: {error}") from None
        config._check()
        return config

    @property
    def q_size(self) -> int:
        return self.num_heads * self.head_dim

    @property
    def kv_size(self) -> int:
        return self.num_kv_heads * self.head_dim

    def _check(self) -> None:
        rules = {
            f"hidden_size must be a multiple of {BLOCK}": self.hidden_size % BLOCK == 0,
            f"intermediate_size must be a multiple of {BLOCK}": self.intermediate_size % BLOCK == 0,
            "head_dim must be a multiple of 32": self.head_dim % 32 == 0,
            "query heads must be a multiple of key-value heads": self.num_heads % self.num_kv_heads == 0,
            "experts per token must not exceed the experts": 0 < self.experts_per_token <= self.num_experts,
            "layer_types must name every layer": len(self.sliding_layers) == self.num_layers,
            "sliding_window must be positive": self.sliding_window > 0,
        }
        for rule, holds in rules.items():
            if not holds:
                raise BadModel(f"this model's shape cannot be run: {rule}")


def _read(cls: type[ModelConfig], raw: Mapping[str, Any]) -> ModelConfig:
    layers = int(raw["num_hidden_layers"])
    heads = int(raw["num_attention_heads"])
    kinds = raw.get("layer_types") or ["sliding_attention", "full_attention"] * ((layers + 1) // 2)
    unknown = set(kinds) - {"sliding_attention", "full_attention"}
    if unknown:
        raise ValueError(f"unknown layer types {sorted(unknown)}")
    if raw.get("hidden_act", "silu") != "silu":
        raise ValueError(f"activation {raw['hidden_act']!r} is not gpt-oss's")
    eos = raw.get("eos_token_id")
    rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    return cls(
        vocab_size=int(raw["vocab_size"]),
        hidden_size=int(raw["hidden_size"]),
        intermediate_size=int(raw["intermediate_size"]),
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=int(raw.get("num_key_value_heads") or heads),
        head_dim=int(raw.get("head_dim") or raw["hidden_size"] // heads),
        num_experts=int(raw["num_local_experts"]),
        experts_per_token=int(raw.get("num_experts_per_tok") or raw["experts_per_token"]),
        sliding_window=int(raw.get("sliding_window") or 128),
        sliding_layers=tuple(kind == "sliding_attention" for kind in kinds[:layers]),
        max_position=int(raw["max_position_embeddings"]),
        rms_norm_eps=float(raw.get("rms_norm_eps", 1e-5)),
        rope_theta=float(rope.get("rope_theta") or raw.get("rope_theta") or 150000.0),
        rope_scaling=_rope(rope, int(raw["max_position_embeddings"])),
        swiglu_alpha=float(raw.get("swiglu_alpha", 1.702)),
        swiglu_limit=float(raw.get("swiglu_limit", 7.0)),
        tie_word_embeddings=bool(raw.get("tie_word_embeddings", False)),
        eos_token_ids=() if eos is None else tuple(eos) if isinstance(eos, list) else (int(eos),),
        pad_token_id=raw.get("pad_token_id"),
        bos_token_id=raw.get("bos_token_id"),
    )


def _rope(rope: Mapping[str, Any], max_position: int) -> RopeScaling | None:
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind == "default":
        return None
    if kind != "yarn":
        raise ValueError(f"rope type {kind!r} is not gpt-oss's (yarn)")
    original = int(rope["original_max_position_embeddings"])
    given = rope.get("attention_factor")
    return RopeScaling(
        factor=float(rope.get("factor") or max_position / original),
        original_max_position=original,
        beta_fast=float(rope.get("beta_fast") or 32.0),
        beta_slow=float(rope.get("beta_slow") or 1.0),
        truncate=bool(rope.get("truncate", True)),
        attention_factor=None if given is None else float(given),
    )
