"""A small language over llvmlite's IR builder: the loops, vectors and loads that every kernel is written in.

Values are LLVM values; addresses are plain pointers with byte offsets. Loop counters and accumulators are stack
slots, which LLVM turns into registers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

LANES = 16  # float32 numbers handled together; LLVM splits them where registers are narrower

BOOL, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
F16, F32 = ir.HalfType(), ir.FloatType()
PTR = ir.PointerType()
VF = ir.VectorType(F32, LANES)
VI = ir.VectorType(I32, LANES)

Value = Any  # llvmlite has no types of its own
STEP = ir.FunctionType(ir.VoidType(), [PTR, PTR])  # (arguments: int64 array, shared work counter)


def new_module(name: str) -> ir.Module:
    """An empty module (its own context: type names never clash)."""
    return ir.Module(name=name, context=ir.Context())


class Fn:
    """One function under construction."""

    def __init__(self, module: ir.Module, name: str, kind: ir.FunctionType, *, inner: bool = False) -> None:
        self.module = module
        self.function = ir.Function(module, kind, name)
        self.function.attributes.add("nounwind")
        if inner:
            self.function.linkage = "internal"
            self.function.attributes.add("noinline")
        self.args = self.function.args
        entry = self.function.append_basic_block("entry")
        body = self.function.append_basic_block("body")
        ir.IRBuilder(entry).branch(body)
        self._slots = entry
        self.b = ir.IRBuilder(body)

    # constants, slots

    def i64(self, value: int) -> Value:
        return ir.Constant(I64, value)

    def vf(self, value: float) -> Value:
        return ir.Constant(VF, [value] * LANES)

    def vi(self, value: int, kind: ir.Type = VI) -> Value:
        return ir.Constant(kind, [value] * kind.count)

    def slot(self, kind: ir.Type, value: Value | None = None, align: int | None = None) -> Value:
        """Room on the stack, reserved once per call; set to `value` here."""
        at = ir.IRBuilder(self.function.entry_basic_block)
        at.position_before(self._slots.terminator)
        room = at.alloca(kind)
        if align:
            room.align = align
        room.type = PTR
        if value is not None:
            self.b.store(value, room)
        return room

    def get(self, slot: Value, kind: ir.Type) -> Value:
        return self.b.load(slot, typ=kind)

    def set(self, slot: Value, value: Value) -> None:
        self.b.store(value, slot)

    # addresses: byte offsets

    def at(self, base: Value, *terms: Value | int | tuple[Value, int]) -> Value:
        """base + the terms in bytes; a pair is (index, stride)."""
        for term in terms:
            if isinstance(term, tuple):
                term = self.b.mul(term[0], self.i64(term[1]) if isinstance(term[1], int) else term[1])
            elif isinstance(term, int):
                if term == 0:
                    continue
                term = self.i64(term)
            base = self.b.gep(base, [term], source_etype=I8)
        return base

    def load(self, kind: ir.Type, base: Value, *terms: Any, align: int = 1) -> Value:
        return self.b.load(self.at(base, *terms), align=align, typ=kind)

    def store(self, value: Value, base: Value, *terms: Any, align: int = 1) -> None:
        self.b.store(value, self.at(base, *terms), align=align)

    def prefetch(self, base: Value, size: int, *, into: int) -> None:
        """Ask for the `size` bytes from `base` on, which may lie beyond what there is, into cache level `into` (1, 2)."""
        read, keep, data = (ir.Constant(I32, value) for value in (0, 4 - into, 1))
        for line in range(0, size, 64):
            callee = self.module.globals.get("llvm.prefetch.p0")
            if callee is None:
                kind = ir.FunctionType(ir.VoidType(), [PTR, I32, I32, I32])
                callee = ir.Function(self.module, kind, "llvm.prefetch.p0")
            self.b.call(callee, [self.at(base, line), read, keep, data])

    def arg(self, index: int, kind: ir.Type = I64) -> Value:
        """Slot `index` of a step's int64 arguments, as a number or a pointer."""
        return self.load(kind, self.args[0], 8 * index, align=8)

    # control

    @contextmanager
    def loop(self, start: Value | int, stop: Value | int, step: int = 1) -> Iterator[Value]:
        """for i in range(start, stop, step), int64."""
        first = self.i64(start) if isinstance(start, int) else start
        last = self.i64(stop) if isinstance(stop, int) else stop
        blocks = [self.function.append_basic_block(name) for name in ("head", "do", "done")]
        before = self.b.block
        self.b.branch(blocks[0])
        self.b.position_at_end(blocks[0])
        index = self.b.phi(I64)
        index.add_incoming(first, before)
        self.b.cbranch(self.b.icmp_signed("<", index, last), blocks[1], blocks[2])
        self.b.position_at_end(blocks[1])
        yield index
        index.add_incoming(self.b.add(index, self.i64(step)), self.b.block)
        self.b.branch(blocks[0])
        self.b.position_at_end(blocks[2])

    @contextmanager
    def work(self, items: Value) -> Iterator[Value]:
        """Take item numbers from the shared counter until `items` are done: threads share a step this way."""
        head, do, done = (self.function.append_basic_block(name) for name in ("take", "do", "done"))
        self.b.branch(head)
        self.b.position_at_end(head)
        item = self.b.atomic_rmw("add", self.args[1], self.i64(1), "monotonic")
        self.b.cbranch(self.b.icmp_signed("<", item, items), do, done)
        self.b.position_at_end(do)
        yield item
        self.b.branch(head)
        self.b.position_at_end(done)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        with self.b.if_then(condition):
            yield

    def finish(self) -> None:
        self.b.ret_void()

    # vectors

    def splat(self, value: Value, lanes: int = LANES) -> Value:
        kind = ir.VectorType(value.type, lanes)
        one = self.b.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(I32, 0))
        return self.b.shuffle_vector(
            one, ir.Constant(kind, ir.Undefined), self.vi(0, ir.VectorType(I32, lanes))
        )

    def pick(self, vector: Value, lanes: list[int], other: Value | None = None) -> Value:
        mask = ir.Constant(ir.VectorType(I32, len(lanes)), lanes)
        other = ir.Constant(vector.type, ir.Undefined) if other is None else other
        return self.b.shuffle_vector(vector, other, mask)

    def call(self, name: str, result: ir.Type, *values: Value) -> Value:
        """A function of this module or an LLVM intrinsic, declared when first used."""
        callee = self.module.globals.get(name)
        if callee is None:
            callee = ir.Function(self.module, ir.FunctionType(result, [v.type for v in values]), name)
        return self.b.call(callee, values)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        return self.call(f"llvm.fma.{_suffix(c.type)}", c.type, a, b, c)

    def math(self, name: str, *values: Value) -> Value:
        """sqrt, rint, fabs… of floats or vectors of them."""
        kind = values[0].type
        return self.call(f"llvm.{name}.{_suffix(kind)}", kind, *values)

    def total(self, vector: Value) -> Value:
        """Sum of the lanes, pairwise (the same order on every path)."""
        lanes = vector.type.count
        while lanes > 1:
            half = lanes // 2
            low, high = self.pick(vector, list(range(half))), self.pick(vector, list(range(half, lanes)))
            add = self.b.fadd if vector.type.element == F32 else self.b.add
            vector, lanes = add(low, high), half
        return self.b.extract_element(vector, ir.Constant(I32, 0))

    def larger(self, a: Value, b: Value) -> Value:
        """The larger lanes (of a NaN and a number: the second). One instruction, where LLVM's maxnum takes three."""
        return self.b.select(self.b.fcmp_ordered(">", a, b), a, b)

    def smaller(self, a: Value, b: Value) -> Value:
        """The smaller lanes."""
        return self.b.select(self.b.fcmp_ordered("<", a, b), a, b)

    def largest(self, vector: Value) -> Value:
        """The largest lane."""
        lanes = vector.type.count
        while lanes > 1:
            half = lanes // 2
            low, high = self.pick(vector, list(range(half))), self.pick(vector, list(range(half, lanes)))
            vector, lanes = self.larger(low, high), half
        return self.b.extract_element(vector, ir.Constant(I32, 0))

    def exp(self, x: Value) -> Value:
        """e**x for a vector of floats, within 2 units in the last place; clamped to float32's range."""
        b, vf = self.b, self.vf
        x = self.larger(self.smaller(x, vf(88.0)), vf(-87.0))
        n = self.math("rint", b.fmul(x, vf(1.4426950408889634)))
        r = self.fma(n, vf(-0.693359375), x)
        r = self.fma(n, vf(2.12194440e-4), r)
        p = vf(1.9875691500e-4)
        for factor in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5):
            p = self.fma(p, r, vf(factor))
        p = self.fma(p, b.fmul(r, r), b.fadd(r, vf(1.0)))
        power = b.shl(b.add(b.fptosi(n, VI), self.vi(127)), self.vi(23))
        return b.fmul(p, b.bitcast(power, VF))


def _suffix(kind: ir.Type) -> str:
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{_suffix(kind.element)}"
    return "f32" if kind == F32 else "f16" if kind == F16 else f"i{kind.width}"
