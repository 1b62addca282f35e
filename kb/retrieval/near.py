"""How near the sentences of the passages are to the question, from the vectors stored with their chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from kb.index import Nearness
from kb.store.chunks import LoadedChunk
from kb.types import Passage


class Sentences(Mapping[int, Mapping[tuple[int, int], float]]):
    """Cosines by the passage's n, then by (start, end) in its text. Computed when first read: only answering does."""

    def __init__(
        self, nearness: Nearness, chunks: Sequence[LoadedChunk], passages: Sequence[Passage]
    ) -> None:
        self._nearness, self._chunks, self._passages = nearness, chunks, passages

    def __getitem__(self, n: int) -> Mapping[tuple[int, int], float]:
        return self._values[n]

    def __iter__(self) -> Iterator[int]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @cached_property
    def _values(self) -> dict[int, dict[tuple[int, int], float]]:
        lengths = {chunk.id: len(chunk.text) for chunk in self._chunks}
        found: dict[int, dict[tuple[int, int], float]] = {}
        for passage in self._passages:
            at, here = 0, found.setdefault(passage.n, {})
            for chunk in passage.chunk_ids:
                here |= {(at + a, at + b): cosine for (a, b), cosine in self._nearness.of(chunk).items()}
                at += lengths[chunk] + 1  # chunks of a passage are joined by a line break
        return found
