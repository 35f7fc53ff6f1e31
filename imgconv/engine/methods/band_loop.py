"""What the band loops share: source rows widened into a ring of lines, and the sweep over a band with it.

A band of output rows is worked tile by tile. Each source row is widened once, border included, into a line of a small
ring of lines that stays in the first-level cache; the sums are then taken over the ring. Nothing here raises or
allocates, so that the machine code needs no symbol from Numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numba.np.numpy_support import from_dtype

from imgconv.engine.band import Band
from imgconv.native.lanes import Sample, advance, distance, load, pointer_to, prefetch, store

# Lines of few samples stay in the first-level cache, but where a row is read in pieces the CPU does not read ahead by
# itself. Asking for the row four below: 3×3 over 12 megapixels takes 6.4 ms (one thread) instead of 9.4. Larger samples
# are read in long pieces, see `stage`.
ROWS_AHEAD = 4
LINE_BYTES = 64
ROWS_AT_ONCE = 4  # output rows that share what is loaded; with 2, float32 3×3 takes 6.6 ms instead of 4.7
GUARD = 64  # samples that a sweep may read behind its last one; vectors of 16 floating ones are the longest

SIGNATURE = types.int64(types.voidptr)
INDEX = types.int64
BAND = from_dtype(np.dtype(Band))


@intrinsic
def band_at(typingctx: Any, address: Any) -> Any:
    """The Band at an address; its fields are read where they are named, so loops copy them to locals first."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(BAND))

    return BAND(address), codegen


def fitting(sample: Sample, wide: bool) -> Sample:
    """`wide`: the CPU has 32 vector registers of 512 bits; without them, half as many samples are held at once."""
    return sample if wide else sample._replace(lanes=sample.lanes // 2)


def line_filler(sample: Sample, kind: Any = None) -> Any:
    """A function that widens samples [begin, end) of one padded row into a line, of `kind` instead of the sum type."""
    widen = kind or sample.sum
    own = sample.numba
    ahead = ROWS_AHEAD if own in (types.uint8, types.uint16) else 0
    per_line = 8 * LINE_BYTES // own.bitwidth

    @njit(inline="always")
    def fill(b, line, at, begin, end):  # type: ignore[no-untyped-def]
        outside, stride, left, middle = widen(b.outside), b.source_stride, b.left, b.middle
        if at < 0:
            for x in range(end - begin):
                store(line, x, outside)
            return
        row = advance(pointer_to(b.source, own), at * stride)
        column_map = pointer_to(b.column_map, INDEX)
        for x in range(begin, min(end, left)):
            where = load(column_map, x)
            store(line, x - begin, outside if where < 0 else widen(load(row, where)))
        start = max(begin, left)
        source = advance(row, b.first + start - left)
        target = advance(line, start - begin)
        count = min(end, left + middle) - start
        if ahead:
            below = advance(source, ahead * stride)
            for n in range((count + per_line - 1) // per_line):
                prefetch(below, n * per_line)
        for x in range(count):
            store(target, x, widen(load(source, x)))
        for x in range(max(begin, left + middle), end):
            where = load(column_map, x - middle)
            store(line, x - begin, outside if where < 0 else widen(load(row, where)))

    return fill


def _in_place(as_is: bool) -> tuple[Any, Any]:
    """Functions that spare samples the way through the ring where they are read `as_is` and no border is near.

    The first says where the tile that begins at x ends, and whether it lies inside the picture with all that is read
    around it; the second where the line of a row is, in elements from the ring.
    """

    @njit(inline="always")
    def tile_at(x, tile, samples, reach, left, middle):  # type: ignore[no-untyped-def]
        end = min(samples, x + tile)
        if not as_is:
            return end, False
        begin = min(samples, (left + GUARD - 1) // GUARD * GUARD)
        stop = max(begin, left + middle - reach - GUARD)
        if x < begin:
            return min(end, begin), False
        if x < stop:
            return min(end, stop), True
        return end, False

    @njit(inline="always")
    def line_of(row, row_map, last, turns, slot, away, stride, inside):  # type: ignore[no-untyped-def]
        offset = (row % turns) * slot
        if as_is and inside and row <= last:
            at = load(row_map, row)
            if at >= 0:
                offset = away + at * stride
        return offset

    return tile_at, line_of


@njit(inline="always")
def plain_slot(b):  # type: ignore[no-untyped-def]
    """Elements from one line of the ring to the next."""
    return b.tile + b.reach + b.slack


def banded(
    sample: Sample,
    sweep: Any,
    taken: Callable[[int, int], int],
    most: int,
    *,
    fill: Any = None,
    slot_of: Any = plain_slot,
    kernel_rows: int = 0,
) -> tuple[Any, Any]:
    """The loop over a band, and its C signature: fills the ring and takes some output rows at a time from it.

    Parameters
    ----------
    sample : Sample
    sweep : compiled function
        (b, taken, ring, lines, target, starts, width) -> clipped samples: sums `width` samples of `taken` rows, whose
        places in the target are `starts`, over the lines whose places in the ring are `lines`.
    taken : compiled function
        (rows of the kernel, output rows that are left) -> how many are taken next, at most `most`.
    fill : compiled function, optional
        (b, line, at, begin, end): makes a line of source row `at`; by default it is widened, and floating samples are
        read where they lie, where no border is near.
    slot_of : compiled function
    kernel_rows : int
        0 where it is known only when the loop runs.
    """
    own, kind = sample.numba, sample.sum
    tile_at, line_of = _in_place(fill is None and own is kind)
    make_line = fill or line_filler(sample)

    def loop(address):  # type: ignore[no-untyped-def]
        b = band_at(address)
        source, target = pointer_to(b.source, own), pointer_to(b.target, own)
        row_map, lines = pointer_to(b.row_map, INDEX), pointer_to(b.lines, INDEX)
        ring = pointer_to(b.ring, kind)
        rows, samples, reach, tile = b.rows, b.samples, b.reach, b.tile
        source_stride, target_stride, left, middle = b.source_stride, b.target_stride, b.left, b.middle
        taps = kernel_rows or b.kernel_rows
        window = taps + most - 1
        slot = slot_of(b)
        starts = advance(lines, window)
        away = distance(source, ring) + b.first - left
        last = rows + taps - 2  # of the rows in row_map
        clipped = 0
        x = 0
        while x < samples:  # a range with a step from outside could raise
            end, inside = tile_at(x, tile, samples, reach, left, middle)
            filled = 0
            y = 0
            while y < rows:
                count = taken(taps, rows - y)
                while filled < y + taps + count - 1:
                    at = load(row_map, filled)
                    if at < 0 or not inside:
                        make_line(b, advance(ring, (filled % window) * slot), at, x, end + reach)
                    filled += 1
                for i in range(window):
                    store(lines, i, line_of(y + i, row_map, last, window, slot, away + x, source_stride, inside))
                for i in range(most):
                    store(starts, i, (y + i) * target_stride + x)
                clipped += sweep(b, count, ring, lines, target, starts, end - x)
                y += count
            x = end
        return clipped

    return loop, SIGNATURE
