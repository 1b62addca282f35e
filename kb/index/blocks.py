"""Rows of vectors in blocks for scanning: 8 bits a component, and 4 bits once a block is full.

Both copies are only for finding candidates, which are scored again from float16. Rounding to 8 bits
moves a cosine by about 0.001, to 4 bits by about 0.006: of 200 candidates the exact top fifty were
always among them (64,000 real chunks of twenty sets; of 100,000 random vectors, the worst case, 99.98 %).
Four bits are scanned in registers (FAISS's fast scan), in a third of the time, and leave the processor's
cache to the encoder; but that scan cannot pass over rows, so a block of which the question may see only
a part is scanned in 8 bits, row by row.
"""

from __future__ import annotations

import math
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

SIZE = 16384  # rows of a block; a multiple of 8, for the bits of the mask
SCALE = 127 / 0.4  # components of unit vectors of 384 stay below 0.4 but for a few, which are clipped
STEP = 0.4  # of the 16 levels, in standard deviations of a component (1/√dim); what is beyond is clipped
FEW = 200  # rows that a question may not see and that a fast scan finds too many for and throws away

Found = NDArray[np.float64]  # [2, n]: rough scores, rows of the block


class Block:
    """At most SIZE rows; they are only ever appended."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._bytes: Any = faiss.IndexScalarQuantizer(
            dim, faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT
        )
        self._nibbles: Any = None
        self._added: list[NDArray[np.uint8]] = []  # 4-bit codes until the block is full

    def __len__(self) -> int:
        return int(self._bytes.ntotal)

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Append [n, dim] unit vectors; together no more than SIZE."""
        self._bytes.add(_rounded(vectors))
        self._added.append(_nibbles(vectors))
        if len(self) == SIZE:
            self._nibbles = _fast(self.dim, np.concatenate(self._added))
            self._added = []

    def search(self, question: NDArray[np.float32], mask: NDArray[np.bool_], wanted: int) -> Found:
        """The best `wanted` rows among those the mask allows, in no order.

        question: [dim]. mask: [len] bool; nothing else is returned.
        """
        seen = int(np.count_nonzero(mask))
        if not seen:
            return np.zeros((2, 0))
        hidden = len(mask) - seen
        if self._nibbles is not None and hidden <= FEW:
            scores, rows = self._nibbles.search(question[None], min(wanted + hidden, SIZE))
            kept = (rows[0] >= 0) & mask[rows[0]]
        else:
            parameters = None
            if hidden:
                bits = np.packbits(mask, bitorder="little")
                selector = faiss.IDSelectorBitmap(len(mask), faiss.swig_ptr(bits))
                parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
            scores, rows = self._bytes.search(_rounded(question[None]), min(wanted, seen), params=parameters)
            scores = scores / SCALE**2
            kept = rows[0] >= 0
        return np.stack([scores[0][kept].astype(np.float64), rows[0][kept]])


def _rounded(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(np.round(vectors * SCALE), -127, 127).astype(np.float32)


def _nibbles(vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[n, dim / 2]: the level of each component, two to a byte, the first one low."""
    levels = np.floor(vectors * (math.sqrt(vectors.shape[1]) / STEP)) + 8
    codes = np.clip(levels, 0, 15).astype(np.uint8)
    if codes.shape[1] % 2:
        codes = np.pad(codes, ((0, 0), (0, 1)))
    packed: NDArray[np.uint8] = codes[:, 0::2] | (codes[:, 1::2] << 4)
    return packed


def _fast(dim: int, codes: NDArray[np.uint8]) -> Any:
    """A product quantiser of one component a part: the levels are its centroids, so there is nothing to train."""
    plain = faiss.IndexPQ(dim, dim, 4, faiss.METRIC_INNER_PRODUCT)
    levels = (np.arange(16, dtype=np.float32) - 7.5) * (STEP / math.sqrt(dim))
    faiss.copy_array_to_vector(np.tile(levels, dim), plain.pq.centroids)
    faiss.copy_array_to_vector(codes.reshape(-1), plain.codes)
    plain.ntotal, plain.is_trained = len(codes), True
    return faiss.IndexPQFastScan(plain)  # type: ignore[arg-type]
