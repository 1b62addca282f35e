"""Vectors of a chunk's sentences, one byte a number: what the one vector of 256 tokens blurs.

A chunk about five things lies near none of them. The nearest of its sentences tells whether one of the five is what
was asked, and which words to quote. Packed as rows of (start, end, scale, numbers), so that a vector belongs to exact
words; whoever cuts sentences otherwise one day finds none of his spans here and encodes them anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kb.index.sentences import spans
from kb.ports import Encoder
from kb.store.sentences import Sentences

MOST = 60  # sentences of one chunk
SHORTEST = 8  # characters; less is a heading or a stray cell
TOGETHER = 64  # chunks packed and stored at a time: about a second
SIGHTED = 0.3  # below this share of known script a sentence's vector says nothing, and none is made

Encode = Callable[[Sequence[str]], NDArray[np.float32]]  # texts to unit vectors [n, dim]


def fill(store: Sentences, encoder: Encoder, after: int = 0, encode: Encode | None = None) -> int | None:
    """Make the vectors of the next few chunks beyond chunk `after` that have none.

    Returns the last chunk's id, to go on after; None when none is left. encode: who computes, if not `encoder` itself.
    """
    chunks = store.lacking(encoder.name, after, TOGETHER)
    if not chunks:
        return None
    texts = [chunk.text if encoder.covers(chunk.text) >= SIGHTED else "" for chunk in chunks]
    packed = pack(texts, encode or encoder.encode_documents, encoder.dim)
    store.put({chunk.id: data for chunk, data in zip(chunks, packed, strict=True)})
    return chunks[-1].id


def pack(texts: Sequence[str], encode: Encode, dim: int) -> list[bytes]:
    """For each chunk's text the packed vectors of its sentences; empty where none is long enough.

    All sentences are encoded in one call.
    """
    cut = [[(a, b) for a, b in spans(text) if b - a >= SHORTEST][:MOST] for text in texts]
    said = [text[a:b] for text, pieces in zip(texts, cut, strict=True) for a, b in pieces]
    rows = np.zeros(len(said), _row(dim))
    if said:
        vectors = encode(said)
        scale = np.maximum(np.abs(vectors).max(axis=1), 1e-9) / 127
        rows["span"] = [span for pieces in cut for span in pieces]
        rows["scale"], rows["vector"] = scale, np.rint(vectors / scale[:, None])
    ends = np.cumsum([len(pieces) for pieces in cut])
    return [part.tobytes() for part in np.split(rows, ends[:-1])] if len(cut) else []


class Nearness:
    """How near each sentence of some chunks is to a question."""

    def __init__(self, question: NDArray[np.float32], packed: Mapping[int, bytes | None]) -> None:
        """question: its unit vector. packed: by chunk id, as `pack` made them; None and bytes of another size count
        as not there."""
        row = _row(len(question))
        whole = {
            id_: data for id_, data in packed.items() if data is not None and not len(data) % row.itemsize
        }
        self._ids = list(whole)
        self._ends = np.cumsum([len(data) // row.itemsize for data in whole.values()], dtype=np.int64)
        rows = np.frombuffer(b"".join(whole.values()), row)
        self._spans = rows["span"]
        self._cosines = (rows["vector"].astype(np.float32) @ question) * rows["scale"]

    def best(self) -> dict[int, float]:
        """The cosine of each chunk's nearest sentence; chunks without any are left out."""
        starts = np.concatenate([[0], self._ends[:-1]]) if self._ids else self._ends
        full = [at for at in range(len(self._ids)) if self._ends[at] > starts[at]]
        if not full:
            return {}
        nearest = np.maximum.reduceat(self._cosines, starts[full])
        return {self._ids[at]: cosine for at, cosine in zip(full, nearest.tolist(), strict=True)}

    def of(self, chunk_id: int) -> dict[tuple[int, int], float]:
        """Cosines of one chunk's sentences by their (start, end) in its text."""
        if chunk_id not in self._ids:
            return {}
        at = self._ids.index(chunk_id)
        here = slice(self._ends[at - 1] if at else 0, self._ends[at])
        places = (tuple(span) for span in self._spans[here].tolist())
        return dict(zip(places, self._cosines[here].tolist(), strict=True))


def _row(dim: int) -> np.dtype[np.void]:
    return np.dtype([("span", "<u4", 2), ("scale", "<f4"), ("vector", "i1", dim)])
