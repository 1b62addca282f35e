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
from kb.llm.local.kernels.pool import Ints, zeros
from kb.llm.local.types import Expert
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
        self._up_table, self._down_table = zeros(together, matmul.ENTRY), zeros(together, matmul.ENTRY)
        inner, hidden = config.intermediate_size, config.hidden_size
        self._normed = steps.Source(work.normed, work.normed_q8)
        self._gated = steps.Source(work.gated, work.gated_q8)
        self._work = work
        self._up = steps.product_arguments(self._up_table, (0, 0), hidden, False, 0)
        self._down = steps.product_arguments(self._down_table, (0, 0), inner, False, 0)
        blocks = inner // BLOCK
        per_part = -(-blocks // steps.PARTS)
        records = None if exact else work.gated_q8
        self._gate = steps.arguments(0, steps.PARTS, per_part, blocks, work.gate_up, work.gated, records)
        self._gate_rows = (work.gate_up.strides[0], work.gated.strides[0], work.gated_q8.strides[0])
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
        work = self._work
        up_out, up_stride = steps.address(work.gate_up), work.gate_up.strides[0]
        down_out, down_stride = steps.address(work.down), work.down.strides[0]
        order = steps.address(work.order)
        gated, gated_stride = self._down_source
        up_items = down_items = 0
        for i, expert in enumerate(experts):
            start, rows = share.starts[i], share.rows[i]
            up, down = expert.gate_up, expert.down
            if (up.layout, down.layout) != self._layouts:
                raise BadModel("experts of one layer are packed in different layouts; pack the model again")
            out = up_out + start * up_stride
            row = steps.entry(up, order + 4 * start, rows, out, up_stride, up_items)
            self._up_table[i], up_items = row, row[steps.UPTO]
            out = down_out + start * down_stride
            row = steps.entry(down, self._identity + 4 * start, rows, out, down_stride, down_items)
            self._down_table[i], down_items = row, row[steps.UPTO]
        self._up[1], self._up[7] = len(experts), up_items
        self._down[1], self._down[7] = len(experts), down_items
        self._down[2], self._down[3] = gated, gated_stride
        first, count = share.starts[0], sum(share.rows)
        up_row, out_row, record_row = self._gate_rows
        self._gate[0] = count
        self._gate[4] = up_out + first * up_row
        self._gate[5] = steps.address(work.gated) + first * out_row
        if not self._exact:
            self._gate[6] = steps.address(work.gated_q8) + first * record_row
        self._combine[0] = tokens
        return self._functions[GATE_UP], self._functions[DOWN]

    def _choose(self, expert: Expert) -> None:
        layouts = (expert.gate_up.layout, expert.down.layout)
        if layouts == self._layouts:
            return
        names = [steps.kernel_name(layout, self._exact) for layout in layouts]
        self._up[2], self._up[3] = self._normed.pick(names[0])
        self._down_source = self._gated.pick(names[1])
        self._functions[GATE_UP], self._functions[DOWN] = (self._kernels[name] for name in names)
        self._layouts = layouts
        rows = len(self._work.gated)
        self._rows = np.arange(rows, dtype=np.int32)
        self._identity = steps.address(self._rows)
