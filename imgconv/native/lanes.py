"""The few vector operations that plain Numba source cannot spell, as Numba intrinsics.

Why not leave the vectors to LLVM: with two rows at once its vectoriser gives up on the alias checks, and with one row
it uses each loaded vector once. Written out, the inner loop has no checks, uses a loaded vector for two output rows,
and looks the same on every CPU: LLVM splits the wide vectors into whatever registers the machine has.
No operation here is reassociated or contracted (no fused multiply-add), so the bytes do not depend on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

I1, I16, I32, I64 = ir.IntType(1), ir.IntType(16), ir.IntType(32), ir.IntType(64)


class Sample(NamedTuple):
    """How one sample type is computed: sums are taken in `sum`, then brought into [low, high] and cut (integers).

    `lanes` samples fill a 512-bit register; elsewhere half as many are taken at once.
    """

    numba: Any
    sum: Any
    low: float | None
    high: float | None
    lanes: int


def below(limit: float, dtype: type[np.floating[Any]]) -> float:
    """The largest number of `dtype` under `limit`."""
    return float(np.nextafter(dtype(limit), dtype(0)))


SAMPLES = {
    "uint8": Sample(types.uint8, types.float32, 0.0, below(2.0**8, np.float32), 16),
    "uint16": Sample(types.uint16, types.float32, 0.0, below(2.0**16, np.float32), 16),
    "int32": Sample(types.int32, types.float64, -(2.0**31), below(2.0**31, np.float64), 8),
    "float32": Sample(types.float32, types.float32, None, None, 16),
    "float64": Sample(types.float64, types.float64, None, None, 8),
}
DOUBLE = Sample(types.uint16, types.float64, 0.0, below(2.0**16, np.float64), 8)  # 16-bit samples under many taps
WHOLE = Sample(types.uint8, types.int16, 0.0, 255.0, 32)  # 8-bit samples summed in 16-bit integers


@intrinsic
def load(typingctx: Any, pointer: Any, index: Any) -> Any:
    """pointer[index], with no wrap-around for negative indices."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.gep(args[0], [args[1]]), align=pointer.dtype.bitwidth // 8)

    return pointer.dtype(pointer, types.intp), codegen


@intrinsic
def store(typingctx: Any, pointer: Any, index: Any, value: Any) -> Any:
    """pointer[index] = value."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], builder.gep(args[0], [args[1]]), align=pointer.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(pointer, types.intp, pointer.dtype), codegen


@intrinsic
def advance(typingctx: Any, pointer: Any, count: Any) -> Any:
    """pointer + count elements."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, types.intp), codegen


@intrinsic
def reinterpret(typingctx: Any, pointer: Any, kind: Any) -> Any:
    """The same address as a pointer to another type."""
    target: Any = types.CPointer(kind.dtype)  # type: ignore[attr-defined]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(target))

    return target(pointer, kind), codegen


@intrinsic
def pointer_to(typingctx: Any, address: Any, kind: Any) -> Any:
    """The samples of a type at an address."""
    target: Any = types.CPointer(kind.dtype)  # type: ignore[attr-defined]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(target))

    return target(address, kind), codegen


@intrinsic
def distance(typingctx: Any, pointer: Any, origin: Any) -> Any:
    """Elements of the pointer's type from `origin` to `pointer`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        numbers = [builder.ptrtoint(arg, I64) for arg in args]
        return builder.sdiv(builder.sub(*numbers), ir.Constant(I64, pointer.dtype.bitwidth // 8))

    return types.int64(pointer, origin), codegen


@intrinsic
def prefetch(typingctx: Any, pointer: Any, index: Any) -> Any:
    """Asks for the cache line of pointer[index]; any address will do."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [args[0].type, I32, I32, I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        to_read, every_cache, data = (ir.Constant(I32, n) for n in (0, 3, 1))
        builder.call(function, [builder.gep(args[0], [args[1]]), to_read, every_cache, data])
        return context.get_dummy_value()

    return types.none(pointer, types.intp), codegen


class Vectors:
    """Emits LLVM vector code of one width for one sample type into a Numba function."""

    def __init__(self, builder: Any, sample: Sample, dst: Any) -> None:
        self.b = builder
        self.sample = sample
        self.lanes = lanes = sample.lanes
        self.whole = sample.sum is types.int16
        self.scalar = {types.float32: ir.FloatType(), types.float64: ir.DoubleType(), types.int16: I16}[sample.sum]
        self.vector = ir.VectorType(self.scalar, lanes)
        self.ints = ir.VectorType(I32, lanes)
        self.out = ir.VectorType(dst.type.pointee, lanes)
        self.sum_bytes = sample.sum.bitwidth // 8
        self.out_bytes = sample.numba.bitwidth // 8

    def constant(self, value: float) -> Any:
        return ir.Constant(self.vector, [value] * self.lanes)

    def add(self, a: Any, b: Any) -> Any:
        return self.b.add(a, b) if self.whole else self.b.fadd(a, b)

    def multiply(self, a: Any, b: Any) -> Any:
        return self.b.mul(a, b) if self.whole else self.b.fmul(a, b)

    def fused(self, a: Any, b: Any, c: Any) -> Any:
        """a * b + c, rounded once."""
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        name = f"llvm.fma.v{self.lanes}{'f32' if self.sum_bytes == 4 else 'f64'}"
        return self.b.call(cgutils.get_or_insert_function(self.b.module, kind, name), [a, b, c])

    def splat(self, scalar: Any) -> Any:
        undefined = ir.Constant(ir.VectorType(scalar.type, self.lanes), ir.Undefined)
        one = self.b.insert_element(undefined, scalar, ir.Constant(I32, 0))
        return self.b.shuffle_vector(one, undefined, ir.Constant(self.ints, [0] * self.lanes))

    def load(self, pointer: Any, index: Any) -> Any:
        address = self.b.gep(pointer, [index])
        return self.b.load(self.b.bitcast(address, self.vector.as_pointer()), align=self.sum_bytes)

    def load_samples(self, pointer: Any, index: Any) -> Any:
        """8- or 16-bit samples without a sign, as they are summed."""
        kind = ir.VectorType(pointer.type.pointee, self.lanes)
        address = self.b.bitcast(self.b.gep(pointer, [index]), kind.as_pointer())
        found = self.b.load(address, align=pointer.type.pointee.width // 8)
        return self.b.sitofp(self.b.zext(found, self.ints), self.vector)

    def load_whole(self, pointer: Any, index: Any) -> Any:
        """16-bit unsigned or 32-bit integers, as 32 bits."""
        kind = ir.VectorType(pointer.type.pointee, self.lanes)
        width = pointer.type.pointee.width
        found = self.b.load(self.b.bitcast(self.b.gep(pointer, [index]), kind.as_pointer()), align=width // 8)
        return found if width == 32 else self.b.zext(found, self.ints)

    def finish(self, total: Any) -> tuple[Any, Any]:
        """Sums -> (output samples, mask of those that were clipped or None)."""
        b = self.b
        if self.sample.low is None or self.sample.high is None:
            return total, None
        if self.whole:
            return self._finish_whole(total)
        low, high = self.constant(self.sample.low), self.constant(self.sample.high)
        inside = b.select(b.fcmp_ordered(">", total, low), total, low)
        inside = b.select(b.fcmp_ordered("<", inside, high), inside, high)
        whole = b.fptosi(inside, self.ints)
        if self.sample.low < 0:  # cutting goes toward zero; rounding half up needs the floor
            above = b.fcmp_ordered(">", b.sitofp(whole, self.vector), inside)
            whole = b.add(whole, b.sext(above, self.ints))
        samples = whole if self.out == self.ints else b.trunc(whole, self.out)
        return samples, b.fcmp_unordered("!=", total, inside)

    def _finish_whole(self, total: Any) -> tuple[Any, Any]:
        """floor(total * factor / 2**16) >> shift, the division by the scale, for 16-bit sums."""
        b = self.b
        ints = ir.VectorType(I32, self.lanes)
        sixteen = ir.Constant(ints, [16] * self.lanes)
        product = b.mul(b.sext(total, ints), b.sext(self.factor, ints))  # LLVM makes one instruction of this
        value = b.ashr(b.trunc(b.ashr(product, sixteen), self.vector), self.shift)
        low, high = self.constant(0), self.constant(255)
        inside = b.select(b.icmp_signed(">", value, low), value, low)
        inside = b.select(b.icmp_signed("<", inside, high), inside, high)
        # unsigned, what is below 0 is above 255
        return b.trunc(inside, self.out), b.icmp_unsigned(">", value, high)

    def divide_by(self, factor: Any, shift: Any) -> None:
        """How 16-bit sums are divided: scalars."""
        self.factor, self.shift = self.splat(factor), self.splat(shift)

    def store(self, samples: Any, pointer: Any, index: Any, past_caches: bool = False) -> None:
        """Past the caches only to addresses that are multiples of the vector's size."""
        address = self.b.bitcast(self.b.gep(pointer, [index]), self.out.as_pointer())
        if past_caches:
            stored = self.b.store(samples, address, align=self.lanes * self.out_bytes)
            stored.set_metadata("nontemporal", self.b.module.add_metadata([ir.Constant(I32, 1)]))
        else:
            self.b.store(samples, address, align=self.out_bytes)

    def store_first(self, samples: Any, pointer: Any, index: Any, mask: Any) -> None:
        """Stores the lanes that `mask` selects."""
        address = self.b.bitcast(self.b.gep(pointer, [index]), self.out.as_pointer())
        name = f"llvm.masked.store.v{self.lanes}{self._suffix()}.p0"
        kind = ir.FunctionType(ir.VoidType(), [self.out, self.out.as_pointer(), I32, ir.VectorType(I1, self.lanes)])
        function = cgutils.get_or_insert_function(self.b.module, kind, name)
        self.b.call(function, [samples, address, ir.Constant(I32, self.out_bytes), mask])

    def _suffix(self) -> str:
        element = self.out.element
        if isinstance(element, ir.IntType):
            return f"i{element.width}"
        return "f32" if isinstance(element, ir.FloatType) else "f64"

    def first(self, count: Any) -> Any:
        """Mask of the first `count` lanes."""
        lane = ir.Constant(self.ints, list(range(self.lanes)))
        return self.b.icmp_signed("<", lane, self.splat(self.b.trunc(count, I32)))


def walk(
    v: Vectors,
    dst: Any,
    dst_rows: Sequence[Any],
    samples: Any,
    stream: Any,
    block: int,
    sums: Callable[[Any, int], list[list[Any]]],
) -> Any:
    """Emits the loop along a row: whole blocks, then single vectors, the last one masked. Returns the clipped count.

    `sums(x, n)` emits the sums of n vectors from sample x on, for each output row. Where `stream` is not 0, floating
    results go past the caches; the rows then lie alike on cache lines. For 8 and 16 bits that brings nothing.
    """
    b = v.b
    # counted in lanes as wide as the sums: a row of a tile has far fewer vectors than 16 bits can count
    counts = ir.VectorType(I16 if v.whole else I32, v.lanes)
    clipped = cgutils.alloca_once_value(b, ir.Constant(counts, [0] * v.lanes))
    one = ir.Constant(counts, [1] * v.lanes)

    def emit(x: Any, count: int, mask: Any, past_caches: bool = False) -> None:
        for start, row in zip(dst_rows, sums(x, count), strict=True):
            for n, total in enumerate(row):
                out, over = v.finish(total)
                at = b.add(b.add(start, x), ir.Constant(I64, n * v.lanes))
                if mask is None:
                    v.store(out, dst, at, past_caches)
                else:
                    v.store_first(out, dst, at, mask)
                if over is not None:
                    over = over if mask is None else b.and_(over, mask)
                    before = b.load(clipped)
                    b.store(b.select(over, b.add(before, one), before), clipped)

    step, zero = ir.Constant(I64, v.lanes * block), ir.Constant(I64, 0)

    def blocks(start: Any, *, past_caches: bool) -> Any:
        """Whole blocks from `start` on; returns where they end."""
        stop = b.add(start, b.mul(b.sdiv(b.sub(samples, start), step), step))
        with cgutils.for_range_slice(b, start, stop, step, I64) as (x, _):
            emit(x, block, None, past_caches)
        return stop

    done = cgutils.alloca_once(b, I64)
    if v.sample.low is None:
        with b.if_else(b.icmp_signed("!=", stream, zero)) as (then, otherwise):
            with then:
                vector_bytes = v.lanes * v.out_bytes
                past = b.and_(b.ptrtoint(b.gep(dst, [dst_rows[0]]), I64), ir.Constant(I64, vector_bytes - 1))
                head = b.and_(b.sub(ir.Constant(I64, vector_bytes), past), ir.Constant(I64, vector_bytes - 1))
                head = b.udiv(head, ir.Constant(I64, v.out_bytes))
                head = b.select(b.icmp_signed("<", head, samples), head, samples)
                emit(zero, 1, v.first(head))
                b.store(blocks(head, past_caches=True), done)
            with otherwise:
                b.store(blocks(zero, past_caches=False), done)
    else:
        b.store(blocks(zero, past_caches=False), done)
    whole = b.load(done)
    with cgutils.for_range_slice(b, whole, samples, ir.Constant(I64, v.lanes), I64) as (x, _):
        emit(x, 1, v.first(b.sub(samples, x)))
    kind = ir.FunctionType(I32, [v.ints])
    add = cgutils.get_or_insert_function(b.module, kind, f"llvm.vector.reduce.add.v{v.lanes}i32")
    total = b.load(clipped)
    return b.zext(b.call(add, [b.zext(total, v.ints) if v.whole else total]), I64)
