"""Activations as the int8 kernels read them: a record per block of 32.

32 signed bytes, their float32 scale, and -128 x the sum of the bytes (int32), which takes back the 128 that
weights are stored too large by. Largest value 127 steps, round to nearest even.
"""

from __future__ import annotations

from llvmlite import ir

from kb.llm.local.kernels.emit import F32, I8, I32, LANES, VF, VI, Fn, Value

SCALE, CORRECTION, RECORD = 32, 36, 40  # byte offsets within a record, and its size


def quantise(f: Fn, halves: list[Value], record: Value) -> None:
    """Write the record of 32 floats (two vectors of 16)."""
    b = f.b
    sizes = [f.math("fabs", half) for half in halves]
    largest = f.largest(f.larger(sizes[0], sizes[1]))
    is_zero = b.fcmp_ordered("<", largest, ir.Constant(F32, 1e-30))
    safe = b.select(is_zero, ir.Constant(F32, 1.0), largest)
    inverse = b.select(is_zero, ir.Constant(F32, 0.0), b.fdiv(ir.Constant(F32, 127.0), safe))
    total: Value = f.vi(0)
    for number, half in enumerate(halves):
        steps = b.fptosi(f.math("rint", b.fmul(half, f.splat(inverse))), VI)
        total = b.add(total, steps)
        f.store(b.trunc(steps, ir.VectorType(I8, LANES)), record, LANES * number, align=4)
    f.store(b.fdiv(largest, ir.Constant(F32, 127.0)), record, SCALE, align=4)
    f.store(b.mul(f.total(total), ir.Constant(I32, -128)), record, CORRECTION, align=4)


def load_block(f: Fn, source: Value) -> list[Value]:
    """32 floats as two vectors."""
    return [f.load(VF, source, 4 * LANES * half, align=4) for half in range(2)]
