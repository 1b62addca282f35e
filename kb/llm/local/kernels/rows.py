"""Products of row-after-row weights (bf16, f32) with float32 activations: routers, and dense parts kept in 16 bits.

Same arguments and entries as `matmul`, a "tile" being 8 rows here; scales are not used. An entry's rows are given
by its last tile: entry word `scales` holds the number of rows.
"""

from __future__ import annotations

from llvmlite import ir

from kb.llm.local.kernels.emit import F32, I16, I64, LANES, PTR, VF, VI, Fn, Value
from kb.llm.local.kernels.matmul import find, row_of

ROWS = 8  # of a tile
_ACCUMULATORS = 2


def emit(module: ir.Module, layout: str) -> None:
    """`matmul_{layout}_f32`."""
    f = Fn(module, f"matmul_{layout}_f32", ir.FunctionType(ir.VoidType(), [PTR, PTR]))
    b = f.b
    entries, inputs = f.arg(0, PTR), f.arg(2, PTR)
    stride, blocks, add, per_item, items = (f.arg(i) for i in (3, 4, 5, 6, 7))
    cursor = f.slot(I64)
    width = {"bf16": 2, "f32": 4}[layout]
    row_bytes = b.mul(blocks, f.i64(32 * width))
    with f.work(items) as item:
        entry, first, last = find(f, entries, item, per_item, cursor)
        weights = f.load(PTR, entry, 0, align=8)
        rows = f.load(I64, entry, 8, align=8)
        bias, list_ = f.load(PTR, entry, 16, align=8), f.load(PTR, entry, 24, align=8)
        tokens = f.load(I64, entry, 32, align=8)
        out, out_stride = f.load(PTR, entry, 40, align=8), f.load(I64, entry, 48, align=8)
        end = b.mul(last, f.i64(ROWS))
        end = b.select(b.icmp_signed("<", end, rows), end, rows)
        with f.loop(b.mul(first, f.i64(ROWS)), end) as row, f.loop(0, tokens) as token:
            source = f.at(inputs, (row_of(f, list_, token), stride))
            value = _dot(f, layout, f.at(weights, (row, row_bytes)), source, blocks)
            value = b.fadd(value, f.load(F32, bias, (row, 4), align=4))
            place = f.at(out, (token, out_stride), (row, 4))
            before = b.select(
                b.icmp_signed("!=", add, f.i64(0)), f.load(F32, place, align=4), ir.Constant(F32, 0.0)
            )
            f.store(b.fadd(before, value), place, align=4)
    f.finish()


def _dot(f: Fn, layout: str, weights: Value, source: Value, blocks: Value) -> Value:
    sums = [f.slot(VF, f.vf(0.0)) for _ in range(_ACCUMULATORS)]
    with f.loop(0, blocks) as block:
        for half in range(2):
            w = load_floats(f, layout, weights, block, half)
            x = f.load(VF, source, (block, 128), 64 * half, align=4)
            f.set(sums[half], f.fma(w, x, f.get(sums[half], VF)))
    return f.total(f.b.fadd(f.get(sums[0], VF), f.get(sums[1], VF)))


def load_floats(f: Fn, layout: str, row: Value, block: Value, half: int) -> Value:
    """16 weights of a row-after-row matrix as float32."""
    if layout == "f32":
        return f.load(VF, row, (block, 128), 64 * half, align=4)
    bits = f.load(ir.VectorType(I16, LANES), row, (block, 64), 32 * half, align=2)
    return f.b.bitcast(f.b.shl(f.b.zext(bits, VI), f.vi(16)), VF)
