"""How near the sentences of the passages are to the question, from the vectors stored with their chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kb.index import Nearness
from kb.retrieval.lazy import Lazy
from kb.store.chunks import LoadedChunk
from kb.types import Passage


class Sentences(Lazy[int, Mapping[tuple[int, int], float]]):
    """Cosines by the passage's n, then by (start, end) in its text."""

    def __init__(
        self, nearness: Nearness, chunks: Sequence[LoadedChunk], passages: Sequence[Passage]
    ) -> None:
        self._nearness, self._chunks, self._passages = nearness, chunks, passages

    def compute(self) -> dict[int, dict[tuple[int, int], float]]:
        """Chunk by chunk, at their places in the passage."""
        lengths = {chunk.id: len(chunk.text) for chunk in self._chunks}
        found: dict[int, dict[tuple[int, int], float]] = {}
        for passage in self._passages:
            at, here = 0, found.setdefault(passage.n, {})
            for chunk in passage.chunk_ids:
                here |= {(at + a, at + b): cosine for (a, b), cosine in self._nearness.of(chunk).items()}
                at += lengths[chunk] + 1  # chunks of a passage are joined by a line break
        return found
