"""The steps between the products: embedding rows, RMS norm, the gated activation, adding experts up.

Each takes work items of one token (or a part of one) and writes float32, and records where asked (0: none).
"""

from __future__ import annotations

from llvmlite import ir

from kb.llm.local.kernels.activations import RECORD, load_block, quantise
from kb.llm.local.kernels.emit import F32, I8, I32, I64, PTR, STEP, VF, VI, Fn, Value
from kb.llm.local.kernels.matmul import row_of
from kb.llm.local.kernels.rows import load_floats


def emit(module: ir.Module, *, eps: float, alpha: float, limit: float, experts_per_token: int) -> None:
    """`embed_{layout}`, `norm`, `gate`, `combine`."""
    for layout in ("int8", "bf16", "f32"):
        _embed(module, layout)
    _norm(module, eps)
    _gate(module, alpha, limit)
    _combine(module, experts_per_token)


def _embed(module: ir.Module, layout: str) -> None:
    """tokens, token ids (int32), weights, scales, blocks, out: rows of the embedding as float32."""
    f = Fn(module, f"embed_{layout}", STEP)
    b = f.b
    tokens, blocks = f.arg(0), f.arg(4)
    ids, weights, scales, out = (f.arg(i, PTR) for i in (1, 2, 3, 5))
    with f.work(tokens) as token:
        row = b.sext(f.load(I32, ids, (token, 4), align=4), I64)
        target = f.at(out, (b.mul(token, blocks), 128))
        with f.loop(0, blocks) as block:
            if layout == "int8":
                halves = _int8_block(f, weights, scales, row, blocks, block)
            else:
                start = f.at(weights, (b.mul(row, blocks), 64 if layout == "bf16" else 128))
                halves = [load_floats(f, layout, start, block, half) for half in range(2)]
            for half in range(2):
                f.store(halves[half], target, (block, 128), 64 * half, align=4)
    f.finish()


def _int8_block(f: Fn, weights: Value, scales: Value, row: Value, blocks: Value, block: Value) -> list[Value]:
    b = f.b
    tile, lane = b.ashr(row, f.i64(5)), b.and_(row, f.i64(31))
    number = b.add(b.mul(tile, blocks), block)
    exponent = b.zext(f.load(I8, scales, (number, 32), lane), I32)
    scale = f.splat(b.bitcast(b.shl(exponent, ir.Constant(I32, 23)), F32))
    halves = []
    for half in range(2):
        fours: Value = ir.Constant(ir.VectorType(I32, 4), ir.Undefined)
        for i in range(4):
            word = f.load(I32, weights, (number, 1024), 128 * (4 * half + i), (lane, 4), align=4)
            fours = b.insert_element(fours, word, ir.Constant(I32, i))
        sixteen = ir.VectorType(I8, 16)
        signed = b.xor(b.bitcast(fours, sixteen), f.vi(128, sixteen))
        halves.append(b.fmul(b.sitofp(b.sext(signed, VI), VF), scale))
    return halves


def _norm(module: ir.Module, eps: float) -> None:
    """tokens, rows to take (int32 or 0), source, weights, blocks, out, records: x / rms(x) x weight."""
    f = Fn(module, "norm", STEP)
    b = f.b
    tokens, blocks = f.arg(0), f.arg(4)
    rows, source, weights, out, records = (f.arg(i, PTR) for i in (1, 2, 3, 5, 6))
    wide = b.mul(blocks, f.i64(128))
    with f.work(tokens) as token:
        start = f.at(source, (row_of(f, rows, token), wide))
        sums = [f.slot(VF) for _ in range(2)]
        for slot in sums:
            f.set(slot, f.vf(0.0))
        with f.loop(0, blocks) as block:
            for slot, x in zip(sums, load_block(f, f.at(start, (block, 128))), strict=True):
                f.set(slot, f.fma(x, x, f.get(slot, VF)))
        total = f.total(b.fadd(f.get(sums[0], VF), f.get(sums[1], VF)))
        mean = b.fdiv(total, b.sitofp(b.mul(blocks, f.i64(32)), F32))
        root = f.math("sqrt", b.fadd(mean, ir.Constant(F32, _f32(eps))))
        scale = f.splat(b.fdiv(ir.Constant(F32, 1.0), root))
        with f.loop(0, blocks) as block:
            values = load_block(f, f.at(start, (block, 128)))
            factors = load_block(f, f.at(weights, (block, 128)))
            done = [b.fmul(b.fmul(x, scale), w) for x, w in zip(values, factors, strict=True)]
            _write(f, done, out, records, b.add(b.mul(token, blocks), block))
    f.finish()


def _gate(module: ir.Module, alpha: float, limit: float) -> None:
    """tokens, parts per token, blocks per part, blocks per token, source, out, records: (up + 1) gate sigmoid(alpha gate)."""
    f = Fn(module, "gate", STEP)
    b = f.b
    tokens, parts, per_part, blocks = (f.arg(i) for i in range(4))
    source, out, records = (f.arg(i, PTR) for i in (4, 5, 6))
    with f.work(b.mul(tokens, parts)) as item:
        token, part = b.sdiv(item, parts), b.srem(item, parts)
        first = b.mul(part, per_part)
        end = b.add(first, per_part)
        with f.loop(first, b.select(b.icmp_signed("<", end, blocks), end, blocks)) as block:
            number = b.add(b.mul(token, blocks), block)
            done = []
            for half in range(2):
                low, high = load_block(f, f.at(source, (number, 256), 128 * half))
                gate = f.pick(low, list(range(0, 32, 2)), high)
                up = f.pick(low, list(range(1, 32, 2)), high)
                gate = f.smaller(gate, f.vf(limit))
                up = f.larger(f.smaller(up, f.vf(limit)), f.vf(-limit))
                below = b.fadd(f.vf(1.0), f.exp(b.fmul(gate, f.vf(_f32(-alpha)))))
                done.append(b.fmul(b.fadd(up, f.vf(1.0)), b.fdiv(gate, below)))
            _write(f, done, out, records, number)
    f.finish()


def _combine(module: ir.Module, k: int) -> None:
    """tokens, parts per token, blocks per part, blocks, slots (int32 [tokens, k]), weights [tokens, k], source, out (added to)."""
    f = Fn(module, "combine", STEP)
    b = f.b
    tokens, parts, per_part, blocks = (f.arg(i) for i in range(4))
    slots, weights, source, out = (f.arg(i, PTR) for i in (4, 5, 6, 7))
    with f.work(b.mul(tokens, parts)) as item:
        token, part = b.sdiv(item, parts), b.srem(item, parts)
        first = b.mul(part, per_part)
        end = b.add(first, per_part)
        rows, factors = [], []
        for i in range(k):
            row = b.sext(f.load(I32, slots, (token, 4 * k), 4 * i, align=4), I64)
            rows.append(f.at(source, (b.mul(row, blocks), 128)))
            factors.append(f.splat(f.load(F32, weights, (token, 4 * k), 4 * i, align=4)))
        target = f.at(out, (b.mul(token, blocks), 128))
        with f.loop(first, b.select(b.icmp_signed("<", end, blocks), end, blocks)) as block:
            for half in range(2):
                total: Value = f.vf(0.0)
                for row, factor in zip(rows, factors, strict=True):
                    total = f.fma(f.load(VF, row, (block, 128), 64 * half, align=4), factor, total)
                place = f.at(target, (block, 128), 64 * half)
                f.store(b.fadd(f.load(VF, place, align=4), total), place, align=4)
    f.finish()


def _write(f: Fn, halves: list[Value], out: Value, records: Value, number: Value) -> None:
    for half in range(2):
        f.store(halves[half], out, (number, 128), 64 * half, align=4)
    with f.when(f.b.icmp_signed("!=", f.b.ptrtoint(records, I64), f.i64(0))):
        quantise(f, halves, f.at(records, (number, RECORD)))


def _f32(value: float) -> float:
    """llvmlite writes float constants only if float32 holds them exactly."""
    import struct

    return float(struct.unpack("f", struct.pack("f", value))[0])
