"""Tile functions: 32 rows of tiled weights (int8, mxfp4) times several tokens, in LLVM's terms.

Integer sums of a block are exact and blocks are added in order, so neither the path (VNNI or plain), nor the layout, nor
the company a token is in, changes a bit of its result. The float32 ("exact") functions keep activations as they are.
"""

from __future__ import annotations

from llvmlite import ir

from kb.llm.local.kernels.activations import CORRECTION, RECORD, SCALE
from kb.llm.local.kernels.compile import AVX2, VBMI, VNNI, WIDE
from kb.llm.local.kernels.emit import F32, I8, I16, I32, I64, PTR, VF, VI, Fn, Value

# tokens a tile function takes at once, largest first
GROUPS = {
    ("int8", "q8"): (8, 6, 4, 3, 2, 1),
    ("mxfp4", "q8"): (8, 6, 4, 3, 2, 1),
    ("int8", "f32"): (4, 1),
    ("mxfp4", "f32"): (4, 1),
}
WEIGHT_BYTES = {"int8": 1024, "mxfp4": 512}  # of one tile's block
_BYTES = ir.VectorType(I8, 64)
_PAIRS = ir.VectorType(I32, 32)
_AHEAD = 4096  # bytes of weights asked for before they are needed: the processor's own prefetching ends at every page
# Tiles multiplied side by side by so few tokens: several streams of weights keep more reads in flight than one
BESIDE = {1: 4, 2: 2, 3: 2, 4: 2}
_FEW = (
    3  # tokens up to which weights are used at once: asked for into the first cache, into the second by more
)


def emit_tile(module: ir.Module, layout: str, acts: str, path: str, count: int, tiles: int = 1) -> None:
    """tile(weights, scales, bias, blocks, add, activations x count, outputs x count), of `tiles` tiles in a row."""
    kind = ir.FunctionType(ir.VoidType(), [PTR, PTR, PTR, I64, I64] + [PTR] * (2 * count))
    f = Fn(module, tile_name(layout, acts, count, tiles), kind, inner=True)
    b = f.b
    weights, scales, bias, blocks, add = f.args[:5]
    inputs, outputs = f.args[5 : 5 + count], f.args[5 + count :]
    sums = [[[f.slot(VF, f.vf(0.0)) for _ in range(2)] for _ in range(count)] for _ in range(tiles)]
    begins = [
        (f.at(weights, (blocks, n * WEIGHT_BYTES[layout])), f.at(scales, (blocks, n * 32)))
        for n in range(tiles)
    ]
    with f.loop(0, blocks) as block:
        for (tile_weights, tile_scales), tile_sums in zip(begins, sums, strict=True):
            at = f.at(tile_weights, (block, WEIGHT_BYTES[layout]))
            f.prefetch(f.at(at, _AHEAD), WEIGHT_BYTES[layout], into=1 if count <= _FEW else 2)
            exponents = [_exponents(f, f.at(tile_scales, (block, 32), 16 * half)) for half in range(2)]
            _add_block(f, layout, acts, path, at, exponents, inputs, block, tile_sums)
    for number, tile_sums in enumerate(sums):
        for token in range(count):
            for half in range(2):
                out = f.at(outputs[token], 128 * number + 64 * half)
                value = b.fadd(
                    f.get(tile_sums[token][half], VF), f.load(VF, bias, 128 * number + 64 * half, align=4)
                )
                before = b.select(b.icmp_signed("!=", add, f.i64(0)), f.load(VF, out, align=4), f.vf(0.0))
                f.store(b.fadd(before, value), out, align=4)
    f.finish()


def beside(layout: str, acts: str, path: str) -> list[int]:
    """Numbers of tokens for which tiles are taken side by side; narrow registers would be too few."""
    return [count for count in BESIDE if path in WIDE and acts == "q8" and count in GROUPS[layout, acts]]


def tile_name(layout: str, acts: str, count: int, tiles: int = 1) -> str:
    return f"tile_{layout}_{acts}_{count}" + (f"x{tiles}" if tiles > 1 else "")


def _add_block(
    f: Fn,
    layout: str,
    acts: str,
    path: str,
    at: Value,
    exponents: list[Value],
    inputs: list[Value],
    block: Value,
    sums: list[list[Value]],
) -> None:
    """Add the products of one block of a tile (`at`) with every token's to `sums`: slots [tokens][halves of 16 rows]."""
    b = f.b
    if acts == "q8":
        records = [f.at(each, (block, RECORD)) for each in inputs]
        parts = _integers(f, layout, path, at, records)
        steps = [_steps(f, path, each) for each in exponents]
        for token, record in enumerate(records):
            scale = f.splat(f.load(F32, record, SCALE, align=4))
            for half in range(2):
                value = _scaled(f, path, parts[token][half], steps[half])
                f.set(sums[token][half], f.fma(value, scale, f.get(sums[token][half], VF)))
    else:
        steps = [b.bitcast(b.shl(each, f.vi(23)), VF) for each in exponents]
        parts = _floats(f, layout, path, at, [f.at(each, (block, 128)) for each in inputs])
        for token in range(len(inputs)):
            for half in range(2):
                total = f.get(sums[token][half], VF)
                f.set(sums[token][half], f.fma(parts[token][half], steps[half], total))


def _exponents(f: Fn, at: Value) -> Value:
    return f.b.zext(f.load(ir.VectorType(I8, 16), at, align=16), VI)


def _steps(f: Fn, path: str, exponents: Value) -> Value:
    """What `_scaled` takes: the power of two, or with AVX-512 its exponent."""
    if path in WIDE:
        return f.b.fsub(f.b.sitofp(exponents, VF), f.vf(127.0))
    return f.b.bitcast(f.b.shl(exponents, f.vi(23)), VF)


def _scaled(f: Fn, path: str, whole: Value, steps: Value) -> Value:
    """Integers times powers of two, exactly. AVX-512 scales by an exponent where its multipliers are not needed."""
    value = f.b.sitofp(whole, VF)
    if path in WIDE:
        every, current = ir.Constant(I16, -1), ir.Constant(I32, 4)  # all lanes, the rounding in force
        return f.call("llvm.x86.avx512.mask.scalef.ps.512", VF, value, steps, f.vf(0.0), every, current)
    return f.b.fmul(value, steps)


def _integers(f: Fn, layout: str, path: str, at: Value, records: list[Value]) -> list[list[Value]]:
    """Sums over a block of weight x activation, exact int32: [tokens][halves of 16 rows]."""
    b = f.b
    corrections = [f.splat(f.load(I32, record, CORRECTION, align=4)) for record in records]
    sums: list[list[Value]] = [[each if path in WIDE else f.vi(0, _PAIRS)] * 2 for each in corrections]
    for four in range(8):
        halves = _weights(f, layout, path, at, four)
        for token, record in enumerate(records):
            values = b.bitcast(f.splat(f.load(I32, record, 4 * four, align=4)), _BYTES)
            for half in range(2):
                sums[token][half] = _dot(f, path, sums[token][half], halves[half], values)
    if path in WIDE:
        return sums
    even, odd = list(range(0, 32, 2)), list(range(1, 32, 2))
    return [
        [b.add(b.add(f.pick(pairs, even), f.pick(pairs, odd)), correction) for pairs in halves]
        for halves, correction in zip(sums, corrections, strict=True)
    ]


def _weights(f: Fn, layout: str, path: str, at: Value, four: int) -> list[Value]:
    """Two vectors of 16 rows x 4 inputs, unsigned bytes: weight + 128."""
    if layout == "int8":
        return [f.load(_BYTES, at, 128 * four + 64 * half, align=64) for half in range(2)]
    both = f.load(_BYTES, at, 64 * four, align=64)
    if (
        path == VBMI
    ):  # looks at six bits of a byte: with the table four times over, the upper two of them are free
        words = ir.VectorType(I16, 32)
        high = f.b.bitcast(f.b.lshr(f.b.bitcast(both, words), f.vi(4, words)), _BYTES)
        return [_lookup(f, path, both), _lookup(f, path, high)]
    low = f.b.and_(both, f.vi(15, _BYTES))
    high = f.b.lshr(both, f.vi(4, _BYTES))
    return [_lookup(f, path, low), _lookup(f, path, high)]


def _lookup(f: Fn, path: str, codes: Value) -> Value:
    """fp4 codes to twice their value + 128."""
    values = [128 + sign * value for sign in (1, -1) for value in (0, 1, 2, 3, 4, 6, 8, 12)]
    if path == VBMI:
        return f.call("llvm.x86.avx512.permvar.qi.512", _BYTES, ir.Constant(_BYTES, values * 4), codes)
    if path == VNNI:
        return f.call("llvm.x86.avx512.pshuf.b.512", _BYTES, ir.Constant(_BYTES, values * 4), codes)
    b = f.b
    if path == AVX2:
        half = ir.VectorType(I8, 32)
        table = ir.Constant(half, values * 2)
        parts = [f.pick(codes, list(range(start, start + 32))) for start in (0, 32)]
        low, high = (f.call("llvm.x86.avx2.pshuf.b", half, table, part) for part in parts)
        return f.pick(low, list(range(64)), high)
    size = b.and_(codes, f.vi(7, _BYTES))
    value = size
    for least, more in ((5, 1), (6, 1), (7, 3)):  # 5 6 7 stand for 6 8 12
        reached = b.icmp_unsigned(">=", size, f.vi(least, _BYTES))
        value = b.add(value, b.select(reached, f.vi(more, _BYTES), f.vi(0, _BYTES)))
    negative = b.icmp_unsigned(">=", codes, f.vi(8, _BYTES))
    return b.xor(b.select(negative, b.sub(f.vi(0, _BYTES), value), value), f.vi(128, _BYTES))


def _dot(f: Fn, path: str, total: Value, weights: Value, values: Value) -> Value:
    """total + sums of unsigned weight x signed value: of each four bytes, on the plain path of each two."""
    b = f.b
    if path in WIDE:
        return f.call("llvm.x86.avx512.vpdpbusd.512", VI, total, weights, values)
    wide, words = ir.VectorType(I16, 64), ir.VectorType(I32, 64)
    product = b.mul(b.sext(b.zext(weights, wide), words), b.sext(b.sext(values, wide), words))
    pairs = b.add(f.pick(product, list(range(0, 64, 2))), f.pick(product, list(range(1, 64, 2))))
    return b.add(total, pairs)


def _floats(f: Fn, layout: str, path: str, at: Value, inputs: list[Value]) -> list[list[Value]]:
    """Sums over a block of weight x activation in float32: [tokens][halves]."""
    b = f.b
    sums: list[list[Value]] = [[f.vf(0.0), f.vf(0.0)] for _ in inputs]
    for four in range(8):
        halves = [
            b.bitcast(b.xor(each, f.vi(128, _BYTES)), VI) for each in _weights(f, layout, path, at, four)
        ]
        for byte in range(4):
            columns = [b.sitofp(b.ashr(b.shl(each, f.vi(24 - 8 * byte)), f.vi(24)), VF) for each in halves]
            for token, source in enumerate(inputs):
                x = f.splat(f.load(F32, source, 16 * four + 4 * byte, align=4))
                for half in range(2):
                    sums[token][half] = f.fma(columns[half], x, sums[token][half])
    return sums


def emit_expand(module: ir.Module, path: str) -> None:
    """expand(weights, blocks, out): one mxfp4 tile to int8 bytes."""
    f = Fn(module, "expand", ir.FunctionType(ir.VoidType(), [PTR, I64, PTR]), inner=True)
    weights, blocks, out = f.args
    with f.loop(0, blocks) as block:
        for four in range(8):
            halves = _weights(f, "mxfp4", path, f.at(weights, (block, 512)), four)
            for half in range(2):
                f.store(halves[half], out, (block, 1024), 128 * four + 64 * half, align=64)
    f.finish()
