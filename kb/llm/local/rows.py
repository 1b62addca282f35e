"""Rows of a matrix that stays in the file: the input embedding, of which a token needs one row in two hundred thousand.

The rows used last are kept, as a small matrix of the same layout, which the same kernel reads. In int8 a row lies
spread over a tile with 31 others, so a tile is read for it: 95 kB, from the page cache mostly.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from kb.llm.local import quant
from kb.llm.local.arena import Arena
from kb.llm.local.errors import BadModel
from kb.llm.local.ranges import Ranges
from kb.llm.local.store import Shard
from kb.llm.local.types import Packed

MOST = 4096  # rows kept: more than a step has tokens, and most of what a language has in common words
_WIDTH = {"bf16": 2, "f32": 4}  # bytes of a weight, row after row


class Rows:
    """shard: one of the matrix's, for its shape and layout. most: rows kept."""

    def __init__(self, shard: Shard, ranges: Ranges, most: int = MOST) -> None:
        if shard.layout == "mxfp4":
            raise BadModel(f"{shard.name} cannot be packed as mxfp4; pack it as int8 or bf16")
        self.read = 0  # rows that had to be
        self.ranges = ranges
        self._shape = shard.layout, shard.rows, shard.cols
        self._tiled = shard.layout == "int8"
        self._at = quant.sections(*self._shape)
        self._lock = threading.Lock()
        self._reserve(min(most, shard.rows))

    @property
    def nbytes(self) -> int:
        """What the rows kept take, and what a read goes through."""
        return self.packed.data.nbytes + self._unit.nbytes + self._scales.nbytes

    def take(self, ids: NDArray[np.int32]) -> tuple[Packed, NDArray[np.int32]]:
        """A matrix that has these rows, and where in it they are, in the order asked. Good until the next call.

        CorruptShard where a row's bytes cannot be had.
        """
        wanted = ids.tolist()
        with self._lock:
            missing = set(wanted).difference(self._places)
            if missing:
                self._fetch(sorted(missing), set(wanted))
            for row in wanted:
                self._places.move_to_end(row)
            return self.packed, np.array([self._places[row] for row in wanted], np.int32)

    def _fetch(self, missing: list[int], wanted: set[int]) -> None:
        if len(wanted) > self.packed.rows:  # a longer step than ever: room for it, and begin anew
            self._reserve(1 << (len(wanted) - 1).bit_length())
            missing = sorted(wanted)
        units = [(unit, list(rows)) for unit, rows in groupby(missing, self._unit_of)]
        self.ranges.prepare(span for unit, _ in units for span in self._spans(unit))
        for row in wanted.intersection(self._places):
            self._places.move_to_end(row)
        while len(self._free) < len(missing):
            self._free.append(self._places.popitem(last=False)[1])
        for unit, rows in units:
            for (start, _), out in zip(self._spans(unit), (self._unit, self._scales), strict=False):
                self.ranges.read(start, out)
            for row in rows:
                place = self._free[-1]
                self._copy(row, place)
                self._places[row] = self._free.pop()
        self.read += len(missing)

    def _unit_of(self, row: int) -> int:
        return row // quant.TILE if self._tiled else row

    def _spans(self, unit: int) -> list[tuple[int, int]]:
        """(offset, length) of a tile's weights and scales, or of a row."""
        size = self._unit.nbytes
        spans = [(self._at.weights + unit * size, size)]
        if self._tiled:
            spans.append((self._at.scales + unit * self._scales.nbytes, self._scales.nbytes))
        return spans

    def _copy(self, row: int, place: int) -> None:
        """From the tile just read to a place of its own."""
        if not self._tiled:
            self._rows[place] = self._unit
            return
        (tile, lane), source = divmod(place, quant.TILE), row % quant.TILE
        self._lanes[tile, :, lane] = self._unit.view(np.uint32).reshape(-1, quant.TILE)[:, source]
        self._exponents[tile, :, lane] = self._scales.reshape(-1, quant.TILE)[:, source]

    def _reserve(self, most: int) -> None:
        """Room for so many rows, all of it empty."""
        layout, _, cols = self._shape
        self.packed = Arena(quant.nbytes(layout, most, cols)).take(layout, most, cols)
        at = quant.sections(layout, most, cols)
        weights = self.packed.data[: at.weights_bytes]
        if self._tiled:
            tiles = -(-most // quant.TILE)
            self._unit, self._scales = quant.aligned(quant.TILE * cols), quant.aligned(cols)
            self._lanes = weights.view(np.uint32).reshape(tiles, -1, quant.TILE)
            scales = self.packed.data[at.scales : at.scales + at.scales_bytes]
            self._exponents = scales.reshape(tiles, -1, quant.TILE)
        else:
            self._unit, self._scales = quant.aligned(_WIDTH[layout] * cols), quant.aligned(0)
            self._rows = weights.reshape(most, -1)
        self._free = list(range(most - 1, -1, -1))
        self._places: OrderedDict[int, int] = OrderedDict()  # by row, the one used longest ago first
