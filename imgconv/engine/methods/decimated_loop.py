"""The loop of the decimated method: of a smooth column of taps only every n-th row is summed."""

from __future__ import annotations

from imgconv.engine.band import COARSE_AT_ONCE, Band
from imgconv.engine.methods.fused_loop import fused_rows
from imgconv.engine.methods.row_loop import SAMPLES, Sample, fill_line, widened
from imgconv.engine.methods.separable_loop import fused_line
from imgconv.native.emit import I64, Code, Pointer, Value


def decimated(code: Code, address: Pointer, dtype: str) -> Value:
    """A smooth column of taps times a row of taps: the rows between the summed ones are interpolated.

    `ends` holds how far apart the coarse rows are, and how many of them each row is made of. `weights` holds the column
    with its zeros, the row, and for each row between two coarse ones what those weigh. Coarse rows are counted from the
    first row of the picture, so that their sums are the same in every band.
    """
    band, sample = code.fields(address, Band), SAMPLES[dtype].fitting(code)
    own, kind, reach, kernel_rows = sample.own, sample.sum, band.reach, band.kernel_rows
    row_map, lines, ends = band.row_map.to(I64), band.lines.to(I64), band.ends.to(I64)
    weights, base = band.weights.to(kind), band.base.to(kind)
    spread, mixed = ends[0], ends[1]
    slot = band.tile + reach + band.slack
    sums = band.ring.to(kind)  # of coarse rows, not yet summed along
    turns = mixed + COARSE_AT_ONCE
    coarse = sums + slot * COARSE_AT_ONCE  # rows
    raw = (coarse + turns * slot).to(own)  # samples as they are
    window = kernel_rows + spread * (COARSE_AT_ONCE - 1)
    raw_turns = window + spread
    starts = lines + raw_turns
    row_weights = weights + (kernel_rows + spread * (2 * (COARSE_AT_ONCE - 1)))
    columns = reach / band.step + 1
    mixes = row_weights + columns
    phase = band.begin % spread
    last = band.rows + kernel_rows + spread * mixed - 3  # of the rows in row_map

    clipped = code.variable(0)
    with code.loop(0, band.samples, band.tile) as x:
        width = band.tile.least(band.samples - x)
        filled, done = code.variable(0), code.variable(0)
        with code.loop(0, band.rows) as y:
            place = y + phase
            with code.repeat(lambda: done.value < place / spread + mixed):
                top = done.value * spread + spread - 1 - phase  # row_map begins `before` rows above the first window
                with code.repeat(lambda: filled.value < top + window):
                    row = filled.value
                    at = row_map[row.least(last)]  # beyond it lies nothing that is used
                    fill_line(code, band, own, raw + row % raw_turns * slot, at, x, x + width + reach)
                    filled.value = row + 1
                with code.loop(0, window) as i:
                    lines[i] = (top + i) % raw_turns * slot
                coarse_rows(code, sample, raw, lines, kernel_rows, spread, weights, sums, slot, width + reach)
                with code.loop(0, COARSE_AT_ONCE) as i:
                    to = coarse + (done.value + i) % turns * slot
                    fused_line(code, sample, sums + i * slot, row_weights, columns, band.step, to, width)
                done.value = done.value + COARSE_AT_ONCE
            with code.loop(0, mixed) as i:
                lines[i] = (place / spread + i) % turns * slot
            starts[0] = y * band.target_stride + x
            mix = mixes + place % spread * mixed
            sweep = fused_rows(code, sample, mix, mixed, base, 1, 8 if code.wide else 4, stream=band.stream)
            clipped.value = clipped.value + sweep(coarse, lines, band.target.to(own), starts, width)
    return clipped.value


def coarse_rows(
    code: Code,
    sample: Sample,
    ring: Pointer,
    lines: Pointer,
    count: Value,
    spread: Value,
    weights: Pointer,
    target: Pointer,
    slot: Value,
    width: Value,
) -> None:
    """Emits fused sums of a column of taps for a few rows that lie `spread` apart, into floating lines.

    `ring` holds samples as they are in the picture. `weights` has zeros above and below the taps, so that a vector that
    is loaded serves all rows. May write four vectors past the end.
    """
    lanes, block = sample.lanes, 4 if code.wide else 2
    around = spread * (COARSE_AT_ONCE - 1)
    with code.loop(0, width, lanes * block) as x:
        zeros = code.constant(sample.sum, 0, lanes)
        totals = [[code.variable(zeros) for _ in range(block)] for _ in range(COARSE_AT_ONCE)]
        with code.loop(0, count + around) as i:
            at = lines[i] + x
            loaded = [widened(ring.load(at + n * lanes, lanes), sample.sum) for n in range(block)]
            for r, row in enumerate(totals):
                weight = weights[around + i - spread * r].spread(lanes)
                for total, value in zip(row, loaded, strict=True):
                    total.value = weight.fused(value, total.value)
        for r, row in enumerate(totals):
            for n, total in enumerate(row):
                target.store(total.value, slot * r + x + n * lanes)
