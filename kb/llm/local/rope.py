"""Rotary positions stretched by YaRN: angle per step of each pair of dimensions, and the scale of cos and sin."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kb.llm.local.config import ModelConfig, RopeScaling

Floats = NDArray[np.float32]


class Rope:
    """cos and sin for any positions of one model, as float32 [len(positions), head_dim / 2]."""

    def __init__(self, config: ModelConfig) -> None:
        dim = config.head_dim
        powers = (np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim)).astype(np.float32)
        wavelengths = np.power(np.float32(config.rope_theta), powers).astype(np.float32)
        self.inverse: Floats = np.float32(1) / wavelengths
        self.scale = 1.0
        if config.rope_scaling is not None:
            self.inverse = _yarn(wavelengths, dim, config.rope_theta, config.rope_scaling)
            self.scale = _attention_factor(config.rope_scaling)

    def fill(self, positions: NDArray[np.int32], cos: Floats, sin: Floats) -> None:
        """Write the rows of `positions` into cos and sin."""
        angles = positions.astype(np.float32)[:, None] * self.inverse
        np.multiply(np.cos(angles), np.float32(self.scale), out=cos)
        np.multiply(np.sin(angles), np.float32(self.scale), out=sin)


def _yarn(wavelengths: Floats, dim: int, theta: float, scaling: RopeScaling) -> Floats:
    """Fast dimensions keep their angle, slow ones are stretched by `factor`, those between are blended."""

    def dimension(turns: float) -> float:
        """The (fractional) dimension that turns so often within the original context."""
        return dim * math.log(scaling.original_max_position / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = dimension(scaling.beta_fast), dimension(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    if low == high:
        high += 0.001
    ramp = np.clip((np.arange(dim // 2, dtype=np.float32) - np.float32(low)) / np.float32(high - low), 0, 1)
    keep = (1 - ramp).astype(np.float32)
    stretched = 1 / (np.float32(scaling.factor) * wavelengths)
    blended: Floats = (stretched * (1 - keep) + (1 / wavelengths) * keep).astype(np.float32)
    return blended


def _attention_factor(scaling: RopeScaling) -> float:
    if scaling.attention_factor is not None:
        return scaling.attention_factor
    return 0.1 * math.log(scaling.factor) + 1.0 if scaling.factor > 1 else 1.0
