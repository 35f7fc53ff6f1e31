"""What the loops over a band share: a ring of lines that source rows are widened into, and the way down a band with it.

A band of output rows is worked tile by tile. Each source row is widened once, border included, into a line of a small
ring of lines that stays in the first-level cache; the sums are then taken over the ring.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

from imgconv.engine.methods.row_loop import Sample, fill_line
from imgconv.native.emit import I1, I64, Code, Pointer, Value, size_of

ROWS_AT_ONCE = 4  # output rows that share what is loaded; with 2, float32 3×3 takes 6.6 ms instead of 4.7
GUARD = 64  # samples that may be read behind the last one of a row; vectors of 16 floating ones are the longest

# (ring, where its lines begin, target, where the output rows begin in it, samples of a row) -> how many were clipped
Sweep = Callable[[Pointer, Pointer, Pointer, Pointer, Value], Value]


def vectors_at_once(code: Code) -> dict[int, int]:
    """For so many output rows at once, the vectors of each that there are registers for, the most rows first."""
    return {4: 4, 2: 6, 1: 8} if code.wide else {4: 2, 2: 3, 1: 4}


def banded(
    code: Code,
    band: SimpleNamespace,  # fields of a `Band`
    sample: Sample,
    # what sums so many output rows at once, the most first; not more than the kernel has rows, unless it knows them
    sweeps: dict[int, Sweep],
    *,
    # (line, the line before, source row, begin, end): makes a line; by default it is widened, and floating samples are
    # read where they lie, where no border is near
    fill: Callable[[Pointer, Pointer, Value, Value, Value], None] | None = None,
    slot: Value | None = None,  # elements from one line of the ring to the next
    kernel_rows: int = 0,  # 0 where it is known only when the loop runs
) -> Value:
    """Emits the loop over a band, which fills the ring and takes some output rows at a time from it."""
    own, kind, most = sample.own, sample.sum, max(sweeps)
    source, target, ring = band.source.to(own), band.target.to(own), band.ring.to(kind)
    row_map, lines = band.row_map.to(I64), band.lines.to(I64)
    rows, reach = band.rows, band.reach
    taps: Value = code.number(kernel_rows) if kernel_rows else band.kernel_rows
    window = taps + (most - 1)
    slot = slot or band.tile + reach + band.slack
    starts = lines + window
    away = (source.number() - ring.number()) / size_of(kind) + band.first - band.left
    last = rows + taps - 2  # of the rows in row_map

    clipped, x = code.variable(0), code.variable(0)
    with code.repeat(lambda: x.value < band.samples):
        begin = x.value
        end, inside = _tile_at(code, begin, band, in_place=fill is None and own == kind)
        filled, y = code.variable(0), code.variable(0)
        with code.repeat(lambda: y.value < rows):
            first = y.value
            room = rows - first if kernel_rows else taps.least(rows - first)
            count = code.number(1)
            for some in sorted(sweeps):
                count = (room >= some).choose(code.number(some), count)
            with code.repeat(lambda: filled.value < first + taps + count - 1):
                row = filled.value
                at = row_map[row]
                with code.when(inside.choose(at < 0, 1)):
                    line = ring + row % window * slot
                    if fill:
                        fill(line, ring + (row + window - 1) % window * slot, at, begin, end + reach)
                    else:
                        fill_line(code, band, own, line, at, begin, end + reach)
                filled.value = row + 1
            with code.loop(0, window) as i:
                row = first + i
                offset = code.variable(row % window * slot)
                with code.when(inside & (row <= last)):
                    at = row_map[row]
                    offset.value = (at < 0).choose(offset.value, away + begin + at * band.source_stride)
                lines[i] = offset.value
            for n in range(most):
                starts[n] = (first + n) * band.target_stride + begin
            for some, sweep in sweeps.items():
                with code.when(count.equals(some)):
                    clipped.value = clipped.value + sweep(ring, lines, target, starts, end - begin)
            y.value = first + count
        x.value = end
    return clipped.value


def _tile_at(code: Code, x: Value, band: SimpleNamespace, *, in_place: bool) -> tuple[Value, Value]:
    """Where the tile that begins at x ends, and whether its rows can be read where they lie: no border is near."""
    end = (x + band.tile).least(band.samples)
    if not in_place:
        return end, code.constant(I1, 0)
    begin = ((band.left + (GUARD - 1)) / GUARD * GUARD).least(band.samples)
    stop = (band.left + band.middle - band.reach - GUARD).most(begin)
    inside = (x >= begin) & (x < stop)
    return (x < begin).choose(end.least(begin), inside.choose(end.least(stop), end)), inside
