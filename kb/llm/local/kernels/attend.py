"""Rotary positions, the way into the key-value cache, and attention over its pages.

Keys lie transposed in a page (positions innermost), so the scores of a page are one product without sums across
lanes; see `kv`. Softmax runs along with the pages (running largest score and total), starting from the sink, so
any length needs the same scratch. A result does not depend on which other tokens share the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from llvmlite import ir

from kb.llm.local.kernels.activations import RECORD, quantise
from kb.llm.local.kernels.emit import F16, F32, I32, I64, LANES, PTR, STEP, VF, VI, Fn, Value
from kb.llm.local.types import PAGE

_NONE = float.fromhex("-0x1.c363ccp+127")  # score of a position out of reach: about -3e38


@dataclass(frozen=True)
class State:
    """Stack slots of the running softmax: float32 arrays over a group's query heads, padded to whole vectors."""

    largest: Value
    before: Value
    rescale: Value
    lanes: int


def emit(module: ir.Module, *, heads: int, kv_heads: int, head_dim: int, dtype: str) -> None:
    """`rope` and `attend` for these shapes; dtype of the cache: 'f16' or 'f32'."""
    _rope(module, heads, kv_heads, head_dim, dtype)
    _attend(module, heads, kv_heads, head_dim, dtype)


def _page(f: Fn, tables: Value, token: Value, number: Value, bytes_: int) -> Value:
    """Byte offset in a layer's cache of a token's page."""
    table = f.load(PTR, tables, (token, 8), align=8)
    page = f.b.sext(f.load(I32, table, (number, 4), align=4), I64)
    return f.b.mul(page, f.i64(bytes_))


def _rope(module: ir.Module, heads: int, kv_heads: int, dim: int, dtype: str) -> None:
    """tokens, qkv, positions (int32), page tables (pointers), cos, sin [tokens, dim/2], keys, values.

    Rotates queries in place and scales them by dim**-0.5; rotates keys into the cache, copies values there.
    """
    f = Fn(module, "rope", STEP)
    b = f.b
    width = 4 * dim * (heads + 2 * kv_heads)
    size = 2 if dtype == "f16" else 4
    kind = F16 if dtype == "f16" else F32
    qkv, positions, tables, cos, sin, keys, values = (f.arg(i, PTR) for i in range(1, 8))
    with f.work(f.arg(0)) as token:
        row = f.at(qkv, (token, width))
        position = b.sext(f.load(I32, positions, (token, 4), align=4), I64)
        page = _page(f, tables, token, b.ashr(position, f.i64(5)), kv_heads * dim * PAGE * size)
        place = b.and_(position, f.i64(PAGE - 1))
        table = f.at(cos, (token, 2 * dim)), f.at(sin, (token, 2 * dim))
        with f.loop(0, heads) as head:
            at = f.at(row, (head, 4 * dim))
            for offset, value in _rotated(f, at, table, dim):
                f.store(b.fmul(value, f.vf(dim**-0.5)), at, offset, align=4)
        with f.loop(0, kv_heads) as head:
            at = f.at(row, 4 * dim * heads, (head, 4 * dim))
            for offset, value in _rotated(f, at, table, dim):
                f.store(value, at, offset, align=4)
            column = f.at(keys, page, (head, dim * PAGE * size), (place, size))
            with f.loop(0, dim) as d:
                value = _narrow(f, f.load(F32, at, (d, 4), align=4), kind)
                f.store(value, column, (d, PAGE * size), align=size)
            source = f.at(at, 4 * dim * kv_heads)
            target = f.at(values, page, (head, dim * PAGE * size), (place, dim * size))
            for start in range(0, dim, LANES):
                value = _narrow(f, f.load(VF, source, 4 * start, align=4), ir.VectorType(kind, LANES))
                f.store(value, target, size * start, align=4)
    f.finish()


def _rotated(f: Fn, at: Value, table: tuple[Value, Value], dim: int) -> list[tuple[int, Value]]:
    """(byte offset, rotated values) of one head; all loads come before any use of the results."""
    b = f.b
    done = []
    for start in range(0, dim // 2, LANES):
        cos, sin = (f.load(VF, part, 4 * start, align=4) for part in table)
        first, second = (f.load(VF, at, 4 * (start + skip), align=4) for skip in (0, dim // 2))
        done.append((4 * start, b.fsub(b.fmul(first, cos), b.fmul(second, sin))))
        done.append((4 * (start + dim // 2), b.fadd(b.fmul(second, cos), b.fmul(first, sin))))
    return done


def _narrow(f: Fn, value: Value, kind: ir.Type) -> Value:
    return value if value.type == kind else f.b.fptrunc(value, kind)


def _attend(module: ir.Module, heads: int, kv_heads: int, dim: int, dtype: str) -> None:
    """tokens, qkv, positions, page tables, keys, values, sinks, window (0: none), out, records.

    A work item is one token's queries of one key-value head: they share every key and value read.
    """
    f = Fn(module, "attend", STEP)
    b = f.b
    group = heads // kv_heads
    size = 2 if dtype == "f16" else 4
    kind = ir.VectorType(F16 if dtype == "f16" else F32, LANES)
    tokens, window = f.arg(0), f.arg(7)
    qkv, positions, tables, keys, values, sinks = (f.arg(i, PTR) for i in range(1, 7))
    out, records = f.arg(8, PTR), f.arg(9, PTR)
    scores = f.slot(ir.ArrayType(F32, group * PAGE), align=64)
    sums = f.slot(ir.ArrayType(F32, group * dim), align=64)
    lanes = -(-group // LANES) * LANES
    # of each query head: largest score so far, the one before, what earlier sums are to be multiplied by
    largest, before, rescale = (f.slot(ir.ArrayType(F32, lanes), align=64) for _ in range(3))
    state = State(largest, before, rescale, lanes)
    totals = f.slot(ir.ArrayType(F32, group * LANES), align=64)  # lane by lane: summed up once, at the end
    with f.work(b.mul(tokens, f.i64(kv_heads))) as item:
        token, head = b.sdiv(item, f.i64(kv_heads)), b.srem(item, f.i64(kv_heads))
        query = f.at(qkv, (token, 4 * dim * (heads + 2 * kv_heads)), (head, 4 * dim * group))
        position = b.sext(f.load(I32, positions, (token, 4), align=4), I64)
        low = b.add(b.sub(position, window), f.i64(1))
        bounded = b.and_(b.icmp_signed(">", window, f.i64(0)), b.icmp_signed(">", low, f.i64(0)))
        low = b.select(bounded, low, f.i64(0))
        for start in range(0, lanes, LANES):
            f.store(f.vf(0.0), state.largest, 4 * start, align=64)
        with f.loop(0, group) as g:
            f.store(f.load(F32, sinks, (head, 4 * group), (g, 4), align=4), state.largest, (g, 4), align=4)
            f.store(f.vf(0.0), totals, (g, 4 * LANES), align=64)
            f.store(ir.Constant(F32, 1.0), totals, (g, 4 * LANES), align=4)
        for start in range(0, group * dim, LANES):
            f.store(f.vf(0.0), sums, 4 * start, align=64)
        with f.loop(b.ashr(low, f.i64(5)), b.add(b.ashr(position, f.i64(5)), f.i64(1))) as number:
            page = _page(f, tables, token, number, kv_heads * dim * PAGE * size)
            start = b.mul(number, f.i64(PAGE))
            reach = b.sub(low, start), b.sub(position, start)
            page_keys = f.at(keys, page, (head, dim * PAGE * size))
            _scores(f, query, page_keys, scores, group, dim, kind)
            _softmax(f, scores, state, totals, group, reach)
            _values(
                f,
                f.at(values, page, (head, dim * PAGE * size)),
                scores,
                sums,
                state,
                (group, dim),
                kind,
                reach,
            )
        blocks = b.mul(b.add(b.mul(token, f.i64(kv_heads)), head), f.i64(group * dim // 32))
        with f.loop(0, group) as g:
            total = f.splat(f.total(f.load(VF, totals, (g, 4 * LANES), align=64)))
            for half in range(0, dim, 32):
                parts = [f.load(VF, sums, (g, 4 * dim), 4 * (half + s), align=64) for s in (0, LANES)]
                parts = [b.fdiv(part, total) for part in parts]
                number = b.add(blocks, b.add(b.mul(g, f.i64(dim // 32)), f.i64(half // 32)))
                for i, part in enumerate(parts):
                    f.store(part, out, (number, 128), 64 * i, align=4)
                with f.when(b.icmp_signed("!=", b.ptrtoint(records, I64), f.i64(0))):
                    quantise(f, parts, f.at(records, (number, RECORD)))
    f.finish()


def _widen(f: Fn, value: Value) -> Value:
    return value if value.type == VF else f.b.fpext(value, VF)


def _scores(f: Fn, query: Value, keys: Value, scores: Value, group: int, dim: int, kind: ir.Type) -> None:
    size = 2 if kind.element == F16 else 4
    for first in range(0, group, 8):
        heads = range(first, min(first + 8, group))
        sums = {(g, half): f.slot(VF, f.vf(0.0)) for g in heads for half in range(2)}
        with f.loop(0, dim) as d:
            halves = [
                _widen(f, f.load(kind, keys, (d, PAGE * size), LANES * size * half, align=size))
                for half in range(2)
            ]
            for g in heads:
                q = f.splat(f.load(F32, query, (d, 4), 4 * dim * g, align=4))
                for half in range(2):
                    f.set(sums[g, half], f.fma(halves[half], q, f.get(sums[g, half], VF)))
        for (g, half), total in sums.items():
            f.store(f.get(total, VF), scores, 4 * PAGE * g + 64 * half, align=64)


def _softmax(
    f: Fn, scores: Value, state: State, totals: Value, group: int, reach: tuple[Value, Value]
) -> None:
    """Scores to shares of the running totals, which are brought to the new largest scores."""
    b = f.b
    low, high = (f.splat(b.trunc(bound, I32)) for bound in reach)
    inside = []
    for half in range(2):
        lanes = ir.Constant(VI, [LANES * half + i for i in range(LANES)])
        inside.append(b.and_(b.icmp_signed(">=", lanes, low), b.icmp_signed("<=", lanes, high)))
    for start in range(0, state.lanes, LANES):
        f.store(f.load(VF, state.largest, 4 * start, align=64), state.before, 4 * start, align=64)
    with f.loop(0, group) as g:
        halves = [f.load(VF, scores, (g, 4 * PAGE), 64 * half, align=64) for half in range(2)]
        halves = [b.select(inside[half], halves[half], f.vf(_NONE)) for half in range(2)]
        largest = f.largest(f.larger(halves[0], halves[1]))
        largest = f.larger(f.load(F32, state.before, (g, 4), align=4), largest)
        f.store(largest, state.largest, (g, 4), align=4)
        for half in range(2):
            shares = f.exp(b.fsub(halves[half], f.splat(largest)))
            f.store(shares, scores, (g, 4 * PAGE), 64 * half, align=64)
    for start in range(0, state.lanes, LANES):
        before, largest = (f.load(VF, part, 4 * start, align=64) for part in (state.before, state.largest))
        f.store(f.exp(b.fsub(before, largest)), state.rescale, 4 * start, align=64)
    with f.loop(0, group) as g:
        parts = [f.load(VF, scores, (g, 4 * PAGE), 64 * half, align=64) for half in range(2)]
        rescale = f.splat(f.load(F32, state.rescale, (g, 4), align=4))
        total = f.load(VF, totals, (g, 4 * LANES), align=64)
        f.store(f.fma(total, rescale, b.fadd(*parts)), totals, (g, 4 * LANES), align=64)


def _values(
    f: Fn,
    values: Value,
    shares: Value,
    sums: Value,
    state: State,
    shape: tuple[int, int],
    kind: ir.Type,
    reach: tuple[Value, Value],
) -> None:
    """sums = sums x rescale + shares x values, over the positions within reach only: others hold anything."""
    b = f.b
    group, dim = shape
    size = 2 if kind.element == F16 else 4
    first = b.select(b.icmp_signed(">", reach[0], f.i64(0)), reach[0], f.i64(0))
    end = b.add(reach[1], f.i64(1))
    end = b.select(b.icmp_signed("<", end, f.i64(PAGE)), end, f.i64(PAGE))
    for lead, begin in product(range(0, group, 8), range(0, dim, 2 * LANES)):
        heads = range(lead, min(lead + 8, group))
        starts = range(begin, min(begin + 2 * LANES, dim), LANES)
        slots = {}
        for g in heads:
            rescale = f.splat(f.load(F32, state.rescale, 4 * g, align=4))
            for start in starts:
                before = f.load(VF, sums, 4 * (g * dim + start), align=64)
                slots[g, start] = f.slot(VF, b.fmul(before, rescale))
        with f.loop(first, end) as j:
            row = [
                _widen(f, f.load(kind, values, (j, dim * size), size * start, align=size)) for start in starts
            ]
            for g in heads:
                share = f.splat(f.load(F32, shares, (j, 4), 4 * PAGE * g, align=4))
                for part, start in zip(row, starts, strict=True):
                    f.set(slots[g, start], f.fma(part, share, f.get(slots[g, start], VF)))
        for (g, start), slot in slots.items():
            f.store(f.get(slot, VF), sums, 4 * (g * dim + start), align=64)
