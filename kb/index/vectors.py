"""Exact nearest neighbours: FAISS scans rounded copies, the best candidates are scored again in float16.

The rows lie in blocks (kb/index/blocks.py), so that two threads share a scan and growing never copies
what is there. The allowed set is honoured row by row within them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from kb.errors import Broken
from kb.index.blocks import SIZE, Block, Found

CANDIDATES = 200

_scanners = ThreadPoolExecutor(2, "kb-scan")


class Vectors:
    """Unit vectors in rows: rounded in blocks for scanning, float16 for scores. Not safe for threads."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._blocks: list[Block] = []
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
        for start in range(before - before % SIZE, after, SIZE):
            if start == len(self._blocks) * SIZE:
                self._blocks.append(Block(self.dim))
            first, last = max(start, before), min(start + SIZE, after)
            self._blocks[start // SIZE].add(vectors[first - before : last - before])
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
        half = (len(self._blocks) + 1) // 2
        beside = None
        if half < len(self._blocks):
            beside = _scanners.submit(self._scan, question, mask, wanted, range(half, len(self._blocks)))
        found = self._scan(question, mask, wanted, range(half))
        if beside is not None:
            found = np.concatenate([found, beside.result()], axis=1)
        best = np.argsort(-found[0], kind="stable")[:wanted]
        rows = found[1][best].astype(np.int64)
        scores = self.scores(question, rows)
        best = np.argsort(-scores, kind="stable")[:k]
        return rows[best], scores[best]

    def _scan(
        self, question: NDArray[np.float32], mask: NDArray[np.bool_], wanted: int, blocks: range
    ) -> Found:
        """[2, n]: rough scores and rows, the best `wanted` of each block."""
        # the threads are ours: one question cannot use FAISS's own, which would only spin; set per thread
        faiss.omp_set_num_threads(1)
        found = []
        for number in blocks:
            start = number * SIZE
            part = self._blocks[number].search(question, mask[start : start + SIZE], wanted)
            part[1] += start
            found.append(part)
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
        codes = faiss.vector_to_array(stored.codes).view(np.float16).reshape(count, dim)
        del stored
        vectors = cls(dim)
        vectors._exact = codes  # as large as is needed: growing up to it would leave holes behind
        for start in range(0, count, SIZE):
            vectors.add(codes[start : start + SIZE].astype(np.float32))
        return vectors


def save(path: Path, exact: NDArray[np.float16], alive: NDArray[np.bool_]) -> None:
    """Write the living rows as a FAISS file of their own (float16; the int8 copy is made on reading)."""
    dim = exact.shape[1]
    kept = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    for start in range(0, len(exact), SIZE):
        part = slice(start, start + SIZE)
        kept.add(np.ascontiguousarray(exact[part][alive[part]], dtype=np.float32))
    faiss.write_index(kept, str(path))
