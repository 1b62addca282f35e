"""All weights in plain memory: for the bench and for tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from kb.llm.local.errors import BadModel
from kb.llm.local.types import Expert, Packed


class MemoryWeights:
    """`Weights` over matrices already packed; hints are counted, as nothing needs reading ahead."""

    def __init__(self, dense: Mapping[str, Packed], experts: Sequence[Sequence[Expert]]) -> None:
        self._dense = dict(dense)
        self._experts = [list(layer) for layer in experts]
        self.hints = 0

    def dense(self, name: str) -> Packed:
        """A resident matrix by name; BadModel if the checkpoint had none of it."""
        try:
            return self._dense[name]
        except KeyError:
            raise BadModel(f"the model has no weights named {name!r}") from None

    def rows(self, name: str, ids: NDArray[np.int32]) -> tuple[Packed, NDArray[np.int32]]:
        """The whole matrix has them all."""
        return self.dense(name), ids

    @contextmanager
    def experts(self, layer: int, ids: Sequence[int]) -> Iterator[list[Expert]]:
        """Those experts, at once."""
        yield [self._experts[layer][expert] for expert in ids]

    def hint(self, layer: int, ids: Sequence[int]) -> None:
        """Nothing to read."""
        self.hints += len(ids)
