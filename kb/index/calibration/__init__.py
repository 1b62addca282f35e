"""How the int8 layers of known encoders are scaled, measured on real text by bench/encoder.py --calibrate.

A file holds, for the input of each dense layer, a smoothing factor per channel and the range after it.
Smoothing moves the outlying channels of the activations into the weights before both are rounded.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

Calibration = dict[str, tuple[NDArray[np.float32], float, float]]


def calibration(sha256: str) -> Calibration | None:
    """The calibration for exactly these weights; None where none was made: then no layer runs in int8."""
    path = Path(__file__).parent / f"{sha256[:16]}.safetensors"
    if not path.is_file():
        return None
    with safe_open(str(path), "np") as tensors:
        found: Calibration = {}
        for name in tensors.keys():  # noqa: SIM118 - safe_open is no mapping
            if name.endswith(":smoothing"):
                layer = name.removesuffix(":smoothing")
                low, high = tensors.get_tensor(f"{layer}:range")
                found[layer] = (tensors.get_tensor(name).astype(np.float32), float(low), float(high))
        return found


def save(found: Calibration, path: Path) -> None:
    """Smoothing in float16 (64 KB for all-MiniLM-L6-v2), ranges in float32."""
    tensors: dict[str, NDArray[np.generic]] = {}
    for layer, (smoothing, low, high) in found.items():
        tensors[f"{layer}:smoothing"] = smoothing.astype(np.float16)
        tensors[f"{layer}:range"] = np.array([low, high], dtype=np.float32)
    save_file(tensors, str(path))
