"""What the rooms of the local engine hand each other: matrices, experts, batches.

`Packed` and `Weights` stand between the store (who keeps bytes) and the model (who multiplies by
them); `Segment` and `Batch` stand between the scheduler (who decides) and the model (who computes).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

PAGE = 32  # tokens in one page of the key-value cache


@dataclass(frozen=True)
class Packed:
    """A weight matrix [rows, cols] (and its bias) exactly as the kernels read it.

    data: uint8, contiguous, 64-byte aligned. Its sections (weights, scales, bias) are laid out by
    `quant.sections(layout, rows, cols)`; nobody else looks inside.
    """

    layout: str  # "int8" | "mxfp4" | "bf16" | "f32"
    rows: int
    cols: int
    data: NDArray[np.uint8]


@dataclass(frozen=True)
class Expert:
    """One expert of one layer, in memory and pinned for as long as its `experts()` context is open."""

    gate_up: Packed  # [2 * intermediate, hidden], rows interleaved gate, up, gate, up … as released
    down: Packed  # [hidden, intermediate]


class Weights(Protocol):
    """Where a model's weights come from: plain memory (tests, bench) or the cached store."""

    def dense(self, name: str) -> Packed:
        """A resident matrix or vector by its name in the checkpoint, e.g. `model.norm.weight`."""

    def rows(self, name: str, ids: NDArray[np.int32]) -> tuple[Packed, NDArray[np.int32]]:
        """A matrix that holds these rows of the one named, and which of its rows they are. Good until the next call."""

    def experts(self, layer: int, ids: Sequence[int]) -> AbstractContextManager[list[Expert]]:
        """Those experts, in the order asked, blocking until all are in memory; pinned until exit."""

    def hint(self, layer: int, ids: Sequence[int]) -> None:
        """These will probably be wanted next, most likely first: read ahead. Never blocks."""


@dataclass(frozen=True)
class Segment:
    """A run of consecutive tokens of one sequence inside a batch."""

    length: int  # tokens in this batch that belong to the sequence
    position: int  # position of the first of them = tokens already in the cache
    pages: NDArray[np.int32]  # the sequence's page table; page i holds positions [i*PAGE, (i+1)*PAGE)


@dataclass(frozen=True)
class Batch:
    """One step of the model over several sequences: prompt chunks and single tokens together."""

    tokens: NDArray[np.int32]  # [sum of segment lengths], segments one after another
    segments: list[Segment]
    logits_at: NDArray[np.int32]  # rows of `tokens` whose next-token logits are wanted


class Engine(Protocol):
    """A model the scheduler can drive."""

    vocab_size: int
    max_position: int  # longest sequence, tokens
    pages: int  # pages in the key-value cache, all sequences together

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        """Write keys and values of the batch into its pages; logits [len(logits_at), vocab_size]."""
