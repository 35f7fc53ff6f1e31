"""The loop of the separable method: columns of taps times rows of taps, and their sum."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from imgconv.engine.methods.band_loop import INDEX, banded, fitting, line_filler
from imgconv.engine.methods.fused_loop import fused_rows
from imgconv.native.lanes import DOUBLE, I64, SAMPLES, Sample, Vectors, advance, load, pointer_to


def separable(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """A column of taps times a row of taps."""
    return _terms(SAMPLES[dtype], wide, single=True)


def separable_double(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """The same for 16-bit samples in float64: where float32 would be off by a level."""
    return _terms(DOUBLE, wide, single=True)


def low_rank(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """A sum of columns of taps times rows of taps."""
    return _terms(SAMPLES[dtype], wide, single=False)


@njit(inline="always")
def _four_or_one(kernel_rows, left):  # type: ignore[no-untyped-def]
    return 4 if kernel_rows >= 4 and left >= 4 else 1


def _terms(sample: Sample, wide: bool, *, single: bool) -> tuple[Any, Any]:
    """Each source row is filtered along itself once for each term, then all of that is down the columns.

    `ends` holds how many terms there are, `weights` for each row of the kernel what each term weighs, then the terms'
    rows.
    """
    sample = fitting(sample, wide)
    kind = sample.sum
    widen = line_filler(sample)
    along = fused_line(sample, block=8 if wide else 4)
    sweep_four = fused_rows(sample, 4, block=4 if wide else 2, single=single)
    sweep_one = fused_rows(sample, 1, block=4, single=single)

    @njit(inline="always")
    def terms_of(b):  # type: ignore[no-untyped-def]
        return 1 if single else load(pointer_to(b.ends, INDEX), 0)

    @njit(inline="always")
    def slot_of(b):  # type: ignore[no-untyped-def]
        return terms_of(b) * (b.tile + b.slack)

    @njit(inline="always")
    def fill(b, line, at, begin, end):  # type: ignore[no-untyped-def]
        terms, step, reach, room = terms_of(b), b.step, b.reach, b.tile + b.slack
        raw = advance(pointer_to(b.ring, kind), (b.kernel_rows + 3) * terms * room)  # behind all lines
        widen(b, raw, at, begin, end)
        taps = advance(pointer_to(b.weights, kind), b.kernel_rows * terms)
        columns = reach // step + 1
        for term in range(terms):
            row = advance(taps, term * columns)
            along(raw, row, columns, step, advance(line, term * room), end - begin - reach)

    @njit(inline="always")
    def sweep(b, taken, ring, lines, target, starts, width):  # type: ignore[no-untyped-def]
        rows, room, weights, base = b.kernel_rows, b.tile + b.slack, pointer_to(b.weights, kind), kind(b.base)
        span = (terms_of(b) - 1) * room
        if taken == 4:
            return sweep_four(ring, lines, rows, span, room, weights, base, target, starts, width, b.stream)
        return sweep_one(ring, lines, rows, span, room, weights, base, target, starts, width, b.stream)

    return banded(sample, sweep, _four_or_one, 4, fill=fill, slot_of=slot_of)


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
