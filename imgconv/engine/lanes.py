"""The few vector operations that plain Numba source cannot spell, as Numba intrinsics.

Why not leave the vectors to LLVM: with two rows at once its vectoriser gives up on the alias checks, and with one row
it uses each loaded vector once. Written out, the inner loop has no checks, uses a loaded vector for two output rows,
and looks the same on every CPU: LLVM splits the wide vectors into whatever registers the machine has.
No operation here is reassociated or contracted (no fused multiply-add), so the bytes do not depend on the CPU.
"""

from __future__ import annotations

import itertools
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


def unrolled_rows(sample: Sample, rows: int, columns: int, at_once: int, block: int) -> Any:
    """An intrinsic: the sums of `at_once` output rows under a kernel of fixed shape, every tap written out.

    Sums start from `base`; kernel rows are added from the bottom one up, each summed left to right first: Pillow's
    order. A vector that is loaded serves every output row that it lies under.
    """

    @intrinsic
    def sweep(
        typingctx: Any,
        ring: Any,
        lines: Any,
        step: Any,
        weights: Any,
        base: Any,
        dst: Any,
        starts: Any,
        samples: Any,
        stream: Any,
    ) -> Any:
        def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
            ring, lines, step, weights, base, dst, starts, samples, stream = args
            v = Vectors(b, sample, dst)

            def item(pointer: Any, index: int) -> Any:
                return b.load(b.gep(pointer, [ir.Constant(I64, index)]))

            line = [b.gep(ring, [item(lines, i)]) for i in range(rows + at_once - 1)]
            taps = [[v.splat(item(weights, i * columns + j)) for j in range(columns)] for i in range(rows)]
            bases = v.splat(base)
            shifts = [b.mul(step, ir.Constant(I64, j)) for j in range(columns)]
            if v.whole:
                v.divide_by(item(weights, rows * columns), item(weights, rows * columns + 1))

            def sums(x: Any, count: int) -> list[list[Any]]:
                total = [[bases] * count for _ in range(at_once)]
                at = [
                    [b.add(b.add(x, ir.Constant(I64, n * v.lanes)), shifts[j]) for n in range(count)]
                    for j in range(columns)
                ]
                for i in reversed(range(rows + at_once - 1)):
                    under = [r for r in range(at_once) if 0 <= i - r < rows]
                    partial: dict[tuple[int, int], Any] = {}
                    for j in range(columns):
                        for n in range(count):
                            samples_here = v.load(line[i], at[j][n])
                            for r in under:
                                product = v.multiply(taps[i - r][j], samples_here)
                                partial[r, n] = v.add(partial[r, n], product) if j else product
                    for r in under:
                        for n in range(count):
                            total[r][n] = v.add(total[r][n], partial[r, n])
                return total

            starts_ = [item(starts, r) for r in range(at_once)]
            return walk(v, dst, starts_, samples, stream, block, sums)

        arguments = (ring, lines, types.intp, weights, base, dst, starts, types.intp, types.intp)
        return types.intp(*arguments), codegen

    return sweep


def listed_row(sample: Sample, block: int, *, by_rows: bool) -> Any:
    """An intrinsic: the sums of one output row under any kernel, given as a list of taps: same order, same bytes.

    `ends[i]` is one past the last tap of the i-th ring line; `shifts` are in samples. Each line is summed by itself
    first (`by_rows`), or every product is added as it comes.
    """

    @intrinsic
    def sweep(
        typingctx: Any,
        ring: Any,
        lines: Any,
        count: Any,
        ends: Any,
        shifts: Any,
        weights: Any,
        base: Any,
        dst: Any,
        start: Any,
        samples: Any,
        stream: Any,
    ) -> Any:
        def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
            ring, lines, count, ends, shifts, weights, base, dst, start, samples, stream = args
            v = Vectors(b, sample, dst)
            one = ir.Constant(I64, 1)
            if v.whole:  # behind the taps lie the factor and the shift
                last = b.load(b.gep(ends, [b.sub(count, one)]))
                factor, shift = (b.load(b.gep(weights, [b.add(last, ir.Constant(I64, i))])) for i in (0, 1))
                v.divide_by(factor, shift)

            def sums(x: Any, vectors: int) -> list[list[Any]]:
                bases = v.splat(base)
                totals = [cgutils.alloca_once_value(b, bases) for _ in range(vectors)]
                partials = [cgutils.alloca_once(b, v.vector) for _ in range(vectors)]
                for total in totals:
                    b.store(bases, total)
                first = cgutils.alloca_once_value(b, ir.Constant(I64, 0))
                b.store(ir.Constant(I64, 0), first)

                def products(line: Any, tap: Any) -> list[Any]:
                    weight = v.splat(b.load(b.gep(weights, [tap])))
                    at = b.gep(line, [b.load(b.gep(shifts, [tap]))])
                    return [v.multiply(weight, v.load(at, ir.Constant(I64, n * v.lanes))) for n in range(vectors)]

                with cgutils.for_range(b, count, intp=I64) as loop:
                    line = b.gep(ring, [b.add(b.load(b.gep(lines, [loop.index])), x)])
                    begin, end = b.load(first), b.load(b.gep(ends, [loop.index]))

                    def add(into: list[Any], start: Any) -> None:
                        with cgutils.for_range_slice(b, start, end, one, I64) as (tap, _):
                            for total, product in zip(into, products(line, tap), strict=True):
                                b.store(v.add(b.load(total), product), total)

                    if not by_rows:
                        add(totals, begin)
                    else:
                        with b.if_then(b.icmp_signed("<", begin, end)):
                            for partial, product in zip(partials, products(line, begin), strict=True):
                                b.store(product, partial)
                            add(partials, b.add(begin, one))
                            for total, partial in zip(totals, partials, strict=True):
                                b.store(v.add(b.load(total), b.load(partial)), total)
                    b.store(end, first)
                return [[b.load(total) for total in totals]]

            return walk(v, dst, [start], samples, stream, block, sums)

        arguments = (
            ring, lines, types.intp, ends, shifts, weights, base, dst, types.intp, types.intp, types.intp,
        )  # fmt: skip
        return types.intp(*arguments), codegen

    return sweep


def fused_rows(sample: Sample, at_once: int, block: int, *, single: bool = False, by_rows: bool = False) -> Any:
    """An intrinsic: fused sums of `at_once` output rows under any dense kernel (`single`: one column of taps).

    With `by_rows` each row of the kernel is summed by itself first, which makes smaller errors.

    A vector that is loaded serves every output row that it lies under. The kernel has at least `at_once` rows; each
    output row adds its rows from the bottom one up, however many are taken at once. Needs a CPU that fuses; not the
    direct method's bytes.
    """

    @intrinsic
    def sweep(
        typingctx: Any,
        ring: Any,
        lines: Any,
        count: Any,
        reach: Any,
        step: Any,
        weights: Any,
        base: Any,
        dst: Any,
        starts: Any,
        samples: Any,
        stream: Any,
    ) -> Any:
        def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
            ring, lines, count, reach, step, weights, base, dst, starts, samples, stream = args
            v = Vectors(b, sample, dst)
            one = ir.Constant(I64, 1)
            columns = one if single else b.add(b.sdiv(reach, step), one)

            def sums(x: Any, vectors: int) -> list[list[Any]]:
                bases = v.splat(base)
                zero = v.constant(0.0)
                totals = [[cgutils.alloca_once(b, v.vector) for _ in range(vectors)] for _ in range(at_once)]
                whole = [[cgutils.alloca_once(b, v.vector) for _ in row] for row in totals]
                for total in itertools.chain(*totals):
                    b.store(zero if by_rows else bases, total)
                for total in itertools.chain(*whole):
                    b.store(bases, total)

                def add_line(line: Any, rows: range) -> None:
                    """Adds a line to those output rows that it lies under."""
                    at = cgutils.alloca_once(b, I64)
                    b.store(b.add(b.load(b.gep(lines, [line])), x), at)

                    def add_tap(tap: Any) -> None:
                        here = b.load(at)
                        loaded = [v.load(ring, b.add(here, ir.Constant(I64, n * v.lanes))) for n in range(vectors)]
                        for r in rows:
                            index = b.add(b.mul(b.sub(line, ir.Constant(I64, r)), columns), tap)
                            weight = v.splat(b.load(b.gep(weights, [index])))
                            for total, value in zip(totals[r], loaded, strict=True):
                                b.store(v.fused(weight, value, b.load(total)), total)
                        b.store(b.add(here, step), at)

                    if single:
                        add_tap(ir.Constant(I64, 0))
                    else:
                        with cgutils.for_range(b, columns, intp=I64) as loop_along:
                            add_tap(loop_along.index)
                    for r in rows if by_rows else ():
                        for total, up_to_here in zip(totals[r], whole[r], strict=True):
                            b.store(b.fadd(b.load(up_to_here), b.load(total)), up_to_here)
                            b.store(zero, total)

                for missing in reversed(range(1, at_once)):  # below the window of the first output rows
                    add_line(b.add(count, ir.Constant(I64, missing - 1)), range(missing, at_once))
                under_all = b.sub(count, ir.Constant(I64, at_once - 1))
                with cgutils.for_range(b, under_all, intp=I64) as loop:
                    add_line(b.sub(b.sub(count, one), loop.index), range(at_once))
                for line in reversed(range(at_once - 1)):  # above the window of the last ones
                    add_line(ir.Constant(I64, line), range(line + 1))
                return [[b.load(total) for total in row] for row in (whole if by_rows else totals)]

            starts_ = [b.load(b.gep(starts, [ir.Constant(I64, r)])) for r in range(at_once)]
            return walk(v, dst, starts_, samples, stream, block, sums)

        arguments = (
            ring, lines, types.intp, types.intp, types.intp, weights, base, dst, starts, types.intp, types.intp,
        )  # fmt: skip
        return types.intp(*arguments), codegen

    return sweep


def coarse_rows(sample: Sample, at_once: int, block: int) -> Any:
    """An intrinsic: fused sums of a column of taps for `at_once` rows that lie `spread` apart, into floating lines.

    `ring` holds samples as they are in the picture. `weights` has (at_once - 1) · spread zeros above and below the
    taps, so that a vector that is loaded serves all rows. May write `block` vectors past the end.
    """

    @intrinsic
    def sweep(
        typingctx: Any,
        ring: Any,
        lines: Any,
        count: Any,
        spread: Any,
        weights: Any,
        target: Any,
        slot: Any,
        samples: Any,
    ) -> Any:
        def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
            ring, lines, count, spread, weights, target, slot, samples = args
            v = Vectors(b, sample, target)
            around = b.mul(spread, ir.Constant(I64, at_once - 1))
            window = b.add(count, around)
            zero, stride = ir.Constant(I64, 0), ir.Constant(I64, v.lanes * block)
            with cgutils.for_range_slice(b, zero, samples, stride, I64) as (x, _):
                totals = [[cgutils.alloca_once(b, v.vector) for _ in range(block)] for _ in range(at_once)]
                for row in totals:
                    for total in row:
                        b.store(v.constant(0.0), total)
                with cgutils.for_range(b, window, intp=I64) as loop:
                    at = b.add(b.load(b.gep(lines, [loop.index])), x)
                    loaded = [v.load_samples(ring, b.add(at, ir.Constant(I64, n * v.lanes))) for n in range(block)]
                    first = b.add(around, loop.index)
                    for r, row in enumerate(totals):
                        tap = b.sub(first, b.mul(spread, ir.Constant(I64, r)))
                        weight = v.splat(b.load(b.gep(weights, [tap])))
                        for total, value in zip(row, loaded, strict=True):
                            b.store(v.fused(weight, value, b.load(total)), total)
                for r, row in enumerate(totals):
                    start = b.add(b.mul(slot, ir.Constant(I64, r)), x)
                    for n, total in enumerate(row):
                        address = b.gep(target, [b.add(start, ir.Constant(I64, n * v.lanes))])
                        b.store(b.load(total), b.bitcast(address, v.vector.as_pointer()), align=v.sum_bytes)
            return context.get_dummy_value()

        arguments = (ring, lines, types.intp, types.intp, weights, target, types.intp, types.intp)
        return types.none(*arguments), codegen

    return sweep


def fused_line(sample: Sample, block: int) -> Any:
    """An intrinsic: one line filtered along itself, into another line; may write `block` vectors past the end."""

    @intrinsic
    def sweep(typingctx: Any, line: Any, weights: Any, count: Any, step: Any, target: Any, samples: Any) -> Any:
        def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
            line, weights, count, step, target, samples = args
            v = Vectors(b, sample, target)
            zero, stride = ir.Constant(I64, 0), ir.Constant(I64, v.lanes * block)
            with cgutils.for_range_slice(b, zero, samples, stride, I64) as (x, _):
                totals = [cgutils.alloca_once(b, v.vector) for _ in range(block)]
                for total in totals:
                    b.store(v.constant(0.0), total)
                at = cgutils.alloca_once(b, I64)
                b.store(x, at)
                with cgutils.for_range(b, count, intp=I64) as tap:
                    here = b.load(at)
                    weight = v.splat(b.load(b.gep(weights, [tap.index])))
                    for n, total in enumerate(totals):
                        value = v.load(line, b.add(here, ir.Constant(I64, n * v.lanes)))
                        b.store(v.fused(weight, value, b.load(total)), total)
                    b.store(b.add(here, step), at)
                for n, total in enumerate(totals):
                    address = b.gep(target, [b.add(x, ir.Constant(I64, n * v.lanes))])
                    b.store(b.load(total), b.bitcast(address, v.vector.as_pointer()), align=v.sum_bytes)
            return context.get_dummy_value()

        return types.none(line, weights, types.intp, types.intp, target, types.intp), codegen

    return sweep


def running_row(sample: Sample, block: int) -> Any:
    """An intrinsic: 32-bit sums go on by a new line minus an old one, then times a factor, plus a base, are a row."""

    @intrinsic
    def sweep(
        typingctx: Any, sums: Any, new: Any, old: Any, factor: Any, base: Any, dst: Any, start: Any, samples: Any
    ) -> Any:
        def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
            sums, new, old, factor, base, dst, start, samples = args
            v = Vectors(b, sample, dst)
            factors, bases = v.splat(factor), v.splat(base)

            def totals(x: Any, vectors: int) -> list[list[Any]]:
                row = []
                for n in range(vectors):
                    at = b.add(x, ir.Constant(I64, n * v.lanes))
                    address = b.bitcast(b.gep(sums, [at]), v.ints.as_pointer())
                    whole = b.add(b.load(address, align=4), b.sub(v.load_whole(new, at), v.load_whole(old, at)))
                    b.store(whole, address, align=4)
                    row.append(b.fadd(b.fmul(b.sitofp(whole, v.vector), factors), bases))
                return [row]

            return walk(v, dst, [start], samples, None, block, totals)

        return types.intp(sums, new, old, factor, base, dst, types.intp, types.intp), codegen

    return sweep
