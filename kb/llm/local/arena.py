"""Memory for weights, taken once: aligned, in huge pages where the system has them, never freed before the end."""

from __future__ import annotations

import contextlib
import mmap

import numpy as np
from numpy.typing import NDArray

from kb.llm.local import quant
from kb.llm.local.types import Packed


class Arena:
    """A run of bytes from the system, handed out piece by piece in multiples of 64. Untouched pages cost nothing."""

    def __init__(self, size: int) -> None:
        memory = mmap.mmap(-1, max(size, 1))
        with contextlib.suppress(OSError, AttributeError):
            memory.madvise(mmap.MADV_HUGEPAGE)  # fewer address translations while the kernels stream it
        self._bytes = np.frombuffer(memory, np.uint8)
        self._taken = 0

    def take(self, layout: str, rows: int, cols: int) -> Packed:
        """Room for a matrix."""
        size = quant.nbytes(layout, rows, cols)
        data: NDArray[np.uint8] = self._bytes[self._taken : self._taken + size]
        if data.nbytes != size:
            raise ValueError("the arena is full")
        self._taken += size
        return Packed(layout, rows, cols, data)
