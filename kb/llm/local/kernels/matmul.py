"""Products of tiled weights (int8, mxfp4) with several tokens at once, shared among threads.

One call of a tile function (tile.py) multiplies 32 rows by several tokens, so weights are read once for them.

Step arguments (int64 each): entries, their number, activations, bytes from one token's to the next, blocks
per row, add to the output (1) or set it (0), tiles per work item, work items in all.
An entry (ENTRY int64s): weights, scales, bias, token rows (int32 numbers, 0: 0, 1, 2…), tokens, output, bytes
from one token's output to the next, tiles, work items up to and including this entry.
"""

from __future__ import annotations

from llvmlite import ir

from kb.llm.local.kernels.emit import I8, I32, I64, PTR, Fn, Value
from kb.llm.local.kernels.tile import BESIDE, GROUPS, WEIGHT_BYTES, beside, emit_expand, emit_tile, tile_name

ENTRY = 9  # int64s of an entry
_EXPAND_FROM = 24  # tokens from which mxfp4 tiles are expanded to int8 once instead of once per group


def emit(module: ir.Module, layout: str, acts: str, path: str) -> None:
    """`matmul_{layout}_{acts}`; acts: 'q8' (records) or 'f32'."""
    for count in GROUPS[layout, acts]:
        emit_tile(module, layout, acts, path, count)
    for count in beside(layout, acts, path):
        emit_tile(module, layout, acts, path, count, tiles=BESIDE[count])
    if layout == "mxfp4" and acts == "q8":
        emit_expand(module, path)
    _step(module, layout, acts, path)


def _step(module: ir.Module, layout: str, acts: str, path: str) -> None:
    f = Fn(module, f"matmul_{layout}_{acts}", ir.FunctionType(ir.VoidType(), [PTR, PTR]))
    b = f.b
    entries, inputs = f.arg(0, PTR), f.arg(2, PTR)
    stride, blocks, add, per_item, items = (f.arg(i) for i in (3, 4, 5, 6, 7))
    cursor = f.slot(I64)
    scratch = None
    if layout == "mxfp4" and acts == "q8":
        scratch = b.alloca(I8, size=b.mul(blocks, f.i64(1024)))
        scratch.align = 64
    with f.work(items) as item:
        entry, first, last = find(f, entries, item, per_item, cursor)
        weights, scales, bias, rows = (f.load(PTR, entry, 8 * i, align=8) for i in range(4))
        tokens = f.load(I64, entry, 32, align=8)
        out, out_stride = f.load(PTR, entry, 40, align=8), f.load(I64, entry, 48, align=8)
        place = (rows, tokens, inputs, stride, out, out_stride)

        def at_tile(tile: Value) -> tuple[Value, ...]:
            """What every tile function takes first."""
            return (
                f.at(weights, (b.mul(blocks, tile), WEIGHT_BYTES[layout])),
                f.at(scales, (b.mul(blocks, tile), 32)),
                f.at(bias, (tile, 128)),
                blocks,
                add,
            )

        single = f.slot(I64, first)
        for count in beside(layout, acts, path):
            tiles = BESIDE[count]
            with f.when(b.icmp_signed("==", tokens, f.i64(count))):
                whole = b.mul(b.sdiv(b.sub(last, first), f.i64(tiles)), f.i64(tiles))
                f.set(single, b.add(first, whole))
                with f.loop(first, f.get(single, I64), tiles) as tile:
                    here = (*place[:4], f.at(out, (tile, 128)), out_stride)
                    _some_tokens(
                        f, tile_name(layout, acts, count, tiles), count, at_tile(tile), here, f.i64(0)
                    )
        with f.loop(f.get(single, I64), last) as tile:
            tile_weights, *common = at_tile(tile)
            here = (*place[:4], f.at(out, (tile, 128)), out_stride)
            if scratch is None:
                _all_tokens(f, layout, acts, (tile_weights, *common), here)
            else:
                with b.if_else(b.icmp_signed(">=", tokens, f.i64(_EXPAND_FROM))) as (many, few):
                    with many:
                        f.call("expand", ir.VoidType(), tile_weights, blocks, scratch)
                        _all_tokens(f, "int8", acts, (scratch, *common), here)
                    with few:
                        _all_tokens(f, layout, acts, (tile_weights, *common), here)
    f.finish()


def find(f: Fn, entries: Value, item: Value, per_item: Value, cursor: Value) -> tuple[Value, Value, Value]:
    """The entry a work item falls in and its tiles there: (entry, first, last)."""
    b = f.b
    f.set(cursor, f.i64(0))
    head, step, done = (f.function.append_basic_block(name) for name in ("find", "next", "found"))
    b.branch(head)
    b.position_at_end(head)
    index = f.get(cursor, I64)
    entry = f.at(entries, (index, 8 * ENTRY))
    upto = f.load(I64, entry, 64, align=8)
    b.cbranch(b.icmp_signed(">=", item, upto), step, done)
    b.position_at_end(step)
    f.set(cursor, b.add(index, f.i64(1)))
    b.branch(head)
    b.position_at_end(done)
    tiles = f.load(I64, entry, 56, align=8)
    own = b.sdiv(b.sub(b.add(tiles, per_item), f.i64(1)), per_item)
    first = b.mul(b.sub(item, b.sub(upto, own)), per_item)
    end = b.add(first, per_item)
    return entry, first, b.select(b.icmp_signed("<", end, tiles), end, tiles)


def _all_tokens(f: Fn, layout: str, acts: str, common: tuple[Value, ...], place: tuple[Value, ...]) -> None:
    """Call the tile functions over all tokens, the largest groups first."""
    b = f.b
    tokens = place[1]
    start: Value = f.i64(0)
    for count in GROUPS[layout, acts]:
        whole = b.mul(b.sdiv(b.sub(tokens, start), f.i64(count)), f.i64(count))
        end = b.add(start, whole)
        with f.loop(start, end, count) as token:
            _some_tokens(f, tile_name(layout, acts, count), count, common, place, token)
        start = end


def _some_tokens(
    f: Fn, name: str, count: int, common: tuple[Value, ...], place: tuple[Value, ...], first: Value
) -> None:
    """Call a tile function for `count` tokens from `first` on."""
    rows, _, inputs, stride, out, out_stride = place
    numbers = [f.b.add(first, f.i64(i)) for i in range(count)]
    sources = [f.at(inputs, (row_of(f, rows, number), stride)) for number in numbers]
    outputs = [f.at(out, (number, out_stride)) for number in numbers]
    f.call(name, ir.VoidType(), *common, *sources, *outputs)


def row_of(f: Fn, rows: Value, number: Value) -> Value:
    b = f.b
    with b.if_else(b.icmp_signed("!=", b.ptrtoint(rows, I64), f.i64(0))) as (listed, plain):
        with listed:
            found = b.sext(f.load(I32, rows, (number, 4), align=4), I64)
            from_list = b.block
        with plain:
            from_plain = b.block
    row = b.phi(I64)
    row.add_incoming(found, from_list)
    row.add_incoming(number, from_plain)
    return row
