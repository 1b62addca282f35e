"""Arguments of the model's steps, as the kernels read them: see `kernels/matmul.py` and `kernels/vectors.py`."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from kb.llm.local import quant
from kb.llm.local.config import BLOCK
from kb.llm.local.kernels import matmul, rows
from kb.llm.local.kernels.build import Kernels
from kb.llm.local.kernels.pool import ARGUMENTS, Ints, zeros
from kb.llm.local.types import Packed

Step = tuple[int, Ints]  # address of the kernel, arguments

MOST_TILES = 8  # of a product that a thread takes at once: long runs keep the memory's prefetching busy …
LEAST_ITEMS = 40  # … and enough items that no thread waits long for another's last
PARTS = 2  # work items a token's vector is cut into where a token alone is too little to share

TOKENS = 4  # position in an entry
ENTRIES, PER_ITEM, ITEMS = 1, 6, 7  # positions in a product's arguments


def address(array: NDArray[np.generic] | None) -> int:
    """Where an array starts; 0 for none."""
    return 0 if array is None else int(array.__array_interface__["data"][0])


_known: dict[int, tuple[weakref.ref[NDArray[np.uint8]], int]] = {}  # by id of the array


def address_of(packed: Packed) -> int:
    """Where a matrix's bytes start, remembered: asking numpy takes a microsecond, and a token asks 200 times."""
    data = packed.data
    known = _known.get(id(data))
    if known is not None and known[0]() is data:
        return known[1]
    if len(_known) > 8192:
        _known.clear()
    found = address(data)
    _known[id(data)] = weakref.ref(data), found
    return found


@lru_cache(maxsize=256)
def offsets(layout: str, height: int, width: int) -> tuple[int, int, int]:
    """Scales, bias and tiles of a matrix; row-after-row layouts hold their row count for scales."""
    at = quant.sections(layout, height, width)
    if layout in ("int8", "mxfp4"):
        return at.scales, at.bias, -(-height // quant.TILE)
    return height, at.bias, -(-height // rows.ROWS)


def tiles_per_item(tiles: int) -> int:
    """How many of a product's tiles make a work item."""
    return max(1, min(MOST_TILES, tiles // LEAST_ITEMS))


def kernel_name(layout: str, exact: bool) -> str:
    """The product's kernel: 16- and 32-bit weights always meet float32 activations."""
    quantised = layout in ("int8", "mxfp4") and not exact
    return f"matmul_{layout}_{'q8' if quantised else 'f32'}"


class Source:
    """Activations in both forms: float32 rows and int8 records."""

    def __init__(self, floats: NDArray[np.generic], records: NDArray[np.generic]) -> None:
        self._floats, self._records = floats, records

    def pick(self, kernel: str) -> tuple[int, int]:
        """(address, bytes from one token's to the next) of the form a kernel reads."""
        array = self._records if kernel.endswith("q8") else self._floats
        return address(array), array.strides[0]


def product(
    kernels: Kernels,
    source: Source,
    parts: Sequence[tuple[Packed, NDArray[np.float32]]],
    *,
    exact: bool,
    add: bool = False,
) -> list[tuple[Step, Ints]]:
    """Matrices times the same activations, each into its array (rows apart by its stride): one step per layout.

    Returns steps with their entries, whose TOKENS column is the batch's to set.
    """
    steps = []
    for layout, group in groupby(parts, key=lambda part: part[0].layout):
        members = list(group)
        heights = [offsets(layout, packed.rows, packed.cols)[2] for packed, _ in members]
        per_item = tiles_per_item(sum(heights))
        table = zeros(len(members), matmul.ENTRY)
        items = 0
        for row, (packed, out), tiles in zip(table, members, heights, strict=True):
            base = address(packed.data)
            scales, bias, _ = offsets(layout, packed.rows, packed.cols)
            scales += base if layout in ("int8", "mxfp4") else 0
            items += -(-tiles // per_item)
            row[:] = base, scales, base + bias, 0, 0, address(out), out.strides[0], tiles, items
        name, width = kernel_name(layout, exact), members[0][0].cols
        where = source.pick(name)
        given = arguments(table, len(table), *where, width // BLOCK, int(add), per_item, items)
        steps.append(((kernels[name], given), table))
    return steps


def arguments(*values: int | NDArray[np.generic] | None) -> Ints:
    """A step's arguments: numbers, and arrays for their addresses."""
    row = zeros(ARGUMENTS)
    row[: len(values)] = [value if isinstance(value, int) else address(value) for value in values]
    return row
