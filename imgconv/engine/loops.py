"""Every compiled loop. Numba is imported here and nowhere else, and only when something must be compiled.

A band of output rows is worked tile by tile. Each source row is widened once, border included, into a line of a small
ring of lines that stays in the first-level cache; the sums are then taken over the ring. Nothing here raises or
allocates, so that the machine code needs no symbol from Numba.
"""

from __future__ import annotations

from typing import Any

from numba import njit, types

from imgconv.engine.lanes import SAMPLES, advance, listed_row, load, store, unrolled_rows

AT_ONCE = 2  # output rows that an unrolled loop takes at once


def fill_line(dtype: str) -> Any:
    """A function that widens samples [begin, end) of one padded row into a ring line."""
    widen = SAMPLES[dtype].sum

    @njit(inline="always")
    def fill(line, row, column_map, outside, begin, end, left, middle, first):  # type: ignore[no-untyped-def]
        stop = min(end, left)
        for x in range(begin, stop):
            at = load(column_map, x)
            store(line, x - begin, outside if at < 0 else widen(load(row, at)))
        start = max(begin, left)
        stop = min(end, left + middle)
        source = advance(row, first + start - left)
        target = advance(line, start - begin)
        for x in range(stop - start):
            store(target, x, widen(load(source, x)))
        for x in range(max(begin, left + middle), end):
            at = load(column_map, x - middle)
            store(line, x - begin, outside if at < 0 else widen(load(row, at)))

    return fill


def band(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """The loop over a band of rows: for one kernel shape with every tap unrolled, or for any list of taps (None).

    Returns the function and its C signature.

    `wide` says that the CPU has 32 vector registers of 512 bits; without them, half as many samples are held at once.
    """
    sample = SAMPLES[dtype]
    if not wide:
        sample = sample._replace(lanes=sample.lanes // 2)
    fill = fill_line(dtype)
    at_once = AT_ONCE if shape else 1
    if shape:
        sweep = unrolled_rows(sample, *shape, at_once, block=2)
        sweep_last = unrolled_rows(sample, *shape, 1, block=1)
    else:
        sweep = listed_row(sample, block=12 if wide else 6)

    def loop(  # type: ignore[no-untyped-def]
        src, dst, row_map, column_map, ends, shifts, weights, ring, lines, outside, base,
        kernel_rows, reach, step, rows, samples, src_stride, dst_stride, left, middle, first, tile, slack,
    ):  # fmt: skip
        window = kernel_rows + at_once - 1
        slot = tile + reach + slack
        starts = advance(lines, window)
        clipped = 0
        x = 0
        while x < samples:  # a range with a step from outside could raise
            width = min(tile, samples - x)
            filled = 0
            for y in range(0, rows, at_once):
                while filled < min(y + window, rows + kernel_rows - 1):
                    line = advance(ring, (filled % window) * slot)
                    at = load(row_map, filled)
                    if at < 0:
                        for i in range(width + reach):
                            store(line, i, outside)
                    else:
                        row = advance(src, at * src_stride)
                        fill(line, row, column_map, outside, x, x + width + reach, left, middle, first)
                    filled += 1
                if shape is None:
                    for i in range(kernel_rows):
                        store(lines, i, ((y + kernel_rows - 1 - i) % window) * slot)
                    clipped += sweep(
                        ring, lines, kernel_rows, ends, shifts, weights, base, dst, y * dst_stride + x, width
                    )
                else:
                    for i in range(window):
                        store(lines, i, ((y + i) % window) * slot)
                    for i in range(at_once):
                        store(starts, i, (y + i) * dst_stride + x)
                    if y + at_once <= rows:
                        clipped += sweep(ring, lines, step, weights, base, dst, starts, width)
                    else:
                        clipped += sweep_last(ring, lines, step, weights, base, dst, starts, width)
            x += tile
        return clipped

    pointer, index = types.CPointer, types.CPointer(types.int64)
    signature = types.int64(
        pointer(sample.numba), pointer(sample.numba),  # src, dst
        index, index,  # row_map, column_map
        index, index, pointer(sample.sum),  # ends, shifts, weights
        pointer(sample.sum), index,  # ring, lines
        sample.sum, sample.sum,  # outside, base
        *[types.int64] * 12,
    )  # fmt: skip
    return loop, signature
