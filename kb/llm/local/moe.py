"""The experts' part of a layer: which rows go to which expert, and the products they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kb.llm.local import steps
from kb.llm.local.config import BLOCK, ModelConfig
from kb.llm.local.errors import BadModel
from kb.llm.local.kernels import matmul
from kb.llm.local.kernels.build import Kernels
from kb.llm.local.kernels.pool import zeros
from kb.llm.local.types import Expert, Packed
from kb.llm.local.workspace import Workspace

GATE_UP, GATE, DOWN, COMBINE = range(4)  # the steps, in order


@dataclass(frozen=True)
class Share:
    """Experts to be computed together: `rows[i]` rows of the workspace from `starts[i]` on go to `experts[i]`."""

    experts: list[int]
    starts: list[int]
    rows: list[int]


def shares(chosen: NDArray[np.int32], work: Workspace, together: int) -> Iterator[Share]:
    """Sort the batch's choices [tokens, k] by expert (into work.order, work.slots); groups of `together` experts."""
    tokens, k = chosen.shape
    if tokens == 1 and k <= together:
        work.order[:k] = 0
        work.slots[0] = range(k)
        yield Share(chosen[0].tolist(), list(range(k)), [1] * k)
        return
    flat = chosen.ravel()
    order = np.argsort(flat, kind="stable")
    np.floor_divide(order, k, out=work.order[: len(flat)], casting="unsafe")
    work.slots[:tokens].reshape(-1)[order] = np.arange(len(flat), dtype=np.int32)
    counts = np.bincount(flat)
    used = np.flatnonzero(counts)
    rows = counts[used]
    starts = np.cumsum(rows) - rows
    for first in range(0, len(used), together):
        part = slice(first, first + together)
        yield Share(used[part].tolist(), starts[part].tolist(), rows[part].tolist())


class ExpertSteps:
    """The four steps of a layer's experts; the same arguments serve every layer."""

    def __init__(
        self, config: ModelConfig, kernels: Kernels, work: Workspace, together: int, *, exact: bool
    ) -> None:
        self._config, self._kernels, self._exact = config, kernels, exact
        inner, hidden = config.intermediate_size, config.hidden_size
        self._up_table, self._down_table = zeros(together, matmul.ENTRY), zeros(together, matmul.ENTRY)
        # Python writes single numbers into a memoryview five times faster than into an array
        self._up_view, self._down_view = (
            t.data.cast("B").cast("q") for t in (self._up_table, self._down_table)
        )
        self._pattern: tuple[list[int], list[int]] | None = None
        self._normed = steps.Source(work.normed, work.normed_q8)
        self._gated = steps.Source(work.gated, work.gated_q8)
        self._work = work
        self._up = steps.arguments(self._up_table, 0, 0, 0, hidden // BLOCK)
        self._down = steps.arguments(self._down_table, 0, 0, 0, inner // BLOCK)
        blocks = inner // BLOCK
        per_part = -(-blocks // steps.PARTS)
        records = None if exact else work.gated_q8
        self._gate = steps.arguments(0, steps.PARTS, per_part, blocks, work.gate_up, work.gated, records)
        self._every_row = np.arange(len(work.gated), dtype=np.int32)
        blocks = hidden // BLOCK
        per_part = -(-blocks // steps.PARTS)
        self._combine = steps.arguments(
            0, steps.PARTS, per_part, blocks, work.slots, work.shares, work.down, work.hidden
        )
        self._layouts: tuple[str, str] | None = None
        self._functions = [0, kernels["gate"], 0, kernels["combine"]]

    def steps(self) -> list[steps.Step]:
        """To be put into programs; which products' kernels they run, `prepare` says."""
        arguments = (self._up, self._gate, self._down, self._combine)
        return list(zip(self._functions, arguments, strict=True))

    def prepare(self, share: Share, experts: Sequence[Expert], tokens: int) -> tuple[int, int]:
        """Point the steps at these experts; the addresses of the kernels for GATE_UP and DOWN."""
        self._choose(experts[0])
        self._combine[0] = tokens
        if self._pattern != (share.starts, share.rows):
            self._arrange(share)
        for column, expert in enumerate(experts):
            up, down = expert.gate_up, expert.down
            if (up.layout, down.layout) != self._layouts:
                raise BadModel("experts of one layer are packed in different layouts; pack the model again")
            _point(self._up_view, column, up, self._up_offsets)
            _point(self._down_view, column, down, self._down_offsets)
        return self._functions[GATE_UP], self._functions[DOWN]

    def _choose(self, expert: Expert) -> None:
        """Kernels and activations for the experts' layouts."""
        layouts = (expert.gate_up.layout, expert.down.layout)
        if layouts == self._layouts:
            return
        names = [steps.kernel_name(layout, self._exact) for layout in layouts]
        self._up[2:4] = self._normed.pick(names[0])
        self._down[2:4] = self._gated.pick(names[1])
        self._functions[GATE_UP], self._functions[DOWN] = (self._kernels[name] for name in names)
        self._up_offsets = steps.offsets(
            layouts[0], 2 * self._config.intermediate_size, self._config.hidden_size
        )
        self._down_offsets = steps.offsets(
            layouts[1], self._config.hidden_size, self._config.intermediate_size
        )
        self._layouts, self._pattern = layouts, None

    def _arrange(self, share: Share) -> None:
        """Everything in the entries but where the weights are."""
        work, count = self._work, len(share.rows)
        order, every = steps.address(work.order), steps.address(self._every_row)
        for table, arguments, offsets, rows, out in (
            (self._up_table, self._up, self._up_offsets, order, work.gate_up),
            (self._down_table, self._down, self._down_offsets, every, work.down),
        ):
            base, stride, items = steps.address(out), out.strides[0], 0
            per_item = steps.tiles_per_item(count * offsets[2])
            for column, (start, length) in enumerate(zip(share.starts, share.rows, strict=True)):
                items += -(-offsets[2] // per_item)
                fixed = (rows + 4 * start, length, base + start * stride, stride, offsets[2], items)
                table[column, 3:] = fixed
            arguments[steps.ENTRIES], arguments[steps.PER_ITEM], arguments[steps.ITEMS] = (
                count,
                per_item,
                items,
            )
        first = share.starts[0]
        self._gate[0] = sum(share.rows)
        self._gate[4] = steps.address(work.gate_up) + first * work.gate_up.strides[0]
        self._gate[5] = steps.address(work.gated) + first * work.gated.strides[0]
        if not self._exact:
            self._gate[6] = steps.address(work.gated_q8) + first * work.gated_q8.strides[0]
        self._pattern = (share.starts, share.rows)


def _point(view: memoryview, row: int, packed: Packed, offsets: tuple[int, int, int]) -> None:
    base = steps.address_of(packed)
    at = row * matmul.ENTRY
    view[at] = base
    view[at + 1] = base + offsets[0] if packed.layout in ("int8", "mxfp4") else offsets[0]
    view[at + 2] = base + offsets[1]
