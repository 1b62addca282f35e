"""What packing costs: the difference between a matrix and its packed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kb.llm.local import quant
from kb.llm.local.types import Packed


@dataclass(frozen=True)
class PackError:
    """Of one matrix: relative root-mean-square error, largest difference, largest weight."""

    relative: float  # ‖packed - weights‖ / ‖weights‖
    largest: float
    scale: float  # largest absolute weight, to read `largest` against

    def __str__(self) -> str:
        return (
            f"relative error {self.relative:.2e}, largest difference {self.largest:.2e} of {self.scale:.2e}"
        )


def pack_error(weights: quant.Floats, packed: Packed) -> PackError:
    """How far a packed matrix stands from the float32 one it came from."""
    back, _ = quant.unpack(packed)
    difference = back - weights
    norm = float(np.linalg.norm(weights))
    relative = float(np.linalg.norm(difference)) / norm if norm else 0.0
    return PackError(relative, float(np.abs(difference).max()), float(np.abs(weights).max()))
