"""Exact nearest neighbours: FAISS scans 8-bit copies, the best candidates are scored again in float16.

Rounding to 8 bits moves a cosine by about 0.001, and rescoring undoes it: of 200 candidates the exact
top ten were always among them (100,000 random vectors of 384, `bench/search.py`). The scan takes 2 ms
per 100,000 on one core, a third of what float32 takes, and honours the allowed set row by row.
"""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from kb.errors import Broken

SCALE = 127 / 0.4  # components of unit vectors of 384 stay below 0.4 but for a few, which are clipped
CANDIDATES = 200


class Vectors:
    """Unit vectors in rows, twice: int8 in FAISS for scanning, float16 for scores. Not safe for threads."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._faiss = faiss.IndexScalarQuantizer(
            dim, faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT
        )
        self._exact = np.zeros((1024, dim), np.float16)

    @property
    def count(self) -> int:
        """Rows, dead ones included."""
        return int(self._faiss.ntotal)

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
        self._faiss.add(_rounded(vectors))

    def search(
        self, question: NDArray[np.float32], mask: NDArray[np.bool_], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k nearest rows among those the mask allows, best first: (rows, cosines).

        mask: [count] bool; nothing else can be returned, and an empty one returns nothing.
        """
        if not mask.any():
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        parameters = None
        if not mask.all():
            bits = np.packbits(mask, bitorder="little")
            selector = faiss.IDSelectorBitmap(len(mask), faiss.swig_ptr(bits))
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        # one question cannot use a second thread, which would only spin; the setting is per thread
        faiss.omp_set_num_threads(1)
        wanted = min(max(CANDIDATES, 2 * k), self.count)
        _, found = self._faiss.search(_rounded(question[None]), wanted, params=parameters)
        rows = found[0][found[0] >= 0]
        rows = rows[mask[rows]]
        scores = self.scores(question, rows)
        best = np.argsort(-scores, kind="stable")[:k]
        return rows[best], scores[best]

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


def _rounded(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(np.round(vectors * SCALE), -127, 127).astype(np.float32)
