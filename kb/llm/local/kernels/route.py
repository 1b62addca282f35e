"""Choosing experts: the k largest router logits of a token, softmax over those."""

from __future__ import annotations

from llvmlite import ir

from kb.llm.local.kernels.emit import F32, I32, I64, LANES, PTR, STEP, VF, Fn

_LEAST = -3.0e38


def emit(module: ir.Module, experts: int, k: int) -> None:
    """`route`: tokens, logits [tokens, experts] (overwritten), ids (int32 [tokens, k], best first), weights [tokens, k]."""
    f = Fn(module, "route", STEP)
    b = f.b
    tokens = f.arg(0)
    logits, ids, weights = (f.arg(i, PTR) for i in (1, 2, 3))
    best, where = f.slot(F32), f.slot(I64)
    chosen = f.slot(VF, align=64)
    with f.work(tokens) as token:
        row = f.at(logits, (token, 4 * experts))
        f.set(chosen, f.vf(-1.0e30))
        for rank in range(k):
            f.set(best, ir.Constant(F32, float("-inf")))
            f.set(where, f.i64(0))
            with f.loop(0, experts) as expert:
                value = f.load(F32, row, (expert, 4), align=4)
                with f.when(b.fcmp_ordered(">", value, f.get(best, F32))):
                    f.set(best, value)
                    f.set(where, expert)
            found = f.get(where, I64)
            f.store(b.trunc(found, I32), ids, (token, 4 * k), 4 * rank, align=4)
            f.store(f.get(best, F32), chosen, 4 * rank, align=4)
            f.store(ir.Constant(F32, float("-inf")), row, (found, 4), align=4)
        values = f.get(chosen, VF)
        first = b.extract_element(values, ir.Constant(I32, 0))
        f.set(chosen, f.exp(b.fsub(values, f.splat(first))))
        total = f.load(F32, chosen, align=4)
        for rank in range(1, k):
            total = b.fadd(total, f.load(F32, chosen, 4 * rank, align=4))
        for rank in range(k):
            share = b.fdiv(f.load(F32, chosen, 4 * rank, align=4), total)
            f.store(share, weights, (token, 4 * k), 4 * rank, align=4)
    f.finish()
    assert k <= LANES
