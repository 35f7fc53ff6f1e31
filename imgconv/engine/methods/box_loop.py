"""The loop of the box method: sums along a row by doubling, running sums down the columns."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from imgconv.engine.methods.band_loop import INDEX, SIGNATURE, band_at, fitting, line_filler
from imgconv.native.lanes import I64, SAMPLES, Sample, Vectors, advance, load, pointer_to, reinterpret, store, walk


def box(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """Equal weights; what fits in 16 bits along a row of 8-bit samples is summed so."""
    return _box(SAMPLES[dtype], types.uint16 if dtype == "uint8" else types.int32, wide)


def box_wide(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """The same for rows of more than 257 taps."""
    return _box(SAMPLES[dtype], types.int32, wide)


def _box(sample: Sample, short: Any, wide: bool) -> tuple[Any, Any]:
    """All sums are exact integers. The cost does not depend on the height, and grows with the logarithm of the width.

    `weights` holds the one weight over the scale.
    """
    sample = fitting(sample, wide)
    own, kind, whole = sample.numba, sample.sum, types.int32
    fill = line_filler(sample, short)
    sweep = running_row(sample, block=2)

    @njit(inline="always")
    def double(to, half, line, span, odd, step, count):  # type: ignore[no-untyped-def]
        """Sums of 2·span or 2·span + 1 neighbours from those of span."""
        ahead = advance(half, span * step)
        last = advance(line, 2 * span * step)
        if odd:
            for i in range(count):
                store(to, i, short(load(half, i) + load(ahead, i) + load(last, i)))
        else:
            for i in range(count):
                store(to, i, short(load(half, i) + load(ahead, i)))

    def loop(address):  # type: ignore[no-untyped-def]
        b = band_at(address)
        target, row_map = pointer_to(b.target, own), pointer_to(b.row_map, INDEX)
        kernel_rows, reach, step, rows, samples = b.kernel_rows, b.reach, b.step, b.rows, b.samples
        target_stride, tile = b.target_stride, b.tile
        slot = tile + reach + b.slack
        sums = pointer_to(b.ring, whole)  # the other lines hold `short`
        line = reinterpret(advance(sums, slot), short)
        kept = advance(line, 3 * slot)  # sums along the row: those of the last kernel_rows rows, and a new one
        turns = kernel_rows + 1
        columns = reach // step + 1
        bits = 0
        while columns >> (bits + 1):
            bits += 1
        factor, base = load(pointer_to(b.weights, kind), 0), kind(b.base)
        clipped = 0
        x = 0
        while x < samples:
            width = min(tile, samples - x)
            length = width + reach
            for i in range(width):
                store(sums, i, whole(0))
            for i in range(turns * slot):
                store(kept, i, short(0))
            for r in range(rows + kernel_rows - 1):
                newest = advance(kept, (r % turns) * slot)
                oldest = advance(kept, ((r + 1) % turns) * slot)
                fill(b, newest if bits == 0 else line, load(row_map, r), x, x + length)
                half = line
                span = 1
                for bit in range(bits):
                    odd = (columns >> (bits - 1 - bit)) & 1
                    to = newest if bit == bits - 1 else advance(line, (1 + bit % 2) * slot)
                    double(to, half, line, span, odd, step, length - (2 * span + odd - 1) * step)
                    half = to
                    span = 2 * span + odd
                if r < kernel_rows - 1:
                    for i in range(width):
                        store(sums, i, whole(load(sums, i) + whole(load(newest, i))))
                else:
                    to_row = (r - kernel_rows + 1) * target_stride + x
                    clipped += sweep(sums, newest, oldest, factor, base, target, to_row, width)
            x += tile
        return clipped

    return loop, SIGNATURE


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
