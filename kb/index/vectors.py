"""Exact nearest neighbours: FAISS scans 8-bit copies, the best candidates are scored again in float16.

Rounding to 8 bits moves a cosine by about 0.001, and rescoring undoes it: of 200 candidates the exact
top ten were always among them (100,000 random vectors of 384, `bench/search.py`). The scan takes 2 ms
per 100,000 on one core, a third of what float32 takes, and honours the allowed set row by row. The rows
lie in blocks, so that two threads share a scan and growing never copies what is there.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from kb.errors import Broken

SCALE = 127 / 0.4  # components of unit vectors of 384 stay below 0.4 but for a few, which are clipped
CANDIDATES = 200
BLOCK = 16384  # rows; a multiple of 8, for the bits of the mask

_scanners = ThreadPoolExecutor(2, "kb-scan")


class Vectors:
    """Unit vectors in rows, twice: int8 in FAISS for scanning, float16 for scores. Not safe for threads."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._blocks: list[Any] = []
        self.count = 0  # rows, dead ones included
        self._exact = np.zeros((1024, dim), np.float16)

    @property
    def exact(self) -> NDArray[np.float16]:
        """[count, dim]"""
        return self._exact[: self.count]

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Append [n, dim] unit vectors."""
        if not len(vectors):
            return
        before, after = self.count, self.count + len(vectors)
        if after > len(self._exact):
            grown = np.zeros((max(after, len(self._exact) * 3 // 2), self.dim), np.float16)
            grown[:before] = self._exact[:before]
            self._exact = grown
        self._exact[before:after] = vectors
        rounded = _rounded(vectors)
        for start in range(before - before % BLOCK, after, BLOCK):
            if start == len(self._blocks) * BLOCK:
                self._blocks.append(_block(self.dim))
            first, last = max(start, before), min(start + BLOCK, after)
            self._blocks[start // BLOCK].add(rounded[first - before : last - before])
        self.count = after

    def search(
        self, question: NDArray[np.float32], mask: NDArray[np.bool_], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k nearest rows among those the mask allows, best first: (rows, cosines).

        mask: [count] bool; nothing else can be returned, and an empty one returns nothing.
        """
        if not mask.any():
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        wanted = min(max(CANDIDATES, 2 * k), self.count)
        rounded = _rounded(question[None])
        bits = None if mask.all() else np.packbits(mask, bitorder="little")
        half = (len(self._blocks) + 1) // 2
        beside = None
        if half < len(self._blocks):
            beside = _scanners.submit(self._scan, rounded, wanted, bits, range(half, len(self._blocks)))
        found = self._scan(rounded, wanted, bits, range(half))
        if beside is not None:
            found = np.concatenate([found, beside.result()], axis=1)
        best = np.argsort(-found[0], kind="stable")[:wanted]
        rows = found[1][best].astype(np.int64)
        rows = rows[mask[rows]]
        scores = self.scores(question, rows)
        best = np.argsort(-scores, kind="stable")[:k]
        return rows[best], scores[best]

    def _scan(
        self, rounded: NDArray[np.float32], wanted: int, bits: NDArray[np.uint8] | None, blocks: range
    ) -> NDArray[np.float64]:
        """[2, n]: rough scores and rows, the best `wanted` of each block."""
        # the threads are ours: one question cannot use FAISS's own, which would only spin; set per thread
        faiss.omp_set_num_threads(1)
        found = []
        for number in blocks:
            block, parameters = self._blocks[number], None
            if bits is not None:
                part = bits[number * BLOCK // 8 : (number + 1) * BLOCK // 8]
                selector = faiss.IDSelectorBitmap(block.ntotal, faiss.swig_ptr(part))
                parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
            scores, rows = block.search(rounded, min(wanted, block.ntotal), params=parameters)
            kept = rows[0] >= 0
            found.append(np.stack([scores[0][kept].astype(np.float64), rows[0][kept] + number * BLOCK]))
        return np.concatenate(found, axis=1)

    def scores(self, question: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Cosines of given rows."""
        found: NDArray[np.float32] = self._exact[rows].astype(np.float32) @ question
        return found

    @classmethod
    def read(cls, path: Path, dim: int, count: int) -> Vectors:
        """Read a file whose hash was checked. Raises Broken for another shape than expected."""
        stored = faiss.read_index(str(path))
        if not isinstance(stored, faiss.IndexScalarQuantizer) or (stored.d, stored.ntotal) != (dim, count):
            raise Broken(f"{path.name} does not hold {count} vectors of {dim}.")
        vectors = cls(dim)
        codes = faiss.vector_to_array(stored.codes).view(np.float16).reshape(count, dim)
        for start in range(0, count, 16384):
            vectors.add(codes[start : start + 16384].astype(np.float32))
        return vectors


def save(path: Path, exact: NDArray[np.float16], alive: NDArray[np.bool_]) -> None:
    """Write the living rows as a FAISS file of their own (float16; the int8 copy is made on reading)."""
    dim = exact.shape[1]
    kept = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    for start in range(0, len(exact), 16384):
        part = slice(start, start + 16384)
        kept.add(np.ascontiguousarray(exact[part][alive[part]], dtype=np.float32))
    faiss.write_index(kept, str(path))


def _block(dim: int) -> Any:
    return faiss.IndexScalarQuantizer(
        dim, faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT
    )


def _rounded(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(np.round(vectors * SCALE), -127, 127).astype(np.float32)
