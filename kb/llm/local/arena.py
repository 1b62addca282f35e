"""Memory for weights: aligned, in huge pages where the system has them, given back when its last matrix is gone."""

from __future__ import annotations

import contextlib
import mmap

import numpy as np
from numpy.typing import NDArray

from kb.llm.local import quant
from kb.llm.local.headroom import taking
from kb.llm.local.types import Packed


class Arena:
    """A run of bytes from the system, handed out piece by piece in multiples of 64. Untouched pages cost nothing.

    MemoryError where the system has none left.
    """

    def __init__(self, size: int) -> None:
        self._bytes = np.frombuffer(private(size), np.uint8)
        self._taken = 0

    def take(self, layout: str, rows: int, cols: int) -> Packed:
        """Room for a matrix."""
        size = quant.nbytes(layout, rows, cols)
        data: NDArray[np.uint8] = self._bytes[self._taken : self._taken + size]
        if data.nbytes != size:
            raise ValueError("the arena is full")
        self._taken += size
        return Packed(layout, rows, cols, data)


def private(size: int, huge: bool = True) -> mmap.mmap:
    """Memory of this process alone, in huge pages: fewer address translations while the kernels stream it.

    Python's default, shared memory, has none of them and is not given back page by page.
    """
    with taking:
        try:
            memory = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as error:
            raise MemoryError(f"the system has no {size} bytes left: {error}") from None
    if huge:
        with contextlib.suppress(OSError, AttributeError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
