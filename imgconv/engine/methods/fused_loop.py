"""The loop of the fused method: dense kernels of any shape with fused multiply-add, four output rows at once."""

from __future__ import annotations

import itertools
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from imgconv.engine.methods.band_loop import banded, fitting
from imgconv.native.lanes import I64, SAMPLES, Sample, Vectors, pointer_to, walk


def fused(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """All taps of a kernel added as they come."""
    return _dense(SAMPLES[dtype], wide, by_rows=False)


def fused_by_rows(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """The same, each row of the kernel summed by itself first: more exact where there are many taps."""
    return _dense(SAMPLES[dtype], wide, by_rows=True)


@njit(inline="always")
def _four_two_or_one(kernel_rows, left):  # type: ignore[no-untyped-def]
    if kernel_rows >= 4 and left >= 4:
        return 4
    return 2 if kernel_rows >= 2 and left >= 2 else 1


def _dense(sample: Sample, wide: bool, *, by_rows: bool) -> tuple[Any, Any]:
    sample = fitting(sample, wide)
    kind = sample.sum
    sweep_four = fused_rows(sample, 4, block=4 if wide else 2, by_rows=by_rows)
    sweep_two = fused_rows(sample, 2, block=6 if wide else 3, by_rows=by_rows)
    sweep_one = fused_rows(sample, 1, block=8 if wide else 4, by_rows=by_rows)

    @njit(inline="always")
    def sweep(b, taken, ring, lines, target, starts, width):  # type: ignore[no-untyped-def]
        rows, reach, step, weights, base = b.kernel_rows, b.reach, b.step, pointer_to(b.weights, kind), kind(b.base)
        if taken == 4:
            return sweep_four(ring, lines, rows, reach, step, weights, base, target, starts, width, b.stream)
        if taken == 2:
            return sweep_two(ring, lines, rows, reach, step, weights, base, target, starts, width, b.stream)
        return sweep_one(ring, lines, rows, reach, step, weights, base, target, starts, width, b.stream)

    return banded(sample, sweep, _four_two_or_one, 4)


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
