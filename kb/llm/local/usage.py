"""How often each expert is asked for: what to keep in memory, and what to load first next time.

Two averages of "was asked for at this step of its layer": a quick one (the present conversation) and a slow
one that outlives the process in a small file beside the model.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_QUICK = 1 / 64  # weight of one step in the quick average
_SLOW = 1 / 8192
_SURE_AFTER = 256  # steps of a layer before anyone calls an expert hot
_HOT = 1.5  # times the layer's average


class Usage:
    """Frequencies [layers, experts], all between 0 and 1."""

    def __init__(self, layers: int, experts: int) -> None:
        self.steps = np.zeros(layers, np.int64)
        self._quick = np.zeros((layers, experts))
        self._slow = np.zeros((layers, experts))
        self._score = np.zeros((layers, experts))

    def touch(self, layer: int, ids: Sequence[int]) -> None:
        """One step of a layer asked for these experts."""
        self.steps[layer] += 1
        # A plain average at first, so that a few steps do not count for thousands.
        slow = max(_SLOW, 1 / float(self.steps[layer]))
        for average, weight in ((self._quick, _QUICK), (self._slow, slow)):
            average[layer] *= 1 - weight
            average[layer, ids] += weight
        self._score[layer] = self._quick[layer] + self._slow[layer]

    def scores(self, layers: NDArray[np.intp], experts: NDArray[np.intp]) -> NDArray[np.float64]:
        """How much each of these (layer, expert) pairs is worth keeping."""
        return self._score[layers, experts]

    def ranking(self) -> list[tuple[int, int]]:
        """All (layer, expert), most wanted first; without statistics, layer by layer in turn."""
        order = np.argsort(-self._score, axis=None, kind="stable")
        experts = self._score.shape[1]
        return [(int(place) // experts, int(place) % experts) for place in order]

    def hot(self, most: int) -> NDArray[np.bool_]:
        """Experts clearly above their layer's average over the long run, at most `most` of them."""
        hot: NDArray[np.bool_] = (self._slow > _HOT * self._slow.mean(axis=1, keepdims=True)) & (
            self.steps[:, None] >= _SURE_AFTER
        )
        if int(hot.sum()) > most:
            least = np.sort(self._slow[hot])[-most] if most else np.inf
            hot &= self._slow >= least
        return hot

    def load(self, path: Path) -> bool:
        """Take up the statistics kept in a file; False where there are none that fit this model."""
        try:
            kept = json.loads(path.read_text())
            slow, steps = np.array(kept["frequency"], np.float64), np.array(kept["steps"], np.int64)
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if slow.shape != self._slow.shape or steps.shape != self.steps.shape or not np.isfinite(slow).all():
            return False
        self._slow, self.steps = slow, steps
        self._score = self._quick + self._slow
        return True

    def save(self, path: Path) -> None:
        """Keep the statistics; a folder that cannot be written to is no reason to fail."""
        text = json.dumps({"steps": self.steps.tolist(), "frequency": np.round(self._slow, 6).tolist()})
        with contextlib.suppress(OSError):
            new = path.with_name(path.name + ".new")
            new.write_text(text)
            os.replace(new, path)
