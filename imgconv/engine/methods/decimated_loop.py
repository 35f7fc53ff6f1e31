"""The loop of the decimated method: of a smooth column of taps only every n-th row is summed."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from imgconv.engine.band import COARSE_AT_ONCE
from imgconv.engine.methods.band_loop import INDEX, SIGNATURE, band_at, fitting, line_filler
from imgconv.engine.methods.fused_loop import fused_rows
from imgconv.engine.methods.separable_loop import fused_line
from imgconv.native.lanes import I64, SAMPLES, Sample, Vectors, advance, load, pointer_to, reinterpret, store


def decimated(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """A smooth column of taps times a row of taps: the rows between the summed ones are interpolated.

    `ends` holds how far apart the coarse rows are, and how many of them each row is made of. `weights` holds the column
    with its zeros, the row, and for each row between two coarse ones what those weigh. Coarse rows are counted from the
    first row of the picture, so that their sums are the same in every band.
    """
    sample = fitting(SAMPLES[dtype], wide)
    kind, own = sample.sum, sample.numba
    fill = line_filler(sample, own)
    coarse = coarse_rows(sample, COARSE_AT_ONCE, block=4 if wide else 2)
    along = fused_line(sample, block=8 if wide else 4)
    sweep = fused_rows(sample, 1, block=8 if wide else 4, single=True)

    def loop(address):  # type: ignore[no-untyped-def]
        b = band_at(address)
        target, ring = pointer_to(b.target, own), pointer_to(b.ring, kind)
        row_map, lines, ends = pointer_to(b.row_map, INDEX), pointer_to(b.lines, INDEX), pointer_to(b.ends, INDEX)
        weights, base = pointer_to(b.weights, kind), kind(b.base)
        kernel_rows, reach, step, rows, samples = b.kernel_rows, b.reach, b.step, b.rows, b.samples
        target_stride, tile = b.target_stride, b.tile
        spread, mixed = load(ends, 0), load(ends, 1)
        slot = tile + reach + b.slack
        sums = ring  # of coarse rows, not yet summed along
        turns = mixed + COARSE_AT_ONCE
        ready = advance(sums, COARSE_AT_ONCE * slot)  # coarse rows
        raw = reinterpret(advance(ready, turns * slot), own)  # samples as they are
        window = kernel_rows + (COARSE_AT_ONCE - 1) * spread
        raw_turns = window + spread
        starts = advance(lines, raw_turns)
        row_weights = advance(weights, kernel_rows + 2 * (COARSE_AT_ONCE - 1) * spread)
        columns = reach // step + 1
        mixes = advance(row_weights, columns)
        phase = b.begin % spread
        last = rows + kernel_rows + spread * mixed - 3  # of the rows in row_map
        clipped = 0
        x = 0
        while x < samples:
            width = min(tile, samples - x)
            filled = 0
            done = 0
            for y in range(rows):
                place = phase + y
                while done < place // spread + mixed:
                    top = done * spread + spread - 1 - phase  # row_map begins `before` rows above the first window
                    while filled < top + window:
                        line = advance(raw, (filled % raw_turns) * slot)
                        at = load(row_map, min(filled, last))  # beyond it lies nothing that is used
                        fill(b, line, at, x, x + width + reach)
                        filled += 1
                    for i in range(window):
                        store(lines, i, ((top + i) % raw_turns) * slot)
                    coarse(raw, lines, kernel_rows, spread, weights, sums, slot, width + reach)
                    for i in range(COARSE_AT_ONCE):
                        to = advance(ready, ((done + i) % turns) * slot)
                        along(advance(sums, i * slot), row_weights, columns, step, to, width)
                    done += COARSE_AT_ONCE
                for i in range(mixed):
                    store(lines, i, ((place // spread + i) % turns) * slot)
                store(starts, 0, y * target_stride + x)
                mix = advance(mixes, (place % spread) * mixed)
                clipped += sweep(ready, lines, mixed, 0, 1, mix, base, target, starts, width, b.stream)
            x += tile
        return clipped

    return loop, SIGNATURE


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
