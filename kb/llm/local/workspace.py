"""The arrays a step of the model works in: reserved once, grown only when a larger batch comes."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

from kb.llm.local import quant
from kb.llm.local.config import BLOCK, ModelConfig
from kb.llm.local.kernels.activations import RECORD


class Workspace:
    """Room for `tokens` tokens and `outputs` rows of logits. `*_q8`: the same values as int8 records."""

    def __init__(self, config: ModelConfig, tokens: int, outputs: int) -> None:
        self.tokens, self.outputs = tokens, outputs
        k, h, inner = config.experts_per_token, config.hidden_size, config.intermediate_size
        width = config.q_size + 2 * config.kv_size
        self.ids = _room(tokens, kind=np.int32)
        self.positions = _room(tokens, kind=np.int32)
        self.tables = _room(tokens, kind=np.int64)  # addresses of page tables
        self.cos = _room(tokens, config.head_dim // 2)
        self.sin = _room(tokens, config.head_dim // 2)
        self.hidden = _room(tokens, h)  # the residual stream
        self.normed, self.normed_q8 = _room(tokens, h), records(tokens, h)
        self.qkv = _room(tokens, width)
        self.mixed, self.mixed_q8 = _room(tokens, config.q_size), records(tokens, config.q_size)
        self.router = _room(tokens, config.num_experts)
        self.chosen = _room(tokens, k, kind=np.int32)
        self.shares = _room(tokens, k)
        self.guess_normed = _room(tokens, h)
        self.guess_chosen = _room(tokens, k, kind=np.int32)
        self.guess_shares = _room(tokens, k)
        self.order = _room(tokens * k, kind=np.int32)  # token of each row below
        self.slots = _room(tokens, k, kind=np.int32)  # row below of each token's choices
        self.gate_up = _room(tokens * k, 2 * inner)
        self.gated, self.gated_q8 = _room(tokens * k, inner), records(tokens * k, inner)
        self.down = _room(tokens * k, h)
        self.output_rows = _room(outputs, kind=np.int32)
        self.output, self.output_q8 = _room(outputs, h), records(outputs, h)
        padded = -(-config.vocab_size // quant.TILE) * quant.TILE
        self.logits = _room(outputs, padded)


def _room(*shape: int, kind: DTypeLike = np.float32) -> NDArray[np.generic]:
    item = np.dtype(kind)
    return quant.aligned(int(np.prod(shape)) * item.itemsize).view(item).reshape(shape)


def records(rows: int, width: int) -> NDArray[np.generic]:
    """Room for activations of `rows` tokens as records."""
    return _room(rows, width // BLOCK * RECORD, kind=np.uint8)
