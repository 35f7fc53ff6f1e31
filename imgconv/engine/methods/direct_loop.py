"""The loop of the direct method: for one kernel shape with every tap written out, or for any list of taps."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from imgconv.engine.methods.band_loop import INDEX, ROWS_AT_ONCE, banded, fitting
from imgconv.native.lanes import I64, SAMPLES, Sample, Vectors, pointer_to, walk


def direct(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """Sums in float32 or float64, in Pillow's order."""
    return unrolled(SAMPLES[dtype], shape, wide) if shape else listed(SAMPLES[dtype], wide)


def in_order(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """Any list of taps, added one by one from the top row down."""
    return listed(SAMPLES[dtype], wide, bottom_first=False)


@njit(inline="always")
def _four_or_one(kernel_rows, left):  # type: ignore[no-untyped-def]
    return 4 if left >= 4 else 1


@njit(inline="always")
def _one(kernel_rows, left):  # type: ignore[no-untyped-def]
    return 1


def unrolled(sample: Sample, shape: tuple[int, int], wide: bool) -> tuple[Any, Any]:
    """The loop for a kernel shape, four output rows at once."""
    sample = fitting(sample, wide)
    kind = sample.sum
    # of 3×3 all weights and eight sums fit in 32 registers; floating sums wait for memory, not for each other
    block = 2 if wide and shape == (3, 3) and sample.low is not None else 1
    sweep_rows = unrolled_rows(sample, *shape, ROWS_AT_ONCE, block=block)
    sweep_row = unrolled_rows(sample, *shape, 1, block=1)

    @njit(inline="always")
    def sweep(b, taken, ring, lines, target, starts, width):  # type: ignore[no-untyped-def]
        step, weights, base, stream = b.step, pointer_to(b.weights, kind), kind(b.base), b.stream
        if taken == 1:
            return sweep_row(ring, lines, step, weights, base, target, starts, width, stream)
        return sweep_rows(ring, lines, step, weights, base, target, starts, width, stream)

    return banded(sample, sweep, _four_or_one, ROWS_AT_ONCE, kernel_rows=shape[0])


def listed(sample: Sample, wide: bool, *, bottom_first: bool = True) -> tuple[Any, Any]:
    """The loop for any list of taps, one output row after the other."""
    sample = fitting(sample, wide)
    kind = sample.sum
    sweep_row = listed_row(sample, block=8 if wide else 6, bottom_first=bottom_first)

    @njit(inline="always")
    def sweep(b, taken, ring, lines, target, starts, width):  # type: ignore[no-untyped-def]
        ends, shifts, weights = pointer_to(b.ends, INDEX), pointer_to(b.shifts, INDEX), pointer_to(b.weights, kind)
        return sweep_row(
            ring, lines, b.kernel_rows, ends, shifts, weights, kind(b.base), target, starts, width, b.stream
        )

    return banded(sample, sweep, _one, 1)


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


def listed_row(sample: Sample, block: int, *, bottom_first: bool) -> Any:
    """An intrinsic: the sums of one output row under any kernel, given as a list of taps: same order, same bytes.

    `ends[i]` is one past the last tap of the i-th kernel row in the order of adding; `shifts` are in samples. The
    bottom row is added first, each row summed by itself before; or every product as it comes, from the top row down.
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
        starts: Any,
        samples: Any,
        stream: Any,
    ) -> Any:
        def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
            ring, lines, count, ends, shifts, weights, base, dst, starts, samples, stream = args
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
                    row = b.sub(b.sub(count, one), loop.index) if bottom_first else loop.index
                    line = b.gep(ring, [b.add(b.load(b.gep(lines, [row])), x)])
                    begin, end = b.load(first), b.load(b.gep(ends, [loop.index]))

                    def add(into: list[Any], start: Any) -> None:
                        with cgutils.for_range_slice(b, start, end, one, I64) as (tap, _):
                            for total, product in zip(into, products(line, tap), strict=True):
                                b.store(v.add(b.load(total), product), total)

                    if not bottom_first:
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

            return walk(v, dst, [b.load(starts)], samples, stream, block, sums)

        arguments = (
            ring, lines, types.intp, ends, shifts, weights, base, dst, starts, types.intp, types.intp,
        )  # fmt: skip
        return types.intp(*arguments), codegen

    return sweep
