"""The arrays a step of the model works in: reserved once, grown only when a larger batch comes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kb.llm.local import quant
from kb.llm.local.config import BLOCK, ModelConfig
from kb.llm.local.kernels.activations import RECORD


class Workspace:
    """Room for `tokens` tokens and `outputs` rows of logits. `*_q8`: the same values as int8 records."""

    def __init__(self, config: ModelConfig, tokens: int, outputs: int) -> None:
        self.tokens, self.outputs = tokens, outputs
        k, h, inner = config.experts_per_token, config.hidden_size, config.intermediate_size
        width = config.q_size + 2 * config.kv_size
        self.ids = _numbers(tokens)
        self.positions = _numbers(tokens)
        self.tables = quant.aligned(8 * tokens).view(np.int64)  # addresses of page tables
        self.cos = _floats(tokens, config.head_dim // 2)
        self.sin = _floats(tokens, config.head_dim // 2)
        self.hidden = _floats(tokens, h)  # the residual stream
        self.normed, self.normed_q8 = _floats(tokens, h), _records(tokens, h)
        self.qkv = _floats(tokens, width)
        self.mixed, self.mixed_q8 = _floats(tokens, config.q_size), _records(tokens, config.q_size)
        self.router = _floats(tokens, config.num_experts)
        self.chosen = _numbers(tokens, k)
        self.shares = _floats(tokens, k)
        self.guess_normed = _floats(tokens, h)
        self.guess_chosen = _numbers(tokens, k)
        self.guess_shares = _floats(tokens, k)
        self.order = _numbers(tokens * k)  # token of each row below
        self.slots = _numbers(tokens, k)  # row below of each token's choices
        self.gate_up = _floats(tokens * k, 2 * inner)
        self.gated, self.gated_q8 = _floats(tokens * k, inner), _records(tokens * k, inner)
        self.down = _floats(tokens * k, h)
        self.output_rows = _numbers(outputs)
        self.output, self.output_q8 = _floats(outputs, h), _records(outputs, h)
        padded = -(-config.vocab_size // quant.TILE) * quant.TILE
        self.logits = _floats(outputs, padded)


def per_token(config: ModelConfig) -> int:
    """Bytes of these arrays for each token of a step, the small ones left out."""
    k, h, inner = config.experts_per_token, config.hidden_size, config.intermediate_size
    floats = 3 * h + 2 * config.q_size + 2 * config.kv_size + k * (3 * inner + h)
    return 4 * floats + (h + config.q_size + k * inner) // BLOCK * RECORD


def _floats(*shape: int) -> NDArray[np.float32]:
    return quant.aligned(4 * math.prod(shape)).view(np.float32).reshape(shape)


def _numbers(*shape: int) -> NDArray[np.int32]:
    return quant.aligned(4 * math.prod(shape)).view(np.int32).reshape(shape)


def _records(rows: int, width: int) -> NDArray[np.uint8]:
    row = width // BLOCK * RECORD
    return quant.aligned(rows * row).reshape(rows, row)
