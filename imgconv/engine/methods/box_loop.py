"""The loop of the box method: sums along a row by doubling, running sums down the columns."""

from __future__ import annotations

from functools import partial
from typing import Any

from imgconv.engine.band import Band
from imgconv.engine.methods.row_loop import SAMPLES, fill_line, write_row
from imgconv.native.emit import I16, I32, I64, Code, Pointer, Value

BLOCK = 64  # sums along a row that are doubled at once


def box(code: Code, address: Pointer, dtype: str, *, short: Any = None) -> Value:
    """All sums are exact integers. The cost does not depend on the height, and grows with the logarithm of the width.

    `weights` holds the one weight over the scale. What fits in 16 bits along a row of 8-bit samples is summed so.
    """
    short = short or (I16 if dtype == "uint8" else I32)
    band, sample = code.fields(address, Band), SAMPLES[dtype].fitting(code)
    kernel_rows, reach, step, lanes = band.kernel_rows, band.reach, band.step, sample.lanes
    target, row_map = band.target.to(sample.own), band.row_map.to(I64)
    slot = band.tile + reach + band.slack
    sums = band.ring.to(I32)  # the other lines hold `short`
    line = (sums + slot).to(short)
    kept = slot * 3  # from `line` on: sums along the row, those of the last kernel_rows rows and a new one
    turns = kernel_rows + 1
    columns = reach / step + 1
    doublings = code.variable(0)
    with code.repeat(lambda: columns >> doublings.value > 1):
        doublings.value = doublings.value + 1
    bits = doublings.value
    factors, bases = band.weights.to(sample.sum)[0].spread(lanes), band.base.to(sample.sum).spread(lanes)
    clipped = code.variable(0)

    def double(to: Pointer, half: Pointer, span: Value, odd: Value, count: Value) -> None:
        """Sums of 2·span or 2·span + 1 neighbours from those of span."""
        ahead, last = half + span * step, line + span * step * 2
        with code.either(odd > 0) as (with_last, without):
            for block in (with_last, without):
                with block, code.loop(0, count, BLOCK) as i:
                    pair = half.load(i, BLOCK) + ahead.load(i, BLOCK)
                    to.store(pair + last.load(i, BLOCK) if block is with_last else pair, i)

    with code.loop(0, band.samples, band.tile) as x:
        width = band.tile.least(band.samples - x)
        length = width + reach
        sums.clear(width)
        (line + kept).clear(turns * slot)
        with code.loop(0, band.rows + kernel_rows - 1) as r:
            new = kept + r % turns * slot
            newest, oldest = line + new, line + (kept + (r + 1) % turns * slot)
            raw = line + bits.equals(0).choose(new, 0)
            fill_line(code, band, sample.own, raw, row_map[r], x, x + length)
            half, span = code.variable(0), code.variable(1)
            with code.loop(0, bits) as bit:
                odd = columns >> bits - 1 - bit & 1
                to = (bit + 1).equals(bits).choose(new, (bit % 2 + 1) * slot)
                wide = span.value * 2 + odd
                double(line + to, line + half.value, span.value, odd, length - (wide - 1) * step)
                half.value, span.value = to, wide

            def totals(x: Value, vectors: int) -> list[list[Value]]:
                row = []
                for n in range(vectors):
                    at = x + n * lanes
                    whole = sums.load(at, lanes) + (newest.load(at, lanes).to(I32) - oldest.load(at, lanes).to(I32))
                    sums.store(whole, at)
                    row.append(whole.to(sample.sum) * factors + bases)
                return [row]

            with code.either(r < kernel_rows - 1) as (filling, full):
                with filling, code.loop(0, width, lanes) as i:
                    sums.store(sums.load(i, lanes) + newest.load(i, lanes).to(I32), i)
                with full:
                    start = (r - (kernel_rows - 1)) * band.target_stride + x
                    clipped.value = clipped.value + write_row(code, sample, target, [start], width, 2, totals)
    return clipped.value


box_wide = partial(box, short=I32)  # rows of more than 257 taps
