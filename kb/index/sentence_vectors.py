"""Vectors of a chunk's sentences and of what stands above it, one byte a number: what the one vector of 256 tokens blurs.

A chunk about five things lies near none of them. The nearest of its sentences tells whether one of the five is what
was asked, and which words to quote; its title and heading tell what all of it is about. Packed as rows of (start, end,
scale, numbers), so that a vector belongs to exact words; whoever cuts sentences otherwise one day finds none of his
spans here and encodes them anew. The row of title and heading has the span (0, 0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kb.index.headers import Tables
from kb.index.sentences import spans
from kb.ports import Encoder
from kb.store.sentences import Lacking, Sentences

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
    known = [chunk for chunk in chunks if encoder.covers(chunk.text) >= SIGHTED]
    packed = pack(known, encode or encoder.encode_documents, encoder.dim)
    titles = {chunk.id: chunk.title for chunk in chunks}
    store.put({id_: packed.get(id_, b"") for id_ in titles}, titles)
    return chunks[-1].id


def pack(chunks: Sequence[Lacking], encode: Encode, dim: int) -> dict[int, bytes]:
    """By chunk id the packed vectors of its sentences. All are encoded in one call, what occurs twice once."""
    spans_of = {chunk.id: [(0, 0), *_sentences(chunk.text)] for chunk in chunks}
    said = [text for chunk in chunks for text in _said(chunk, spans_of[chunk.id])]
    if not said:
        return {}
    places = {text: place for place, text in enumerate(dict.fromkeys(said))}
    vectors = encode(list(places))[[places[text] for text in said]]
    scale = np.maximum(np.abs(vectors).max(axis=1), 1e-9) / 127
    rows = np.zeros(len(said), _row(dim))
    rows["span"] = [span for found in spans_of.values() for span in found]
    rows["scale"], rows["vector"] = scale, np.rint(vectors / scale[:, None])
    ends = np.cumsum([len(found) for found in spans_of.values()])
    parts = np.split(rows, ends[:-1])
    return {id_: part.tobytes() for id_, part in zip(spans_of, parts, strict=True)}


class Nearness:
    """How near some chunks are to a question in their parts."""

    def __init__(self, question: NDArray[np.float32], packed: Mapping[int, bytes | None]) -> None:
        """question: its unit vector. packed: by chunk id, as `pack` made them; None and bytes of another size count
        as not there."""
        row = _row(len(question))
        whole = {id_: data for id_, data in packed.items() if data and not len(data) % row.itemsize}
        self._ids = list(whole)
        self._ends = np.cumsum([len(data) // row.itemsize for data in whole.values()], dtype=np.int64)
        rows = np.frombuffer(b"".join(whole.values()), row)
        self._spans = rows["span"]
        self._cosines = (rows["vector"].astype(np.float32) @ question) * rows["scale"]

    def parts(self) -> dict[int, tuple[float, float]]:
        """By chunk id the cosines of its nearest sentence (-1 without any) and of its title and heading."""
        if not self._ids:
            return {}
        starts = np.concatenate([[0], self._ends[:-1]])
        above = self._spans[:, 1] == 0
        best = np.maximum.reduceat(np.where(above, -1, self._cosines), starts)
        head = np.maximum.reduceat(np.where(above, self._cosines, -1), starts)
        return dict(zip(self._ids, zip(best.tolist(), head.tolist(), strict=True), strict=True))

    def of(self, chunk_id: int) -> dict[tuple[int, int], float]:
        """Cosines of one chunk's sentences by their (start, end) in its text."""
        if chunk_id not in self._ids:
            return {}
        at = self._ids.index(chunk_id)
        here = slice(self._ends[at - 1] if at else 0, self._ends[at])
        places = zip(self._spans[here].tolist(), self._cosines[here].tolist(), strict=True)
        return {(start, end): cosine for (start, end), cosine in places if end}


def _sentences(text: str) -> list[tuple[int, int]]:
    return [(start, end) for start, end in spans(text) if end - start >= SHORTEST][:MOST]


def _said(chunk: Lacking, spans_of_it: Sequence[tuple[int, int]]) -> list[str]:
    """What is encoded for each of them: a table's row with the names of its columns."""
    tables = Tables(chunk.text)
    return [tables.said(a, b) if b else _about(chunk) for a, b in spans_of_it]


def _about(chunk: Lacking) -> str:
    """The title, and the last of the headings where that is another."""
    last = chunk.heading.split(" › ")[-1]
    return chunk.title if last in ("", chunk.title) else f"{chunk.title}: {last}"


def _row(dim: int) -> np.dtype[np.void]:
    return np.dtype([("span", "<u4", 2), ("scale", "<f4"), ("vector", "i1", dim)])
