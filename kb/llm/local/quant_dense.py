"""The matrices of a model that are not experts: their names, shapes and layouts."""

from __future__ import annotations

from dataclasses import dataclass

from kb.llm.local.config import ModelConfig

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@dataclass(frozen=True)
class DenseSpec:
    """One resident matrix or vector: its name in the checkpoint is what `Weights.dense` is asked for."""

    name: str
    bias: str | None  # the tensor that becomes its bias section
    rows: int
    cols: int
    layout: str


def dense_specs(config: ModelConfig, matrices: str = "int8") -> list[DenseSpec]:
    """Every dense tensor, vectors as one row of float32.

    matrices: layout of the projections, embeddings and head; 'bf16' keeps them as released at twice the bytes.
    Routers stay as released in any case: 0.1 % of the bytes, and a wrong expert is the costliest rounding there is.
    """
    h, q, kv = config.hidden_size, config.q_size, config.kv_size
    specs = [DenseSpec(EMBEDDING, None, config.vocab_size, h, matrices)]
    for layer in range(config.num_layers):
        at = f"model.layers.{layer}."
        att = at + "self_attn."
        specs += [
            DenseSpec(at + "input_layernorm.weight", None, 1, h, "f32"),
            DenseSpec(att + "q_proj.weight", att + "q_proj.bias", q, h, matrices),
            DenseSpec(att + "k_proj.weight", att + "k_proj.bias", kv, h, matrices),
            DenseSpec(att + "v_proj.weight", att + "v_proj.bias", kv, h, matrices),
            DenseSpec(att + "o_proj.weight", att + "o_proj.bias", h, q, matrices),
            DenseSpec(att + "sinks", None, 1, config.num_heads, "f32"),
            DenseSpec(at + "post_attention_layernorm.weight", None, 1, h, "f32"),
            DenseSpec(at + "mlp.router.weight", at + "mlp.router.bias", config.num_experts, h, "bf16"),
        ]
    specs.append(DenseSpec("model.norm.weight", None, 1, h, "f32"))
    if not config.tie_word_embeddings:
        specs.append(DenseSpec(HEAD, None, config.vocab_size, h, matrices))
    return specs
